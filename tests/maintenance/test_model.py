"""Several writers, deletions and maintenance under a clock that jumps, on a storage whose listings are stale.

The model knows which snapshots there must be and what each needs. Nothing that a snapshot needs may ever be lost, and
what was dropped must not come back by itself. Writers keep to what Kopia asks of them (format 03 §17): none works for more than
three hours on an index, or without committing.
"""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.ids import ContentID, ManifestID
from pykopia.repository.options import ClientOptions
from pykopia.repository.writer import RepositoryWriter
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage
from pykopia.testing.eventual import EventuallyConsistentStorage
from tests.maintenance.scene import PASSWORD, Scene, data

HOUR = 3600 * 10**9
LONGEST_WORK = 3 * HOUR
"""Nanoseconds that a writer works without committing."""
STALE_SECONDS = 120
MAX_PACK_SIZE = 10 << 20


class StaleScene(Scene):
    """A scene whose listings show changes up to two minutes late."""

    chance = random.Random(0)

    def make_storage(self) -> BlobStorage:
        self.inner = MemoryStorage(clock=self.clock)
        return EventuallyConsistentStorage(
            self.inner, self.clock, delay=STALE_SECONDS, chance=lambda: self.chance.random()
        )


@dataclass
class Work:
    """A snapshot that is being taken."""

    repository: Repository
    writer: RepositoryWriter
    began: int
    contents: list[ContentID] = field(default_factory=list)


class Maintained(RuleBasedStateMachine):
    """Whatever the clients do, in whatever order."""

    snapshots = Bundle("snapshots")
    payloads = st.integers(0, 12)

    @initialize(version=st.sampled_from([1, 3]), seed=st.integers(0, 1000))
    def create(self, version: int, seed: int) -> None:
        self.scene = StaleScene(version=version, max_pack_size=MAX_PACK_SIZE)
        self.scene.chance = random.Random(seed)
        self.scene.__enter__()
        self.clients = [
            self.scene.repository,
            *(self.scene.connect(ClientOptions(username=name, hostname="den")) for name in ("bob", "cat")),
        ]
        self.work: dict[int, Work] = {}
        self.needed: dict[ManifestID, list[ContentID]] = {}
        self.dropped: set[ContentID] = set()
        self.checked: object = None

    # ------------------------------------------------------------------ writers

    @rule(client=st.integers(0, 2))
    def begin(self, client: int) -> None:
        if client not in self.work:
            repository = self.clients[client]
            repository.refresh()
            self.work[client] = Work(repository, repository.writer(), self.scene.clock.now_ns)

    @rule(client=st.integers(0, 2), payloads=st.lists(payloads, min_size=1, max_size=5))
    def write(self, client: int, payloads: list[int]) -> None:
        self.begin(client)
        work = self.work[client]
        for payload in payloads:
            content_id = work.writer.contents.write(data(50 + payload, payload))
            work.contents.append(content_id)
            self.dropped.discard(content_id)

    @rule(target=snapshots, client=st.integers(0, 2))
    def finish(self, client: int) -> object:
        return self._finish(client) if client in self.work else multiple()

    def _finish(self, client: int) -> ManifestID:
        work = self.work.pop(client)
        with work.writer:
            snapshot = self.scene.snapshot_by(work.writer, work.contents)
        self.needed[snapshot] = work.contents
        return snapshot

    @rule(client=st.integers(0, 2))
    def die(self, client: int) -> None:
        """The process is gone: its marker and packs stay."""
        if client in self.work:
            self.work.pop(client).writer.close()

    @rule(snapshot=consumes(snapshots), client=st.integers(0, 2))
    def delete(self, snapshot: ManifestID, client: int) -> None:
        repository = self.clients[client]
        self.scene.settle_listings()
        repository.refresh()
        repository.snapshots.delete(snapshot)
        del self.needed[snapshot]

    # ------------------------------------------------------------------ time and maintenance

    @rule(hours=st.sampled_from([0.01, 0.3, 1.5, 5, 13, 25, 30, 60]))
    def wait(self, hours: float) -> None:
        self.scene.clock.advance(hours=min(hours, 1.5))
        for client, work in list(self.work.items()):
            if self.scene.clock.now_ns - work.began + HOUR * hours > LONGEST_WORK:
                self._finish(client)
        self.scene.clock.advance(hours=max(0, hours - 1.5))

    @rule(client=st.integers(0, 2), mode=st.sampled_from(["full", "full", "full", "quick"]))
    def maintain(self, client: int, mode: str) -> None:
        assert mode in ("full", "quick")
        self.scene.maintain(mode, self.clients[client], force=True)  # type: ignore[arg-type]
        self._look_for_what_came_back()

    def _look_for_what_came_back(self) -> None:
        with self._fresh() as fresh:
            there = {entry.content_id for entry in fresh.contents.list("", "g", include_deleted=True)}
        assert not self.dropped & there
        known = {ContentID(each) for contents in self.needed.values() for each in contents}
        known |= {each for work in self.work.values() for each in work.contents}
        everything = {self.scene.content_id(data(50 + payload, payload)) for payload in range(13)}
        self.dropped |= everything - there - known

    def _fresh(self) -> Repository:
        """Open the repository as it really is."""
        return connect(self.scene.inner, PASSWORD, client=ClientOptions(username="eve", hostname="den"))

    # ------------------------------------------------------------------ what must hold

    @invariant()
    def nothing_needed_is_lost(self) -> None:
        if not hasattr(self, "scene"):
            return
        state = ([(blob.blob_id, blob.timestamp_ns) for blob in self.scene.inner.list()], dict(self.needed))
        if state == self.checked:
            return  # nothing was stored or deleted since the last look
        with self._fresh() as fresh:
            assert {each.id for each in fresh.snapshots.list()} == set(self.needed)
            for contents in self.needed.values():
                for content_id in contents:
                    fresh.contents.get(content_id, check=True)
        self.checked = state

    def teardown(self) -> None:
        if not hasattr(self, "scene"):
            return
        try:
            for client in list(self.work):
                self._finish(client)
            for _ in range(4):
                self.scene.clock.advance(hours=25)
                self.scene.maintain("full", force=True)
                self._look_for_what_came_back()
                self.nothing_needed_is_lost()
        finally:
            self.scene.__exit__(None, None, None)


at_length = settings().max_examples >= settings.get_profile("soak").max_examples
TestMaintained = Maintained.TestCase
TestMaintained.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)


class MaintainedForLonger(Maintained):
    """The same model, whose lives are more and longer."""


TestMaintainedForLonger = pytest.mark.slow(MaintainedForLonger.TestCase)
TestMaintainedForLonger.settings = settings(
    max_examples=300 if at_length else 50, stateful_step_count=100 if at_length else 40, deadline=None
)


def test_the_model_notices_a_loss() -> None:
    """What the machine looks for is found when it happens."""
    machine = Maintained()
    machine.create(version=3, seed=1)
    machine.write(client=0, payloads=[1, 2])
    machine.finish(client=0)
    machine.nothing_needed_is_lost()
    for pack in list(machine.scene.inner.list("p")):
        machine.scene.inner.delete(pack.blob_id)
    with pytest.raises(FileNotFoundError):
        machine.nothing_needed_is_lost()
    machine.scene.__exit__(None, None, None)
