"""Garbage collection: what a snapshot needs is never marked, and what can't be known stops it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykopia.api.repository import Repository
from pykopia.errors import MaintenanceError
from pykopia.format.content_id import key_of
from pykopia.format.directory import DirectoryEntry, encode_directory, summarize
from pykopia.format.index import IndexEntry, IndexFile, build_index
from pykopia.format.index_merge import MergedIndex
from pykopia.format.maintenance_plan import FULL_SAFETY
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.ids import BlobID, ContentID, ObjectID
from pykopia.maintenance import snapshot_gc
from pykopia.maintenance.live_contents import LISTED, LiveContents
from pykopia.maintenance.snapshot_gc import Collection, collect_garbage, may_find_garbage
from pykopia.repository.view import Look, complete_view
from tests.maintenance.scene import SOURCE, Scene, data


def collect(scene: Scene, repository: Repository | None = None, *, dry_run: bool = False) -> Collection:
    repository = repository or scene.repository
    view = complete_view(repository, "collect", packs=Look())
    return collect_garbage(repository, view, started=scene.clock.now_ns, safety=FULL_SAFETY, dry_run=dry_run)


def test_only_what_is_old_and_unused_is_marked() -> None:
    with Scene() as scene:
        used, unused = scene.write(data(10), data(20))
        scene.snapshot([used])
        scene.clock.advance(hours=24)
        (young,) = scene.write(data(30))
        found = collect(scene)
        assert [scene.state(each) for each in (used, unused, young)] == ["live", "deleted", "live"]
        assert (found.deleted.count, found.too_recent.count, found.in_use.count) == (1, 1, 2)
        assert found.too_recent_until_ns == (scene.clock.now_ns // 10**9 + 24 * 3600) * 10**9


def may_find(scene: Scene) -> bool:
    return may_find_garbage(scene.repository, started=scene.clock.now_ns, safety=FULL_SAFETY)


def test_snapshots_are_not_followed_unasked_where_all_is_young_and_nothing_is_marked() -> None:
    with Scene() as scene:
        used, unused = scene.write(data(10), data(20))
        scene.snapshot([used])
        scene.clock.advance(hours=23)
        assert not may_find(scene)
        before = scene.blobs("x"), scene.state(unused)
        assert collect(scene).deleted.count == 0
        assert (scene.blobs("x"), scene.state(unused)) == before  # so there was nothing to find
        runs = scene.maintain("auto").tasks
        by_task = {each.task: each for each in runs}
        for task in ("snapshot-gc", "full-delete-blobs"):  # without a collection, no pack is deleted
            assert by_task[task].statistics is None
            assert "too young" in by_task[task].left_out
        assert not scene.repository.maintenance.schedule().runs.get("snapshot-gc")
        scene.clock.advance(hours=1)
        assert may_find(scene)
        assert collect(scene).deleted.count == 1


def test_what_is_marked_has_snapshots_followed_however_young_it_is() -> None:
    with Scene() as scene:
        (content,) = scene.write(data(20))
        scene.clock.advance(days=2)
        collect(scene)
        assert scene.state(content) == "deleted"
        assert may_find(scene)


def test_a_dry_run_counts_the_same_and_marks_nothing() -> None:
    with Scene() as scene:
        (unused,) = scene.write(data(20))
        scene.clock.advance(days=2)
        before = scene.blobs()
        looked = collect(scene, dry_run=True)
        assert scene.blobs() == before
        assert collect(scene) == looked
        assert scene.state(unused) == "deleted"


def test_what_was_marked_and_is_needed_again_comes_back() -> None:
    with Scene() as scene:
        (content,) = scene.write(data(20))
        scene.clock.advance(days=2)
        collect(scene)
        assert scene.state(content) == "deleted"
        scene.snapshot([content])
        assert collect(scene).recovered.count == 1
        assert scene.state(content) == "live"


def test_what_was_dropped_from_the_index_and_is_needed_comes_back_while_its_bytes_are_there() -> None:
    with Scene() as scene:
        (content,) = scene.write(data(20))
        scene.clock.advance(days=2)
        collect(scene)
        scene.clock.advance(seconds=1)
        scene.repository.storage.put(BlobID(f"xw{scene.clock.now_ns // 10**9}"), b"deletion-watermark")
        scene.snapshot([content])
        scene.repository.refresh()
        collect(scene)
        assert scene.state(content) == "live"


def test_files_in_many_pieces_keep_all_their_pieces_and_lists() -> None:
    with Scene() as scene:
        with scene.repository.writer() as writer:
            big = writer.objects.write(data(9 << 20))
            assert big.startswith("I")
        scene.snapshot([ContentID(big)])
        scene.snapshot([ContentID(big)])
        scene.clock.advance(days=2)
        found = collect(scene)
        assert found.unused.count == 0
        assert scene.repository.objects.read(big) == data(9 << 20)


def test_a_file_that_is_the_same_content_as_a_folder_does_not_hide_what_the_folder_needs() -> None:
    with Scene() as scene:
        (content,) = scene.write(data(20))
        scene.snapshot([content])
        snapshot = scene.repository.snapshots.list()[0]
        assert snapshot.root_entry is not None
        scene.repository.snapshots.delete(snapshot.id)
        # one snapshot has the folder as a file and is followed first, another as its root
        scene.snapshot([ContentID(snapshot.root_entry.object_id)])
        scene.clock.advance(seconds=1)
        with scene.repository.writer() as writer:
            writer.manifests.put(snapshot.labels(), snapshot.to_json())
        scene.clock.advance(days=2)
        collect(scene)
        assert scene.state(content) == "live"


def test_a_snapshot_that_can_not_be_read_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scene() as scene:
        (content,) = scene.write(data(20))
        with scene.repository.writer() as writer:
            writer.manifests.put({"type": "snapshot"}, b'{"source":7}')
        scene.clock.advance(days=2)
        with pytest.raises(MaintenanceError, match="can't be read"):
            collect(scene)
        assert scene.state(content) == "live"


def test_a_folder_that_can_not_be_read_stops_it_and_is_named() -> None:
    with Scene() as scene:
        used, unused = scene.write(data(10), data(20))
        scene.snapshot([used])
        scene.clock.advance(days=2)
        root = scene.repository.snapshots.list()[0].root_object_id
        place = scene.repository.contents.entry(root)
        pack = bytearray(scene.storage.get(place.pack_blob))
        pack[place.pack_offset + 20] ^= 1
        scene.storage.put(place.pack_blob, pack)
        with scene.connect() as fresh, pytest.raises(MaintenanceError, match=r"ann@box:/data@.* can't be followed"):
            collect(scene, fresh)
        assert scene.state(unused) == "live"


def test_a_snapshot_without_a_root_stops_it() -> None:
    with Scene() as scene:
        (unused,) = scene.write(data(10))
        root = DirectoryEntry("f", "f", 0o644, 1, 0, 0, 0, ObjectID(unused))
        manifest = SnapshotManifest(source=SOURCE, start_time_ns=1, end_time_ns=1, root_entry=root)
        fields = json.loads(manifest.to_json())
        del fields["rootEntry"]
        with scene.repository.writer() as writer:
            snapshot_id = writer.manifests.put(manifest.labels(), json.dumps(fields).encode())
        scene.clock.advance(days=2)
        with pytest.raises(MaintenanceError, match=f"{snapshot_id} has no root"):
            collect(scene)
        assert scene.state(unused) == "live"


def test_what_folders_in_folders_and_a_snapshot_of_one_file_need_stays() -> None:
    with Scene(max_pack_size=10 << 20) as scene:
        (single,) = scene.write(data(10))
        (unused,) = scene.write(data(20))
        with scene.repository.writer() as writer:
            leaf = writer.objects.write(data(30))
            below = [DirectoryEntry("file", "f", 0o644, 1, 0, 0, 0, leaf)]
            inner = writer.objects.write(encode_directory(below, summarize(below, own_mtime_ns=0)), prefix="k")
            # a folder so large that it is a list of chunks itself, and is there twice
            many = [DirectoryEntry("d", "d", 0o755, 0, 0, 0, 0, inner)]
            many += [
                DirectoryEntry(f"f{number:0250}", "f", 0o644, 1, 0, 0, 0, ObjectID(single)) for number in range(20_000)
            ]
            large = writer.objects.write(encode_directory(many, summarize(many, own_mtime_ns=0)), prefix="k")
            assert large.startswith("I")
            roots = [DirectoryEntry(name, "d", 0o755, 0, 0, 0, 0, large) for name in ("one", "two")]
            outer = writer.objects.write(encode_directory(roots, summarize(roots, own_mtime_ns=0)), prefix="k")
            for root in (
                DirectoryEntry("r", "d", 0o755, 0, 0, 0, 0, outer),
                DirectoryEntry("f", "f", 0o644, 1, 0, 0, 0, leaf),
            ):
                manifest = SnapshotManifest(source=SOURCE, start_time_ns=1, end_time_ns=1, root_entry=root)
                writer.manifests.put(manifest.labels(), manifest.to_json())
        scene.clock.advance(days=2)
        found = collect(scene)
        assert found.deleted.count == 1
        assert scene.state(unused) == "deleted"
        with scene.connect() as other:
            contents = list(other.objects.contents_of(large))
            assert len(contents) > 2
            assert {scene.state(ContentID(each)) for each in [*contents, single, leaf, inner, outer]} == {"live"}


def test_a_content_that_is_needed_and_can_not_be_brought_back_stops_it() -> None:
    with Scene() as scene:
        (needed,) = scene.write(data(10))
        with scene.repository.writer() as writer:
            writer.contents.delete(needed)
        scene.snapshot([needed])
        scene.clock.advance(days=2)
        view = complete_view(scene.repository, "collect", packs=Look())
        for pack in scene.blobs("p"):
            scene.storage.delete(pack)
        with pytest.raises(MaintenanceError, match=rf"{needed} is needed by a snapshot .* can't be brought back"):
            collect_garbage(scene.repository, view, started=scene.clock.now_ns, safety=FULL_SAFETY)


def test_a_content_that_is_missing_from_the_index_stops_it() -> None:
    with Scene() as scene:
        (unused,) = scene.write(data(20))
        scene.snapshot([ContentID("00" * 16)])
        scene.clock.advance(days=2)
        with pytest.raises(MaintenanceError, match="f0000 can't be followed"):
            collect(scene)
        assert scene.state(unused) == "live"


def test_a_damaged_index_blob_stops_it() -> None:
    with Scene() as scene:
        scene.write(data(20))
        scene.clock.advance(days=2)
        newest = scene.blobs("xn")[-1]
        scene.storage.put(newest, scene.storage.get(newest)[:40])
        with scene.connect() as fresh, pytest.raises(Exception, match="index"):
            collect(scene, fresh)


def test_what_others_use_or_write_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scene() as scene:
        used, rewritten, unused = scene.write(data(10), data(20), data(30))
        scene.clock.advance(days=2)
        other = scene.connect()
        refresh = scene.repository.refresh

        def meanwhile() -> None:
            monkeypatch.undo()
            scene.snapshot([used], other)
            with other.writer() as writer:
                writer.contents.rewrite(rewritten)
            refresh()

        monkeypatch.setattr(scene.repository, "refresh", meanwhile)
        collect(scene)
        assert [scene.state(each) for each in (used, rewritten, unused)] == ["live", "live", "deleted"]


def test_many_marks_are_committed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_gc, "FLUSH_EVERY", 10)
    with Scene() as scene:
        contents = scene.write(*(data(10, seed) for seed in range(35)))
        scene.clock.advance(days=2)
        before = len(scene.blobs("xn"))
        assert collect(scene).deleted.count == 35
        assert len(scene.blobs("xn")) == before + 4
        assert {scene.state(each) for each in contents} == {"deleted"}


# --- the marks -------------------------------------------------------------------------------------------------------

ids = st.integers(0, 30).map(lambda number: ContentID(("k" if number % 3 else "") + f"{number:02x}" * 16))


def entry(content_id: ContentID, timestamp: int) -> IndexEntry:
    return IndexEntry(content_id, BlobID("p1"), timestamp, 10, 38, 0, 0, False, 3)


@settings(deadline=None)
@given(st.lists(st.lists(ids, min_size=1, unique=True), min_size=1, max_size=4), st.lists(ids))
def test_marks_are_a_set_of_the_contents_that_the_index_has(
    groups: list[list[ContentID]], marked: list[ContentID]
) -> None:
    files = [
        IndexFile(build_index([entry(each, number) for each in group], version=2))
        for number, group in enumerate(groups)
    ]
    live = LiveContents(MergedIndex(files))
    known = {each for group in groups for each in group}
    seen: set[ContentID] = set()
    for each in marked:
        assert live.mark(key_of(each)) == (None if each not in known else each not in seen)
        seen.add(each)
    assert {each.content_id: used for each, used in live.entries()} == {each: each in seen for each in known}
    live.close()


def test_a_mark_of_its_own_does_not_hide_another_one() -> None:
    live = LiveContents(MergedIndex([IndexFile(build_index([entry(ContentID("aa" * 16), 1)], version=2))]))
    key = key_of("aa" * 16)
    assert live.mark(key) is True
    assert live.mark(key, LISTED) is True
    assert live.mark(key, LISTED) is False
    assert len(live) == 1
