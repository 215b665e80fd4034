"""Damaged repositories of real Kopia: each ends in an error of its own, and all that is not damaged is restored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import (
    BlobNotFoundError,
    DamagedContentError,
    DamagedFormatBlobError,
    DamagedIndexError,
    DamagedManifestError,
    DamagedPackError,
    DecryptionError,
    InvalidPasswordError,
    PykopiaError,
    RepositoryNotFoundError,
    RequiredFeatureError,
    RestoreError,
    SnapshotNotFoundError,
    UncorrectableError,
    UpgradeInProgressError,
)
from pykopia.format.index import IndexEntry
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.options import ClientOptions
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.verify import VerifyOptions
from tests.golden_repositories import (
    DAMAGED_NAMES,
    GoldenRepository,
    GoldenSnapshot,
    assert_restored,
    load,
    restored_differences,
)
from tests.trees import scan

Open = Callable[[str], Repository]

NOT_OPENED: dict[str, tuple[type[PykopiaError], str]] = {
    "damaged-format-flip": (InvalidPasswordError, "password"),
    "damaged-wrong-password": (InvalidPasswordError, "password"),
    "damaged-format-garbage": (DamagedFormatBlobError, "kopia.repository"),
    "damaged-format-missing-v1": (RepositoryNotFoundError, "kopia.repository"),
    "damaged-required-feature": (RequiredFeatureError, "no-such-feature"),
    "damaged-upgrade-lock": (UpgradeInProgressError, "upgrade"),
}
WHOLE_PACKS_LEFT = ("damaged-ecc-correctable", "damaged-index-missing")
"""Nothing is wrong with what can still be seen."""
OPENED = [name for name in DAMAGED_NAMES if name not in NOT_OPENED and name != "damaged-index-truncated"]
LISTED = [name for name in OPENED if name not in {"damaged-metadata-pack", "damaged-index-missing"}]
DATA_DAMAGE: dict[str, tuple[type[PykopiaError], type[PykopiaError] | None]] = {
    "damaged-pack-flip": (DamagedContentError, DecryptionError),
    "damaged-pack-truncated": (DamagedPackError, None),
    "damaged-ecc-uncorrectable": (DamagedContentError, UncorrectableError),
}
"""What reading the damaged content raises, and what lies beneath that."""
ALL_ERRORS = VerifyOptions(files_percent=100, max_errors=-1)


def attempt(golden: GoldenRepository, command: str) -> int:
    """Return the exit code of Kopia's command that begins with these words."""
    codes = [each["exit_code"] for each in golden.attempts if each["command"].startswith(command)]
    assert len(codes) == 1
    code: int = codes[0]
    return code


def unreadable(snapshot: GoldenSnapshot) -> set[str]:
    """Return the files and links that Kopia can't read any more."""
    return {entry.path for entry in snapshot.entries if entry.readable is False and entry.kind != "d"}


def whole(snapshot: GoldenSnapshot) -> GoldenSnapshot:
    """Return the snapshot with every entry expected."""
    return replace(snapshot, entries=tuple(replace(entry, readable=None) for entry in snapshot.entries))


def test_every_damaged_repository_is_tested() -> None:
    assert set(DAMAGED_NAMES) == {*NOT_OPENED, *OPENED, "damaged-index-truncated"}


@pytest.mark.parametrize("name", NOT_OPENED)
def test_what_kopia_does_not_open_is_not_opened_for_a_reason_that_is_told(
    name: str, golden_repository: Callable[[str], Path]
) -> None:
    golden, folder = load(name), golden_repository(name)
    password = golden.attempts[0].get("password", golden.password)
    before = scan(folder)
    expected, named = NOT_OPENED[name]
    with pytest.raises(expected, match=named) as caught:
        connect(folder, password, client=ClientOptions(username=golden.user, hostname=golden.host))
    assert type(caught.value) is expected
    assert password not in str(caught.value).replace(str(folder), "")
    assert scan(folder) == before


def test_nothing_but_the_password_was_wrong(opened: Open) -> None:
    assert len(opened("damaged-wrong-password").snapshots.list()) == 1


def test_what_a_cut_off_index_blob_lists_is_missing_and_told_of_and_the_rest_is_read(
    golden_repository: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    golden, folder = load("damaged-index-truncated"), golden_repository("damaged-index-truncated")
    assert golden.damage is not None
    before = scan(folder)
    with connect(folder, golden.password) as repository:
        listed = repository.snapshots.list()
        assert 0 < len(listed) < len(golden.snapshots)
        assert list(repository.contents.indexes.damaged) == [golden.damage["blob"]]
        [warning] = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
        assert golden.damage["blob"] in warning
        assert "index recover" in warning
        result = repository.snapshots.verify(options=ALL_ERRORS)
        assert golden.damage["blob"] in result.errors[0]
        first = golden.snapshots[0]
        repository.snapshots.restore(first.id, tmp_path / "first")
        assert_restored(tmp_path / "first", whole(first))
        with pytest.raises(RestoreError, match=golden.damage["blob"]):
            repository.snapshots.restore(listed[-1].id, tmp_path / "last")
        with pytest.raises(DamagedIndexError, match=golden.damage["blob"]):
            repository.snapshots.create(tmp_path)
        with pytest.raises(DamagedIndexError, match="index recover"):
            repository.policies.set_defaults()
    assert scan(folder) == before


@pytest.mark.parametrize("name", ["damaged-index-truncated", "damaged-index-missing"])
def test_recovering_the_index_brings_back_all_that_was_taken(
    name: str, golden_repository: Callable[[str], Path], tmp_path: Path
) -> None:
    golden, folder = load(name), golden_repository(name)
    with connect(folder, golden.password) as repository:
        before = scan(folder)
        tried = recover_index(repository)
        assert scan(folder) == before
        done = recover_index(repository, RecoveryOptions(commit=True, parallel=3))
        assert done == tried
        assert done.contents >= len(golden.contents)
        assert not repository.contents.indexes.damaged
        assert [each.id for each in repository.snapshots.list()] == [each.id for each in golden.snapshots]
    with connect(folder, golden.password) as repository:
        assert repository.snapshots.verify(options=ALL_ERRORS).errors == ()
        for snapshot in golden.snapshots:
            repository.snapshots.restore(snapshot.id, tmp_path / snapshot.id)
            assert_restored(tmp_path / snapshot.id, whole(snapshot))
        (tmp_path / "more").mkdir()
        assert repository.snapshots.create(tmp_path / "more").saved


@pytest.mark.parametrize("name", LISTED)
def test_all_snapshots_are_listed(name: str, opened: Open) -> None:
    golden, repository = load(name), opened(name)
    assert attempt(golden, "snapshot list") == 0
    assert [str(each.id) for each in repository.snapshots.list()] == [each.id for each in golden.snapshots]


def test_manifests_that_are_gone_are_told_and_the_others_listed(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    golden, repository = load("damaged-metadata-pack"), opened("damaged-metadata-pack")
    assert golden.damage is not None
    assert attempt(golden, "snapshot list") == 1
    repository.manifests.forget()
    listed = {str(each.id) for each in repository.snapshots.list()}
    assert listed < {each.id for each in golden.snapshots}
    assert listed
    (error,) = repository.manifests.damaged.values()
    assert golden.damage["blob"] in str(error)
    assert golden.damage["blob"] in caplog.text
    assert any(golden.damage["blob"] in line for line in repository.snapshots.verify().errors)
    with pytest.raises(DamagedManifestError, match=golden.damage["blob"]):
        repository.snapshots.expire()


def test_without_any_index_there_are_no_snapshots(opened: Open, tmp_path: Path) -> None:
    golden, repository = load("damaged-index-missing"), opened("damaged-index-missing")
    assert repository.snapshots.list() == []
    assert list(repository.contents.list(include_deleted=True)) == []
    for snapshot in golden.snapshots:
        with pytest.raises(SnapshotNotFoundError, match="index recover"):
            repository.snapshots.restore(snapshot.id, tmp_path / "restored")
        with pytest.raises(SnapshotNotFoundError):
            repository.snapshots.get(snapshot.id)
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("name", [*LISTED, "damaged-index-missing"])
def test_verifying_finds_errors_where_kopia_does(name: str, opened: Open) -> None:
    golden, repository = load(name), opened(name)
    result = repository.snapshots.verify(options=ALL_ERRORS)
    assert bool(result.errors) == bool(attempt(golden, "snapshot verify"))
    assert bool(result.errors) == (name not in WHOLE_PACKS_LEFT)
    for snapshot in golden.snapshots if name in LISTED else ():
        for path in unreadable(snapshot):
            assert any(path in line or _object(snapshot, path) in line for line in result.errors)


def _object(snapshot: GoldenSnapshot, path: str) -> str:
    """Return the object of a path: many paths can share one, and it is told of once."""
    return next(entry.object_id for entry in snapshot.entries if entry.path == path)


@pytest.mark.parametrize("name", OPENED)
def test_verifying_contents_finds_just_those_that_are_damaged(name: str, opened: Open) -> None:
    golden, repository = load(name), opened(name)
    assert golden.damage is not None
    reports: list[tuple[IndexEntry, Exception | None]] = []
    repository.contents.verify(
        repository.contents.list(include_deleted=True),
        read=lambda entry: True,
        report=lambda entry, error: reports.append((entry, error)),
    )
    wrong = {str(entry.content_id): error for entry, error in reports if error is not None}
    assert bool(wrong) == bool(attempt(golden, "content verify"))
    assert all(isinstance(error, PykopiaError) for error in wrong.values())
    if name in WHOLE_PACKS_LEFT:
        return
    inside = {content.id: content for content in golden.contents if content.pack == golden.damage["blob"]}
    assert wrong.keys() <= inside.keys()
    if golden.damage["kind"] == "blob removed":
        assert wrong.keys() == inside.keys()
        return
    length = golden.damage.get("length") if golden.damage["kind"] == "truncated" else None
    cut_off = {key for key, each in inside.items() if length is not None and each.offset + each.packed_length > length}
    assert wrong.keys() == cut_off | {golden.damage["content"]}


@pytest.mark.parametrize("name", DATA_DAMAGE)
def test_a_damaged_content_raises_and_names_itself(name: str, opened: Open) -> None:
    golden, repository = load(name), opened(name)
    assert golden.damage is not None
    expected, beneath = DATA_DAMAGE[name]
    with pytest.raises(expected, match=golden.damage["content"]) as caught:
        repository.contents.get(golden.damage["content"])
    assert beneath is None or isinstance(caught.value.__cause__, beneath)


def test_a_content_of_a_missing_pack_raises_and_names_the_pack(opened: Open) -> None:
    golden, repository = load("damaged-missing-pack"), opened("damaged-missing-pack")
    assert golden.damage is not None
    content = next(each for each in golden.contents if each.pack == golden.damage["blob"])
    with pytest.raises(BlobNotFoundError, match=golden.damage["blob"]):
        repository.contents.get(content.id)


@pytest.mark.parametrize("name", LISTED)
def test_a_restore_ends_as_that_of_kopia(name: str, opened: Open, tmp_path: Path) -> None:
    golden, repository = load(name), opened(name)
    for snapshot in golden.snapshots:
        target = tmp_path / snapshot.id
        if attempt(golden, f"snapshot restore {snapshot.id}"):
            with pytest.raises(PykopiaError):
                repository.snapshots.restore(snapshot.id, target)
        else:
            repository.snapshots.restore(snapshot.id, target)
            assert_restored(target, snapshot)
        # what is there is right, in any case
        assert not [line for line in restored_differences(target, snapshot) if "SHA-256" in line or "leads to" in line]


@pytest.mark.parametrize("name", LISTED)
def test_ignoring_errors_restores_all_that_kopia_can_read(name: str, opened: Open, tmp_path: Path) -> None:
    golden, repository = load(name), opened(name)
    for snapshot in golden.snapshots:
        target = tmp_path / snapshot.id
        result = repository.snapshots.restore(snapshot.id, target, options=RestoreOptions(ignore_errors=True))
        lost = unreadable(snapshot)
        assert_restored(target, snapshot)
        missing = [
            line for line in restored_differences(target, whole(snapshot), times="none") if line.endswith("is missing")
        ]
        assert len(missing) == len(lost)
        assert len(result.errors) == result.counters.ignored_errors == len(lost)
        assert all(any(path in line for line in result.errors) for path in lost)
    last = golden.snapshots[-1]
    restored = {entry.path for entry in last.entries if entry.kind != "d"} - unreadable(last)
    assert restored >= set(golden.raw["restored_ignoring_errors"])


def test_damage_that_error_correction_mends_is_not_even_noticed(opened: Open, tmp_path: Path) -> None:
    golden, repository = load("damaged-ecc-correctable"), opened("damaged-ecc-correctable")
    for content in golden.contents:
        assert len(repository.contents.get(content.id, check=True)) == content.original_length
    for snapshot in golden.snapshots:
        repository.snapshots.restore(snapshot.id, tmp_path / snapshot.id)
        assert_restored(tmp_path / snapshot.id, whole(snapshot))
