"""Taking snapshots: what is read, what is stored, what is said of errors."""

import io
import os
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pykopia import clock
from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import (
    BlobNotFoundError,
    SourceNotFoundError,
    SourceReadError,
    UnsupportedSourceError,
    UsageError,
)
from pykopia.format.content_id import key_of
from pykopia.format.directory import DirectoryEntry, DirectorySummary, encode_directory
from pykopia.format.ignore import CACHE_TAG_SIGNATURE
from pykopia.format.policy import Policy
from pykopia.format.source import SourceInfo
from pykopia.ids import BlobID, ContentID
from pykopia.snapshot import directory_writing, estimate, listing_ahead, reading
from pykopia.snapshot.listing import python_list_folders
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.small_files import python_read_files
from pykopia.snapshot.upload_options import SnapshotOptions, SnapshotResult, UploadCounters
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.snapshot.conftest import CLIENT, PASSWORD
from tests.trees import assert_trees_equal, changing_tree, everything, raw_names, small_tree, stored_path


def entries_of(repository: Repository, result: SnapshotResult) -> dict[str, DirectoryEntry]:
    root = result.manifest.root_entry
    assert root is not None
    found: dict[str, DirectoryEntry] = {}

    def walk(entry: DirectoryEntry, path: str) -> None:
        for child in repository.objects.directory(entry.object_id).entries:
            found[f"{path}{child.name}"] = child
            if child.type == "d":
                walk(child, f"{path}{child.name}/")

    walk(root, "")
    return found


def set_policy(repository: Repository, path: Path, text: str) -> None:
    target = SourceInfo(host=repository.hostname, user_name=repository.username, path=str(path))
    repository.policies.set(target, Policy.from_json(text.encode()))


def test_everything_is_restored_as_it_was(repository: Repository, source: Path, tmp_path: Path) -> None:
    everything(source)
    result = repository.snapshots.create(source)
    assert not [error for error in result.problems if not error.ignored]
    repository.snapshots.restore(result.manifest.id, tmp_path / "target")
    assert_trees_equal(source, tmp_path / "target", paths=stored_path)


def test_an_unchanged_folder_is_not_read_again(repository: Repository, source: Path) -> None:
    small_tree(source)
    first = repository.snapshots.create(source)
    second = repository.snapshots.create(source)
    assert first.counters.hashed_files > 0
    assert second.counters.hashed_files == 0
    assert second.counters.cached_files == second.manifest.stats.cached_files > 0
    assert second.counters.new_bytes < 2000  # the manifest alone
    assert first.manifest.root_entry is not None
    assert second.manifest.root_entry == first.manifest.root_entry


def test_folders_that_are_as_they_were_are_taken_over_and_deleted_ones_written_again(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_tree(source)
    (source / "kept" / "below").mkdir(parents=True)
    (source / "kept" / "below" / "file").write_bytes(b"x")
    first = repository.snapshots.create(source)
    encoded: list[set[str]] = []

    def encode(entries: Sequence[DirectoryEntry], summary: DirectorySummary | None) -> bytes:
        encoded.append({entry.name for entry in entries})
        return encode_directory(entries, summary)

    monkeypatch.setattr(directory_writing, "encode_directory", encode)
    second = repository.snapshots.create(source)
    assert second.manifest.root_entry == first.manifest.root_entry
    assert len(encoded) == 1  # the root
    (source / "kept" / "new").write_bytes(b"y")
    third = repository.snapshots.create(source)
    assert len(encoded) == 3  # the root and the folder that has changed
    assert not any("file" in names for names in encoded)
    below = entries_of(repository, third)["kept/below"]
    with repository.writer() as writer:
        writer.contents.delete(ContentID(below.object_id))
    fourth = repository.snapshots.create(source)
    assert fourth.manifest.root_entry == third.manifest.root_entry
    assert {"file"} in encoded
    entry = repository.contents.find(key_of(below.object_id))
    assert entry is not None
    assert not entry.deleted


def test_only_what_changed_is_read(repository: Repository, source: Path, tmp_path: Path) -> None:
    changing_tree(source, 0)
    repository.snapshots.create(source)
    for step in (1, 2, 3):
        changing_tree(source, step)
        result = repository.snapshots.create(source)
        assert result.counters.cached_files > 0
        repository.snapshots.restore(result.manifest.id, tmp_path / str(step))
        assert_trees_equal(source, tmp_path / str(step))


def test_an_empty_folder_has_a_snapshot(repository: Repository, source: Path, tmp_path: Path) -> None:
    result = repository.snapshots.create(source)
    root = result.manifest.root_entry
    assert root is not None
    assert repository.objects.read(root.object_id).startswith(b'{"stream":"kopia:directory","entries":null,')
    repository.snapshots.restore(result.manifest.id, tmp_path / "target")
    assert os.listdir(tmp_path / "target") == []


def test_a_link_to_a_folder_is_followed_as_the_source(repository: Repository, source: Path, tmp_path: Path) -> None:
    small_tree(source)
    link = tmp_path / "link"
    link.symlink_to(source)
    result = repository.snapshots.create(link)
    assert result.manifest.source.path == str(link)
    assert result.manifest.root_entry is not None
    assert result.manifest.root_entry.name == "source"


def test_a_single_file_is_a_snapshot(repository: Repository, source: Path, tmp_path: Path) -> None:
    (source / "one").write_bytes(b"alone" * 100_000)
    result = repository.snapshots.create(source / "one")
    root = result.manifest.root_entry
    assert root is not None
    assert (root.type, root.name, root.size) == ("f", "one", 500_000)
    assert root.summary is not None
    assert (root.summary.files, root.summary.dirs) == (1, 0)
    repository.snapshots.restore(result.manifest.id, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"alone" * 100_000


def test_standard_input_is_a_snapshot_of_one_file(repository: Repository, source: Path) -> None:
    options = SnapshotOptions(stdin=io.BytesIO(b"dump" * 1000), stdin_file_name="dump.sql")
    result = repository.snapshots.create(source, options=options)
    root = result.manifest.root_entry
    assert root is not None
    assert (root.name, root.mode, root.mtime_ns) == (str(source), 0o777, -6795364578871345152)
    (entry,) = repository.objects.directory(root.object_id).entries
    assert (entry.name, entry.mode, entry.size) == ("dump.sql", 0o777, 4000)
    assert repository.policies.effective(result.manifest.source).policy.scheduling.manual


def test_a_source_that_is_not_there_is_an_error_of_its_own(repository: Repository, source: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="does not exist"):
        repository.snapshots.create(source / "nothing")
    assert not repository.snapshots.list()


def test_a_pipe_is_no_source_and_is_left_out_of_a_folder(repository: Repository, source: Path) -> None:
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(source / "sock"))
    with pytest.raises(UnsupportedSourceError):
        repository.snapshots.create(source / "pipe")
    result = repository.snapshots.create(source)
    assert entries_of(repository, result) == {}
    assert not result.problems
    set_policy(repository, source, '{"errorHandling":{"ignoreUnknownTypes":false}}')
    result = repository.snapshots.create(source)
    assert sorted(error.path for error in result.problems) == ["pipe", "sock"]


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the reading of files whose name ends so fail, also for root."""

    def install(ending: str) -> None:
        real = os.open

        def guarded(path: str | bytes, *args: object, **kwargs: object) -> int:
            if os.fsdecode(path).endswith(ending):
                raise PermissionError(13, "Permission denied", path)
            return real(path, *args, **kwargs)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "open", guarded)
        monkeypatch.setattr(reading, "read_files", python_read_files)

    return install


def test_an_unreadable_file_is_left_out_and_told(
    repository: Repository, source: Path, unreadable: Callable[[str], None]
) -> None:
    small_tree(source)
    (source / "good").write_bytes(b"good")
    (source / "secret").write_bytes(b"secret")
    unreadable("/secret")
    result = repository.snapshots.create(source)
    (error,) = result.problems
    assert (error.path, error.message, error.ignored) == ("secret", "Permission denied", False)
    found = entries_of(repository, result)
    assert "good" in found
    assert "secret" not in found
    root = result.manifest.root_entry
    assert root is not None
    assert root.summary is not None
    assert (root.summary.num_failed, root.summary.errors[0].path) == (1, "secret")
    assert result.manifest.incomplete == ""
    set_policy(repository, source, '{"errorHandling":{"ignoreFileErrors":true}}')
    result = repository.snapshots.create(source)
    (error,) = result.problems
    assert error.ignored
    assert result.counters.fatal_errors == 0


def test_fail_fast_stops_and_says_so(repository: Repository, source: Path, unreadable: Callable[[str], None]) -> None:
    (source / "secret").write_bytes(b"secret")
    unreadable("/secret")
    result = repository.snapshots.create(source, options=SnapshotOptions(fail_fast=True, parallel=1))
    assert result.manifest.incomplete == "canceled"
    assert result.counters.fatal_errors == 1


def test_an_unreadable_root_makes_no_snapshot(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    # the native one is not to be fooled
    monkeypatch.setattr("pykopia.snapshot.listing_ahead.list_folders", lambda paths: [None] * len(paths))
    monkeypatch.setattr("pykopia.snapshot.walk.os.scandir", refuse)
    with pytest.raises(SourceReadError, match="Permission denied"):
        repository.snapshots.create(source)
    assert not repository.snapshots.list()


def test_a_file_that_shrinks_or_grows_is_stored_as_it_was_read(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (source / "shrinks").write_bytes(bytes(1000))
    (source / "grows").write_bytes(b"a" * 1000)
    (source / "grows-large").write_bytes(b"b" * 300_000)
    real = os.open
    changed: set[str] = set()

    def change(path: str | bytes, *args: object, **kwargs: object) -> int:
        path = os.fsdecode(path)
        if path.startswith(str(source)) and path not in changed:
            changed.add(path)
            if path.endswith("/shrinks"):
                os.truncate(path, 10)
            elif "/grows" in path:
                with open(path, "ab") as file:
                    file.write(b"c" * 1_000_000)
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", change)
    monkeypatch.setattr(reading, "read_files", python_read_files)
    result = repository.snapshots.create(source)
    found = entries_of(repository, result)
    assert found["shrinks"].size == 10
    assert found["grows"].size == 1_001_000
    assert found["grows-large"].size == 1_300_000
    monkeypatch.undo()
    repository.snapshots.restore(result.manifest.id, tmp_path / "target")
    assert (tmp_path / "target" / "grows").read_bytes() == b"a" * 1000 + b"c" * 1_000_000


def test_rules_and_ignore_files_leave_entries_out(repository: Repository, source: Path) -> None:
    for name in ("keep.txt", "drop.log", "sub/drop.log", "sub/keep.txt", "tmp/x", "sub/local"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"x")
    (source / "sub" / ".kopiaignore").write_text("local\n")
    (source / "cache").mkdir()
    (source / "cache" / "CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    (source / "cache" / "data").write_bytes(b"x")
    set_policy(repository, source, '{"files":{"ignore":["*.log","/tmp/"]}}')
    result = repository.snapshots.create(source)
    assert sorted(entries_of(repository, result)) == [
        "cache", "keep.txt", "sub", "sub/.kopiaignore", "sub/keep.txt",
    ]  # fmt: skip
    assert result.counters.excluded_files == 3
    assert result.counters.excluded_directories == 1
    counted = repository.snapshots.estimate(source)
    assert (counted.files, counted.excluded_files, counted.excluded_directories, counted.problems) == (3, 3, 1, [])


@pytest.mark.parametrize("is_cache", [True, False])
def test_a_folder_that_can_not_be_listed_is_a_problem_unless_it_is_a_cache(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch, is_cache: bool
) -> None:
    (source / "locked").mkdir()
    (source / "locked" / "CACHEDIR.TAG").write_bytes(CACHE_TAG_SIGNATURE if is_cache else b"no")
    real = os.scandir

    def guarded(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    for module in (listing_ahead, estimate):
        monkeypatch.setattr(module, "list_folders", python_list_folders)
    problems = [] if is_cache else [f"{source}/locked"]
    assert [each.path for each in repository.snapshots.estimate(source).problems] == problems
    assert [str(source / each.path) for each in repository.snapshots.create(source).problems] == problems


def test_names_that_would_become_one_are_an_error_not_a_loss(repository: Repository, source: Path) -> None:
    for name in (b"bad\xff", b"bad\xfe", b"good"):
        (Path(os.fsdecode(os.fsencode(source) + b"/" + name))).write_bytes(name)
    result = repository.snapshots.create(source)
    found = entries_of(repository, result)
    assert set(found) == {"bad�", "good"}
    (error,) = result.problems
    assert not error.ignored
    assert "rename it" in error.message
    assert repository.objects.read(found["bad�"].object_id) == b"bad\xfe"


def test_names_that_are_not_utf8_are_stored(repository: Repository, source: Path) -> None:
    raw_names(source)
    result = repository.snapshots.create(source)
    assert any("�" in name for name in entries_of(repository, result))


def test_a_canceled_snapshot_is_incomplete_and_the_next_goes_on_from_it(repository: Repository, source: Path) -> None:
    for folder in range(20):
        (source / f"d{folder}").mkdir()
        for number in range(20):
            (source / f"d{folder}" / f"f{number}").write_bytes(b"%d %d" % (folder, number))
    asked = iter(range(10**9))

    def cancel() -> bool:  # after the first of the batches that threads read
        return threading.current_thread().name.startswith("pykopia-upload") and next(asked) > 0

    first = repository.snapshots.create(source, cancel=cancel)
    assert first.manifest.incomplete == "canceled"
    assert 0 < first.counters.hashed_files < 400
    second = repository.snapshots.create(source)
    assert second.manifest.incomplete == ""
    assert second.counters.cached_files > 0
    assert second.counters.cached_files + second.counters.hashed_files == 400


def test_an_upload_limit_stops_with_what_was_read(repository: Repository, source: Path) -> None:
    for number in range(30):
        (source / f"f{number}").write_bytes(os.urandom(500_000))
    options = SnapshotOptions(upload_limit_bytes=3_000_000, parallel=1)
    result = repository.snapshots.create(source, options=options)
    assert result.manifest.incomplete == "limit reached"
    assert 0 < len(entries_of(repository, result)) < 30
    for _ in range(10):
        result = repository.snapshots.create(source, options=options)
        if not result.manifest.incomplete:
            break
    assert result.manifest.incomplete == ""
    assert len(entries_of(repository, result)) == 30


def test_checkpoints_keep_what_is_done_after_a_crash(
    repository: Repository, source: Path, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        (source / f"d{number % 10}").mkdir(exist_ok=True)
        (source / f"d{number % 10}" / f"f{number}").write_bytes(str(number).encode())
    monkeypatch.setattr("pykopia.snapshot.file_batches.BATCH_FILES", 5)
    options = SnapshotOptions(checkpoint_interval_seconds=0, parallel=1)
    created = repository.snapshots.create(source, options=options)
    assert created.manifest.incomplete == ""
    # the complete snapshot's retention has removed the checkpoints that were saved on the way
    assert [each.incomplete for each in repository.snapshots.list()] == [""]

    class PowerCut(Exception):
        pass

    def cut(*args: object, **kwargs: object) -> None:
        raise PowerCut

    other = source.with_name("other")
    os.rename(source, other)
    monkeypatch.setattr("pykopia.snapshot.create._stats", cut)
    with pytest.raises(PowerCut):
        repository.snapshots.create(other, options=options)
    monkeypatch.undo()
    repository.refresh()
    left = [each for each in repository.snapshots.list() if each.source.path == str(other)]
    assert left
    assert {each.incomplete for each in left} == {"checkpoint"}
    resumed = repository.snapshots.create(other)
    assert resumed.counters.cached_files > 0


def test_large_files_are_taken_in_parts_that_kopia_would_make(repository: Repository, source: Path) -> None:
    part = 1 << 20
    (source / "exact").write_bytes(bytes(range(256)) * (2 * part // 256))
    (source / "more").write_bytes(os.urandom(2 * part + 7))
    (source / "at-limit").write_bytes(os.urandom(part))
    set_policy(repository, source, f'{{"upload":{{"parallelUploadAboveSize":{part}}}}}')
    result = repository.snapshots.create(source)
    found = entries_of(repository, result)
    exact = repository.objects.chunks(found["exact"].object_id)
    assert exact[-1].length == 0  # an empty last part, as Kopia writes it
    assert any(chunk.start == part for chunk in exact)
    assert repository.objects.read(found["exact"].object_id) == (source / "exact").read_bytes()
    assert repository.objects.read(found["more"].object_id) == (source / "more").read_bytes()
    assert result.manifest.stats.file_count == 3 + 3 + 1


def test_tags_pins_times_and_description_are_kept(repository: Repository, source: Path) -> None:
    options = SnapshotOptions(
        tags={"team": "a:b"}, pins=("b", "a", "b"), description="nightly", start_time_ns=1_700_000_000_000_000_000
    )
    made = repository.snapshots.create(source, options=options).manifest
    found = repository.snapshots.get(made.id)
    assert found.tags == {"tag:team": "a:b"}
    assert found.pins == ("a", "b")
    assert found.description == "nightly"
    assert found.start_time_ns == 1_700_000_000_000_000_000
    assert repository.snapshots.list(tags={"team": "a:b"}) == [found]
    assert not repository.snapshots.list(tags={"team": "other"})


def test_an_identical_snapshot_is_not_saved_when_the_policy_says_so(repository: Repository, source: Path) -> None:
    small_tree(source)
    set_policy(repository, source, '{"retention":{"ignoreIdenticalSnapshots":true}}')
    assert repository.snapshots.create(source).saved
    assert not repository.snapshots.create(source).saved
    assert len(repository.snapshots.list()) == 1


def test_a_snapshot_of_another_source_is_listed_under_it(repository: Repository, source: Path) -> None:
    other = SourceInfo(host="pod", user_name="ns", path="/data")
    repository.snapshots.create(source, options=SnapshotOptions(source=other))
    (found,) = repository.snapshots.list(SourceInfo(host="pod", user_name="", path=""))
    assert found.source == other


def test_a_stream_without_a_name_is_refused(repository: Repository, source: Path) -> None:
    with pytest.raises(UsageError, match="standard input"):
        repository.snapshots.create(source, options=SnapshotOptions(stdin=io.BytesIO(b"")))


def test_one_snapshot_makes_one_index_blob_and_one_pack_of_each_kind(
    repository: Repository, source: Path, storage: MemoryStorage
) -> None:
    small_tree(source)
    before = {blob.blob_id for blob in storage.list()}
    repository.snapshots.create(source)
    added = sorted(blob.blob_id[0] for blob in storage.list() if blob.blob_id not in before)
    assert added == ["p", "q", "x"]


def test_progress_is_told_from_one_thread_and_ends_with_the_totals(repository: Repository, source: Path) -> None:
    small_tree(source)
    told: list[UploadCounters] = []
    result = repository.snapshots.create(source, progress=told.append)
    assert told
    assert told[-1].hashed_files == result.counters.hashed_files


def test_placeholders_stand_for_what_they_replace(repository: Repository, source: Path, tmp_path: Path) -> None:
    small_tree(source)
    first = repository.snapshots.create(source)
    shallow = tmp_path / "shallow"
    repository.snapshots.restore(first.manifest.id, shallow, options=RestoreOptions(shallow_depth=0))
    assert all(name.endswith(".kopia-entry") or (shallow / name).is_symlink() for name in os.listdir(shallow))
    second = repository.snapshots.create(shallow)
    assert not second.errors
    repository.snapshots.restore(second.manifest.id, tmp_path / "full")
    assert_trees_equal(source, tmp_path / "full")


def test_a_placeholder_of_another_repository_is_an_error(repository: Repository, source: Path) -> None:
    (source / "x.kopia-entry").write_text('{"name":"x","type":"f","obj":"' + "ab" * 16 + '"}')
    (error,) = repository.snapshots.create(source).problems
    assert error.path == "x.kopia-entry"


def test_a_snapshot_that_can_not_be_read_is_listed_as_such(repository: Repository, source: Path) -> None:
    repository.snapshots.create(source)
    labels = {"type": "snapshot", "hostname": "box", "username": "ann", "path": "/x"}
    with repository.writer() as writer:
        bad = writer.manifests.put(labels, b'{"rootEntry":{"mode":493}}')
    assert len(repository.snapshots.list()) == 1
    assert list(repository.snapshots.list_unreadable()) == [bad]


def test_the_clock_is_that_of_pykopia(repository: Repository, source: Path) -> None:
    with clock.replaced(lambda: 1_800_000_000_123_456_789):
        made = repository.snapshots.create(source).manifest
    assert made.start_time_ns == made.end_time_ns == 1_800_000_000_123_456_789


def test_a_missing_pack_is_named(repository: Repository, source: Path, storage: MemoryStorage) -> None:
    small_tree(source)
    root = repository.snapshots.create(source).manifest.root_entry
    assert root is not None
    storage.delete(BlobID(repository.contents.entry(root.object_id).pack_blob))
    with connect(storage, PASSWORD, client=CLIENT) as other, pytest.raises(BlobNotFoundError, match="q"):
        other.objects.directory(root.object_id)
