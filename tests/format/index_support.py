"""Vectors of index files and strategies of entries, shared by the tests of indexes and packs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from pykopia.format import index, index_build, index_merge
from pykopia.format.index import IndexEntry
from pykopia.ids import BlobID, ContentID

VECTORS = Path(__file__).parents[1] / "vectors"


@contextmanager
def using(twin: str) -> Iterator[None]:
    """Let index files be read and made by the native code or by the Python definition."""
    if twin == "native" and find_spec("pykopia.format._index") is None:
        pytest.skip("the native code is not built")
    with pytest.MonkeyPatch.context() as patch:
        if twin == "python":
            patch.setattr(index, "_index", None)
            patch.setattr(index_build, "_index_build", None)
            patch.setattr(index_merge, "_index", None)
            patch.setattr(index_merge, "_index_build", None)
        yield


def load(name: str) -> Any:  # noqa: ANN401 -- JSON
    """Return the vectors of a JSON file."""
    return json.loads((VECTORS / name).read_text())


def entry_of(case: dict[str, Any]) -> IndexEntry:
    """Return the entry that Kopia's JSON describes; missing fields are zero."""
    return IndexEntry(
        content_id=ContentID(case["contentID"]),
        pack_blob=BlobID(case["packFile"]),
        timestamp=case["time"],
        original_length=case.get("originalLength", 0),
        packed_length=case.get("length", 0),
        pack_offset=case.get("packOffset", 0),
        compression=case.get("compression", 0),
        deleted=case["deleted"],
        format_version=case.get("formatVersion", 0),
        encryption_key_id=case.get("encryptionKeyID", 0),
    )


_prefixes = st.sampled_from(["", "", "g", "k", "m", "x", "z"])


def content_ids(size: int = 16) -> st.SearchStrategy[ContentID]:
    """IDs of ``size`` bytes of hash; few different ones, so that they collide."""
    digests = st.binary(min_size=size, max_size=size) | st.integers(0, 5).map(lambda n: n.to_bytes(size, "big"))
    return st.builds(lambda prefix, digest: ContentID(prefix + digest.hex()), _prefixes, digests)


def entries(version: int, size: int = 16) -> st.SearchStrategy[IndexEntry]:
    """Entries that fit into a file of the given version."""
    lengths = st.integers(0, 1 << 20) | st.integers(0, (1 << 28) - 1)
    return st.builds(
        IndexEntry,
        content_id=content_ids(size),
        pack_blob=st.sampled_from(["p1", "p10", "q2", "q" + "f" * 50]).map(BlobID),
        timestamp=st.integers(100, 103) | st.integers(0, (1 << 32) - 1),
        original_length=lengths,
        packed_length=lengths,
        pack_offset=st.integers(0, (1 << 30) - 1),
        compression=st.just(0) if version == 1 else st.sampled_from([0, 0x1000, 0x1101]),
        deleted=st.booleans(),
        format_version=st.sampled_from([1, 2, 3]),
        encryption_key_id=st.just(0),
    )
