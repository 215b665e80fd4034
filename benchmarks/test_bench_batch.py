"""What takes the time of many small files and of one large one: batches of contents, folders, directory objects, the key."""

import itertools
import os
import random
from collections.abc import Callable, Sized
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pykopia.format.compression import compressor
from pykopia.format.directory import Directory, DirectoryEntry, encode_directory
from pykopia.format.encryption import NONCE_SIZE, OVERHEAD
from pykopia.format.keys import derive_format_key
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer
from pykopia.ids import Buffer, ObjectID
from pykopia.sealing.batch import Batches, PythonBatches
from pykopia.sealing.native_batch import batches_of
from pykopia.snapshot import listing, small_files
from pykopia.snapshot.source_folder import entry_from

SMALL = [random.Random(number).randbytes(2000) + b"text that repeats, " * 300 for number in range(128)]
LARGE = [random.Random(1).randbytes(2 << 20) + b"text that repeats, %d" % 5 * 100_000]
ZSTD = compressor("zstd")

each_load = pytest.mark.parametrize("contents", [SMALL, LARGE], ids=["128 small", "1 large"])


@pytest.fixture(params=["native", "python"])
def batches(request: pytest.FixtureRequest) -> Batches:
    parameters = RepositoryFormat.new(secret=bytes(32), master_key=bytes(32))
    sealer = Sealer.of(parameters)
    return batches_of(sealer, parameters) if request.param == "native" else PythonBatches(sealer)


@each_load
def test_hash(benchmark: BenchmarkFixture, batches: Batches, contents: list[Buffer]) -> None:
    assert len(benchmark(batches.keys_of, contents, 0)) == len(contents)


@pytest.mark.parametrize("contents", [SMALL, LARGE * 8], ids=["128 small", "8 large"])
@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_hash_in_lanes(benchmark: BenchmarkFixture, lanes: int, contents: list[Buffer]) -> None:
    native = pytest.importorskip("pykopia.sealing._batch")
    keys = native.Keys("blake2b", 16, bytes(32), "EVP_aes_256_gcm", bytes(32), most_lanes=lanes)
    if keys.lanes != lanes:
        pytest.skip(f"this processor has no {lanes} lanes for BLAKE2b")
    assert len(benchmark(keys.keys_of, contents, 0)) == len(contents)


@each_load
def test_pack_and_seal(benchmark: BenchmarkFixture, batches: Batches, contents: list[Buffer]) -> None:
    keys = batches.keys_of(contents, 0)
    out = bytearray(sum(map(len, contents)) + OVERHEAD * len(contents))

    def work() -> None:
        packed = batches.pack(contents, [ZSTD] * len(contents))
        ends = [0]
        for length in packed.lengths:
            ends.append(ends[-1] + length + OVERHEAD)
        packed.seal_into(keys, [out] * len(keys), ends[:-1], os.urandom(NONCE_SIZE * len(keys)))

    benchmark(work)


@each_load
@pytest.mark.parametrize("check", [False, True], ids=["as it is", "and hash"])
def test_open(benchmark: BenchmarkFixture, batches: Batches, contents: list[Buffer], check: bool) -> None:
    keys = batches.keys_of(contents, 0)
    packed = batches.pack(contents, [ZSTD] * len(contents))
    lengths = [length + OVERHEAD for length in packed.lengths]
    offsets = [sum(lengths[:number]) for number in range(len(lengths))]
    out = bytearray(sum(lengths))
    packed.seal_into(keys, [out] * len(keys), offsets, os.urandom(NONCE_SIZE * len(keys)))
    originals = [len(each) for each in contents]
    opened = benchmark(batches.open, out, keys, offsets, lengths, packed.compressions, originals, check)
    assert opened == contents


@pytest.mark.parametrize("contents", [SMALL, LARGE * 8], ids=["128 small", "8 large"])
def test_check(benchmark: BenchmarkFixture, batches: Batches, contents: list[Buffer]) -> None:
    keys = batches.keys_of(contents, 0)
    packed = batches.pack(contents, [ZSTD] * len(contents))
    lengths = [length + OVERHEAD for length in packed.lengths]
    outs = [bytearray(length) for length in lengths]
    packed.seal_into(keys, outs, [0] * len(keys), os.urandom(NONCE_SIZE * len(keys)))
    columns = [0] * len(keys), lengths, packed.compressions, [len(each) for each in contents]
    assert all(benchmark(batches.check, [*outs], keys, *columns))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("many")
    for number in range(500):
        (made / f"file {number}").write_bytes(b"x" * number)
    return made


@pytest.mark.parametrize("listing", [listing.list_folders, listing.python_list_folders], ids=["native", "python"])
def test_list_a_folder(
    benchmark: BenchmarkFixture, folder: Path, listing: Callable[[list[bytes]], list[Sized]]
) -> None:
    (found,) = benchmark(listing, [os.fsencode(folder)])
    assert len(found) == 500


@pytest.mark.parametrize("sift", [listing.sift, listing.python_sift], ids=["native", "python"])
def test_find_what_is_as_it_was(benchmark: BenchmarkFixture, folder: Path, sift: Callable[..., listing.Sifted]) -> None:
    (listed,) = listing.list_folders([os.fsencode(folder)])
    assert listed is not None
    earlier = {name: entry_from(name, "f", status, ObjectID("00"), status.st_size) for name, status in listed}
    assert len(benchmark(sift, listed, [earlier])[4]) == 500


@pytest.mark.parametrize("reading", [small_files.read_files, small_files.python_read_files], ids=["native", "python"])
def test_read_files(benchmark: BenchmarkFixture, folder: Path, reading: object) -> None:
    paths = [os.fsencode(folder / f"file {number}") for number in range(500)]
    assert benchmark(reading, paths, [*range(500)])[499] == b"x" * 499


ENTRIES = [
    DirectoryEntry(f"file {number}", "f", 0o644, number, 10**18 + number, 1, 2, ObjectID(f"{number:032x}"))
    for number in range(500)
]


@pytest.mark.parametrize("writing", [small_files.write_files, small_files.python_write_files], ids=["native", "python"])
def test_write_files(benchmark: BenchmarkFixture, tmp_path: Path, writing: Callable[..., list[int]]) -> None:
    contents = [b"x" * number for number in range(500)]
    flags = small_files.MODE | small_files.TIME
    numbers = itertools.count()

    def new_folder() -> tuple[tuple[object, ...], dict[str, object]]:
        opened, _ = small_files.make_folder(top, f"{next(numbers)}")
        folders.append(opened)
        return ([opened] * len(ENTRIES), ENTRIES, contents, flags), {}

    top = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    folders = [top]
    try:
        assert not any(benchmark.pedantic(writing, setup=new_folder, rounds=5))
    finally:
        for each in folders:
            os.close(each)


def test_encode_a_directory(benchmark: BenchmarkFixture) -> None:
    assert benchmark(encode_directory, ENTRIES, None)


def test_decode_a_directory(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(Directory.from_bytes, encode_directory(ENTRIES, None)).entries) == 500


def test_derive_a_key(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(derive_format_key, "password", salt=bytes(32))) == 32
