"""Single tasks of maintenance: what they refuse, what they leave, and what they report."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from pykopia.api.maintenance import MaintenanceChanges
from pykopia.api.repository import Repository
from pykopia.errors import (
    BlobNotFoundError,
    DamagedManifestError,
    MaintenanceError,
    StorageUnavailableError,
    UsageError,
)
from pykopia.format.blob_names import FORMAT_BLOB_ID
from pykopia.format.complete_view import CompleteView
from pykopia.format.content_id import key_of
from pykopia.format.maintenance_plan import FULL_SAFETY
from pykopia.format.maintenance_schedule import MANIFEST_LABELS
from pykopia.format.repository_blob import LOCKED_BLOB_PREFIXES
from pykopia.ids import BlobID, ContentID
from pykopia.maintenance import blobs, epochs, rewrite
from pykopia.maintenance.index_upkeep import Optimization, index_upkeep
from pykopia.maintenance.live_contents import LiveContents
from pykopia.maintenance.stored import read_parameters
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from pykopia.repository.view import Look, complete_view
from pykopia.storage.base import BlobStorage, RetentionMode, StorageWrapper
from tests.maintenance.scene import Scene, data

MINUTE_NS = 60 * 10**9
DAY_NS = 24 * 60 * MINUTE_NS
SHORT_EPOCHS = ParameterChanges(
    epoch_min_duration_ns=12 * MINUTE_NS,
    epoch_refresh_frequency_ns=4 * MINUTE_NS,
    epoch_cleanup_safety_margin_ns=12 * MINUTE_NS,
    epoch_advance_on_count=10,
    epoch_checkpoint_frequency=2,
)


def seen(repository: Repository) -> CompleteView:
    return complete_view(repository, "maintain", packs=Look())


# --- packs ------------------------------------------------------------------------------------------------------------


def test_a_pack_that_the_index_names_is_never_deleted_whatever_the_plan_says() -> None:
    with Scene() as scene:
        (kept,) = scene.write(data(10))
        view = seen(scene.repository)
        plan = blobs.plan_unused_packs(
            scene.repository, view, started=scene.clock.now_ns, safety=FULL_SAFETY, prefixes=("p", "q")
        )
        before = scene.blobs()
        wrong = replace(plan, delete=tuple(scene.storage.list("p")))
        with pytest.raises(UsageError, match="nothing proves that it is unused"):
            blobs.delete_unused_packs(scene.repository, view, wrong)
        assert scene.blobs() == before
        assert scene.state(kept) == "live"


# --- object locks -----------------------------------------------------------------------------------------------------


class Locked(Scene):
    """A repository whose blobs are locked for two days."""

    def options(self) -> NewRepositoryOptions:
        return replace(super().options(), retention_mode="GOVERNANCE", retention_period_ns=2 * DAY_NS)


class Unextendable(StorageWrapper):
    """Answers requests for a longer lock with an error for each blob of a kind."""

    def __init__(self, inner: BlobStorage, prefix: str, error: Exception) -> None:
        super().__init__(inner)
        self._prefix, self._error = prefix, error

    def extend_retention(self, blob_id: BlobID, mode: RetentionMode, period_ns: int) -> None:
        if blob_id.startswith(self._prefix):
            raise self._error
        super().extend_retention(blob_id, mode, period_ns)


def locked(scene: Scene, at_hours: float) -> set[str]:
    """Return the blobs that can't be deleted so many hours from now; nothing is changed."""
    storage, found = scene.storage, set()
    scene.clock.advance(hours=at_hours)
    for blob in list(storage.list()):
        content = storage.get(blob.blob_id)
        try:
            storage.delete(blob.blob_id)
        except PermissionError:
            found.add(str(blob.blob_id))
        else:
            storage.put(blob.blob_id, content)
    scene.clock.advance(hours=-at_hours)
    return found


def to_lock(scene: Scene) -> set[str]:
    return {str(name) for name in scene.blobs() if name.startswith(LOCKED_BLOB_PREFIXES)}


def test_locks_are_extended_for_every_blob_that_the_repository_locks() -> None:
    with Locked() as scene:
        scene.write(data(10))
        scene.clock.advance(hours=40)
        assert locked(scene, 10) == set()
        statistics = blobs.extend_locks(scene.repository)
    with Locked() as scene:
        scene.write(data(10))
        scene.clock.advance(hours=40)
        scene.repository.maintenance.set(MaintenanceChanges(extend_object_locks=True))
        begun: list[str] = []
        result = scene.repository.maintenance.run("full", on_task=begun.append, monotonic=scene.monotonic)
        assert "extend-blob-retention-time" in begun
        assert begun == [each.task for each in result.tasks if not each.left_out]
        assert locked(scene, 47) >= to_lock(scene)
        assert FORMAT_BLOB_ID in locked(scene, 47)
        assert locked(scene, 49) == set()
    assert statistics.values is not None
    assert statistics.values["toExtendBlobCount"] == statistics.values["extendedBlobCount"] != 0
    assert statistics.values["retentionPeriod"] == "48h0m0s"


def test_a_lock_that_can_not_be_extended_is_named_after_all_others_were() -> None:
    with Locked() as scene:
        scene.write(data(10))
        scene.clock.advance(hours=40)
        refusing = Unextendable(scene.storage, "p", StorageUnavailableError("the service is down"))
        scene.repository.storage = refusing
        with pytest.raises(
            MaintenanceError, match=r"of 1 of \d+ blobs could not be extended, p\w+-s\w+ first: the service"
        ):
            blobs.extend_locks(scene.repository)
        assert locked(scene, 47) == {name for name in to_lock(scene) if not name.startswith("p")}


def test_a_blob_that_is_gone_meanwhile_needs_no_lock() -> None:
    with Locked() as scene:
        scene.write(data(10))
        scene.clock.advance(hours=40)
        gone = Unextendable(scene.storage, "p", BlobNotFoundError(BlobID("p1"), "memory"))
        scene.repository.storage = gone
        blobs.extend_locks(scene.repository)
        assert locked(scene, 47) == {name for name in to_lock(scene) if not name.startswith("p")}


def test_a_repository_without_locks_gets_none() -> None:
    with Scene() as scene:
        scene.write(data(10))
        assert blobs.extend_locks(scene.repository).values is None
        assert locked(scene, 0) == set()


# --- epochs -----------------------------------------------------------------------------------------------------------


def compacted_epochs(scene: Scene, count: int = 40) -> None:
    """Fill epoch 0 and compact it; the next one is begun."""
    scene.repository.set_parameters(SHORT_EPOCHS)
    for number in range(count):
        scene.write(b"content %d" % number)
        scene.clock.advance(minutes=2)
        if number % 12 == 11:
            epochs.advance_epoch(scene.repository)
    assert epochs.has_work(scene.repository)
    before = scene.blobs("xn0_")
    statistics = epochs.compact_single_epoch(scene.repository, seen(scene.repository))
    assert statistics.values is not None
    assert statistics.values["supersededIndexBlobCount"] == len(before)
    assert len(scene.blobs("xs0_")) == 1
    scene.clock.advance(hours=1)
    scene.write(b"the storage's clock goes on")
    scene.repository.refresh()


def test_index_blobs_go_when_their_compaction_has_all_of_their_entries() -> None:
    with Scene() as scene:
        compacted_epochs(scene)
        size = len(scene.blobs("xn0_"))
        statistics = epochs.delete_superseded(scene.repository, seen(scene.repository))
        assert statistics.values is not None
        assert statistics.values["deletedBlobCount"] == size > 0
        assert scene.blobs("xn0_") == []
        assert all(scene.state(scene.content_id(b"content %d" % number)) == "live" for number in range(40))


def test_index_blobs_stay_beside_a_compaction_that_lacks_some_of_their_entries(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Scene() as scene:
        compacted_epochs(scene)
        late = scene.blobs("xn")[-1]
        indexes = scene.repository.contents.indexes
        indexes.stored.put("xn0_", indexes.stored.decrypt(late), "s0123456789abcdef0123456789abcdef-c1")
        scene.clock.advance(hours=1)
        scene.write(b"the storage's clock goes on")
        scene.repository.refresh()
        before = scene.blobs("xn0_")
        epochs.delete_superseded(scene.repository, seen(scene.repository))
        assert scene.blobs("xn0_") == before
        assert "came to it after it was compacted" in caplog.text


def test_index_blobs_stay_beside_a_compaction_that_can_not_be_read(caplog: pytest.LogCaptureFixture) -> None:
    with Scene() as scene:
        compacted_epochs(scene)
        view = seen(scene.repository)
        (single,) = scene.blobs("xs0_")
        scene.storage.put(single, scene.storage.get(single)[:-1])
        before = scene.blobs("xn0_")
        epochs.delete_superseded(scene.repository, view)
        assert scene.blobs("xn0_") == before != []
        assert "are kept beside their compaction" in caplog.text
        assert single in caplog.text


def test_many_epochs_are_compacted_into_one_range() -> None:
    with Scene() as scene:
        compacted_epochs(scene, 60)
        while epochs.has_work(scene.repository):
            epochs.compact_single_epoch(scene.repository, seen(scene.repository))
        statistics = epochs.generate_range(scene.repository, seen(scene.repository))
        assert statistics.values == {"rangeMinEpoch": 0, "rangeMaxEpoch": 3}
        assert len(scene.blobs("xr0_3_")) == 1
        assert all(scene.state(scene.content_id(b"content %d" % number)) == "live" for number in range(60))


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_an_index_in_epochs_is_optimized_by_hand_and_drops_no_single_content() -> None:
    with Scene() as scene:
        compacted_epochs(scene)
        (gone,) = scene.write(b"deleted by hand")
        with scene.repository.writer() as writer:
            writer.contents.delete(gone)
        scene.clock.advance(hours=1)
        upkeep = index_upkeep(scene.repository, settles=False)
        with pytest.raises(UsageError, match="format version 1"):
            upkeep.check_can(Optimization(drop_contents=[b"x"]))
        upkeep.check_can(Optimization())
        assert upkeep.needs_packs()  # an epoch waits to be compacted
        upkeep.optimize(seen(scene.repository), Optimization(drop_deleted_before_ns=scene.clock.now_ns), blobs.no_check)
        assert not upkeep.needs_packs()
        assert len(scene.blobs("xs1_")) == 1
        assert scene.state(gone) == "absent"
        assert scene.state(scene.content_id(b"content 1")) == "live"


def test_an_index_of_format_1_is_optimized_by_hand_into_one_blob() -> None:
    with Scene(version=1) as scene:
        contents = [scene.write(b"content %d" % number)[0] for number in range(5)]
        upkeep = index_upkeep(scene.repository, settles=False)
        upkeep.check_can(Optimization(drop_contents=[b"x"]))
        assert upkeep.needs_packs()
        assert scene.repository.contents.indexes.active_count > 4
        upkeep.optimize(seen(scene.repository), Optimization(max_small_blobs=0, all_indexes=True), blobs.no_check)
        assert scene.repository.contents.indexes.active_count == 1
        assert {scene.state(each) for each in contents} == {"live"}


# --- plans and records ------------------------------------------------------------------------------------------------


def test_a_plan_to_rewrite_by_format_version_takes_deleted_contents_too() -> None:
    with Scene() as scene:
        kept, deleted = scene.write(data(10), data(20))
        with scene.repository.writer() as writer:
            writer.contents.delete(deleted)
        scene.clock.advance(1)
        version = scene.repository.contents.entry(kept).format_version
        plan = rewrite.plan_format_version(scene.repository, version, pack_prefix="p")
        assert {entry.content_id for entry in plan.rewrite} == {kept, deleted}
        assert rewrite.plan_format_version(scene.repository, version + 1).rewrite == ()
        size = sum(entry.packed_length for entry in plan.rewrite)
        assert str(plan) == f"rewrite 2 contents ({size} bytes) of 1 packs"


def test_parameters_that_can_not_be_read_are_named() -> None:
    with Scene() as scene:
        with scene.repository.writer() as writer:
            written = writer.manifests.replace(MANIFEST_LABELS, b'{"owner":5}')
        with pytest.raises(DamagedManifestError, match=str(written) if written else "manifest"):
            read_parameters(scene.repository)


def test_a_ledger_says_what_is_held_why_and_until_when() -> None:
    with Scene() as scene:
        used, unused = scene.write(data(100_000), data(900_000))
        scene.snapshot([used])
        scene.clock.advance(hours=25)
        (young,) = scene.write(data(30))
        scene.maintain("full")
        ledger = scene.repository.maintenance.ledger()
        assert {scene.state(each) for each in (used, young)} == {"live"}
        assert scene.state(unused) == "deleted"
        assert ledger.held_size == sum(each.size for each in ledger.held) >= 900_000
        html = ledger._repr_html_()
        for each in ledger.held:
            assert each.explanation
            assert each.explanation.split("'")[0].split("<")[0] in html


def test_marks_are_the_same_wherever_there_is_room_for_them(tmp_path: Path) -> None:
    with Scene() as scene:
        needed, unneeded = scene.write(data(10), data(20))
        merged = scene.repository.contents.indexes.merged
        for folder in (tmp_path, tmp_path / "missing", None):
            live = LiveContents(merged, folder)
            assert live.mark(key_of(needed)) is True
            assert live.mark(key_of(needed)) is False
            assert live.mark(key_of(ContentID("00" * 16))) is None
            marks = {entry.content_id: mark for entry, mark in live.entries()}
            live.close()
            assert (marks[needed], marks[unneeded], len(marks)) == (True, False, len(live))
        assert list(tmp_path.iterdir()) == []


def test_packs_that_nothing_proves_to_be_unused_stay_and_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with Scene() as scene:
        (used,) = scene.write(data(10))
        scene.snapshot([used])
        (lost,) = scene.write(data(20))
        pack = scene.repository.contents.entry(lost).pack_blob
        scene.clock.advance(days=3)
        torn = BlobID("p" + 32 * "0" + "-s0123456789abcdef125")
        scene.storage.put(torn, b"torn by a writer that came to its end")
        scene.clock.advance(days=3)
        for _ in range(3):
            scene.maintain("full", safety="none")
            scene.clock.advance(days=1)
        assert torn in scene.blobs("p")
        assert pack not in scene.blobs("p")
        assert "nothing proves that they are unused" in caplog.text
        assert torn in caplog.text
        assert scene.state(used) == "live"


@pytest.mark.parametrize("mode", ["quick", "full"])
def test_each_task_is_told_of_when_it_begins(mode: Literal["quick", "full"]) -> None:
    with Scene() as scene:
        scene.write(data(10))
        begun: list[str] = []
        result = scene.repository.maintenance.run(mode, on_task=begun.append, monotonic=scene.monotonic)
        assert begun == [each.task for each in result.tasks if not each.left_out]
        assert begun
