"""Two small repositories of real Kopia, read from their blobs to their contents after every step of their life."""

from functools import lru_cache
from typing import Any

import pytest

from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import is_pack
from pykopia.format.content_id import iv_of
from pykopia.format.encryption import Encryptor
from pykopia.format.epoch import EpochState
from pykopia.format.gojson import parse_time
from pykopia.format.hashing import hash_function
from pykopia.format.index import IndexFile, build_index
from pykopia.format.index_merge import MergedIndex, merge_index_files
from pykopia.format.legacy_index import CompactionLog, active_blobs
from pykopia.format.pack import read_local_index
from pykopia.format.whole_blob import Sealer
from pykopia.ids import BlobID
from tests.format.index_support import VECTORS, entry_of, load

REPOSITORIES = {name: load(f"{name}.json") for name in ("pack_v1", "pack_v3")}
PHASES = [
    pytest.param(name, phase, id=f"{name}: {phase['name']}")
    for name, repository in REPOSITORIES.items()
    for phase in repository["phases"]
]


@lru_cache
def sealer(name: str) -> Sealer:
    form = REPOSITORIES[name]["format"]
    return Sealer(
        hash_function(form["hash"], bytes.fromhex(form["hmacSecretHex"])),
        Encryptor(form["encryption"], bytes.fromhex(form["masterKeyHex"])),
    )


@lru_cache
def stored(name: str) -> dict[str, bytes]:
    return {b["id"]: (VECTORS / b["file"]).read_bytes() for b in REPOSITORIES[name]["blobs"]}


def listing(name: str, phase: dict[str, Any]) -> list[BlobMetadata]:
    return [
        BlobMetadata(blob_id=BlobID(b["id"]), length=b["length"], timestamp_ns=parse_time(b["timestamp"]))
        for b in REPOSITORIES[name]["blobs"]
        if b["id"] in phase["blobs"]
    ]


def merged(name: str, phase: dict[str, Any]) -> MergedIndex:
    """Return the index as a reader loads it."""
    blobs = listing(name, phase)

    def opened(blob_id: str) -> bytes:
        return sealer(name).open(blob_id, stored(name)[blob_id])

    if REPOSITORIES[name]["format"]["epochParameters"]["Enabled"]:
        state = EpochState.from_blobs(blobs)
        return MergedIndex([IndexFile(opened(b)) for b in state.complete_index_set()], watermark=state.watermark)
    logs = [CompactionLog.from_json(opened(b.blob_id)) for b in blobs if b.blob_id.startswith("m")]
    active = active_blobs((b.blob_id for b in blobs if b.blob_id.startswith("n")), logs)
    return MergedIndex([IndexFile(opened(b)) for b in active])


@pytest.mark.parametrize(("name", "phase"), PHASES)
def test_the_contents_are_those_that_kopia_lists(name: str, phase: dict[str, Any]) -> None:
    expected = sorted(map(entry_of, phase["contentsIncludingDeleted"] or []), key=lambda e: e.content_id)
    index = merged(name, phase)
    assert list(index.entries(include_deleted=True)) == expected
    assert list(index.entries()) == [e for e in expected if not e.deleted]


@pytest.mark.parametrize("name", REPOSITORIES)
def test_every_content_lies_where_the_index_says(name: str) -> None:
    for entry in merged(name, REPOSITORIES[name]["phases"][-1]).entries(include_deleted=True):
        pack = stored(name)[entry.pack_blob]
        payload = sealer(name).open_content(
            pack[entry.pack_offset : entry.pack_offset + entry.packed_length], iv_of(entry.content_id)
        )
        if not entry.compression:
            assert len(payload) == entry.original_length
            assert sealer(name).hash(payload).hex() == entry.content_id[-32:]


@pytest.mark.parametrize("name", REPOSITORIES)
def test_the_index_can_be_rebuilt_from_the_packs_but_for_deletions_without_a_pack(name: str) -> None:
    recovered = []
    for blob_id, data in stored(name).items():
        if is_pack(blob_id):

            def get_range(offset: int, length: int, data: bytes = data) -> bytes:
                return data[offset : offset + length]

            recovered.append(read_local_index(get_range, len(data), sealer(name).open_content, name=blob_id))
    index = merged(name, REPOSITORIES[name]["phases"][-1])
    known = {e.content_id: e for e in index.entries(include_deleted=True)}
    found = {e.content_id: e for e in MergedIndex(recovered).entries(include_deleted=True)}
    assert set(found) == set(known)
    assert all(known[i] == found[i] or known[i].timestamp > found[i].timestamp for i in found)
    # what is recovered loses against what is known, so recovering changes nothing
    files = [*index.files, IndexFile(build_index(found.values(), version=2))]
    assert merge_index_files(files, version=2) == merge_index_files(index.files, version=2)
