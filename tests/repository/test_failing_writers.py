"""Threads that write on after errors, and flushes between them: what a flush has confirmed can be read by everybody."""

import random
import threading
from collections.abc import Callable

import pytest

from pykopia.api.opening import connect, create
from pykopia.errors import PykopiaError, StorageUnavailableError
from pykopia.ids import ContentID
from pykopia.repository.options import NewRepositoryOptions
from pykopia.repository.writer import RepositoryWriter
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing.faulty import FaultyStorage
from tests.repository.conftest import CLIENT, PASSWORD, UNIQUE_ID

ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: StorageUnavailableError("out of reach"),
    lambda: MemoryError("no memory"),
    lambda: RuntimeError("can't start new thread"),
    lambda: OSError("an error that no backend has translated"),
)
EXPECTED = (PykopiaError, MemoryError, RuntimeError, OSError)
THREADS, WRITES = 4, 40


def plan_faults(storage: FaultyStorage, chance: random.Random) -> None:
    """Plan an error of a pack, and now and then one of another call."""
    storage.fail("put", at=chance.randint(1, 8), prefix=chance.choice("pq"), error=chance.choice(ERRORS))
    for _ in range(chance.choice([0, 0, 1])):
        storage.fail(
            chance.choice(["put", "metadata", "list"]),
            at=chance.randint(1, 5),
            prefix=chance.choice("pqxs"),
            effect=chance.choice(["before", "after"]),
            error=chance.choice(ERRORS),
        )


def write_and_flush(writer: RepositoryWriter, chance: random.Random) -> list[tuple[ContentID, bytes]]:
    """Return the contents that were written before the last flush that went well."""
    shared = [chance.randbytes(chance.choice([100, 20_000])) for _ in range(40)]
    written: list[tuple[ContentID, bytes]] = []
    committed = 0

    def work(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(WRITES):
            data = own.choice(shared) if own.random() < 0.7 else own.randbytes(own.choice([10, 30_000]))
            try:
                written.append((writer.contents.write(data, prefix=own.choice(["", "k"])), data))
            except EXPECTED:
                continue

    threads = [threading.Thread(target=work, args=(chance.random(),)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    early = chance.choice([0, 0, 1, 4])
    for number in range(early + 2):
        if number == early:
            for thread in threads:
                thread.join()
        before = len(written)
        try:
            writer.flush()
        except EXPECTED:
            continue
        committed = before
    return written[:committed]


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_what_a_flush_has_confirmed_can_be_read(seed: int, version: int) -> None:
    chance = random.Random(seed)
    storage = FaultyStorage(MemoryStorage())
    options = NewRepositoryOptions(unique_id=UNIQUE_ID, format_version=version)
    with create(storage, PASSWORD, options=options, client=CLIENT, defaults=False) as repository:
        repository.contents.indexes.load()
        writer = repository.writer()
        writer.contents._packs.max_pack_size = chance.choice([1, 50_000, 100_000])
        plan_faults(storage, chance)
        committed = write_and_flush(writer, chance)
        writer.close()
        storage.heal()
    with connect(storage, PASSWORD, client=CLIENT) as other:
        for content_id, data in committed:
            assert other.contents.get(content_id, check=True) == data
        assert not other.verify_contents().problems
