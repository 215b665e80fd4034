"""Taking out of snapshots what can't be read, and what is not wanted."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import (
    ContentNotFoundError,
    ContradictedViewError,
    DamagedIndexError,
    SnapshotNotFoundError,
    StorageUnavailableError,
    UsageError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.directory import Directory, DirectoryEntry, DirectorySummary, EntryError
from pykopia.format.index_build import build_indexes
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import ObjectID
from pykopia.repository.options import ClientOptions
from pykopia.snapshot.fix import FixedSnapshot, FixOptions, fix_invalid_files, name_pattern, remove_files
from pykopia.snapshot.rewriting import Handling, stub_text, summary_after
from pykopia.snapshot.upload_options import SnapshotOptions
from pykopia.snapshot.verify import MANIFESTS, VerifyOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import StorageWrapper
from pykopia.testing import FaultyStorage
from tests.golden_repositories import DAMAGED_NAMES, load
from tests.snapshot.conftest import CLIENT, PASSWORD

ALL = VerifyOptions(files_percent=100, max_errors=-1)
COMMIT = FixOptions(commit=True)


@pytest.fixture
def taken(repository: Repository, source: Path) -> SnapshotManifest:
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "lost").write_text("lost")
    (source / "deep" / "er" / "kept").write_text("kept")
    (source / "deep" / "lost too").write_text("lost")
    (source / "other").mkdir()
    (source / "other" / "kept").write_text("kept as well")
    options = SnapshotOptions(description="of the test", tags={"team": "a"}, pins=("keep",))
    return repository.snapshots.create(source, options=options).manifest


def paths(repository: Repository, snapshot: SnapshotManifest) -> dict[str, DirectoryEntry]:
    assert snapshot.root_entry is not None
    found: dict[str, DirectoryEntry] = {}
    left = [("", snapshot.root_entry)]
    while left:
        path, entry = left.pop()
        found[path] = entry
        if entry.type == "d":
            for child in repository.objects.directory(entry.object_id).entries:
                left.append((f"{path}/{child.name}", child))
    return found


def forget(repository: Repository, *object_ids: str) -> None:
    """Take contents out of the index, as if they had been lost."""
    entries = [entry for entry in repository.contents.list() if entry.content_id not in object_ids]
    for blob in list(repository.storage.list("xn")):
        repository.storage.delete(blob.blob_id)
    indexes = repository.contents.indexes
    indexes.write(build_indexes(entries, version=indexes.version), "s0123456789abcdef147")
    repository.contents.indexes.close()
    repository.refresh()


def lose(repository: Repository, snapshot: SnapshotManifest, path: str) -> None:
    forget(repository, paths(repository, snapshot)[path].object_id)


@pytest.mark.parametrize("commit", [False, True])
def test_snapshots_are_not_fixed_while_packs_are_there_that_no_index_lists(
    repository: Repository, source: Path, taken: SnapshotManifest, commit: bool
) -> None:
    flushed = [blob.blob_id for blob in repository.storage.list("xn")]
    (source / "new").write_text("new")
    repository.snapshots.create(source)
    for blob_id in flushed:
        repository.storage.delete(blob_id)
    with connect(repository.storage, PASSWORD, client=CLIENT) as other:
        before = [each.id for each in other.snapshots.list()]
        options = FixOptions(commit=commit)
        with pytest.raises(ContradictedViewError, match="index recover"):
            fix_invalid_files(other, options)
        with pytest.raises(ContradictedViewError, match="index recover"):
            remove_files(other, options, names=["new"])
        assert [each.id for each in other.snapshots.list()] == before
        keep = replace(options, invalid_directories="keep")
        assert not any(each.changed for each in fix_invalid_files(other, keep, invalid_files="keep"))


def only(repository: Repository) -> SnapshotManifest:
    [snapshot] = repository.snapshots.list()
    return snapshot


def test_nothing_changes_where_nothing_is_wrong(repository: Repository, taken: SnapshotManifest) -> None:
    [fixed] = fix_invalid_files(repository, COMMIT, files_percent=100)
    assert not fixed.changed
    assert only(repository) == taken


def test_nothing_is_written_without_commit(repository: Repository, taken: SnapshotManifest) -> None:
    lose(repository, taken, "/deep/er/lost")
    before = sorted(blob.blob_id for blob in repository.storage.list())
    [fixed] = fix_invalid_files(repository)
    assert fixed.changed
    assert len(fixed.changes) == 2  # two files were one object
    assert sorted(blob.blob_id for blob in repository.storage.list()) == before


@pytest.mark.parametrize("percent", [0, 100])
def test_a_lost_file_becomes_a_stub_that_tells_of_it(
    repository: Repository, taken: SnapshotManifest, percent: int
) -> None:
    lose(repository, taken, "/deep/er/lost")
    assert repository.snapshots.verify(options=ALL).errors
    [fixed] = fix_invalid_files(repository, COMMIT, files_percent=percent)
    now = only(repository)
    assert now == fixed.after
    assert now.id != taken.id
    assert (now.description, now.tags, now.pins) == (taken.description, taken.tags, taken.pins)
    assert (now.start_time_ns, now.end_time_ns) == (taken.start_time_ns, taken.end_time_ns)
    before, after = paths(repository, taken), paths(repository, now)
    stub = after["/deep/er/.INVALID.lost"]
    assert "/deep/er/lost" not in after
    assert (stub.mode, stub.mtime_ns) == (before["/deep/er/lost"].mode, before["/deep/er/lost"].mtime_ns)
    text = repository.objects.read(stub.object_id)
    assert len(text) == stub.size
    told = json.loads(text)
    assert told["entry"]["name"] == "lost"
    assert before["/deep/er/lost"].object_id in told["error"]
    assert after["/other"] == before["/other"]
    assert after["/deep"].mtime_ns == before["/deep"].mtime_ns
    assert repository.snapshots.verify(options=ALL).errors == ()
    assert not fix_invalid_files(repository, COMMIT)[0].changed


def test_a_lost_file_can_be_removed_kept_or_end_the_command(repository: Repository, taken: SnapshotManifest) -> None:
    lose(repository, taken, "/deep/er/lost")
    assert not fix_invalid_files(repository, COMMIT, invalid_files="keep")[0].changed
    with pytest.raises(ContentNotFoundError):
        fix_invalid_files(repository, COMMIT, invalid_files="fail")
    assert only(repository) == taken
    fix_invalid_files(repository, COMMIT, invalid_files="remove")
    now = only(repository)
    after = paths(repository, now)
    assert not any("lost" in path for path in after)
    assert now.root_entry is not None
    assert now.root_entry.summary is not None
    assert now.root_entry.summary.files == 2
    assert repository.snapshots.verify(options=ALL).errors == ()


@pytest.mark.parametrize(("path", "stub"), [("/deep/er", "/deep/.INVALID.er"), ("", "")])
def test_a_lost_folder_becomes_a_stub(repository: Repository, taken: SnapshotManifest, path: str, stub: str) -> None:
    lose(repository, taken, path)
    fix_invalid_files(repository, COMMIT)
    assert paths(repository, only(repository))[stub].type == "f"
    assert repository.snapshots.verify(options=ALL).errors == ()


@pytest.mark.parametrize("handling", ["keep", "fail"])
def test_a_lost_folder_can_be_kept_or_end_the_command(
    repository: Repository, taken: SnapshotManifest, handling: Handling
) -> None:
    lose(repository, taken, "/deep/er")
    options = FixOptions(commit=True, invalid_directories=handling)
    if handling == "fail":
        with pytest.raises(ContentNotFoundError):
            fix_invalid_files(repository, options)
    else:
        assert not fix_invalid_files(repository, options)[0].changed
    assert only(repository) == taken


def test_damage_inside_of_a_file_is_found_when_files_are_read(
    repository: Repository, taken: SnapshotManifest, storage: MemoryStorage
) -> None:
    entry = repository.contents.entry(paths(repository, taken)["/deep/er/lost"].object_id)
    pack = bytearray(storage.get(entry.pack_blob))
    pack[entry.pack_offset] ^= 1
    storage.put(entry.pack_blob, pack)
    assert not fix_invalid_files(repository, COMMIT)[0].changed
    assert fix_invalid_files(repository, COMMIT, files_percent=100)[0].changed


def delete_pack(storage: MemoryStorage, repository: Repository, object_id: str) -> None:
    storage.delete(repository.contents.entry(object_id).pack_blob)


@pytest.mark.parametrize("path", ["/deep/er/lost", "/deep"])
@pytest.mark.parametrize("handling", ["keep", "stub"])
def test_lost_contents_are_marked_so_that_the_next_snapshot_stores_them_again(
    repository: Repository, taken: SnapshotManifest, storage: MemoryStorage, source: Path, handling: Handling, path: str
) -> None:
    repository.snapshots.pin(taken.id, add=["kept"])  # so that its manifest is in another pack than its folders
    delete_pack(storage, repository, paths(repository, taken)[path].object_id)
    with connect(storage, PASSWORD, client=CLIENT) as opened:
        lost: list[str] = []
        options = FixOptions(invalid_directories=handling)
        fix_invalid_files(opened, options, invalid_files=handling, on_lost=lost.append)
        assert lost
        assert not [each for each in opened.contents.list(include_deleted=True) if each.deleted]
        fix_invalid_files(opened, replace(options, commit=True), invalid_files=handling)
        assert {each.content_id for each in opened.contents.list(include_deleted=True) if each.deleted} == set(lost)
        opened.snapshots.create(source, options=SnapshotOptions(force_hash_percent=100))
        found = opened.snapshots.verify(options=ALL)
        assert not [each for each in found.problems if each.label != MANIFESTS]


def test_damaged_contents_are_marked_when_files_are_read(
    repository: Repository, taken: SnapshotManifest, storage: MemoryStorage, source: Path
) -> None:
    entry = repository.contents.entry(paths(repository, taken)["/deep/er/lost"].object_id)
    pack = bytearray(storage.get(entry.pack_blob))
    pack[entry.pack_offset] ^= 1
    storage.put(entry.pack_blob, pack)
    fix_invalid_files(repository, COMMIT, invalid_files="keep", files_percent=100)
    repository.snapshots.create(source, options=SnapshotOptions(force_hash_percent=100))
    assert repository.snapshots.verify(options=ALL).errors == ()


def test_a_pack_that_a_listing_left_out_is_not_lost(
    repository: Repository, taken: SnapshotManifest, storage: MemoryStorage
) -> None:
    class Forgetful(StorageWrapper):
        def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
            return (blob for blob in self.inner.list(prefix) if not blob.blob_id.startswith("p"))

    with connect(Forgetful(storage), PASSWORD, client=CLIENT) as opened:
        lost: list[str] = []
        fix_invalid_files(opened, invalid_files="keep", on_lost=lost.append)
        assert lost == []
    assert taken.id


@pytest.mark.parametrize("percent", [-5, 200, float("nan")])
def test_odd_percentages_are_refused(repository: Repository, percent: float) -> None:
    with pytest.raises(UsageError, match="from 0 to 100"):
        fix_invalid_files(repository, files_percent=percent)
    with pytest.raises(UsageError, match="from 0 to 100"):
        VerifyOptions(files_percent=percent)


def test_a_storage_that_cannot_be_reached_removes_nothing(
    repository: Repository, taken: SnapshotManifest, storage: MemoryStorage
) -> None:
    faulty = FaultyStorage(storage)
    with connect(faulty, PASSWORD, client=CLIENT) as opened:
        opened.snapshots.list()
        faulty.fail("get", times=-1)
        with pytest.raises(StorageUnavailableError):
            fix_invalid_files(opened, COMMIT, invalid_files="remove", files_percent=100)
    repository.refresh()
    assert only(repository) == taken


def test_nothing_is_fixed_while_a_part_of_the_index_is_damaged(
    repository: Repository, taken: SnapshotManifest, storage: MemoryStorage
) -> None:
    """Recovering the index may bring everything back."""
    blob = next(iter(storage.list("xn")))
    storage.put(blob.blob_id, b"torn")
    with connect(storage, PASSWORD, client=CLIENT) as opened:
        for fix in (fix_invalid_files, lambda each: remove_files(each, names=["x"])):
            with pytest.raises(DamagedIndexError, match="index recover"):
                fix(opened)
    assert taken.id


def test_snapshots_that_share_folders_change_only_where_something_is_wrong(
    repository: Repository, taken: SnapshotManifest, source: Path
) -> None:
    second = repository.snapshots.create(source).manifest
    assert not any(each.changed for each in fix_invalid_files(repository, COMMIT))
    lose(repository, taken, "/deep/er/lost")
    assert all(each.changed for each in fix_invalid_files(repository, COMMIT))
    assert not any(each.changed for each in fix_invalid_files(repository, COMMIT))
    assert second.root_object_id == taken.root_object_id


def test_files_are_removed_by_name_and_by_object(repository: Repository, taken: SnapshotManifest) -> None:
    kept = paths(repository, taken)["/other/kept"].object_id
    told: list[FixedSnapshot] = []
    remove_files(repository, COMMIT, names=["lost*"], object_ids=[kept], on_snapshot=told.append)
    assert sorted(paths(repository, only(repository))) == ["", "/deep", "/deep/er", "/deep/er/kept", "/other"]
    assert len(told[0].changes) == 3
    assert repository.snapshots.verify(options=ALL).errors == ()


def test_whole_folders_are_removed_by_name_but_never_the_root(repository: Repository, taken: SnapshotManifest) -> None:
    assert taken.root_entry is not None
    remove_files(repository, COMMIT, names=["deep", taken.root_entry.name])
    assert sorted(paths(repository, only(repository))) == ["", "/other", "/other/kept"]


def test_what_to_remove_must_be_named(repository: Repository) -> None:
    with pytest.raises(UsageError, match="--filename"):
        remove_files(repository)
    with pytest.raises(UsageError, match="wildcard"):
        remove_files(repository, names=["[a"])


def test_only_chosen_snapshots_are_fixed(repository: Repository, taken: SnapshotManifest, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "lost").write_text("lost")
    second = repository.snapshots.create(tmp_path / "second").manifest
    remove_files(repository, FixOptions(commit=True, snapshot_ids=(second.id,)), names=["lost"])
    assert taken.id in {each.id for each in repository.snapshots.list()}
    fixed = remove_files(repository, FixOptions(commit=True, sources=(taken.source,)), names=["lost*"])
    assert [each.before.id for each in fixed] == [taken.id]
    for wrong in (
        FixOptions(snapshot_ids=("0" * 32,)),
        FixOptions(sources=(SourceInfo(host="no", user_name="no", path="/no"),)),
    ):
        with pytest.raises(SnapshotNotFoundError):
            remove_files(repository, wrong, names=["x"])


def test_errors_that_a_folder_recorded_are_kept(repository: Repository) -> None:
    del repository
    error, below = EntryError("here", "own"), EntryError("sub/x", "below")
    sub = DirectoryEntry("sub", "d", summary=DirectorySummary(num_failed=1, errors=(below,)), object_id=ObjectID("k12"))
    own = DirectoryEntry("own", "d", mtime_ns=5)
    before = Directory((sub,), DirectorySummary(num_failed=2, num_ignored_errors=1, errors=(error, below)))
    now = msgspec.structs.replace(sub, summary=DirectorySummary())
    assert summary_after(before, [now], own) == DirectorySummary(
        dirs=1, num_failed=1, num_ignored_errors=1, errors=(error,)
    )
    assert summary_after(before, [sub], own).errors == (error, below)


def test_a_stub_is_json_also_for_names_that_are_none() -> None:
    entry = DirectoryEntry("b\udcff<", "f", object_id=ObjectID("not one"))
    assert json.loads(stub_text(entry, ValueError("why")))["error"] == "why"
    text = stub_text(DirectoryEntry("a", "f", object_id=ObjectID("00" * 16)), ValueError("why"))
    assert text.splitlines()[1].startswith(b'      "info": ')
    assert text.endswith(b"\n  }\n")


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.iso", ["a.iso", ".iso"], ["a.iso2", "iso"]),
        ("a?c", ["abc", "a.c"], ["ac", "abbc"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "-x"]),
        ("[^a]x", ["bx", "^x"], ["ax"]),
        (r"\*", ["*"], ["a", "\\*"]),
        ("a.b", ["a.b"], ["aXb"]),
        ("[[]x", ["[x"], ["x"]),
    ],
)
def test_wildcards_are_those_of_kopia(pattern: str, matching: list[str], others: list[str]) -> None:
    compiled = name_pattern(pattern)
    assert all(compiled.fullmatch(name) for name in matching)
    assert not any(compiled.fullmatch(name) for name in others)


@pytest.mark.parametrize("pattern", ["[", "[]", "[^]", "a\\", "[z-a]"])
def test_a_wildcard_that_makes_no_sense_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="wildcard"):
        name_pattern(pattern)


FIXABLE = [
    name for name in DAMAGED_NAMES if name.startswith(("damaged-pack", "damaged-missing", "damaged-ecc-uncorrectable"))
]


@pytest.mark.parametrize("name", FIXABLE)
def test_a_damaged_golden_repository_verifies_after_it_was_fixed(
    name: str, golden_repository: Callable[[str], Path]
) -> None:
    golden = load(name)
    client = ClientOptions(username=golden.user, hostname=golden.host)
    with connect(golden_repository(name), golden.password, client=client) as repository:
        assert repository.snapshots.verify(options=ALL).errors
        fixed = fix_invalid_files(repository, COMMIT, files_percent=100)
        assert any(each.changed for each in fixed)
        assert repository.snapshots.verify(options=ALL).errors == ()
        assert "" not in {each.after.root_object_id for each in fixed}
