"""Holes of sparse files: not read, and stored as the zeros that they stand for."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykopia.api.opening import create
from pykopia.api.repository import Repository
from pykopia.chunking.splitters import SPLITTERS
from pykopia.repository.object_writer import WrittenObject
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.sparse_file import SparseFile, sparse_file
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.trees import MIB, noise

GIB = 1 << 30


def holey(path: Path, size: int, *data: tuple[int, bytes]) -> Path:
    """Make a file of a size that has data at the given places and holes elsewhere."""
    with path.open("wb") as file:
        for place, content in data:
            file.seek(place)
            file.write(content)
        file.truncate(size)
    if path.stat().st_blocks * 512 > size // 2:
        pytest.skip("the file system for temporary files has no holes")
    return path


class Reading:
    """Zeros of a file as its holes say, and how many bytes of it were read."""

    def __init__(self, file: SparseFile) -> None:
        self.file, self.count = file, 0
        self.zeros_end, self.skip = file.zeros_end, file.skip

    def readinto(self, buffer: memoryview) -> int:
        count = self.file.readinto(buffer)
        self.count += count
        return count


def written(
    repository: Repository, path: Path, splitter: str, *, limit: int | None = None
) -> tuple[WrittenObject, int]:
    """Store a file with its holes skipped; return its pieces and how many bytes were read."""
    with path.open("rb") as file, repository.writer() as writer:
        reading = Reading(SparseFile(file.fileno()))
        made = writer.objects.write_stream(
            reading.readinto, writer.objects.splitter(splitter), zeros=reading, limit=limit
        )
    return made, reading.count


def read_in_full(repository: Repository, path: Path, splitter: str, *, limit: int | None = None) -> WrittenObject:
    with path.open("rb") as file, repository.writer() as writer:
        return writer.objects.write_stream(
            file.readinto,
            writer.objects.splitter(splitter),
            limit=limit,
        )


@pytest.mark.parametrize("splitter", [name for name in SPLITTERS if "128K" in name or "-1M" in name])
def test_chunks_are_the_same_as_if_zeros_were_read(repository: Repository, tmp_path: Path, splitter: str) -> None:
    some = noise(300_000, splitter)
    path = holey(tmp_path / "file", 40 * MIB + 17, (3 * MIB + 5, some), (20 * MIB, some), (20 * MIB + 400_000, b"x"))
    made, count = written(repository, path, splitter)
    assert made == read_in_full(repository, path, splitter)
    assert made.length == 40 * MIB + 17
    assert count < 20 * MIB


@settings(max_examples=10)
@given(
    size=st.integers(0, 6 * MIB),
    places=st.lists(st.tuples(st.integers(0, 6 * MIB), st.integers(1, 200_000)), max_size=3),
    limit=st.none() | st.integers(0, 6 * MIB),
    splitter=st.sampled_from(["FIXED-128K", "DYNAMIC-128K-BUZHASH", "DYNAMIC-256K-RABINKARP"]),
)
def test_wherever_the_holes_are_the_chunks_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    places: list[tuple[int, int]],
    limit: int | None,
    splitter: str,
) -> None:
    path = tmp_path_factory.mktemp("holes") / "file"
    with path.open("wb") as file:
        for place, length in places:
            file.seek(place)
            file.write(noise(length, place) if length % 3 else bytes(length))
        file.truncate(size)
    with create(MemoryStorage(), "a password") as repository:
        assert written(repository, path, splitter, limit=limit)[0] == read_in_full(
            repository, path, splitter, limit=limit
        )


def test_a_hole_that_was_data_when_it_was_read_is_stored_as_what_was_read(
    repository: Repository, tmp_path: Path
) -> None:
    class Punched(Reading):
        def zeros_end(self, position: int) -> int:
            return 8 * MIB  # all of it, which was filled while the first chunk was read

    path = tmp_path / "file"
    path.write_bytes(noise(MIB, "data") * 8)
    with path.open("rb") as file, repository.writer() as writer:
        reading = Punched.__new__(Punched)
        reading.file, reading.count = SparseFile(file.fileno()), 0
        reading.skip = reading.file.skip
        made = writer.objects.write_stream(reading.readinto, writer.objects.splitter(), zeros=reading)
    assert made == read_in_full(repository, path, "")


@pytest.mark.parametrize("size", [GIB * 32, pytest.param(GIB * 1024, marks=pytest.mark.slow)])
def test_a_file_of_a_tebibyte_is_stored_and_restored(tmp_path: Path, source: Path, size: int) -> None:
    some = noise(MIB, "some")
    path = holey(source / "disk", size, (0, some), (size // 2, some), (size - 5, b"the e"))
    with create(MemoryStorage(), "a password") as repository:
        result = repository.snapshots.create(source)
        assert not result.problems
        assert result.counters.hashed_bytes == size
        assert result.counters.uploaded_bytes < 64 * MIB
        entry = repository.snapshots.resolve(f"{result.manifest.id}/disk")
        assert entry.size == size
        with repository.objects.open(entry.object_id) as file:
            for place, expected in ((0, some), (size // 2, some), (size - 5, b"the e"), (size // 3, bytes(1000))):
                file.seek(place)
                assert file.read(len(expected)) == expected
        restored = repository.snapshots.restore(result.manifest.id, tmp_path / "target")
    found = tmp_path / "target" / "disk"
    assert (found.stat().st_size, restored.counters.restored_bytes) == (size, size)
    assert found.stat().st_blocks * 512 < 4 * MIB
    with found.open("rb") as file, path.open("rb") as before:
        for place in (0, size // 2, size - MIB):
            file.seek(place)
            before.seek(place)
            assert file.read(MIB) == before.read(MIB)


def test_the_default_splitter_stores_the_same_object_in_parts_and_alone(source: Path) -> None:
    path = holey(source / "disk", 100 * MIB, (30 * MIB, noise(MIB, "some")))
    dense = source.parent / "dense"
    dense.mkdir()
    (dense / "disk").write_bytes(path.read_bytes())
    with create(MemoryStorage(), "a password") as repository:
        ids = set()
        for folder in (source, dense):
            taken = repository.snapshots.create(folder).manifest.id
            ids.add(repository.snapshots.resolve(f"{taken}/disk").object_id)
            ids.add(repository.snapshots.create(folder / "disk").manifest.root_object_id)
        assert len(ids) == 1


def test_a_repeated_chunk_that_is_no_hole_is_restored(repository: Repository, source: Path, tmp_path: Path) -> None:
    (source / "file").write_bytes(noise(MIB, "again") * 12 + bytes(4 * MIB))
    taken = repository.snapshots.create(source).manifest.id
    for sparse in (True, None, False):
        target = tmp_path / str(sparse)
        repository.snapshots.restore(taken, target, options=RestoreOptions(write_sparse=sparse))
        assert (target / "file").read_bytes() == (source / "file").read_bytes()


def test_a_file_without_large_holes_is_not_looked_at_for_them(tmp_path: Path) -> None:
    (tmp_path / "dense").write_bytes(noise(2 * MIB, "dense"))
    with (tmp_path / "dense").open("rb") as file:
        assert sparse_file(file.fileno()) is None


def test_a_file_that_shrinks_while_its_holes_are_skipped_ends(repository: Repository, tmp_path: Path) -> None:
    path = holey(tmp_path / "file", 64 * MIB, (0, b"x"))
    with path.open("rb") as file, repository.writer() as writer:
        sparse = SparseFile(file.fileno())

        def shrink(count: int) -> None:
            if count > MIB:
                os.truncate(path, MIB)

        made = writer.objects.write_stream(sparse.readinto, writer.objects.splitter(), zeros=sparse, on_bytes=shrink)
    assert made.length == sum(made.lengths) <= 64 * MIB
