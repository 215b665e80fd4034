"""One maintenance at a time, by clocks that agree."""

import contextlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia import clock
from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import ClockError, MaintenanceBusyError, StorageUnavailableError, UnsupportedOptionError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import LEASE_PREFIX
from pykopia.ids import BlobID, Buffer
from pykopia.maintenance.lease import Lease, find_leases, local_lock, maintaining
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, PutOptions, StorageWrapper
from pykopia.testing.clock import FakeClock
from pykopia.testing.eventual import EventuallyConsistentStorage
from tests.maintenance.scene import OTHER, OWNER, PASSWORD, Scene


class NoPutIfAbsent(StorageWrapper):
    """As most object stores were."""

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        if options.do_not_recreate:
            raise UnsupportedOptionError("no")
        return super().put(blob_id, data, options)


class PlainScene(Scene):
    def make_storage(self) -> BlobStorage:
        return NoPutIfAbsent(MemoryStorage(clock=self.clock))


class EventualScene(Scene):
    def make_storage(self) -> BlobStorage:
        return EventuallyConsistentStorage(MemoryStorage(clock=self.clock), self.clock, delay=600)


@pytest.fixture(params=[Scene, PlainScene], ids=["put-if-absent", "plain puts"])
def scene_class(request: pytest.FixtureRequest) -> type[Scene]:
    found: type[Scene] = request.param
    return found


def test_a_second_client_has_to_wait_and_is_told_for_whom(scene_class: type[Scene]) -> None:
    with scene_class() as scene:
        held = Lease(scene.repository, monotonic=scene.monotonic)
        with pytest.raises(MaintenanceBusyError, match="ann@box"):
            Lease(scene.connect(), monotonic=scene.monotonic)
        held.release()
        assert scene.blobs(LEASE_PREFIX) == []
        Lease(scene.connect(), monotonic=scene.monotonic).release()


def test_a_lease_of_a_process_that_is_gone_ends_by_itself(scene_class: type[Scene]) -> None:
    with scene_class() as scene:
        gone = Lease(scene.repository, monotonic=scene.monotonic)
        scene.clock.advance(minutes=9)
        with pytest.raises(MaintenanceBusyError):
            Lease(scene.connect(), monotonic=scene.monotonic)
        scene.clock.advance(minutes=2)
        taken = Lease(scene.connect(), monotonic=scene.monotonic)
        with pytest.raises(MaintenanceBusyError, match="ended before it was renewed"):
            gone.check()
        taken.check()
        taken.release()
        assert scene.blobs(LEASE_PREFIX) == []


def test_a_lease_is_renewed_while_it_is_used(scene_class: type[Scene]) -> None:
    with scene_class() as scene:
        held = Lease(scene.repository, monotonic=scene.monotonic)
        for _ in range(20):
            scene.clock.advance(minutes=6)
            held.check()
        with pytest.raises(MaintenanceBusyError):
            Lease(scene.connect(), monotonic=scene.monotonic)


def test_a_lease_is_renewed_by_its_thread_while_a_step_takes_its_time(scene_class: type[Scene]) -> None:
    with scene_class() as scene:
        held = Lease(scene.repository, monotonic=scene.monotonic)
        minutes = iter(range(20))

        def wait(_: float) -> bool:
            scene.clock.advance(minutes=1)
            return next(minutes, None) is None

        held.beat(wait)
        with pytest.raises(MaintenanceBusyError):
            Lease(scene.connect(), monotonic=scene.monotonic)
        held.check()
        held.release()
        held.beat(lambda _: False)  # ends: what was given back is not taken again
        assert scene.blobs(LEASE_PREFIX) == []


class Unreachable(StorageWrapper):
    """A storage that fails for as long as it is told to."""

    down = False

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        if self.down:
            raise StorageUnavailableError("no answer")
        return super().put(blob_id, data, options)


def test_a_lease_that_could_not_be_renewed_in_time_is_taken_again_if_nobody_else_has_it() -> None:
    with Scene() as scene:
        storage = Unreachable(scene.storage)
        held = Lease(connect(storage, PASSWORD, client=OTHER), monotonic=scene.monotonic)
        storage.down = True
        minutes = iter(range(14))

        def wait(_: float) -> bool:
            scene.clock.advance(minutes=1)
            return next(minutes, None) is None

        held.beat(wait)
        storage.down = False
        held.check()
        with pytest.raises(MaintenanceBusyError, match="bob@den"):
            Lease(scene.connect(), monotonic=scene.monotonic)
        held.release()


def test_what_the_thread_finds_out_is_told_by_the_next_check(scene_class: type[Scene]) -> None:
    with scene_class() as scene:
        gone = Lease(scene.repository, monotonic=scene.monotonic)
        scene.clock.advance(minutes=11)
        taken = Lease(scene.connect(), monotonic=scene.monotonic)
        gone.beat(lambda _: False)
        for _ in range(2):
            with pytest.raises(MaintenanceBusyError, match="ended before it was renewed"):
                gone.check()
        taken.check()
        taken.release()


@pytest.mark.parametrize("first_looks", [True, False])
def test_of_a_late_holder_and_a_new_one_at_most_one_goes_on(first_looks: bool) -> None:
    """The late one has looked and writes; the new one takes the lease before or after that write."""
    with Scene() as scene:
        new: list[Lease] = []

        class Between(StorageWrapper):
            def put(
                self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS
            ) -> BlobMetadata | None:
                late = blob_id in scene.blobs(LEASE_PREFIX)
                if late and first_looks:
                    new.append(Lease(scene.connect(), monotonic=scene.monotonic))
                done = super().put(blob_id, data, options)
                if late and not first_looks:
                    with pytest.raises(MaintenanceBusyError):
                        Lease(scene.connect(), monotonic=scene.monotonic)
                return done

        held = Lease(connect(Between(scene.storage), PASSWORD, client=OTHER), monotonic=scene.monotonic)
        scene.clock.advance(minutes=11)
        if first_looks:
            with pytest.raises(MaintenanceBusyError, match="ended before it was renewed"):
                held.check()
        else:
            held.check()


def test_a_late_holder_leaves_the_lease_of_another_that_has_the_same_number_alone() -> None:
    with Scene() as scene:
        late = Lease(scene.repository, monotonic=scene.monotonic)
        scene.clock.advance(minutes=11)
        Lease(scene.connect(), monotonic=scene.monotonic).release()
        third = Lease(scene.connect(), monotonic=scene.monotonic)
        with pytest.raises(MaintenanceBusyError, match="stops here"):
            late.check()
        late.release()
        with pytest.raises(MaintenanceBusyError, match="is being maintained"):
            Lease(scene.connect(), monotonic=scene.monotonic)
        third.check()
        third.release()
        assert scene.blobs(LEASE_PREFIX) == []


def test_a_holder_that_was_suspended_while_it_renewed_its_lease_stops() -> None:
    """It has looked; before it writes, another maintenance takes the lease and ends."""
    with Scene() as scene:

        class Suspended(StorageWrapper):
            def put(
                self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS
            ) -> BlobMetadata | None:
                if blob_id in scene.blobs(LEASE_PREFIX):
                    scene.clock.advance(minutes=11)
                    Lease(scene.connect(), monotonic=scene.monotonic).release()
                return super().put(blob_id, data, options)

        held = Lease(connect(Suspended(scene.storage), PASSWORD, client=OTHER), monotonic=scene.monotonic)
        scene.clock.advance(minutes=2)
        for _ in range(2):
            with pytest.raises(MaintenanceBusyError, match="stops here"):
                held.check()


@pytest.mark.parametrize("error", [None, ClockError("the machine slept")])
def test_a_storage_that_fails_at_the_end_changes_neither_result_nor_error(
    error: ClockError | None, caplog: pytest.LogCaptureFixture
) -> None:
    with Scene() as scene:

        class NoDeletes(StorageWrapper):
            def delete(self, blob_id: BlobID) -> None:
                raise StorageUnavailableError("no answer")

        repository = connect(NoDeletes(scene.storage), PASSWORD, client=OTHER)
        expected = pytest.raises(ClockError) if error else contextlib.nullcontext()
        with expected, maintaining(repository, monotonic=scene.monotonic):
            if error:
                raise error
        assert "ends by itself" in caplog.text


def test_a_lease_that_was_deleted_is_lost() -> None:
    with Scene() as scene:
        held = Lease(scene.repository, monotonic=scene.monotonic)
        scene.storage.delete(scene.blobs(LEASE_PREFIX)[0])
        scene.clock.advance(minutes=6)
        with pytest.raises(MaintenanceBusyError, match="stops here"):
            held.check()


def test_two_that_come_at_the_same_moment_never_both_go_on(scene_class: type[Scene]) -> None:
    """The second one looks, then the first one does all that it does, then the second one goes on."""
    with scene_class() as scene:
        first: list[Lease] = []

        class Between(StorageWrapper):
            def put(
                self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS
            ) -> BlobMetadata | None:
                if blob_id.startswith(LEASE_PREFIX) and not first:
                    first.append(Lease(scene.repository, monotonic=scene.monotonic))
                return super().put(blob_id, data, options)

        second = connect(Between(scene.storage), PASSWORD, client=OTHER)
        with pytest.raises(MaintenanceBusyError):
            Lease(second, monotonic=scene.monotonic)
        first[0].check()
        assert len(scene.blobs(LEASE_PREFIX)) == 1


def test_what_another_client_has_just_done_is_not_done_again() -> None:
    """It was due when this client looked, and is not due any more when it has the lease."""
    with Scene() as scene:
        scene.clock.advance(hours=25)

        class Between(StorageWrapper):
            done = False

            def put(
                self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS
            ) -> BlobMetadata | None:
                if blob_id.startswith(LEASE_PREFIX) and not self.done:
                    self.done = True
                    assert scene.maintain("full").mode == "full"
                return super().put(blob_id, data, options)

        late = connect(Between(scene.storage), PASSWORD, client=OWNER)
        result = scene.maintain("auto", late)
        assert (result.mode, result.reason) == (None, "nothing is due any more")
        assert scene.blobs(LEASE_PREFIX) == []


def test_a_stale_listing_does_not_hide_a_lease_where_there_is_put_if_absent() -> None:
    with EventualScene() as scene:
        scene.clock.advance(hours=1)
        held = Lease(scene.repository, monotonic=scene.monotonic)
        with pytest.raises(MaintenanceBusyError):
            Lease(scene.connect(), monotonic=scene.monotonic)
        held.release()
        Lease(scene.connect(), monotonic=scene.monotonic).release()


def test_a_lease_that_can_not_be_read_holds_until_its_time_is_over() -> None:
    with Scene() as scene:
        scene.storage.put(BlobID(f"{LEASE_PREFIX}3"), b"garbage")
        scene.storage.put(BlobID(f"{LEASE_PREFIX}what"), b"no lease")
        with pytest.raises(MaintenanceBusyError, match="can't be read"):
            Lease(scene.repository, monotonic=scene.monotonic)
        scene.clock.advance(hours=1)
        Lease(scene.repository, monotonic=scene.monotonic).release()
        assert find_leases(scene.repository) == []


@pytest.mark.parametrize("minutes", [-6, 6])
def test_clocks_that_differ_stop_everything_before_anything_is_done(minutes: int) -> None:
    with Scene() as scene:
        scene.write(b"unused")
        before = scene.blobs()
        local = FakeClock(scene.clock.now_ns)
        local.advance(minutes=minutes)
        with clock.replaced(local), pytest.raises(ClockError, match="set the clock"):
            scene.repository.maintenance.run("full", monotonic=scene.monotonic)
        assert scene.blobs() == before


def test_a_machine_that_slept_stops() -> None:
    with Scene() as scene:
        steady = 0.0
        held = Lease(scene.repository, monotonic=lambda: steady)
        held.check()
        scene.clock.advance(hours=3)
        with pytest.raises(ClockError, match="slept"):
            held.check()


def hold(config: Path, taken: Callable[[], None], release: Callable[[], bool]) -> None:
    with local_lock(config):
        taken()
        release()


def test_a_process_of_this_machine_has_to_wait_for_another(tmp_path: Path) -> None:
    config = tmp_path / "repository.config"
    context = multiprocessing.get_context("spawn")
    taken, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(config, taken.set, release.wait))
    other.start()
    assert taken.wait(60)
    with pytest.raises(MaintenanceBusyError, match="mlock"), local_lock(config):
        pass
    release.set()
    other.join(60)
    with local_lock(config):
        assert (tmp_path / "repository.config.mlock").stat().st_mode & 0o777 == 0o600


def test_no_lock_file_is_no_obstacle(tmp_path: Path) -> None:
    with local_lock(None), local_lock(tmp_path / "no such folder" / "c"):
        pass


def test_leases_say_who_holds_them_and_nobody_else_can_read_it() -> None:
    with Scene() as scene:
        held = Lease(scene.repository, monotonic=scene.monotonic)
        (found,) = find_leases(scene.repository)
        assert str(found) == f"ann@box (process {os.getpid()}, since 2026-01-01T00:00:00Z)"
        assert b"ann" not in scene.storage.get(found.blob.blob_id)
        held.release()


def owner_of(repository: Repository) -> str:
    return repository.maintenance.parameters().owner


def test_the_client_of_the_scene_is_the_owner() -> None:
    with Scene() as scene:
        assert owner_of(scene.repository) == f"{OWNER.username}@{OWNER.hostname}"
