"""Object IDs against the vectors of real Kopia, and as properties."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import InvalidIDError
from pykopia.format.object_id import CANONICAL, ParsedObjectID, parse_object_id
from pykopia.ids import ContentID

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "object_ids.json").read_text())

content_ids = st.builds(
    lambda prefix, digest: ContentID(prefix + digest.hex()),
    st.sampled_from(["", *map(chr, range(ord("g"), ord("z") + 1))]),
    st.binary(min_size=1, max_size=32),
)
parsed_ids = st.builds(
    ParsedObjectID, indirection=st.integers(0, 255), compressed=st.just(value=False), content_id=content_ids
) | st.builds(ParsedObjectID, compressed=st.just(value=True), content_id=content_ids)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["in"][:40] or "empty")
def test_parsing_agrees_with_kopia(case: dict[str, Any]) -> None:
    if not case["ok"]:
        with pytest.raises(InvalidIDError):
            parse_object_id(case["in"])
        return
    parsed = parse_object_id(case["in"])
    assert parsed.to_string() == str(parsed) == case["string"]
    assert parsed.indirection == case["indirection"]
    assert parsed.compressed == case["compressed"]
    assert parsed.content_id == case["content_id"]
    assert parsed.content_prefix == case["content_prefix"]
    assert parsed.content_id.removeprefix(parsed.content_prefix) == case["content_hash"]
    assert parsed.is_directory == case["is_directory_id"]
    index = parsed.index_object
    assert (None if index is None else index.to_string()) == case.get("index_object_id")


@given(parsed_ids)
def test_an_id_survives_being_written_and_read(parsed: ParsedObjectID) -> None:
    text = parsed.to_string()
    assert parse_object_id(text) == parsed
    assert CANONICAL.fullmatch(text)


@given(st.text(alphabet="IZDgkmxz09afAF \n", max_size=70))
def test_the_quick_check_accepts_exactly_what_kopia_would_write(text: str) -> None:
    try:
        parsed = parse_object_id(text)
    except InvalidIDError:
        assert not CANONICAL.fullmatch(text)
        return
    written_so = parsed.to_string() == text and bool(parsed.content_id)
    assert bool(CANONICAL.fullmatch(text)) == written_so


def test_the_error_names_the_id_and_the_reason() -> None:
    with pytest.raises(InvalidIDError, match="'IZab' is not a valid object ID: Z can't be combined with I"):
        parse_object_id("IZab")
