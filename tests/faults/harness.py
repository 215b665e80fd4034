"""Runs a program against a storage that fails at a chosen call, and looks at what is left behind.

Everything is in memory. What a program may do at the n-th call of its storage: fail once and be told so, fail once after
the call took effect, die before or after the call, or leave half a blob behind and die.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import PykopiaError
from pykopia.ids import BlobID
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.options import ClientOptions
from pykopia.snapshot.verify import VerifyOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage, PutOptions
from pykopia.testing import CountingStorage, FakeClock, FaultyStorage, SimulatedCrash

PASSWORD = "correct horse"
UNIQUE_ID = b"the same, so keys are cached ..."
CLIENT = ClientOptions(username="ann", hostname="box")

Fate = Literal["error", "lost answer", "death", "death after", "torn"]
FATES: tuple[Fate, ...] = ("error", "lost answer", "death", "death after", "torn")
Program = Callable[[BlobStorage], object]


@dataclass
class Ground:
    """A repository before a program runs: its blobs, and what must be there whatever happens."""

    storage: MemoryStorage
    source: Path
    keeps: set[str] = field(default_factory=set)
    """Snapshots that must be there afterwards."""
    passwords: tuple[str, ...] = (PASSWORD,)
    """One of these opens it afterwards."""
    clock: FakeClock | None = None
    """The time of the program and of what comes after it; the true one when there is none."""
    finish: "Program | None" = None
    """What a person does next, before the repository is whole again: such as going on with an upgrade."""


def copy_of(storage: MemoryStorage) -> MemoryStorage:
    """Return a storage with the same blobs and times."""
    copy = MemoryStorage()
    for blob in storage.list():
        copy.put(blob.blob_id, storage.get(blob.blob_id), PutOptions(set_mtime_ns=blob.timestamp_ns))
    return copy


def opened(storage: BlobStorage, password: str = PASSWORD) -> Repository:
    return connect(storage, password, client=CLIENT)


def count_calls(ground: Ground, program: Program) -> int:
    """Return how many calls of the storage a program makes that nothing happens to."""
    counting = CountingStorage(copy_of(ground.storage))
    program(counting)
    return counting.count()


def calls_to_fail(count: int, most: int | None) -> Iterator[int]:
    """Yield the numbers of calls to try: all, or ``most`` evenly spread ones with the first and the last."""
    if most is None or count <= most:
        yield from range(1, count + 1)
        return
    yield from sorted({1 + round(step * (count - 1) / (most - 1)) for step in range(most)})


def run_until(ground: Ground, program: Program, call: int, fate: Fate) -> MemoryStorage:
    """Run a program that meets its fate at a call; return the storage that is left."""
    left = copy_of(ground.storage)
    storage = FaultyStorage(left)
    if fate == "error":
        storage.fail(at=call)
    elif fate == "lost answer":
        storage.fail(at=call, effect="after")
    else:
        storage.kill(at=call, effect={"death": "before", "death after": "after", "torn": "torn"}[fate])  # type: ignore[arg-type]
    try:
        program(storage)
    except SimulatedCrash:
        assert fate not in {"error", "lost answer"}
    except PykopiaError:
        pass
    return left


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
