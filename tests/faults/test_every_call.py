"""Whatever happens at any call of the storage, a repository opens afterwards, is whole, and takes snapshots.

Each program is run once for each of its calls and each fate of that call; the default run takes an even sample.
"""

from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.errors import PykopiaError
from pykopia.ids import BlobID
from pykopia.repository.options import NewRepositoryOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage
from pykopia.testing import CountingStorage, FakeClock, SimulatedCrash

from .campaign import CASES, check_all
from .harness import (
    CLIENT,
    CLOCK_STEPS,
    FATES,
    FATES_OF_MACHINES,
    PASSWORD,
    UNIQUE_ID,
    Fate,
    Ground,
    assert_sound,
    assert_survived,
    blob_ids,
    copy_of,
    count_calls,
    opened,
    run_until,
)
from .programs import PROGRAMS, ground_of, make_source, take_snapshot

SAMPLE = 3
"""Calls of each program and fate that the default run takes."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path / "source")


@pytest.mark.parametrize(("name", "fate"), CASES)
def test_a_repository_is_sound_after_a_fault(source: Path, name: str, fate: Fate) -> None:
    check_all(source, name, fate, 2 if fate in FATES_OF_MACHINES else SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fate"), CASES)
def test_a_repository_is_sound_after_a_fault_at_any_call(source: Path, name: str, fate: Fate) -> None:
    check_all(source, name, fate, None)


@pytest.mark.parametrize("fate", [fate for fate in FATES if fate not in {"torn", *FATES_OF_MACHINES}])
def test_a_creation_that_was_cut_off_is_done_again_or_was_finished(source: Path, fate: Fate) -> None:
    ground = Ground(MemoryStorage(), source)

    def program(storage: BlobStorage) -> None:
        options = NewRepositoryOptions(unique_id=UNIQUE_ID)
        create(storage, PASSWORD, options=options, client=CLIENT).close()

    for call in range(1, count_calls(ground, program) + 1):
        left = run_until(ground, program, call, fate).storage
        try:
            opened(left).close()
        except PykopiaError:
            program(left)
        assert_sound(ground, left)


def test_the_harness_notices_a_pack_that_is_missing(source: Path, time: FakeClock) -> None:
    ground = ground_of(source, time)
    ground.storage.delete(blob_ids(ground.storage, "p")[0])
    with pytest.raises(AssertionError):
        assert_sound(ground, ground.storage)


@pytest.mark.parametrize(
    ("name", "puts", "deletes"),
    [
        ("compact manifests", {"q", "xn"}, {"s"}),
        ("maintenance", {"xn", "xw", "q"}, {"q"}),
        ("maintenance of format 1", {"n", "m", "l", "q"}, {"n", "m", "p", "q"}),
        ("maintenance with epochs", {"xn", "xs", "xr", "xw"}, {"xn", "xe", "q"}),
    ],
)
def test_the_programs_do_what_they_are_there_for(
    source: Path, time: FakeClock, name: str, puts: set[str], deletes: set[str]
) -> None:
    make, version = PROGRAMS[name]
    ground = ground_of(source, time, version=version)
    program = make(ground)
    counting = CountingStorage(copy_of(ground.storage))
    program(counting)
    for method, kinds in (("put", puts), ("delete", deletes)):
        done = {call.blob_id for call in counting.calls(method)}  # type: ignore[arg-type]
        assert {kind for kind in kinds if any(name.startswith(kind) for name in done)} == kinds


def test_the_harness_notices_a_fault_that_is_never_reached(source: Path, time: FakeClock) -> None:
    ground = ground_of(source, time)
    program = take_snapshot(ground)
    for fate in FATES:
        left = run_until(ground, program, 10_000, fate)
        assert left.finished
        with pytest.raises(AssertionError, match="never made the call"):
            assert_survived(ground, left)


@pytest.mark.parametrize(("fate", "hours"), CLOCK_STEPS.items())
def test_the_harness_sets_the_clock_of_the_machine_alone_and_puts_it_right(
    source: Path, time: FakeClock, fate: Fate, hours: float
) -> None:
    ground = ground_of(source, time)
    ground.clock = still = FakeClock()
    start, seen = still.now_ns, []

    def program(storage: BlobStorage) -> None:
        storage.put(BlobID("z1"), b"")
        seen.append(still.now_ns)
        storage.put(BlobID("z2"), b"")
        seen.append(still.now_ns)

    with still.installed():
        left = run_until(ground, program, 2, fate)
    assert [(each - start) // 3_600_000_000_000 for each in seen] == [0, hours]
    assert [left.storage.metadata(BlobID(name)).timestamp_ns for name in ("z1", "z2")] == [start, start]
    assert still.now_ns == start


def test_the_harness_takes_the_cache_away(source: Path, time: FakeClock) -> None:
    ground = ground_of(source, time)
    ground.unchanged = True
    kept: list[int] = []

    def program(storage: BlobStorage) -> None:
        with opened(storage) as repository:
            for snapshot in repository.snapshots.list():
                repository.snapshots.verify([snapshot.id])
                kept.append(sum(each.usage.files for each in repository.caches.report()))

    run_until(ground, program, count_calls(ground, program, "cache lost"), "cache lost")
    assert kept[0] > 0
    assert kept[-1] == 0


def test_the_harness_kills(source: Path, time: FakeClock) -> None:
    ground = ground_of(source, time)
    program = take_snapshot(ground)
    last = count_calls(ground, program)
    before, after = blob_ids(ground.storage), blob_ids(run_until(ground, program, last, "death after").storage)
    assert blob_ids(run_until(ground, program, 1, "death").storage) == before
    assert len(after) > len(before)
    assert issubclass(SimulatedCrash, BaseException)
