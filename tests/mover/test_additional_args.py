"""Flags of Kopia's commands in KOPIA_ADDITIONAL_ARGS."""

import pytest
from pykopia_mover.additional_args import REFUSED, parse_additional_args
from pykopia_mover.failures import MoverError
from pykopia_mover.settings import ADDITIONAL_ARGS_SEPARATOR

from pykopia import ClientOptions, NewRepositoryOptions, RestoreOptions, SnapshotOptions
from tests.mover.harness import Mover


def joined(*flags: str) -> str:
    return ADDITIONAL_ARGS_SEPARATOR.join(flags)


def test_m_120_each_flag_changes_a_field_that_exists() -> None:
    found = parse_additional_args(
        joined(
            "--one-file-system", "--ignore-identical-snapshots", "--fail-fast", "--force-hash=5", "--parallel=3",
            "--upload-limit-mb=2", "--description=a b", "--tags=k:v", "--tags", "l:w", "--pin=p", "--pin=q",
            "--start-time=2024-01-01T00:00:00Z", "--ignore-cache-dirs=false", "--checkpoint-interval=10m",
            "--no-write-files-atomically", "--skip-existing", "--skip-owners", "--no-overwrite-files", "--delete-extra",
            "--write-sparse-files", "--shallow=2", "--shallow-minsize=9", "--region=r", "--disable-tls",
            "--max-upload-speed=1000", "--enable-actions", "--readonly", "--object-splitter=FIXED-1M", "--format-version=2",
            "--retention-mode=GOVERNANCE", "--retention-period=48h", "--log-level=debug",
        )
    )  # fmt: skip
    SnapshotOptions(**found.snapshot)
    RestoreOptions(**found.restore)
    NewRepositoryOptions(**found.creation)
    ClientOptions(**found.client)
    assert found.snapshot["upload_limit_bytes"] == 2 << 20
    assert found.snapshot["tags"] == {"k": "v", "l": "w"}
    assert found.snapshot["pins"] == ("p", "q")
    assert (found.snapshot["parallel"], found.restore["parallel"]) == (3, 3)
    assert found.restore["atomic_files"] is False
    assert found.restore["overwrite_files"] is False
    assert found.files == {"one_file_system": True, "ignore_cache_directories": False}
    assert found.storage == {"region": "r", "doNotUseTLS": True, "maxUploadSpeedBytesPerSecond": 1000}
    assert found.creation["retention_period_ns"] == 48 * 3600 * 10**9


def test_letters_of_the_separator_split_nothing() -> None:
    assert parse_additional_args("--description=VOLSYNC_ARG|SEP").snapshot == {"description": "VOLSYNC_ARG|SEP"}


@pytest.mark.parametrize("flag", sorted(REFUSED))
def test_m_120_flags_that_other_variables_decide_are_refused(flag: str) -> None:
    with pytest.raises(MoverError, match=f"--{flag}"):
        parse_additional_args(f"--{flag}=x", ignore_unknown=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--no-such-flag", "unknown flag --no-such-flag"),
        ("one-file-system", "no flag"),
        ("--parallel=many", "--parallel"),
        ("--force-hash=101", "0 to 100"),
        ("--tags=novalue", "key:value"),
        ("--description", "needs a value"),
        ("--start-time=yesterday", "RFC 3339"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, told: str) -> None:
    with pytest.raises(MoverError, match=told) as caught:
        parse_additional_args(text)
    assert caught.value.code.name == "config"


def test_unknown_flags_can_be_passed_over() -> None:
    assert parse_additional_args(joined("--x", "--pin=a"), ignore_unknown=True).unknown == ("--x",)


def test_m_120_flags_take_effect_in_a_run(mover: Mover) -> None:
    mover.write({"a": "b"})
    flags = joined("--description=by hand", "--pin=keep", "--one-file-system", "--ignore-identical-snapshots")
    mover.ok("backup", KOPIA_ADDITIONAL_ARGS=flags)
    second = mover.ok("backup", KOPIA_ADDITIONAL_ARGS=flags)
    assert any(line.startswith("No changes") for line in second.lines)
    with mover.open() as repository:
        (snapshot,) = repository.snapshots.list()
        assert (snapshot.description, snapshot.pins) == ("by hand", ("keep",))
        assert repository.policies.effective(snapshot.source).policy.files.one_file_system is True
    mover.fails("config", "backup", KOPIA_ADDITIONAL_ARGS="--password=x")
