"""Many contents at once: the native twin against the definition, and against bytes that were tampered with."""

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError
from pykopia.format.compression import Compressor, compressor
from pykopia.format.encryption import ENCRYPTIONS, NONCE_SIZE, OVERHEAD
from pykopia.format.hashing import HASHES
from pykopia.format.keys import content_root_key
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.whole_blob import Sealer
from pykopia.ids import Buffer
from pykopia.sealing import native_batch
from pykopia.sealing.batch import Batches, PythonBatches
from pykopia.sealing.content_sealer import ContentSealer
from pykopia.sealing.native_batch import NativeBatches, batches_of

NATIVE_HASHES = [name for name in HASHES if not name.startswith("BLAKE3")]
ZSTD = compressor("zstd")
PACKERS = (ZSTD, compressor("zstd-fastest"), compressor("zstd-best-compression"), None)


def parameters(
    hash_name: str = "BLAKE2B-256-128", encryption: str = "AES256-GCM-HMAC-SHA256", ecc: int = 0
) -> RepositoryFormat:
    return RepositoryFormat.new(
        secret=bytes(range(32)), master_key=bytes(range(32, 64)), hash=hash_name, encryption=encryption,
        ecc="REED-SOLOMON-CRC32", ecc_overhead_percent=ecc,
    )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _native_even_for_one_that_is_long() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(native_batch, "SHORT", 1 << 40)
        yield


def twins(chosen: RepositoryFormat | None = None) -> tuple[Batches, PythonBatches]:
    """Return both; skips where nothing was compiled or a library is missing."""
    chosen = chosen or parameters()
    sealer = Sealer.of(chosen)
    native = batches_of(sealer, chosen)
    if not isinstance(native, NativeBatches):
        pytest.skip("no native batches here: no compiler, or no libcrypto.so.3")
    return native, PythonBatches(sealer)


def contents(seed: int = 1) -> list[Buffer]:
    choose = random.Random(seed)
    made: list[Buffer] = [b"", b"a", b"a" * 28, b"b" * 64, b"c" * 128, b"d" * 129, bytes(70_000)]
    made += [choose.randbytes(size) for size in (1, 5, 127, 128, 129, 255, 256, 4096, 70_000)]
    made += [b"text %d " % number + choose.randbytes(300_000) + b"text" * 40_000 for number in range(2)]
    made += [b"text of some kind, %d times\n" % size * size for size in (1, 3, 100, 300, 9000)]
    return [*made, memoryview(bytearray(b"in a buffer" * 500))]


def sealed(
    batches: Batches, data: list[Buffer], packers: Sequence[Compressor | None]
) -> tuple[bytearray, list[list[Any]]]:
    """Return a buffer with sealed contents, and the columns by which they are opened."""
    keys = batches.keys_of(data, 0)
    packed = batches.pack(data, packers)
    lengths = [length + OVERHEAD for length in packed.lengths]
    offsets = [7 + sum(lengths[:number]) for number in range(len(lengths))]
    out = bytearray(7 + sum(lengths))
    packed.seal_into(keys, [out] * len(keys), offsets, os.urandom(NONCE_SIZE * len(keys)))
    return out, [keys, offsets, lengths, packed.compressions, [len(each) for each in data]]


def opened(batches: Batches, stored: Buffer, columns: Sequence[Any], *, check: bool) -> list[bytes | None]:
    keys, offsets, lengths, compressions, originals = columns
    return batches.open(stored, keys, offsets, lengths, compressions, originals, check)


def checked(batches: Batches, stored: list[Buffer], columns: Sequence[Any]) -> list[bool]:
    keys, offsets, lengths, compressions, originals = columns
    return batches.check(stored, keys, offsets, lengths, compressions, originals)


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
@pytest.mark.parametrize("hash_name", NATIVE_HASHES)
def test_both_twins_make_the_same_and_open_what_the_other_has_made(hash_name: str, encryption: str) -> None:
    native, python = twins(parameters(hash_name, encryption))
    data = contents()
    packers = [PACKERS[number % len(PACKERS)] for number in range(len(data))]
    assert native.keys_of(data, ord("k")) == python.keys_of(data, ord("k"))
    made, defined = native.pack(data, packers), python.pack(data, packers)
    assert (made.lengths, made.compressions) == (defined.lengths, defined.compressions)
    for writer in (native, python):
        stored, columns = sealed(writer, data, packers)
        for reader in (native, python):
            found = opened(reader, stored, columns, check=True)
            # of nothing there is nothing to expand: the definition does that
            assert found == [bytes(each) for each in data]


def test_a_content_sealer_opens_what_was_sealed_in_a_batch() -> None:
    chosen = parameters()
    sealer, data = ContentSealer(chosen), contents()
    stored, (keys, offsets, lengths, compressions, originals) = sealed(sealer.batches, data, [ZSTD] * len(data))
    for number, key in enumerate(keys):
        place = stored[offsets[number] : offsets[number] + lengths[number]]
        opened = sealer.open(
            place, key, compression=compressions[number], original_length=originals[number], check=True
        )
        assert opened == bytes(data[number])


each_width = pytest.mark.parametrize("lanes", [1, 4, 8], ids=["alone", "4 lanes", "8 lanes"])


def in_lanes(lanes: int) -> tuple[Batches, PythonBatches]:
    """Return twins of which the native one hashes so many contents at once; skips where the processor can't."""
    chosen = parameters()
    _, python = twins(chosen)
    native = pytest.importorskip("pykopia.sealing._batch")
    root_key = content_root_key(chosen.master_key)
    keys = native.Keys("blake2b", 16, chosen.secret, "EVP_aes_256_gcm", root_key, most_lanes=lanes)
    if keys.lanes != lanes:
        pytest.skip(f"this processor has no {lanes} lanes for BLAKE2b")
    return NativeBatches(Sealer.of(chosen), keys), python


@each_width
def test_contents_of_any_length_hash_in_lanes_as_they_do_alone(lanes: int) -> None:
    native, python = in_lanes(lanes)
    choose = random.Random(lanes)
    block = [0, 1, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025]
    for count in range(20):
        data: list[Buffer] = [choose.randbytes(choose.choice([*block, choose.randrange(20_000)])) for _ in range(count)]
        assert native.keys_of(data, ord("k")) == python.keys_of(data, ord("k"))
    for length in block:
        # all lanes end at once, and begin again
        data = [choose.randbytes(length) for _ in range(3 * lanes + 1)]
        assert native.keys_of(data, 0) == python.keys_of(data, 0)
    # one is left alone with most of its bytes, and contents lie at any address
    whole = memoryview(choose.randbytes(300_000))
    data = [whole[1:], whole[7:8], *(whole[number : number * 999] for number in range(1, 2 * lanes))]
    assert native.keys_of(data, 0) == python.keys_of(data, 0)


@each_width
@given(st.lists(st.integers(0, 2_000), max_size=30), st.randoms(use_true_random=False))
def test_any_lengths_hash_in_lanes_as_they_do_alone(lanes: int, lengths: list[int], choose: random.Random) -> None:
    native, python = in_lanes(lanes)
    data: list[Buffer] = [choose.randbytes(length) for length in lengths]
    assert native.keys_of(data, 0) == python.keys_of(data, 0)


@each_width
@pytest.mark.parametrize("key", [b"", b"k", bytes(range(64))], ids=["no key", "a byte", "the longest"])
@pytest.mark.parametrize("size", [16, 32])
def test_lanes_take_keys_of_any_length(lanes: int, key: bytes, size: int) -> None:
    in_lanes(lanes)
    native = pytest.importorskip("pykopia.sealing._batch")
    keys = native.Keys("blake2b", size, key, "EVP_aes_256_gcm", bytes(32), most_lanes=lanes)
    data = [bytes(range(length % 256)) * (length // 50) for length in range(0, 4_000, 37)]
    expected = [b"\0" + hashlib.blake2b(each, key=key, digest_size=32).digest()[:size] for each in data]
    assert keys.keys_of(data, 0) == expected


@each_width
def test_only_the_contents_that_do_not_fit_their_hash_are_refused(lanes: int) -> None:
    native, python = in_lanes(lanes)
    data = contents()
    stored, columns = sealed(native, data, [None] * len(data))
    # encrypted as another content, so that only the hash can tell: the initialization vector is its last 16 bytes
    keys, lying = columns[0], {3, 8, len(data) - 1}
    packed = native.pack(data, [None] * len(data))
    others = [b"\0" + bytes(16) if number in lying else key for number, key in enumerate(keys)]
    packed.seal_into(others, [stored] * len(data), columns[1], os.urandom(NONCE_SIZE * len(data)))
    columns[0] = others
    expected = [None if number in lying else bytes(each) for number, each in enumerate(data)]
    assert opened(native, stored, columns, check=True) == opened(python, stored, columns, check=True) == expected
    assert opened(native, stored, columns, check=False) == [bytes(each) for each in data]
    for batches in (native, python):
        assert checked(batches, [stored] * len(data), columns) == [number not in lying for number in range(len(data))]


@pytest.mark.parametrize("hash_name", NATIVE_HASHES)
def test_contents_of_several_packs_are_checked_at_once(hash_name: str) -> None:
    native, python = twins(parameters(hash_name))
    one, of_one = sealed(native, contents(1), [ZSTD] * len(contents(1)))
    other, of_other = sealed(python, contents(2), [None] * len(contents(2)))
    columns = [first + second for first, second in zip(of_one, of_other, strict=True)]
    stored: list[Buffer] = [*[one] * len(of_one[0]), *[memoryview(other)] * len(of_other[0])]
    expected = [True] * len(stored)
    for batches in (native, python):
        assert checked(batches, stored, columns) == expected
    for number in (2, len(stored) - 1):
        stored[number] = bytes(stored[number][: columns[1][number] + columns[2][number] - 1])
        expected[number] = False
    columns[4][5] += 1
    expected[5] = False
    for batches in (native, python):
        assert checked(batches, stored, columns) == expected
        assert checked(batches, [], [[]] * 5) == []


@given(st.lists(st.binary(max_size=400) | st.binary(max_size=4).map(lambda part: part * 300), max_size=6))
def test_any_contents_come_back(data: list[bytes]) -> None:
    native, python = twins()
    stored, columns = sealed(native, [*data], [ZSTD] * len(data))
    assert opened(native, stored, columns, check=True) == opened(python, stored, columns, check=True) == data


@given(st.data())
def test_altered_bytes_and_lying_indexes_are_left_to_the_definition(draw: st.DataObject) -> None:
    native, python = twins()
    data: list[Buffer] = [b"text " * 100, os.urandom(200), b"short"]
    stored, columns = sealed(native, data, [ZSTD] * 3)
    kind = draw.draw(st.sampled_from(["byte", "offset", "length", "compression", "original", "key", "cut"]))
    row = draw.draw(st.integers(0, 2))
    if kind == "byte":
        stored[columns[1][row] + draw.draw(st.integers(0, columns[2][row] - 1))] ^= draw.draw(st.integers(1, 255))
    elif kind == "cut":
        del stored[draw.draw(st.integers(0, columns[1][row] + columns[2][row] - 1)) :]
    elif kind == "key":
        key = bytearray(columns[0][row])
        key[draw.draw(st.integers(1, len(key) - 1))] ^= draw.draw(st.integers(1, 255))
        columns[0][row] = bytes(key)
    else:
        place = {"offset": 1, "length": 2, "compression": 3, "original": 4}[kind]
        wrong = draw.draw(st.integers(-50, 2_000) | st.sampled_from([1 << 31, 1 << 40, 0x1100, 0x1200, 0x1000]))
        if columns[place][row] == wrong or (wrong < 0 and place > 2):
            return
        columns[place][row] = wrong
    found = opened(native, stored, columns, check=True)
    assert found[row] is None or kind == "compression"  # a header that is right all the same
    for number in range(3):
        if found[number] is not None:
            assert found[number] == data[number]
    if kind in {"byte", "key", "compression"}:
        assert [one or None for one in opened(python, stored, columns, check=True)] == found


@pytest.mark.parametrize(
    "body",
    [b"", b"\x28\xb5\x2f\xfd", ZSTD.compress(b"x" * 500)[4:-5], ZSTD.compress(b"x" * 500)[4:] + b"more", b"z" * 300],
    ids=["nothing", "only a magic", "cut off", "with a tail", "no frame"],
)
def test_a_damaged_frame_that_was_sealed_is_left_to_the_definition(body: bytes) -> None:
    native, python = twins()
    payload = ZSTD.header_id.to_bytes(4, "big") + body
    stored, columns = sealed(native, [payload], [None])
    columns[3], columns[4] = [ZSTD.header_id], [500]
    assert opened(native, stored, columns, check=False) == opened(python, stored, columns, check=False) == [None]


def test_frames_that_hold_more_or_less_than_the_index_says_are_left_to_the_definition() -> None:
    native, python = twins()
    for length in (0, 499, 501, 100_000, 1 << 27):
        stored, columns = sealed(native, [ZSTD.compress(b"x" * 500)], [None])
        columns[3], columns[4] = [ZSTD.header_id], [length]
        assert opened(native, stored, columns, check=False) == [None]
        assert opened(python, stored, columns, check=False) == [None]


def test_several_frames_are_left_to_the_definition_which_reads_them() -> None:
    native, python = twins()
    payload = ZSTD.compress(b"x" * 500) + ZSTD.compress(b"y" * 500)[4:]
    stored, columns = sealed(native, [payload], [None])
    columns[3], columns[4] = [ZSTD.header_id], [1000]
    assert opened(native, stored, columns, check=False) == [None]
    assert opened(python, stored, columns, check=False) == [b"x" * 500 + b"y" * 500]


def test_a_hash_that_does_not_fit_is_found_only_when_it_is_asked_for() -> None:
    native, python = twins()
    keys = native.keys_of([b"one"], 0)
    packed = native.pack([b"another"], [None])
    stored = bytearray(7 + OVERHEAD)
    packed.seal_into(keys, [stored], [0], os.urandom(NONCE_SIZE))
    columns = (keys, [0], [len(stored)], [0], [7])
    for batches in (native, python):
        assert opened(batches, stored, columns, check=False) == [b"another"]
        assert opened(batches, stored, columns, check=True) == [None]


def test_a_batch_is_sealed_once_and_within_its_places() -> None:
    native, _ = twins()
    data: list[Buffer] = [b"one", b"two"]
    keys = native.keys_of(data, 0)
    nonces = os.urandom(2 * NONCE_SIZE)
    out = bytearray(100)
    for places, random_bytes in (([0, 80], nonces), ([0, 101], nonces), ([0, 31], nonces[:-1]), ([0], nonces)):
        with pytest.raises(ValueError, match=r"place|nonces|contents"):
            native.pack(data, [None, None]).seal_into(keys, [out] * len(places), places, random_bytes)
    packed = native.pack(data, [None, None])
    packed.seal_into(keys, [out, bytearray()], [0, -1], nonces)
    assert any(out[: 3 + OVERHEAD])
    assert not any(out[3 + OVERHEAD :])
    with pytest.raises(ValueError, match="contents"):
        packed.seal_into(keys, [out, out], [0, 50], nonces)


def test_other_compressors_go_the_python_way_in_a_batch() -> None:
    native, python = twins()
    data: list[Buffer] = [b"text " * 100, b"text " * 200]
    packers = [compressor("gzip"), ZSTD]
    stored, columns = sealed(native, data, packers)
    assert columns[3] == [0x1000, 0x1100]
    assert opened(native, stored, columns, check=True) == [None, bytes(data[1])]
    assert opened(python, stored, columns, check=True) == [bytes(each) for each in data]


@pytest.mark.parametrize(
    "chosen", [parameters("BLAKE3-256"), parameters(ecc=5)], ids=["a hash that C does not have", "error correction"]
)
def test_what_the_native_twin_lacks_is_done_by_the_definition(chosen: RepositoryFormat) -> None:
    sealer = ContentSealer(chosen)
    assert type(sealer.batches) is PythonBatches
    data = contents()
    keys = sealer.batches.keys_of(data, 0)
    packed = sealer.batches.pack(data, [ZSTD] * len(data))
    lengths = [sealer.sealer.sealed_length(length) for length in packed.lengths]
    offsets = [sum(lengths[:number]) for number in range(len(lengths))]
    out = bytearray(sum(lengths))
    packed.seal_into(keys, [out] * len(keys), offsets, b"")
    originals = [len(each) for each in data]
    opened = sealer.batches.open(out, keys, offsets, lengths, packed.compressions, originals, True)
    assert opened == [bytes(each) for each in data]


def test_without_its_libraries_the_native_twin_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    native = pytest.importorskip("pykopia.sealing._batch")
    monkeypatch.setattr(native, "LOADED", False)
    assert type(ContentSealer(parameters()).batches) is PythonBatches
    with pytest.raises(ValueError, match="missing"):
        native.Keys("blake2b", 16, bytes(32), "EVP_aes_256_gcm", bytes(32))


@pytest.mark.parametrize(
    ("hash_function", "secret", "cipher"),
    [
        ("blake2b", bytes(65), "EVP_aes_256_gcm"),
        ("blake2s", bytes(33), "EVP_aes_256_gcm"),
        ("blake2b", bytes(32), "EVP_no_cipher"),
        ("EVP_sha256", bytes(32), "EVP_no_cipher"),
    ],
)
def test_native_keys_of_what_there_is_not_are_refused(hash_function: str, secret: bytes, cipher: str) -> None:
    twins()
    native = pytest.importorskip("pykopia.sealing._batch")
    with pytest.raises(ValueError, match=r"too long|not in libcrypto"):
        native.Keys(hash_function, 16, secret, cipher, bytes(32))


def test_the_error_of_a_damaged_content_is_told_when_it_is_read_by_itself() -> None:
    sealer = ContentSealer(parameters())
    stored, (keys, offsets, lengths, _, _) = sealed(sealer.batches, [b"some data"], [None])
    stored[-1] ^= 1
    with pytest.raises(DamagedDataError, match="authentication failed"):
        sealer.open(stored[offsets[0] :], keys[0], compression=0, original_length=lengths[0] - OVERHEAD)


def test_its_hashes_and_ciphers_are_those_of_kopia() -> None:
    assert sorted(native_batch._HASHES) == sorted(NATIVE_HASHES)
    assert sorted(native_batch._CIPHERS) == sorted(ENCRYPTIONS)


def test_a_single_long_content_is_hashed_and_opened_by_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_batch, "SHORT", 499)
    native, python = twins()
    data: list[Buffer] = [b"text " * 100]
    assert native.pack(data, [ZSTD]).lengths == python.pack(data, [ZSTD]).lengths
    assert native.keys_of(data, 0) == python.keys_of(data, 0)
    stored, columns = sealed(native, data, [ZSTD])
    assert opened(native, stored, columns, check=True) == data
