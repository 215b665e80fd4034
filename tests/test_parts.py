"""Parts of one thing by several threads: each is done once, an error ends it, nothing is under way afterwards."""

import threading

import pytest

from pykopia.crew import Parts


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_each_part_is_done_once_whoever_asks(parallel: int) -> None:
    parts = Parts[int](parallel)
    done: list[int] = []
    for _ in range(3):
        parts.run(done.append, range(50))
    parts.run(done.append, [])
    parts.close()
    assert sorted(done) == sorted([*range(50)] * 3)


def test_parts_are_done_at_the_same_time() -> None:
    parts = Parts[int](3)
    met = threading.Barrier(3, timeout=30)

    def meet(_: int) -> None:
        met.wait()

    parts.run(meet, range(3))
    parts.close()
    assert not met.broken


@pytest.mark.parametrize("parallel", [1, 4])
def test_after_an_error_no_part_is_begun_and_none_is_under_way(parallel: int) -> None:
    parts = Parts[int](parallel)
    begun: list[int] = []
    ended: list[int] = []

    def work(part: int) -> None:
        begun.append(part)
        try:
            if part == 5:
                raise OSError("full")
        finally:
            ended.append(part)

    with pytest.raises(OSError, match="full"):
        parts.run(work, range(100_000))
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 100_000
    parts.run(begun.append, [-1])  # and they can be used again
    assert begun[-1] == -1
    parts.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pykopia-part")]


def test_who_has_parts_does_not_wait_for_helpers_that_others_keep_busy() -> None:
    parts = Parts[int](2)
    release, begun = threading.Event(), threading.Barrier(3, timeout=30)

    def busy(_: int) -> None:
        begun.wait()
        release.wait(30)

    other = threading.Thread(target=parts.run, args=(busy, range(2)))
    other.start()
    begun.wait()  # the other caller and the only helper are at work
    done: list[int] = []
    parts.run(done.append, range(10))
    release.set()
    other.join()
    parts.close()
    assert done == [*range(10)]
