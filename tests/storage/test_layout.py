"""Where blobs lie is what Kopia says, for all of its vectors and for any parameters."""

import json
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import InvalidIDError, StorageError
from pykopia.ids import BlobID
from pykopia.storage.layout import (
    SUFFIX,
    FlatLayout,
    ShardOverride,
    ShardParameters,
    blob_id_of,
    default_parameters,
    may_hold,
)
from pykopia.testing.strategies import blob_ids, kopia_blob_ids


class Case(TypedDict):
    id: str
    path: str


class Vector(TypedDict):
    name: str
    shardsFile: dict[str, object]
    shardsFileBytes: str
    cases: list[Case]


VECTORS: list[Vector] = json.loads((Path(__file__).parents[1] / "vectors" / "shards.json").read_bytes())


@pytest.fixture(params=VECTORS, ids=[vector["name"] for vector in VECTORS])
def vector(request: pytest.FixtureRequest) -> Vector:
    found: Vector = request.param
    return found


def test_each_blob_of_the_vectors_lies_where_kopia_puts_it(vector: Vector) -> None:
    parameters = ShardParameters.from_bytes(vector["shardsFileBytes"].encode())
    assert vector["cases"]
    for case in vector["cases"]:
        assert parameters.path_of(BlobID(case["id"])) == case["path"]
        *folders, name = case["path"].split("/")
        if not (vector["name"] == "overrides" and "." in case["id"]):  # a folder "." has vanished: Kopia lists it so
            assert blob_id_of("".join(folders), name) == case["id"]


def test_the_shards_file_is_written_byte_for_byte_as_kopia_does(vector: Vector) -> None:
    content = vector["shardsFileBytes"].encode()
    assert ShardParameters.from_bytes(content).to_bytes() == content
    assert ShardParameters.from_bytes(json.dumps(vector["shardsFile"], indent=4).encode()).to_bytes() == content


def test_new_storages_and_those_without_the_file_have_their_own_defaults() -> None:
    assert default_parameters(None, create=True).to_bytes() == b'{"default":[1,3],"maxNonShardedLength":20}\n'
    assert default_parameters(None, create=False).to_bytes() == b'{"default":[3,3],"maxNonShardedLength":20}\n'
    for create in (True, False):
        assert default_parameters([], create=create).default == ()
        assert default_parameters([2, 2], create=create).default == (2, 2)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", ShardParameters(default=None, max_non_sharded_length=0)),
        (b'{"DEFAULT":[1],"MaxNonShardedLength":3}', ShardParameters(default=(1,), max_non_sharded_length=3)),
        (b'{"default":[1],"later":{"x":1}} trailing', ShardParameters(default=(1,), max_non_sharded_length=0)),
        (b' \n{"default":[]}', ShardParameters(default=(), max_non_sharded_length=0)),
        (b'{"overrides":null,"maxNonShardedLength":null}', ShardParameters(default=None, max_non_sharded_length=0)),
        (
            b'{"overrides":[{"prefix":"p"},{"shards":[1]}]}',
            ShardParameters(
                default=None,
                max_non_sharded_length=0,
                overrides=(ShardOverride(prefix="p", shards=None), ShardOverride(prefix="", shards=(1,))),
            ),
        ),
    ],
)
def test_the_shards_file_is_read_as_leniently_as_kopia_does(content: bytes, expected: ShardParameters) -> None:
    assert ShardParameters.from_bytes(content) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"default":false}',
        b'{"maxNonShardedLength":""}',
        b'{"overrides":0}',
        b'{"overrides":[{"prefix":[]}]}',
        b"   ",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff",
        b'{"default":"1"}',
        b'{"default":[1.5]}',
        b'{"default":[true]}',
        b'{"default":[-1]}',
        b'{"default":["1"]}',
        b'{"default":{}}',
        b'{"maxNonShardedLength":"20"}',
        b'{"maxNonShardedLength":true}',
        b'{"overrides":{}}',
        b'{"overrides":[1]}',
        b'{"overrides":[{"prefix":1}]}',
        b'{"overrides":[{"prefix":"p","shards":"1"}]}',
        b"[" * 100_000,
        b'{"default":' + b"[" * 100_000,
    ],
)
def test_a_malformed_shards_file_is_refused(content: bytes) -> None:
    with pytest.raises(StorageError, match=r"can't read \.shards"):
        ShardParameters.from_bytes(content)


@given(
    st.one_of(st.binary(max_size=100), st.recursive(st.none(), st.lists).map(lambda value: json.dumps(value).encode()))
)
def test_garbage_is_only_ever_a_storage_error(content: bytes) -> None:
    try:
        parameters = ShardParameters.from_bytes(content)
    except StorageError:
        return
    assert ShardParameters.from_bytes(parameters.to_bytes()) == parameters


@pytest.mark.parametrize(
    ("lengths", "name"),
    [((2,), ".." + "x" * 30), ((3, 2), "abc" + ".." + "x" * 30), ((0, 2), ".." + "x" * 30), ((2, 1), ".." + "." * 30)],
)
def test_a_folder_that_would_lead_out_is_refused(lengths: tuple[int, ...], name: str) -> None:
    with pytest.raises(InvalidIDError, match="lead out"):
        ShardParameters(default=lengths).path_of(BlobID(name))


def test_dots_within_names_are_fine() -> None:
    parameters = ShardParameters(default=(3, 2), max_non_sharded_length=0)
    assert parameters.path_of(BlobID("...a.b.c")) == ".../a./b.c.f"
    assert parameters.path_of(BlobID("..")) == "...f"


shards = st.one_of(st.none(), st.lists(st.integers(0, 40), max_size=4).map(tuple))
parameters_of_any_kind = st.builds(
    ShardParameters,
    default=shards,
    max_non_sharded_length=st.integers(-3, 60),
    overrides=st.lists(st.builds(ShardOverride, prefix=st.text("pqnxs_0", max_size=2), shards=shards), max_size=3).map(
        tuple
    ),
)


@given(parameters_of_any_kind)
def test_any_parameters_survive_the_file(parameters: ShardParameters) -> None:
    assert ShardParameters.from_bytes(parameters.to_bytes()) == parameters


@given(parameters_of_any_kind, st.one_of(blob_ids(), kopia_blob_ids()), st.data())
def test_a_listing_finds_every_blob_in_any_layout(
    parameters: ShardParameters, blob_id: BlobID, data: st.DataObject
) -> None:
    try:
        *folders, name = parameters.path_of(blob_id).split("/")
    except InvalidIDError:
        return
    if sum(map(len, folders)) + len(name) != len(blob_id) + len(SUFFIX):
        return  # a folder "." has vanished
    assert not {"", ".", ".."}.intersection(folders)
    prefix = data.draw(st.integers(0, len(blob_id)).map(lambda length: blob_id[:length]))
    for depth in range(1, len(folders) + 1):
        assert may_hold("".join(folders[:depth]), prefix)
    assert blob_id_of("".join(folders), name) == blob_id


@given(st.text("ab", max_size=4), st.text("ab", max_size=4), st.text("ab", max_size=6))
def test_a_folder_that_is_passed_over_holds_no_match(folder: str, prefix: str, rest: str) -> None:
    if not may_hold(folder, prefix):
        assert not (folder + rest).startswith(prefix)


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("", "abc.f", "abc"),
        ("p102", "abc.f", "p102abc"),
        ("p102", ".f", "p102"),
        ("", ".f", None),
        ("", "abc", None),
        ("", "abc.f.tmp.0123456789abcdef", None),
        ("", "abc.f-12345", None),
        ("", "abc.F", None),
        ("", "ä.f", None),
        ("", "a\udc80.f", None),
        ("", "a\tb.f", None),
        ("", ".shards", None),
    ],
)
def test_only_complete_blobs_are_taken_for_such(folder: str, name: str, expected: str | None) -> None:
    assert blob_id_of(folder, name) == expected


def test_a_flat_name_is_prefix_and_id() -> None:
    layout = FlatLayout(prefix="a/b")
    assert layout.path_of(BlobID("p1")) == "a/bp1"
    assert layout.blob_id_of("a/bp1") == "p1"
    assert layout.blob_id_of("a/b") is None
    assert layout.blob_id_of("a/c") is None
    assert layout.blob_id_of("a/b/p1") is None
    assert FlatLayout().path_of(BlobID("p1")) == "p1"
    for name in ("", "a/b", "ä", ".", ".."):
        with pytest.raises(InvalidIDError):
            FlatLayout(prefix="x/").path_of(BlobID(name))
