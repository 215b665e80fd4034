"""The stores that follow the API server, and the queue that the workers take keys from."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pykopia_operator.control import controller
from pykopia_operator.control.queue import FIRST_DELAY, LONGEST_DELAY, WorkQueue
from pykopia_operator.control.reconciler import Surroundings
from pykopia_operator.control.watches import LONGEST_PAUSE, MISSING_PAUSE, Store
from pykopia_operator.errors import ApiError, OperatorError, UnreachableError
from pykopia_operator.settings import Settings

from tests.operator.fake_api import Clock, FakeApi

Obj = dict[str, Any]


def secret(name: str, version: int) -> Obj:
    return {"kind": "Secret", "metadata": {"namespace": "prod", "name": name, "resourceVersion": str(version)}}


class Script:
    """An API server that answers lists and watches as a test wrote down; an exception in a place is raised there."""

    def __init__(self, *answers: Sequence[Obj | tuple[str, Obj] | Exception] | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def _next(self) -> Any:
        if not self._answers:
            raise asyncio.CancelledError
        return self._answers.pop(0)

    async def list(self, kind: str, namespace: str = "", **_: Any) -> tuple[list[Obj], str]:
        answer = self._next()
        self.asked.append("list")
        if isinstance(answer, Exception):
            raise answer
        return answer, "100"

    async def watch(self, kind: str, namespace: str, version: str, **_: Any) -> AsyncIterator[tuple[str, Obj]]:
        answer = self._next()
        self.asked.append(f"watch from {version}")
        if isinstance(answer, Exception):
            raise answer
        for each in answer:
            if isinstance(each, Exception):
                raise each
            yield each


def follow(script: Script, *, keep: bool = True) -> tuple[list[tuple[str, str]], list[float], Store]:
    """Run a store until the script ends; return the changes, the pauses and the store."""
    changes: list[tuple[str, str]] = []
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    def on_change(change: str, obj: Obj) -> None:
        changes.append((change, obj["metadata"]["name"]))

    async def scene() -> Store:
        store = Store(script, "Secret", on_change, keep=keep, pause=pause)  # type: ignore[arg-type]
        with pytest.raises(asyncio.CancelledError):
            await store.run()
        return store

    return changes, pauses, asyncio.run(scene())


def test_a_watch_goes_on_where_the_last_one_ended() -> None:
    bookmark = ("BOOKMARK", {"kind": "Secret", "metadata": {"resourceVersion": "180"}})
    script = Script([secret("a", 1)], [("MODIFIED", secret("a", 150)), bookmark], [("ADDED", secret("b", 190))])
    changes, pauses, store = follow(script)
    assert script.asked == ["list", "watch from 100", "watch from 180"]
    assert changes == [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b")]
    assert pauses == []
    assert store.synced.is_set()
    assert {each["metadata"]["name"] for each in store.all()} == {"a", "b"}


@pytest.mark.parametrize("keep", [True, False])
def test_after_an_expired_version_only_what_changed_meanwhile_is_reported(keep: bool) -> None:
    before = [secret("same", 1), secret("changed", 2), secret("gone", 3)]
    after = [secret("same", 1), secret("changed", 50), secret("new", 51)]
    expired = ApiError(410, "Expired", "too old resource version")
    changes, pauses, store = follow(Script(before, [expired], after), keep=keep)
    assert changes[3:] == [("MODIFIED", "changed"), ("ADDED", "new"), ("DELETED", "gone")]
    assert pauses == []
    assert store.get("prod", "gone") is None
    assert (store.get("prod", "new") is not None) is keep


def test_a_broken_watch_lists_again_after_a_pause_that_grows() -> None:
    errors = [UnreachableError("x")] * 9
    changes, pauses, store = follow(Script(*errors, [secret("a", 1)], [UnreachableError("x")], [secret("a", 1)]))
    assert pauses[:9] == sorted(pauses[:9])
    assert max(pauses) == LONGEST_PAUSE
    assert pauses[9] <= 1.0  # a success begins the pauses anew
    assert changes == [("ADDED", "a")]
    assert store.synced.is_set()


def test_a_kind_that_is_not_installed_is_an_empty_store_and_asked_for_now_and_then() -> None:
    _, pauses, store = follow(Script(ApiError(404, "NotFound", "x"), ApiError(404, "NotFound", "x"), [secret("a", 1)]))
    assert pauses == [MISSING_PAUSE, MISSING_PAUSE]
    assert store.synced.is_set()


def test_a_refusal_does_not_end_the_store() -> None:
    changes, pauses, _ = follow(Script(ApiError(403, "Forbidden", "x"), [secret("a", 1)]))
    assert changes == [("ADDED", "a")]
    assert len(pauses) == 1


# The queue


class Hands:
    """A queue with a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queue: WorkQueue[str] = WorkQueue(lambda: self.now)

    async def take(self) -> str | None:
        """Return the next key, None if none is due."""
        task = asyncio.create_task(self.queue.get())
        for _ in range(3):
            await asyncio.sleep(0)
        if task.done():
            return task.result()
        task.cancel()
        return None


def played(scene: Callable[[Hands], Any]) -> Any:
    async def run() -> Any:
        return await scene(Hands())

    return asyncio.run(run())


def test_a_key_is_queued_once_however_often_it_is_added() -> None:
    async def scene(hands: Hands) -> list[str | None]:
        for key in ("a", "b", "a", "a"):
            hands.queue.add(key)
        return [await hands.take() for _ in range(3)]

    assert played(scene) == ["a", "b", None]


def test_a_key_that_changes_while_a_worker_has_it_comes_again_when_that_is_done() -> None:
    async def scene(hands: Hands) -> list[str | None]:
        hands.queue.add("a")
        found = [await hands.take()]
        hands.queue.add("a")
        found.append(await hands.take())  # no second worker gets it
        hands.queue.done("a")
        found.append(await hands.take())
        hands.queue.done("a")
        found.append(await hands.take())
        return found

    assert played(scene) == ["a", None, "a", None]


def test_a_later_time_does_not_replace_an_earlier_one() -> None:
    async def scene(hands: Hands) -> list[str | None]:
        hands.queue.add_after("a", 10)
        hands.queue.add_after("a", 60)
        found = []
        for moment in (9.9, 10.0, 60.0):
            hands.now = moment
            found.append(await hands.take())
            if found[-1]:
                hands.queue.done("a")
        return found

    assert played(scene) == [None, "a", None]


def test_pauses_after_failures_double_up_to_a_limit_and_begin_anew_after_a_success() -> None:
    hands = Hands()
    pauses = [hands.queue.failed("a") for _ in range(12)]
    assert pauses[:4] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
    assert pauses[-1] == LONGEST_DELAY
    hands.queue.succeeded("a")
    assert hands.queue.failed("a") == FIRST_DELAY


def test_a_forgotten_key_does_not_come() -> None:
    async def scene(hands: Hands) -> list[str | None]:
        hands.queue.add("a")
        hands.queue.add_after("b", 5)
        hands.queue.forget("a")
        hands.queue.forget("b")
        hands.now = 10
        return [await hands.take()]

    assert played(scene) == [None]


@given(st.lists(st.tuples(st.sampled_from(["add", "later", "take", "done"]), st.sampled_from("abc"))))
def test_no_key_is_ever_with_two_workers_and_none_is_lost(steps: list[tuple[str, str]]) -> None:
    async def scene(hands: Hands) -> None:
        active: set[str] = set()
        owed: set[str] = set()
        for step, key in steps:
            if step == "add":
                hands.queue.add(key)
                owed.add(key)
            elif step == "later":
                hands.queue.add_after(key, 1)
                owed.add(key)
            elif step == "take":
                hands.now += 2
                taken = await hands.take()
                if taken:
                    assert taken not in active
                    active.add(taken)
                    owed.discard(taken)
            elif key in active:
                hands.queue.done(key)
                active.discard(key)
        for key in active:
            hands.queue.done(key)
        hands.now += 2
        came = set()
        while taken := await hands.take():
            came.add(taken)
            hands.queue.done(taken)
        assert came >= owed

    played(scene)


def test_a_kind_that_may_not_be_listed_ends_the_operator_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "SYNC_SECONDS", 0.05)
    clock = Clock()
    api = FakeApi(clock)

    def refuse(number: int, verb: str, kind: str, name: str) -> None:
        if (verb, kind) == ("list", "ConfigMap"):
            raise ApiError(403, "Forbidden", "may not list configmaps")

    api.before = refuse
    working = controller.Controller(api, Settings(), now=clock.now, around=Surroundings())
    with pytest.raises(OperatorError, match="objects of ConfigMap within"):
        asyncio.run(working.run())
