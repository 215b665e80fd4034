"""Packs of real Kopia taken apart and put together again, and damaged ones."""

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError, DamagedPackError, UsageError
from pykopia.format.blob_names import is_pack
from pykopia.format.content_id import iv_of
from pykopia.format.encryption import Encryptor
from pykopia.format.hashing import hash_function
from pykopia.format.index import IndexEntry, IndexFile, build_index
from pykopia.format.pack import (
    ALIGNMENT,
    LOCAL_INDEX_TAIL_LENGTH,
    PREAMBLE_LENGTH,
    TAIL_READ_LENGTH,
    Postamble,
    new_pack_blob_id,
    pack_end,
    pack_type_of,
    padding_length,
    read_local_index,
)
from tests.format.index_support import VECTORS, entry_of, load

REPOSITORIES = {name: load(f"{name}.json") for name in ("pack_v1", "pack_v3")}
PACKS = [
    pytest.param(name, recovery, id=f"{name}-{recovery['pack'][:6]}")
    for name, repository in REPOSITORIES.items()
    for recovery in repository["packRecovery"]
]


class Keys:
    """What opens the packs of one repository of the vectors."""

    def __init__(self, repository: dict[str, Any]) -> None:
        form = repository["format"]
        self.encryptor = Encryptor(form["encryption"], bytes.fromhex(form["masterKeyHex"]))
        self.hash = hash_function(form["hash"], bytes.fromhex(form["hmacSecretHex"]))
        self.replica = bytes.fromhex(form["formatBytesHex"])
        self.index_version = form["indexVersion"]


@lru_cache
def keys(name: str) -> Keys:
    return Keys(REPOSITORIES[name])


@lru_cache
def blob(name: str, blob_id: str) -> bytes:
    (file,) = (str(b["file"]) for b in REPOSITORIES[name]["blobs"] if b["id"] == blob_id)
    return (VECTORS / file).read_bytes()


def plaintext(spec: str) -> bytes:
    kind, _, rest = spec.partition(":")
    if kind == "hex":
        return bytes.fromhex(rest)
    byte, _, count = rest.partition(":")
    return bytes.fromhex(byte) * int(count)


def reader(data: bytes, reads: list[tuple[int, int]] | None = None) -> Callable[[int, int], bytes]:
    def get_range(offset: int, length: int) -> bytes:
        if reads is not None:
            reads.append((offset, length))
        return data[offset : offset + length]

    return get_range


@pytest.mark.parametrize(("name", "recovery"), PACKS)
def test_the_local_index_of_kopias_packs_is_recovered(name: str, recovery: dict[str, Any]) -> None:
    data = blob(name, recovery["pack"])
    local = read_local_index(reader(data), len(data), keys(name).encryptor.decrypt, name=recovery["pack"])
    assert list(local.entries()) == [entry_of(e) for e in recovery["localIndexEntries"]]
    assert all(pack_type_of(e.content_id) == recovery["pack"][0] for e in local.entries())
    assert is_pack(recovery["pack"])


@pytest.mark.parametrize(("name", "recovery"), PACKS)
def test_kopias_packs_have_the_layout_that_we_write(name: str, recovery: dict[str, Any]) -> None:
    data, key = blob(name, recovery["pack"]), keys(name)
    postamble = Postamble.from_tail(data, len(data))
    stored_index = data[postamble.index_offset : postamble.index_offset + postamble.index_length]
    plain_index = key.encryptor.decrypt(stored_index, postamble.iv)
    entries = [entry_of(e) for e in recovery["localIndexEntries"]]
    rebuilt = build_index(entries, version=key.index_version, random_tail=plain_index[-LOCAL_INDEX_TAIL_LENGTH:])
    assert rebuilt == plain_index
    assert key.hash(plain_index) == postamble.iv

    own = sorted((e for e in entries if e.pack_blob == recovery["pack"]), key=lambda e: e.pack_offset)
    end = len(key.replica) + PREAMBLE_LENGTH
    assert data.startswith(key.replica)
    for entry in own:
        assert entry.pack_offset == end
        end += entry.packed_length
    padding = data[end : postamble.index_offset]
    assert len(padding) == padding_length(end)
    assert pack_end(end, padding=padding, local_index=stored_index, iv=postamble.iv) == data[end:]


@pytest.mark.parametrize(("name", "recovery"), PACKS)
def test_contents_lie_where_the_local_index_says(name: str, recovery: dict[str, Any]) -> None:
    data, key = blob(name, recovery["pack"]), keys(name)
    known = {c["contentID"]: plaintext(c["data"]) for c in REPOSITORIES[name]["contents"]}
    for entry in map(entry_of, recovery["localIndexEntries"]):
        if entry.pack_blob != recovery["pack"]:
            continue
        stored = data[entry.pack_offset : entry.pack_offset + entry.packed_length]
        payload = key.encryptor.decrypt(stored, iv_of(entry.content_id))
        if entry.compression:
            assert payload[:4] == entry.compression.to_bytes(4, "big")
            assert len(payload) < entry.original_length
        else:
            assert payload == known[entry.content_id]
        assert len(known[entry.content_id]) == entry.original_length


def a_pack(count: int) -> tuple[bytes, list[IndexEntry]]:
    """Return a pack of the v3 vectors whose local index lists ``count`` contents."""
    key = keys("pack_v3")
    template = entry_of(REPOSITORIES["pack_v3"]["packRecovery"][0]["localIndexEntries"][0])
    entries = [
        IndexEntry(**{f: getattr(template, f) for f in template.__struct_fields__} | {"content_id": f"{i:032x}"})
        for i in range(count)
    ]
    local = build_index(entries, version=2, random_tail=b"\1" * LOCAL_INDEX_TAIL_LENGTH)
    iv = key.hash(local)
    body = b"\2" * 5000
    stored = key.encryptor.encrypt(local, iv)
    return body + pack_end(len(body), padding=b"\3" * padding_length(len(body)), local_index=stored, iv=iv), entries


@pytest.mark.parametrize(("count", "expected_reads"), [(1, 1), (100, 1), (1000, 2)])
def test_a_local_index_takes_one_read_or_two_when_it_is_long(count: int, expected_reads: int) -> None:
    data, entries = a_pack(count)
    reads: list[tuple[int, int]] = []
    local = read_local_index(reader(data, reads), len(data), keys("pack_v3").encryptor.decrypt)
    assert list(local.entries()) == entries
    assert len(reads) == expected_reads
    assert reads[0] == (max(0, len(data) - TAIL_READ_LENGTH), min(len(data), TAIL_READ_LENGTH))


@given(st.binary(max_size=32), st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.binary(max_size=20))
def test_postambles_survive_the_round_trip(iv: bytes, offset: int, length: int, before: bytes) -> None:
    postamble = Postamble(iv=iv, index_offset=offset, index_length=length)
    data = postamble.to_bytes()
    size = offset + length + len(data)
    assert Postamble.from_tail(before + data, size) == postamble
    with pytest.raises(DamagedPackError, match="local index"):
        Postamble.from_tail(before + data, size - 1)


def test_a_postamble_that_is_too_long_is_refused() -> None:
    with pytest.raises(UsageError):
        Postamble(iv=b"\0" * 260, index_offset=0, index_length=0).to_bytes()


@pytest.mark.parametrize(
    ("length", "padding"), [(0, 4096), (1, 4095), (4095, 1), (4096, 4096), (4097, 4095), (8191, 1), (8192, 4096)]
)
def test_padding_is_never_empty(length: int, padding: int) -> None:
    assert padding_length(length) == padding
    assert (length + padding) % ALIGNMENT == 0


def test_a_wrong_padding_is_refused() -> None:
    with pytest.raises(UsageError, match="padding"):
        pack_end(4096, padding=b"", local_index=b"", iv=b"")


def test_pack_names_are_random_and_tell_their_session() -> None:
    assert new_pack_blob_id("q", bytes(range(16)), "s1147") == "q000102030405060708090a0b0c0d0e0f-s1147"
    with pytest.raises(UsageError):
        new_pack_blob_id("p", b"short", "s1147")


@pytest.mark.parametrize(("content_id", "pack_type"), [("00", "p"), ("k00", "q"), ("m00", "q"), ("g00", "q")])
def test_any_prefix_means_metadata(content_id: str, pack_type: str) -> None:
    assert pack_type_of(content_id) == pack_type


def recover(data: bytes) -> None:
    """Read the local index; only errors of damaged data may come out."""
    with suppress(DamagedDataError):
        list(read_local_index(reader(data), len(data), keys("pack_v3").encryptor.decrypt).entries())


@given(st.data())
def test_truncated_packs_are_refused(data: st.DataObject) -> None:
    pack, _ = a_pack(3)
    cut = pack[: data.draw(st.integers(0, len(pack) - 1) | st.integers(len(pack) - 300, len(pack) - 1))]
    with pytest.raises(DamagedDataError):
        read_local_index(reader(cut), len(cut), keys("pack_v3").encryptor.decrypt)
    with pytest.raises(DamagedPackError):  # the listing knows the whole length, the storage has less
        read_local_index(reader(cut), len(pack), keys("pack_v3").encryptor.decrypt)


@given(st.data())
def test_flipped_bits_at_the_end_are_noticed(data: st.DataObject) -> None:
    pack, _ = a_pack(3)
    start = Postamble.from_tail(pack, len(pack)).index_offset
    damaged = bytearray(pack)
    damaged[data.draw(st.integers(start, len(pack) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedDataError):
        read_local_index(reader(bytes(damaged)), len(damaged), keys("pack_v3").encryptor.decrypt)


@given(st.binary(max_size=300))
def test_garbage_has_no_postamble(data: bytes) -> None:
    recover(data)


@given(st.binary(max_size=100))
def test_a_postamble_of_garbage_with_a_good_checksum_is_refused_or_read(body: bytes) -> None:
    with_checksum = body + zlib.crc32(body).to_bytes(4, "big")
    recover(b"\0" * 50 + with_checksum + bytes([len(with_checksum)]))


@pytest.mark.parametrize("body", [b"", b"\2", b"\1", b"\1\5ab", b"\1\0" + b"\x80" * 12, b"\1\0" + b"\xff" * 10 + b"\1"])
def test_postambles_that_end_too_early_are_refused(body: bytes) -> None:
    with_checksum = body + zlib.crc32(body).to_bytes(4, "big")
    with pytest.raises(DamagedPackError):
        Postamble.from_tail(with_checksum + bytes([len(with_checksum)]), 1 << 60)


def test_a_local_index_that_is_none_is_refused() -> None:
    key = keys("pack_v3")
    stored = key.encryptor.encrypt(b"garbage", b"iv")
    data = pack_end(0, padding=b"\0" * ALIGNMENT, local_index=stored, iv=b"iv")
    with pytest.raises(DamagedDataError, match="p1-s1"):
        read_local_index(reader(data), len(data), key.encryptor.decrypt, name="p1-s1")


def test_a_second_read_that_comes_short_is_refused() -> None:
    data, _ = a_pack(1000)
    start = len(data) - TAIL_READ_LENGTH

    def get_range(offset: int, length: int) -> bytes:
        return data[offset : offset + length] if offset == start else data[offset : offset + length - 1]

    with pytest.raises(DamagedPackError, match="came"):
        read_local_index(get_range, len(data), keys("pack_v3").encryptor.decrypt)


def test_an_index_file_is_what_comes_back() -> None:
    data, entries = a_pack(2)
    local = read_local_index(reader(data), len(data), keys("pack_v3").encryptor.decrypt)
    assert isinstance(local, IndexFile)
    assert len(local) == len(entries)
