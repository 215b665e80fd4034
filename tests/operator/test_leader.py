"""The Lease of the leader: taken, renewed, lost, given up; by the clock of one process alone."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pykopia_operator.control.leader import LeaseLock, is_renewed_by_another
from pykopia_operator.errors import ApiError, UnreachableError

from tests.operator.fake_api import Clock, FakeApi, refusing

DURATION, DEADLINE, RETRY = 137.0, 107.0, 26.0


class Timeline:
    """Time that only pauses move."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.seconds = 0.0
        self.pauses = 0
        self.on_pause: Callable[[], None] = lambda: None

    async def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.move(seconds=seconds)
        self.pauses += 1
        assert self.pauses < 1000, "it waits for ever"
        self.on_pause()
        await asyncio.sleep(0)

    def lock(self, api: FakeApi, identity: str, *, clock: Clock | None = None) -> LeaseLock:
        return LeaseLock(
            api,
            "system",
            "lease",
            identity,
            lease_duration=DURATION,
            renew_deadline=DEADLINE,
            retry_period=RETRY,
            now=(clock or self.clock).now,
            monotonic=lambda: self.seconds,
            pause=self.pause,
        )


def spec(api: FakeApi) -> dict[str, Any]:
    found: dict[str, Any] = api.must("Lease", "lease", "system")["spec"]
    return found


@pytest.fixture
def time() -> Timeline:
    return Timeline()


@pytest.fixture
def api(time: Timeline) -> FakeApi:
    return FakeApi(time.clock)


def test_the_first_process_takes_the_lease_at_once(time: Timeline, api: FakeApi) -> None:
    lock = time.lock(api, "one")
    asyncio.run(lock.acquire())
    assert lock.is_leader
    assert time.seconds == 0
    assert (spec(api)["holderIdentity"], spec(api)["leaseDurationSeconds"]) == ("one", 137)


@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_a_lease_that_is_not_renewed_is_taken_after_its_duration_whatever_the_clock_of_its_holder_said(
    time: Timeline, api: FakeApi, hours: int
) -> None:
    wrong = Clock(time.clock.now() + timedelta(hours=hours))
    asyncio.run(time.lock(api, "one", clock=wrong).acquire())
    time.seconds = 5000.0
    lock = time.lock(api, "two")
    asyncio.run(lock.acquire())
    assert lock.is_leader
    assert DURATION <= time.seconds - 5000 <= DURATION + RETRY
    assert (spec(api)["holderIdentity"], spec(api)["leaseTransitions"]) == ("two", 1)


def test_a_lease_that_is_renewed_is_never_taken(time: Timeline, api: FakeApi) -> None:
    first, second = time.lock(api, "one"), time.lock(api, "two")

    async def scene() -> None:
        await first.acquire()
        waiting = asyncio.create_task(second.acquire())
        keeping = asyncio.create_task(first.keep())
        while time.seconds < 20 * DURATION:
            await asyncio.sleep(0)
        assert not waiting.done()
        assert not keeping.done()
        waiting.cancel()
        keeping.cancel()

    asyncio.run(scene())
    assert first.is_leader
    assert not second.is_leader
    assert spec(api)["holderIdentity"] == "one"


def test_of_two_processes_that_race_for_a_new_lease_one_gets_it(time: Timeline, api: FakeApi) -> None:
    first, second = time.lock(api, "one"), time.lock(api, "two")

    async def scene() -> None:
        seen = asyncio.Event()
        read = api.get

        async def both_read_first(kind: str, namespace: str, name: str) -> Any:
            found = await read(kind, namespace, name)
            if seen.is_set():
                return found
            await asyncio.sleep(0)
            return found

        api.get = both_read_first  # type: ignore[method-assign]
        tasks = [asyncio.create_task(each.acquire()) for each in (first, second)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        seen.set()
        for each in tasks:
            each.cancel()

    asyncio.run(scene())
    assert sorted([first.is_leader, second.is_leader]) == [False, True]


def test_a_conflict_while_taking_an_expired_lease_leaves_it_to_the_other(time: Timeline, api: FakeApi) -> None:
    asyncio.run(time.lock(api, "gone").acquire())
    lock = time.lock(api, "late")

    def another_is_quicker(number: int, verb: str, kind: str, name: str) -> None:
        if verb == "patch" and spec(api)["holderIdentity"] == "gone":
            api.change("Lease", "lease", {"spec": {"holderIdentity": "quick"}}, "system")

    api.before = another_is_quicker

    async def scene() -> None:
        task = asyncio.create_task(lock.acquire())
        while spec(api)["holderIdentity"] != "quick":
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()

    asyncio.run(scene())
    assert spec(api)["holderIdentity"] == "quick"


@pytest.mark.parametrize("error", [ApiError(500, "InternalError", "x"), UnreachableError("x")])
def test_a_holder_that_cannot_renew_gives_up_before_another_may_take_over(
    time: Timeline, api: FakeApi, error: Exception
) -> None:
    lock = time.lock(api, "one")
    asyncio.run(lock.acquire())

    def refuse(number: int, verb: str, kind: str, name: str) -> None:
        raise error

    api.before = refuse
    asyncio.run(lock.keep())
    assert not lock.is_leader
    assert DEADLINE <= time.seconds < DURATION


def test_an_api_server_that_hangs_costs_the_lease_in_time(time: Timeline, api: FakeApi) -> None:
    """The last attempt may only take what is left of the deadline."""
    lock = time.lock(api, "one")
    asyncio.run(lock.acquire())
    granted: list[float] = []
    real = asyncio.timeout

    def timeout(seconds: float | None) -> asyncio.Timeout:
        assert seconds is not None
        granted.append(time.seconds + seconds)
        return real(0)

    async def hang(kind: str, namespace: str, name: str) -> Any:
        time.seconds = granted[-1]
        await asyncio.Event().wait()

    api.before = refusing(len(api.calls), 500)  # one attempt fails, the next one hangs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "timeout", timeout)
        time.on_pause = lambda: setattr(api, "get", hang) if time.pauses == 2 else None
        asyncio.run(lock.keep())
    assert not lock.is_leader
    assert time.seconds < DURATION


def test_a_short_failure_does_not_cost_the_lease(time: Timeline, api: FakeApi) -> None:
    lock = time.lock(api, "one")
    asyncio.run(lock.acquire())
    number = len(api.calls)
    api.before = refusing(number, 503)

    async def scene() -> None:
        task = asyncio.create_task(lock.keep())
        while time.seconds < 5 * DEADLINE:
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()

    asyncio.run(scene())
    assert lock.is_leader


def test_a_released_lease_is_taken_at_once(time: Timeline, api: FakeApi) -> None:
    first, second = time.lock(api, "one"), time.lock(api, "two")
    asyncio.run(first.acquire())
    asyncio.run(first.release())
    assert not first.is_leader
    asyncio.run(second.acquire())
    assert second.is_leader
    assert time.seconds == 0


def test_a_lease_of_another_is_not_released(time: Timeline, api: FakeApi) -> None:
    asyncio.run(time.lock(api, "one").acquire())
    asyncio.run(time.lock(api, "two").release())
    assert spec(api)["holderIdentity"] == "one"


def test_a_lease_counts_as_held_while_it_is_renewed_by_another(time: Timeline, api: FakeApi) -> None:
    asyncio.run(time.lock(api, "one").acquire())
    lease, now = api.must("Lease", "lease", "system"), time.clock.now()
    assert is_renewed_by_another(lease, "two", now)
    assert not is_renewed_by_another(lease, "one", now)
    assert not is_renewed_by_another(lease, "two", now + timedelta(seconds=DURATION + 1))
    asyncio.run(time.lock(api, "one").release())
    assert not is_renewed_by_another(api.must("Lease", "lease", "system"), "two", now)
