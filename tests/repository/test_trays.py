"""Chunks of large objects: cut and stored the same whatever shares a tray, and nothing hangs after an error."""

import io
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykopia.chunking.splitters import splitter
from pykopia.errors import StorageUnavailableError
from pykopia.ids import Buffer, ContentID, ObjectID
from pykopia.repository.object_writer import ObjectWriter
from pykopia.repository.trays import LONGEST_CHUNKS
from pykopia.repository.write_buffers import LEAST_TRAYS
from tests.repository.test_objects import PlainContents

SPLITTERS = ("FIXED-128K", "DYNAMIC-128K-BUZHASH", "DYNAMIC-256K-RABINKARP")


def writer_over(contents: PlainContents, parallel: int = 2) -> ObjectWriter:
    return ObjectWriter(contents, default_splitter="FIXED-128K", parallel=parallel, trays=3)  # type: ignore[arg-type]


def chunks_of(data: bytes, name: str) -> list[bytes]:
    """Return the chunks of data, cut in one piece."""
    run, start = splitter(name).start(), 0
    chunks = []
    while (end := run.next_cut(data, start)) >= 0:
        chunks.append(data[start:end])
        start = end
    return [*chunks, data[start:]] if start < len(data) else chunks


def reading(data: bytes, choose: random.Random) -> Callable[[memoryview], int]:
    """Return a ``readinto`` that reads less than it is asked for, now and then."""
    file = io.BytesIO(data)

    def readinto(part: memoryview) -> int:
        return file.readinto(part[: choose.choice([len(part), len(part), choose.randrange(len(part)) + 1])])

    return readinto


@settings(max_examples=30)
@given(st.sampled_from(SPLITTERS), st.integers(0, 3_000_000), st.sampled_from([1, 2, 5]), st.integers(0, 1 << 30))
def test_an_object_is_cut_the_same_however_it_is_read(name: str, size: int, parallel: int, seed: int) -> None:
    choose = random.Random(seed)
    data = choose.randbytes(size)
    contents = PlainContents()
    writer = writer_over(contents, parallel)
    told: list[int] = []
    written = writer.write_stream(reading(data, choose), splitter(name), on_chunk=lambda length, _: told.append(length))
    writer.close()
    expected = chunks_of(data, name) or [b""]
    assert [contents.get(piece) for piece in written.pieces] == expected
    assert written.lengths == [len(chunk) for chunk in expected]
    assert told in ([], written.lengths)


def test_more_objects_are_written_at_one_time_than_there_are_trays() -> None:
    contents = PlainContents()
    writer = writer_over(contents, parallel=1)
    data = [random.Random(number).randbytes(2_000_000) for number in range(4 * LEAST_TRAYS)]
    with ThreadPoolExecutor(len(data)) as pool:
        object_ids = list(pool.map(writer.write, data))
    alone = writer_over(PlainContents())
    assert object_ids == [alone.write(each) for each in data]
    writer.close()
    alone.close()


class FailingContents(PlainContents):
    """Contents that can't be hashed, or not stored, for a while."""

    fails = ""

    def keys_of(self, contents: list[Buffer], prefix: str = "") -> list[bytes]:
        if self.fails == "hash":
            raise MemoryError
        return super().keys_of(contents, prefix)

    def write_hashed(
        self, contents: list[Buffer], keys: Sequence[bytes], compressors: Sequence[str]
    ) -> list[ContentID]:
        if self.fails == "store" and any(len(data) < 131_072 for data in contents):
            raise StorageUnavailableError("full")
        return super().write_hashed(contents, keys, compressors)


@pytest.mark.parametrize(("fails", "error"), [("hash", MemoryError), ("store", StorageUnavailableError)])
def test_an_error_reaches_the_writer_and_the_trays_are_used_again(fails: str, error: type[Exception]) -> None:
    contents = FailingContents()
    writer = writer_over(contents)
    data = random.Random(1).randbytes(LONGEST_CHUNKS * 131_072 * 2 + 5)
    contents.fails = fails
    for _ in range(LEAST_TRAYS + 1):
        with pytest.raises(error):
            writer.write(data)
    contents.fails = ""
    alone = writer_over(PlainContents())
    assert writer.write(data) == alone.write(data)
    writer.close()
    alone.close()


@pytest.mark.parametrize("after", [0, 1, 5, 9])
def test_a_source_that_fails_leaves_no_tray_behind(after: int) -> None:
    writer = writer_over(PlainContents())
    chunks: list[Future[ObjectID]] = []
    left = 0

    def readinto(part: memoryview) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError("gone")
        return len(part)

    for _ in range(LEAST_TRAYS + 1):
        left = after
        with pytest.raises(OSError, match="gone"):
            writer.write_stream(readinto, splitter("FIXED-128K"), on_chunk=lambda _, chunk: chunks.append(chunk))
    writer.close()
    assert len(chunks) == after * (LEAST_TRAYS + 1)
    assert all(chunk.done() for chunk in chunks)
