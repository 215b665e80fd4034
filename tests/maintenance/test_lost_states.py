"""Every small state of epoch markers, singles, ranges and lost index blobs: what maintenance destroys, and what it may.

What it may destroy is said by the complete repository: whatever a snapshot needs that any subset of the lost blobs would
have shown. So after the most destructive maintenance, the lost blobs are put back, and every snapshot must be readable.
"""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations

import pytest

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import ContradictedViewError, PykopiaError
from pykopia.format.epoch import MARKER_CONTENT, marker_blob_id, range_prefix
from pykopia.format.epoch_plan import EpochCompaction
from pykopia.format.session import SessionMarker, session_of_blob
from pykopia.ids import BlobID, ContentID
from pykopia.maintenance import epochs
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.view import Look, complete_view
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, PutOptions
from tests.maintenance.scene import OWNER, PASSWORD, Scene, data

EPOCHS = 4
LAYOUTS = ("flushes", "singles", "singles beside their flushes", "range")

Blobs = Mapping[str, tuple[bytes, int]]
"""Contents and times of blobs by name."""


class History:
    """Four snapshots, each in an epoch of its own, and packs that are garbage."""

    def __init__(self, layout: str) -> None:
        self.scene = Scene()
        self.contents: list[ContentID] = []
        self.garbage: set[BlobID] = set()
        with self.scene:
            self._dropped()
            self._killed()
            for number in range(EPOCHS):
                if number:
                    self.scene.storage.put(marker_blob_id(number), MARKER_CONTENT)
                self.scene.clock.advance(hours=1)
                with self.scene.repository.writer() as writer:
                    content = writer.contents.write(data(60, number))
                    self.scene.snapshot_by(writer, [content])
                self.contents.append(content)
            self._compact(layout)
            self.blobs = taken(self.scene.storage)
            self.now_ns = self.scene.clock.now_ns + 10 * 24 * 3600 * 10**9

    def _dropped(self) -> None:
        """Leave a pack of contents that were deleted and dropped."""
        scene = self.scene
        before = set(scene.blobs("p"))
        content_ids = scene.write(data(70), data(71))
        scene.clock.advance(hours=1)
        with scene.repository.writer() as writer:
            for content_id in content_ids:
                writer.contents.delete(content_id)
        view = complete_view(scene.repository, "drop contents")
        epochs.drop_deleted(scene.repository, view, before_ns=scene.clock.now_ns + 10**9)
        self.garbage |= set(scene.blobs("p")) - before

    def _killed(self) -> None:
        """Leave a pack of a writer that was killed before it stored its index."""
        scene = self.scene
        before = set(scene.blobs())
        scene.write(data(80))
        new = set(scene.blobs()) - before
        (pack,) = (name for name in new if name.startswith("p"))
        for name in new - {pack}:
            scene.storage.delete(name)
        session = session_of_blob(pack)
        assert session is not None
        marker = SessionMarker(session_id=session, start_time_ns=scene.clock.now_ns)
        sealed = scene.repository.sealer.sealer.seal("s", marker.to_json(), session)
        scene.storage.put(*sealed)
        scene.repository.refresh()
        self.garbage |= {pack, sealed[0]}

    def _compact(self, layout: str) -> None:
        repository, storage = self.scene.repository, self.scene.storage
        view = complete_view(repository, "compact", packs=Look())
        if layout.startswith("singles"):
            for _ in range(EPOCHS - 2):
                epochs.compact_single_epoch(repository, view)
        elif layout == "range":
            inputs = tuple(repository.contents.indexes.epoch_state().index_blobs(0, 1))
            plan = EpochCompaction(first=0, last=1, inputs=inputs, prefix=range_prefix(0, 1))
            epochs.write_compaction(repository, view, plan)
        if layout in ("singles", "range"):
            for number in range(EPOCHS - 2):
                for name in self.scene.blobs(f"xn{number}_"):
                    storage.delete(name)

    def opened(self, blobs: Blobs) -> tuple[MemoryStorage, Repository]:
        """Return a storage with these blobs, and the repository in it; no key is derived again."""
        storage = MemoryStorage(clock=self.scene.clock, object_lock=True)
        given_back(storage, blobs)
        return storage, connect(storage, PASSWORD, client=OWNER)


def taken(storage: BlobStorage) -> dict[str, tuple[bytes, int]]:
    return {blob.blob_id: (storage.get(blob.blob_id), blob.timestamp_ns) for blob in storage.list("")}


def given_back(storage: MemoryStorage, blobs: Blobs) -> None:
    for name, (content, timestamp_ns) in blobs.items():
        storage.put(BlobID(name), content, PutOptions(set_mtime_ns=timestamp_ns))


def subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(names, number) for number in range(len(names) + 1))


def groups_of(blobs: Blobs) -> list[str]:
    """Return how the names of index blobs begin that are lost together: those of an epoch, a single, a range."""
    return sorted({name.rpartition("_")[0] + "_" for name in blobs if name.startswith(("xn", "xs", "xr"))})


def states(history: History) -> Iterator[Blobs]:
    """Yield what is lost."""
    markers = [name for name in history.blobs if name.startswith("xe")]
    for groups in subsets(groups_of(history.blobs)):
        for names in subsets(markers):
            yield {name: blob for name, blob in history.blobs.items() if name in names or name.startswith(groups)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_maintenance_destroys_nothing_that_a_lost_blob_would_have_shown(
    layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    history = History(layout)
    count = refused = 0
    with history.scene.clock.installed():
        for lost in states(history):
            count += 1
            history.scene.clock.set(history.now_ns)
            storage, repository = history.opened({k: v for k, v in history.blobs.items() if k not in lost})
            for _ in range(2):  # what the first run marks, the second one drops and deletes
                try:
                    repository.maintenance.run("full", safety="none", force=True, monotonic=history.scene.monotonic)
                except PykopiaError:
                    refused += 1
                history.scene.clock.advance(hours=25)
            if not lost:
                assert not history.garbage & set(taken(storage)), "garbage is left in a complete repository"
            given_back(storage, lost)
            _, whole = history.opened(taken(storage))
            for content in history.contents:
                whole.contents.get(content, check=True)
            assert len(whole.snapshots.list()) == EPOCHS, sorted(lost)
    with capsys.disabled():
        print(f"\n{count} states of {layout!r}, maintenance refused {refused} of {2 * count} runs", end=" ")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_recovered_index_shows_all_contents_whatever_was_lost(layout: str) -> None:
    history = History(layout)
    with history.scene.clock.installed():
        history.scene.clock.set(history.now_ns)
        for groups in subsets(groups_of(history.blobs)):
            storage, repository = history.opened(
                {name: blob for name, blob in history.blobs.items() if not name.startswith((*groups, "xe"))}
            )
            recover_index(repository, RecoveryOptions(commit=True))
            _, seen = history.opened(taken(storage))
            assert len(seen.snapshots.list()) == EPOCHS
            for content in history.contents:
                seen.contents.get(content, check=True)
            # what Kopia reads is all there is
            state = seen.contents.indexes.epoch_state()
            assert not state.lacks_markers
            seen.maintenance.run("full", force=True, monotonic=history.scene.monotonic)


def test_lost_markers_stop_maintenance_and_a_write_puts_them_right() -> None:
    history = History("flushes")
    with history.scene.clock.installed():
        history.scene.clock.set(history.now_ns)
        _, repository = history.opened({name: b for name, b in history.blobs.items() if not name.startswith("xe")})
        assert len(repository.snapshots.list()) == EPOCHS
        with pytest.raises(ContradictedViewError, match="markers") as refused:
            repository.maintenance.run("full", force=True, monotonic=history.scene.monotonic)
        assert refused.value.exit_code == 45
        assert not repository.maintenance.schedule().successes("snapshot-gc")
        with repository.writer() as writer:
            writer.contents.write(b"anything")
        assert repository.contents.indexes.write_epoch == EPOCHS - 1
        repository.maintenance.run("full", force=True, monotonic=history.scene.monotonic)
