"""What the files of ``policyConfig`` change in a run: what is kept, left out, compressed, read, run and cached."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from pykopia_mover.cache import used_bytes

from pykopia import Policy, SourceInfo
from pykopia.snapshot.reading import FileReader
from pykopia.testing import FakeClock
from tests.mover.harness import EXAMPLES, Mover, tree

MIB = 1 << 20
KINDS = ("Latest", "Hourly", "Daily", "Weekly", "Monthly", "Annual")
NONE = {f"keep{kind}": 0 for kind in KINDS}


def policy(mover: Mover, **sections: object) -> None:
    mover.policy_files({"global-policy.json": json.dumps(sections)})


def files_of(mover: Mover) -> list[str]:
    """Return what a restore of the newest snapshot has, folders with a slash at the end."""
    mover.ok("restore")
    return sorted(
        path.relative_to(mover.target).as_posix() + ("/" if path.is_dir() else "") for path in mover.target.rglob("*")
    )


# ---------------------------------------------------------------------- retention


@pytest.mark.parametrize(
    ("name", "kept", "hours"),
    [
        ("keepLatest", 2, 1),
        ("keepHourly", 3, 1),
        ("keepDaily", 3, 24),
        ("keepWeekly", 2, 7 * 24),
        ("keepMonthly", 3, 31 * 24),
        ("keepAnnual", 2, 366 * 24),
    ],
)
def test_rows_152_240_241_242_243_244_245_each_count_of_the_file_keeps_so_many_snapshots_of_an_overridden_source(
    mover: Mover, time: FakeClock, name: str, kept: int, hours: int
) -> None:
    policy(mover, retention=NONE | {name: kept})
    counts = []
    for number in range(4):
        mover.write({"a": str(number)})
        result = mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="/var/lib/mysql")
        counts.append(result.termination["retention"]["kept"])
        time.advance(hours=hours)
    assert counts == [min(number, kept) for number in range(1, 5)]
    assert mover.sources() == ["ns@app:/var/lib/mysql"] * kept


def test_row_272_a_field_that_the_added_file_does_not_set_is_still_that_of_the_spec_and_old_backups_are_restored(
    mover: Mover,
) -> None:
    spec = {
        "KOPIA_RETAIN_HOURLY": "6",
        "KOPIA_RETAIN_DAILY": "7",
        "KOPIA_COMPRESSION": "gzip",
        "KOPIA_PARALLELISM": "2",
    }
    mover.write({"a": "before"})
    mover.ok("backup", **spec)
    mover.policy_files(EXAMPLES["policies"]["kopia-policies"])
    mover.write({"a": "after"})
    lines = mover.ok("backup", **spec).lines
    (told,) = [line for line in lines if line.startswith("Retention policy in effect")]
    assert "hourly 6 (spec), daily 14 (policy file)" in told
    assert "Compression policy in effect: zstd" in lines
    mover.ok("restore", KOPIA_PREVIOUS="1")
    assert tree(mover.target) == {"a": b"before"}


def test_row_224_of_the_four_levels_the_more_specific_one_wins(mover: Mover) -> None:
    mover.write({"a": "b"})
    counts = dict(zip(("keepDaily", "keepWeekly", "keepMonthly", "keepAnnual"), (11, 12, 13, 14), strict=True))
    policy(mover, retention={name: count for name, count in counts.items() if name != "keepAnnual"})
    mover.ok("backup")
    levels = [
        SourceInfo(host="app"),
        SourceInfo(user_name="ns", host="app"),
        SourceInfo.parse("ns@app:/data", "", "", ""),
    ]
    with mover.open() as repository:
        for number, level in enumerate(levels, 1):
            own = {name: 10 * number + count for name, count in [*counts.items()][number:]}
            repository.policies.set(level, Policy.from_json(json.dumps({"retention": own})))
    (line,) = [line for line in mover.ok("backup").lines if line.startswith("Retention policy in effect")]
    assert "daily 11 (policy file)" in line
    assert "weekly 22 (policy of @app)" in line
    assert "monthly 33 (policy of ns@app)" in line
    assert "annual 44 (policy of ns@app:/data)" in line
    policy(mover, retention=counts)
    assert (
        "Removed from the policy of ns@app:/data, as it would win over the policy file: annual 44"
        in mover.ok("backup").lines
    )


# ---------------------------------------------------------------------- files and compression


def test_row_246_a_pattern_with_a_slash_leaves_folders_out_and_no_file_of_that_name(mover: Mover) -> None:
    mover.write({"build/x": "1", "d/build": "a file", "d/cache.tmp/y": "2", "notes.txt": "3", "d/secret": "4"})
    policy(mover, files={"ignore": ["build/", "*.tmp", "secret"]})
    mover.ok("backup")
    assert files_of(mover) == ["d/", "d/build", "notes.txt"]


@pytest.mark.parametrize(
    ("name", "stored"), [("zstd", "zstd"), ("gzip", "gzip"), ("s2", "s2-default"), ("none", "none")]
)
def test_row_237_the_compressor_of_the_file_is_used_whatever_the_spec_says(
    mover: Mover, name: str, stored: str
) -> None:
    policy(mover, compression={"compressorName": name})
    mover.write({"a.txt": "compressible " * 40_000})
    result = mover.ok("backup", KOPIA_COMPRESSION="gzip" if name == "none" else "none")
    assert f"Compression policy in effect: {stored}" in result.lines
    assert (result.termination["snapshot"]["newBytes"] > 500_000) is (name == "none")


@pytest.mark.parametrize("file", ["global-policy.json", "repository.config"])
def test_rows_238_239_265_266_267_sizes_and_extensions_decide_for_each_file(mover: Mover, file: str) -> None:
    # as Kopia has it, onlyCompress names exceptions to neverCompress
    rules = {"minSize": 30_000, "maxSize": 200_000, "onlyCompress": ["*.log"], "neverCompress": ["*.bin", ".log"]}
    mover.policy_files({file: json.dumps({"compression": rules})})
    sizes = {}
    lengths = {"a.txt": 100_000, "small.txt": 20_000, "large.txt": 300_000, "b.bin": 100_000, "c.log": 100_000}
    for name, length in lengths.items():
        for path in mover.data.iterdir():
            path.unlink()
        mover.write({name: f"{name} is compressible ".encode() * (length // (len(name) + 18))})
        sizes[name] = mover.ok("backup").termination["snapshot"]["newBytes"] / length
    assert {name for name, share in sizes.items() if share < 0.3} == {"a.txt", "c.log"}, sizes


# ---------------------------------------------------------------------- files at one time


class Reads:
    """Counts the large files that are read at one time, and holds the first ones until as many as asked for are open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
        self.most = self._now = 0
        lock, gate = threading.Lock(), threading.Barrier(together)
        real = FileReader.file

        def file(reader: FileReader, *arguments: Any) -> Any:  # noqa: ANN401
            with lock:
                self._now += 1
                self.most = max(self.most, self._now)
            try:
                if not gate.broken:
                    gate.wait(30)
                return real(reader, *arguments)
            finally:
                with lock:
                    self._now -= 1

        monkeypatch.setattr(FileReader, "file", file)


@pytest.mark.parametrize(
    ("environment", "of_file", "expected"),
    [({}, None, 1), ({"KOPIA_PARALLELISM": "4"}, None, 4), ({}, 4, 4), ({"KOPIA_PARALLELISM": "4"}, 2, 2)],
)
def test_rows_205_251_so_many_files_are_read_at_one_time(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], of_file: int | None, expected: int
) -> None:
    for number in range(8):
        (mover.data / f"f{number}").write_bytes(os.urandom(100))
        os.truncate(mover.data / f"f{number}", 5 * MIB)
    if of_file:
        policy(mover, upload={"maxParallelFileReads": of_file})
    reads = Reads(monkeypatch, expected)
    mover.ok("backup", **environment)
    assert reads.most == expected


# ---------------------------------------------------------------------- actions of policies


def actions(mover: Mover, **commands: dict[str, object]) -> None:
    mover.policy_files(
        {"global-policy.json": json.dumps({"actions": commands}), "repository.config": '{"enableActions": true}'}
    )


def test_rows_254_255_258_both_actions_run_and_one_that_is_optional_is_told_when_it_fails(mover: Mover) -> None:
    mover.write({"a": "b"})
    actions(
        mover,
        beforeSnapshotRoot={"script": f"touch {mover.data}/before; exit 3", "timeout": "1m", "mode": "optional"},
        afterSnapshotRoot={
            "script": f"mv {mover.data}/before {mover.data}/after; exit 4",
            "timeout": "1m",
            "mode": "optional",
        },
    )
    result = mover.ok("backup")
    for when, status in (("before", 3), ("after", 4)):
        assert any(
            f"{when}-snapshot-root" in each and f"exit status {status}" in each
            for each in result.termination["warnings"]
        )
    assert files_of(mover) == ["a", "before"]
    assert (mover.data / "after").exists()


@pytest.mark.parametrize("mode", ["essential", "optional"])
def test_rows_254_256_257_258_an_action_that_outlasts_its_timeout_is_ended_and_told(mover: Mover, mode: str) -> None:
    mover.write({"a": "b"})
    actions(mover, beforeSnapshotRoot={"script": "sleep 300", "timeout": "1s", "mode": mode})
    if mode == "essential":
        told = mover.fails("action", "backup").last
        assert "policy file" in told
    else:
        [told] = mover.ok("backup").termination["warnings"]
    assert "ended after 1 s" in told
    assert "policy set" not in told
    assert len(mover.sources()) == (mode == "optional")


def test_row_276_the_documented_policy_with_actions_is_explained_where_the_tool_is_missing_and_passed_over_when_off(
    mover: Mover,
) -> None:
    mover.write({"a": "b", "x.log": "left out"})
    printed = EXAMPLES["policies"]["kopia-database-policies"]
    mover.policy_files({name: text.replace("/data/", f"{mover.data}/") for name, text in printed.items()})
    result = mover.ok("backup")
    assert "2 policy actions are defined but enableActions is not true; ignoring them" in result.lines
    assert files_of(mover) == ["a"]
    mover.policy_files({"repository.config": '{"enableActions": true}'})
    last = mover.fails("action", "backup").last
    assert "mysqldump" in last
    assert "exit status 127" in last
    assert len(mover.sources()) == 1


# ---------------------------------------------------------------------- repository.config


def test_rows_227_228_a_configuration_under_another_name_takes_effect(mover: Mover) -> None:
    mover.write({"a": "b"})
    script = {"script": f"touch {mover.data}/ran"}
    mover.policy_files(
        {
            "my.json": json.dumps({"actions": {"beforeSnapshotRoot": script}}),
            "my.config": '{"enableActions": true}',
            "repository.config": '{"enableActions": false}',
        }
    )
    folder = mover.folder / "kopia-config"
    mover.ok(
        "backup",
        KOPIA_GLOBAL_POLICY_FILE=str(folder / "my.json"),
        KOPIA_REPOSITORY_CONFIG_FILE=str(folder / "my.config"),
    )
    assert (mover.data / "ran").exists()


def test_row_261_a_cache_stays_within_the_size_that_repository_config_gives_it(mover: Mover) -> None:
    mover.write({f"f{number}": os.urandom(700_000) for number in range(12)})
    mover.policy_files({"repository.config": json.dumps({"caching": {"maxCacheSize": 3 * MIB}})})
    mover.ok("backup")
    for _ in range(2):
        mover.ok("restore")
        assert used_bytes(mover.folder / "cache" / "pykopia") <= 3 * MIB
    assert tree(mover.target) == tree(mover.data)


def test_row_223_files_that_lie_in_the_volume_as_a_kubelet_puts_them_are_read(mover: Mover) -> None:
    """A ConfigMap or Secret is a folder of links to ``..data``, which is a link to a folder with a date."""
    mover.write({"a": "b", "x.log": "y"})
    versions = mover.folder / "kopia-config" / "..2026_01_01"
    versions.mkdir(parents=True)
    (versions / "global-policy.json").write_text('{"files": {"ignore": ["*.log"]}, "retention": {"keepDaily": 3}}')
    (versions.parent / "..data").symlink_to(versions.name)
    (versions.parent / "global-policy.json").symlink_to(Path("..data") / "global-policy.json")
    lines = mover.ok("backup").lines
    assert "Policy configuration summary: 1 applied" in lines
    assert any("daily 3 (policy file)" in line for line in lines)
    assert files_of(mover) == ["a"]


def test_rows_233_234_m_097_a_policy_that_the_repository_would_refuse_stops_no_backup(mover: Mover) -> None:
    mover.write({"a": "b", "x.log": "y"})
    policy(mover, files={"ignore": ["*.log"]})
    mover.ok("backup")
    policy(mover, files={"ignore": ["[bad"]}, upload={"parallelUploadAboveSize": 0})
    result = mover.ok("backup")
    [told] = [line for line in result.lines if "Policy import failed" in line]
    assert "files.ignore[0]" in told
    assert "upload.parallelUploadAboveSize" in told
    assert "Policy configuration summary: 0 applied, 1 errors" in result.lines
    assert files_of(mover) == ["a"]
    assert mover.fails("config", "backup", KOPIA_STRICT_POLICY="true").status == 10


@pytest.mark.parametrize(
    ("files", "names", "warned"),
    [
        (("global-policy.json",), {}, []),
        (("repository.config",), {}, []),
        (("global_policy.json", "repository.config"), {}, ["global-policy.json"]),
        (("global-policy.json", "my.config"), {}, ["repository.config"]),
        (("global-policy.json",), {"KOPIA_REPOSITORY_CONFIG_FILE": "my.config"}, ["my.config"]),
        ((), {}, ["global-policy.json", "repository.config"]),
    ],
)
def test_row_232_m_097_a_file_that_is_missing_is_a_warning_unless_the_other_one_is_all_that_was_meant(
    mover: Mover, files: tuple[str, ...], names: dict[str, str], warned: list[str]
) -> None:
    mover.write({"a": "b"})
    mover.policy_files(dict.fromkeys(files, "{}"))
    folder = mover.folder / "kopia-config"
    both = {
        "KOPIA_GLOBAL_POLICY_FILE": "global-policy.json",
        "KOPIA_REPOSITORY_CONFIG_FILE": "repository.config",
    } | names
    given = {name: str(folder / file) for name, file in both.items()}
    result = mover.ok("backup", KOPIA_CONFIG_PATH=str(folder), **given)
    told = [f"policy file {name} not found in {folder} (found: {', '.join(files) or 'none'})" for name in warned]
    warnings = [each for each in result.termination.get("warnings", []) if "not found" in each]
    assert warnings == told
    missing = {Path(path).name for path in given.values()} - {*files}
    assert len([line for line in result.lines if "not found in" in line]) == len(missing)
