"""The pool of threads: bounded, in any order, and stopped by the first error."""

import threading
from collections.abc import Iterator

import pytest

from pykopia.crew import Crew, in_parallel


def test_every_task_is_done_when_the_block_ends() -> None:
    done: list[int] = []
    with Crew[None](3, most=2) as crew:
        for number in range(50):
            crew.submit(done.append, number)
            assert crew.under_way <= 2
    assert sorted(done) == list(range(50))


def test_tasks_can_be_submitted_while_results_are_taken() -> None:
    found = []
    with Crew[int](4) as crew:
        crew.submit(int, 5)
        for result in crew.results():
            found.append(result)
            for _ in range(2 if result else 0):
                crew.submit(int, result - 1)
    assert sorted(found) == sorted(value for value in range(6) for _ in range(2 ** (5 - value)))


def fail(text: str) -> None:
    raise ValueError(text)


def test_the_first_error_is_raised_and_drops_what_has_not_begun() -> None:
    begun: list[int] = []
    release = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        release.wait(60)

    with pytest.raises(ValueError, match="broken"), Crew[None](2) as crew:  # noqa: PT012 -- one block is what is tested
        crew.submit(fail, "broken")
        while not crew.stopped:
            pass
        for number in range(2):
            crew.submit(work, number)
        for number in range(2, 100):
            crew.submit(work, number)
        threading.Timer(0, release.set).start()
        crew.drain()
    assert begun == []


def test_an_error_of_the_block_ends_it_without_the_queued_tasks() -> None:
    begun: list[int] = []
    release = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        release.wait(60)

    with pytest.raises(KeyboardInterrupt), Crew[None](1) as crew:  # noqa: PT012
        for number in range(10):
            crew.submit(work, number)
        release.set()
        raise KeyboardInterrupt
    assert len(begun) <= 10
    with pytest.raises(RuntimeError):
        crew.submit(work, 11)


def test_an_error_of_a_task_is_raised_where_the_next_is_submitted() -> None:
    with pytest.raises(ValueError, match="broken"), Crew[None](1, most=1) as crew:  # noqa: PT012
        crew.submit(fail, "broken")
        crew.submit(fail, "too late")


def test_mapped_results_come_in_the_order_of_the_items_however_long_each_takes() -> None:
    first = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert first.wait(60)
        elif number == 3:
            first.set()
        return number * number

    with Crew[int](4) as crew:
        assert list(crew.map(work, range(20))) == [number * number for number in range(20)]


def test_a_bounded_map_takes_items_as_there_is_room() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    with Crew[int](2, most=3) as crew:
        for found in crew.map(abs, items()):
            assert len(taken) <= found + 3


def test_a_map_that_fails_raises_the_first_error_and_begins_nothing_more() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        fail(f"broken {number}")

    with pytest.raises(ValueError, match="broken 0"), Crew[None](1) as crew:
        list(crew.map(work, range(100)))
    assert begun == [0]


def test_the_end_of_an_abandoned_map_waits_for_what_has_begun() -> None:
    done: list[int] = []
    with Crew[None](1) as crew:
        next(crew.map(done.append, range(100)))
    seen = list(done)
    assert seen == list(range(len(seen)))


def test_an_error_of_the_block_stops_tasks_that_look_for_it() -> None:
    begun = threading.Event()

    def work(crew: Crew[None]) -> None:
        begun.set()
        while not crew.stopped:
            pass

    with pytest.raises(KeyboardInterrupt), Crew[None](1) as crew:  # noqa: PT012
        crew.submit(work, crew)
        assert begun.wait(60)
        raise KeyboardInterrupt


def test_waiting_calls_what_is_to_be_called_meanwhile() -> None:
    release = threading.Event()
    with Crew[bool](1) as crew:
        crew.submit(release.wait, 60)
        crew.drain(meanwhile=release.set)
    assert release.is_set()


def test_work_in_parallel_needs_no_thread_for_one_item() -> None:
    assert in_parallel(lambda _: threading.current_thread(), [0], threads=4, name="x") == [threading.current_thread()]
    assert in_parallel(abs, [-3, 2, -1], threads=2, name="x") == [3, 2, 1]
    assert in_parallel(abs, [], threads=2, name="x") == []
    with pytest.raises(ValueError, match="broken"):
        in_parallel(fail, ["broken", "broken"], threads=2, name="x")
