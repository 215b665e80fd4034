"""Repositories of which parts are lost: every small state of the index, and other losses beside it.

``History`` makes a repository with four snapshots and with packs that are garbage, and keeps all its blobs. ``states``
yields the sets of blobs to take away.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, combinations

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.format.epoch import MARKER_CONTENT, marker_blob_id, range_prefix
from pykopia.format.epoch_plan import EpochCompaction
from pykopia.format.policy import Policy, RetentionPolicy
from pykopia.format.policy_target import GLOBAL_TARGET
from pykopia.format.session import SessionMarker, session_of_blob
from pykopia.ids import BlobID, ContentID, ManifestID
from pykopia.maintenance import epochs, legacy_indexes
from pykopia.repository.view import Look, complete_view
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.testing.clock import START_NS, FakeClock
from tests.maintenance.scene import OWNER, PASSWORD, Scene, data

EPOCHS = 4
KEPT_BY_POLICY = 2
HOUR_NS = 3600 * 10**9
AGE_NS = 10 * 24 * HOUR_NS
"""Nanoseconds from the newest snapshot to the time of a test."""

EPOCH_LAYOUTS = ("flushes", "singles", "singles beside their flushes", "range")
LEGACY_LAYOUTS = ("one by one", "compacted beside their inputs", "compacted")
LAYOUTS = (*((3, layout) for layout in EPOCH_LAYOUTS), *((1, layout) for layout in LEGACY_LAYOUTS))
"""Versions of the format with the layouts of their indexes."""

Blobs = Mapping[str, tuple[bytes, int]]
"""Contents and times of blobs by name."""


class History:
    """Four snapshots, each in an epoch of its own where there are epochs, and packs that are garbage.

    Args:
        version: of the format.
        layout: how the index is compacted, one of ``LAYOUTS``.
        now_ns: time of the tests, nanoseconds since 1970; everything is older.
    """

    def __init__(self, version: int, layout: str, now_ns: int | None = None) -> None:
        start = START_NS if now_ns is None else now_ns - AGE_NS - 24 * HOUR_NS
        self.version = version
        self.scene = Scene(version=version, clock=FakeClock(start))
        self.contents: list[ContentID] = []
        self.snapshots: list[ManifestID] = []
        self.garbage: set[BlobID] = set()
        """Packs and session markers that maintenance deletes from the complete repository."""
        self.garbage_contents: set[ContentID] = set()
        with self.scene:
            self._set_policy()
            self._dropped()
            self._killed()
            for number in range(EPOCHS):
                if number and version > 1:
                    self.scene.storage.put(marker_blob_id(number), MARKER_CONTENT)
                self.scene.clock.advance(hours=1)
                with self.scene.repository.writer() as writer:
                    content = writer.contents.write(data(60, number))
                    self.snapshots.append(self.scene.snapshot_by(writer, [content]))
                self.contents.append(content)
                if version == 1:
                    self._compact_legacy(layout, number)
            if version > 1:
                self._compact(layout)
            self.blobs = taken(self.scene.storage)
            self.now_ns = self.scene.clock.now_ns + AGE_NS if now_ns is None else now_ns

    def _set_policy(self) -> None:
        retention = RetentionPolicy(
            keep_latest=KEPT_BY_POLICY, keep_hourly=0, keep_daily=0, keep_weekly=0, keep_monthly=0, keep_annual=0
        )
        self.scene.repository.policies.set(GLOBAL_TARGET, Policy(retention=retention))

    def _dropped(self) -> None:
        """Leave a pack of contents that were deleted and dropped from the index."""
        scene = self.scene
        before = set(scene.blobs("p"))
        content_ids = scene.write(data(70), data(71))
        scene.clock.advance(hours=1)
        with scene.repository.writer() as writer:
            for content_id in content_ids:
                writer.contents.delete(content_id)
        limit = scene.clock.now_ns + 10**9
        if self.version == 1:
            view = complete_view(scene.repository, "drop contents", packs=Look())
            legacy_indexes.compact_indexes(
                scene.repository, view, max_small_blobs=0, drop_deleted_before_ns=limit, settles=False
            )
        else:
            view = complete_view(scene.repository, "drop contents")
            epochs.drop_deleted(scene.repository, view, before_ns=limit)
        self.garbage |= set(scene.blobs("p")) - before
        self.garbage_contents.update(content_ids)

    def _killed(self) -> None:
        """Leave a pack of a writer that was killed before it stored its index."""
        scene = self.scene
        before = set(scene.blobs())
        self.garbage_contents.update(scene.write(data(80)))
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

    def _compact_legacy(self, layout: str, number: int) -> None:
        """Put the index together after the second snapshot, in format version 1."""
        if number != EPOCHS // 2 - 1 or layout == "one by one":
            return
        view = complete_view(self.scene.repository, "compact", packs=Look())
        legacy_indexes.compact_indexes(
            self.scene.repository, view, max_small_blobs=0, settles=layout == "compacted beside their inputs"
        )

    def opened(self, blobs: Blobs) -> tuple[MemoryStorage, Repository]:
        """Return a storage with these blobs, and the repository in it; no key is derived again."""
        storage = MemoryStorage(clock=self.scene.clock, object_lock=True)
        given_back(storage, blobs)
        return storage, connect(storage, PASSWORD, client=OWNER)

    def without(self, lost: Iterable[str]) -> Blobs:
        """Return all blobs but the lost ones."""
        gone = set(lost)
        return {name: blob for name, blob in self.blobs.items() if name not in gone}


def taken(storage: BlobStorage) -> dict[str, tuple[bytes, int]]:
    """Return all blobs of a storage."""
    return {blob.blob_id: (storage.get(blob.blob_id), blob.timestamp_ns) for blob in storage.list("")}


def given_back(storage: BlobStorage, blobs: Blobs) -> None:
    """Store blobs with their times."""
    for name, (content, timestamp_ns) in blobs.items():
        storage.put(BlobID(name), content, PutOptions(set_mtime_ns=timestamp_ns))


def subsets(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield all subsets, the empty one first."""
    members = list(names)
    return chain.from_iterable(combinations(members, number) for number in range(len(members) + 1))


def index_groups(history: History) -> list[str]:
    """Return how the names of index blobs begin that are lost together: an epoch, a single, a range; else a blob."""
    if history.version == 1:
        return sorted(name for name in history.blobs if name.startswith(("n", "m", "l")))
    return sorted({name.rpartition("_")[0] + "_" for name in history.blobs if name.startswith(("xn", "xs", "xr"))})


def other_losses(history: History) -> list[str]:
    """Return blobs whose loss, too, must never lead to another loss: packs, markers of sessions, records."""
    return sorted(
        name for name in history.blobs if name.startswith(("p", "q", "s", "xw", "_pykopia", "kopia.maintenance"))
    )


def states(history: History) -> Iterator[Blobs]:
    """Yield what is lost: any of the index blobs with any of the markers; or few of them, with any other blob."""
    yield from states_of_the_index(history)
    groups = index_groups(history)
    markers = [name for name in history.blobs if name.startswith("xe")]
    for other in other_losses(history):
        for names in ((), *((group,) for group in groups), tuple(groups)):
            yield _lost(history, names, (other,))
        if markers:
            yield _lost(history, (), (*markers, other))


def states_of_the_index(history: History) -> Iterator[Blobs]:
    """Yield what is lost: any of the index blobs with any of the markers."""
    markers = [name for name in history.blobs if name.startswith("xe")]
    for names in subsets(index_groups(history)):
        for gone in subsets(markers):
            yield _lost(history, names, gone)


def some(found: Iterable[Blobs], number: int) -> list[Blobs]:
    """Return about so many states, evenly spread, the first among them; all where the number is 0."""
    every = list(found)
    return every if not number else every[:: max(1, len(every) // number)]


def _lost(history: History, groups: tuple[str, ...], names: Iterable[str]) -> Blobs:
    gone = set(names)
    return {name: blob for name, blob in history.blobs.items() if name in gone or (groups and name.startswith(groups))}


__all__ = [
    "EPOCHS",
    "KEPT_BY_POLICY",
    "LAYOUTS",
    "Blobs",
    "History",
    "given_back",
    "index_groups",
    "other_losses",
    "some",
    "states",
    "states_of_the_index",
    "subsets",
    "taken",
]
