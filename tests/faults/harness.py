"""Runs a program against a storage that fails at a chosen call, and looks at what is left behind.

Everything is in memory. What may happen at the n-th call of its storage: the call fails once and says so, it fails once after it
took effect, the program dies before or after the call, it dies and leaves half a blob behind, or it is interrupted by a signal
and can still clean up; or something happens to its machine: the clock is set to a wrong time until the program ends, or the cache
folder is replaced by a file, so that nothing in it can be read or written any more.
"""

import contextlib
import itertools
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from pykopia import clock
from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import PykopiaError
from pykopia.format.local_config import CachingOptions
from pykopia.ids import BlobID
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.options import ClientOptions
from pykopia.snapshot.verify import VerifyOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.testing import CountingStorage, FakeClock, FaultyStorage, SimulatedCrash
from pykopia.testing.intercepting import Call, InterceptingStorage

_T = TypeVar("_T")
Effect = Literal["before", "after", "torn"]

PASSWORD = "correct horse"
UNIQUE_ID = b"the same, so keys are cached ..."
CLIENT = ClientOptions(username="ann", hostname="box")

Fate = Literal[
    "error", "lost answer", "death", "death after", "torn", "interrupt", "clock ahead", "clock back", "cache lost"
]
FATES: tuple[Fate, ...] = (
    "error", "lost answer", "death", "death after", "torn", "interrupt", "clock ahead", "clock back", "cache lost",
)  # fmt: skip
CLOCK_STEPS: dict[Fate, float] = {"clock ahead": 26, "clock back": -26}
"""Hours by which the clock of the machine is set: more than the safety margins of maintenance."""
STEP_NS = 1_000_000
"""Nanoseconds by which the clock goes on with each look, so that no two times are equal."""
FATES_OF_MACHINES: tuple[Fate, ...] = (*CLOCK_STEPS, "cache lost")

_caching: ContextVar[CachingOptions | None] = ContextVar("_caching", default=None)
"""The cache of the programs that run: none, but for those that lose theirs."""

Program = Callable[[BlobStorage], object]
Check = Callable[[MemoryStorage, bool], None]


@dataclass
class Ground:
    """A repository before a program runs: its blobs, and what must be there whatever happens."""

    storage: MemoryStorage
    source: Path
    keeps: set[str] = field(default_factory=set)
    """Snapshots that must be there afterwards."""
    passwords: tuple[str, ...] = (PASSWORD,)
    """One of these opens it afterwards."""
    clock: FakeClock = field(default_factory=lambda: FakeClock(step_ns=STEP_NS))
    """The time of the repository, the program and what comes after it, where all of them run in this process."""
    unchanged: bool = False
    """Whether the program only reads."""
    check: "Check | None" = None
    """Looks at what the program leaves elsewhere; takes the blobs that are left and whether the program came to its end."""
    finish: "Program | None" = None
    """What a person does next, before the repository is whole again: such as going on with an upgrade."""


def copy_of(storage: MemoryStorage, time: Callable[[], int] = clock.now) -> MemoryStorage:
    """Return a storage with the same blobs and times, and a clock of its own."""
    copy = MemoryStorage(clock=time)
    for blob in storage.list():
        copy.put(blob.blob_id, storage.get(blob.blob_id), PutOptions(set_mtime_ns=blob.timestamp_ns))
    return copy


def opened(storage: BlobStorage, password: str = PASSWORD) -> Repository:
    return connect(storage, password, client=CLIENT, caching=_caching.get())


def count_calls(ground: Ground, program: Program, fate: Fate = "error") -> int:
    """Return how many calls of the storage a program makes that nothing happens to."""
    if fate == "cache lost":
        return _run_with_cache(copy_of(ground.storage), program, call=0).calls
    counting = CountingStorage(copy_of(ground.storage))
    program(counting)
    return counting.count()


def calls_to_fail(count: int, most: int | None) -> Iterator[int]:
    """Yield the numbers of calls to try: all, or ``most`` evenly spread ones with the first and the last."""
    if most is None or count <= most:
        yield from range(1, count + 1)
        return
    yield from sorted({1 + round(step * (count - 1) / (most - 1)) for step in range(most)})


@dataclass(frozen=True)
class Left:
    """What a program left that met its fate."""

    storage: MemoryStorage
    reached: bool
    """Whether the call was made that should fail."""
    finished: bool
    """Whether the program came to its end."""


def run_until(ground: Ground, program: Program, call: int, fate: Fate) -> Left:
    """Run a program that meets its fate at a call."""
    if fate in CLOCK_STEPS:
        return _run_with_wrong_clock(ground, program, call, CLOCK_STEPS[fate])
    left = copy_of(ground.storage)
    if fate == "interrupt":
        return _interrupted(left, program, call)
    if fate == "cache lost":
        return Left(left, reached=_run_with_cache(left, program, call).reached, finished=True)
    storage = FaultyStorage(left)
    if fate == "error":
        fault = storage.fail(at=call)
    elif fate == "lost answer":
        fault = storage.fail(at=call, effect="after")
    else:
        effect: Effect = "before" if fate == "death" else "after" if fate == "death after" else "torn"
        fault = storage.kill(at=call, effect=effect)
    finished = False
    try:
        program(storage)
        finished = True
    except SimulatedCrash:
        assert fate not in {"error", "lost answer"}
    except PykopiaError:
        pass
    return Left(left, fault.hits > 0, finished)


class _EventfulStorage(InterceptingStorage):
    """Lets something happen before one call."""

    def __init__(self, inner: BlobStorage, call: int, event: Callable[[], object], *, far: bool = False) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._call, self._event, self._far = call, event, far
        self.calls = 0

    @property
    def reached(self) -> bool:
        """Whether it has happened."""
        return 0 < self._call <= self.calls

    @property
    def is_local(self) -> bool:
        """Whether nothing is to be gained by caches."""
        return not self._far

    def intercept(self, call: Call, proceed: Callable[[], _T]) -> _T:
        """Let it happen if it is time to, and pass the call on."""
        with self._lock:
            self.calls += 1
            number = self.calls
        if number == self._call:
            self._event()
        return proceed()


def _interrupted(left: MemoryStorage, program: Program, call: int) -> Left:
    """Run a program whose main thread gets a signal, as from a person who presses Ctrl-C."""
    storage = _EventfulStorage(
        left, call, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    )
    armed, finished = True, False

    def interrupt(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        program(storage)
        armed, finished = False, True
    except (KeyboardInterrupt, PykopiaError):
        pass
    finally:
        armed = False
        signal.signal(signal.SIGUSR1, before)
    return Left(left, storage.reached, finished)


def _run_with_wrong_clock(ground: Ground, program: Program, call: int, hours: float) -> Left:
    """Run a program while the clock of its machine, and not that of the storage, is set; it is put right afterwards."""
    time, wrong_ns = ground.clock, 0

    def step() -> None:
        nonlocal wrong_ns
        wrong_ns = round(hours * 3600 * 1_000_000_000)
        time.advance(hours=hours)

    left, finished = copy_of(ground.storage, lambda: time.now_ns - wrong_ns), False
    storage = _EventfulStorage(left, call, step)
    try:
        program(storage)
        finished = True
    except PykopiaError:
        pass
    finally:
        if wrong_ns:
            time.advance(hours=-hours)
            wrong_ns = 0
    return Left(left, storage.reached, finished)


def _run_with_cache(left: MemoryStorage, program: Program, call: int) -> _EventfulStorage:
    """Run a program that loses its cache at a call; it must not even notice."""
    with tempfile.TemporaryDirectory(prefix="pykopia-cache-") as parent:
        folder = Path(parent) / "cache"

        def lose() -> None:
            for number in itertools.count():  # other threads may make it again meanwhile
                with contextlib.suppress(FileNotFoundError):
                    folder.rename(folder.with_name(f"gone-{number}"))
                with contextlib.suppress(FileExistsError):
                    folder.touch(exist_ok=False)
                    return

        size = 1 << 20
        options = CachingOptions(
            cache_directory=str(folder), content_cache_size_bytes=size, metadata_cache_size_bytes=size
        )
        storage = _EventfulStorage(left, call, lose, far=True)
        token = _caching.set(options)
        try:
            program(storage)
        finally:
            _caching.reset(token)
    return storage


def assert_survived(ground: Ground, left: Left, *, torn: bool = False) -> None:
    """Assert that a fault was met, and that all is as it should be after it (see ``assert_sound``)."""
    assert left.reached, "the program never made the call that should fail"
    if ground.unchanged:
        assert blob_ids(left.storage) == blob_ids(ground.storage)
    assert_sound(ground, left.storage, torn=torn)
    if ground.check is not None:
        ground.check(left.storage, left.finished)


def assert_sound(ground: Ground, left: MemoryStorage, *, torn: bool = False) -> None:
    """Assert that a repository opens, that all of it can be read, that it takes a snapshot, and again all can be read."""
    if ground.finish is not None:
        ground.finish(left)
    with reopened(ground, left) as repository:
        if torn and repository.contents.indexes.damaged:
            # what was torn is named, and nothing that was finished before depends on it
            assert_snapshots_whole(ground, repository)
            recover_index(repository, RecoveryOptions(commit=True, ignore_errors=True))
        assert_everything_whole(ground, repository)
        taken = repository.snapshots.create(ground.source)
        assert not taken.errors
    with reopened(ground, left) as repository:
        assert taken.manifest.id in {each.id for each in repository.snapshots.list()}
        assert_everything_whole(ground, repository)


def reopened(ground: Ground, left: MemoryStorage) -> Repository:
    """Open with the one of the passwords that fits."""
    for password in ground.passwords[:-1]:
        try:
            return opened(left, password)
        except PykopiaError:
            continue
    return opened(left, ground.passwords[-1])


def assert_everything_whole(ground: Ground, repository: Repository) -> None:
    """Assert that each snapshot and each content of the index can be read, and that nothing is damaged."""
    indexes = repository.contents.indexes
    assert dict(indexes.damaged) == {}
    assert repository.snapshots.list_unreadable() == {}
    assert_snapshots_whole(ground, repository)
    wrong: dict[str, str] = {}

    def report(entry: object, error: Exception | None) -> None:
        if error is not None:
            wrong[str(entry)] = str(error)

    repository.contents.verify(repository.contents.list(), read=lambda _: True, report=report)
    assert wrong == {}
    result = repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1, parallel=1))
    assert result.errors == ()


def assert_snapshots_whole(ground: Ground, repository: Repository) -> None:
    """Assert that the snapshots that must be there are, with all their bytes."""
    there = {each.id for each in repository.snapshots.list()}
    assert there >= ground.keeps
    for snapshot_id in ground.keeps:
        result = repository.snapshots.verify(
            [snapshot_id], options=VerifyOptions(files_percent=100, max_errors=-1, parallel=1)
        )
        assert [line for line in result.errors if not line.startswith("index: ")] == []


def blob_ids(storage: MemoryStorage, prefix: str = "") -> list[BlobID]:
    return sorted(blob.blob_id for blob in storage.list(prefix))
