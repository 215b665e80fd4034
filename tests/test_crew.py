"""The pool of threads: bounded, in any order, and stopped by the first error."""

import threading

import pytest

from pykopia.crew import Crew


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
