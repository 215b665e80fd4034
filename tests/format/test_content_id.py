"""Content IDs against the vectors of real Kopia, and as properties."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import InvalidIDError
from pykopia.format import content_id as m
from pykopia.format.content_id import (
    IDRange,
    hash_of,
    id_of,
    iv_of,
    key_of,
    parse_content_id,
    prefix_of,
    range_of_prefix,
    validate_prefix,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "content_ids.json").read_text())

content_ids = st.builds(
    lambda prefix, digest: prefix + digest.hex(),
    st.sampled_from(["", *map(chr, range(ord("g"), ord("z") + 1))]),
    st.binary(min_size=1, max_size=32),
)


@pytest.mark.parametrize("case", VECTORS["parse"], ids=lambda case: case["input"] or "empty")
def test_parsing_agrees_with_kopia(case: dict[str, Any]) -> None:
    if not case["ok"]:
        with pytest.raises(InvalidIDError):
            parse_content_id(case["input"])
        return
    parsed = parse_content_id(case["input"])
    assert prefix_of(parsed) == case["prefix"]
    if case.get("isEmptyID"):
        assert parsed == ""
        return
    assert parsed == case["string"]
    assert hash_of(parsed).hex() == case["hashHex"]
    assert key_of(parsed).hex() == case["indexKeyHex"]
    assert id_of(key_of(parsed)) == parsed
    if "contentIVHex" in case:
        assert iv_of(parsed).hex() == case["contentIVHex"]
    else:
        with pytest.raises(InvalidIDError):
            iv_of(parsed)


@pytest.mark.parametrize("case", VECTORS["prefixValidation"], ids=lambda case: case["prefix"] or "empty")
def test_prefixes_are_one_letter_from_g_to_z(case: dict[str, Any]) -> None:
    if case["ok"]:
        assert validate_prefix(case["prefix"]) == case["prefix"]
    else:
        with pytest.raises(InvalidIDError):
            validate_prefix(case["prefix"])


def test_ids_sort_like_their_keys() -> None:
    ids = VECTORS["orderInput"]
    assert sorted(ids) == VECTORS["orderSorted"]
    assert sorted(ids, key=key_of) == VECTORS["orderSorted"]


@pytest.mark.parametrize("case", VECTORS["ranges"], ids=lambda case: case["name"])
def test_ranges_hold_what_kopia_says(case: dict[str, Any]) -> None:
    named = {"all": m.ALL, "prefixed": m.PREFIXED, "nonPrefixed": m.UNPREFIXED}
    id_range = named.get(case["name"]) or range_of_prefix(case["name"])
    assert id_range == IDRange(case["startInclusive"], case["endExclusive"])
    inside = [i for i in VECTORS["orderSorted"] if id_range.start <= i < id_range.end]
    assert inside == sorted(case["contains"])


@given(content_ids)
def test_text_and_key_are_inverse(content_id: str) -> None:
    assert id_of(key_of(content_id)) == content_id
    assert parse_content_id(content_id.upper() if not prefix_of(content_id) else content_id) == content_id


@given(st.lists(content_ids, max_size=8))
def test_any_ids_sort_like_their_keys(ids: list[str]) -> None:
    assert sorted(ids) == sorted(ids, key=key_of)


@given(st.text(max_size=70))
def test_any_text_is_an_id_or_an_invalid_id(text: str) -> None:
    try:
        parsed = parse_content_id(text)
    except InvalidIDError:
        return
    assert parsed == text.lower()


@pytest.mark.parametrize("text", ["ab cd ", " k", "k 0", "0x", "é", "kéé", "k" + "٠" * 2])
def test_what_python_would_take_for_hex_is_refused(text: str) -> None:
    with pytest.raises(InvalidIDError):
        parse_content_id(text)


@given(st.binary(max_size=40))
def test_any_key_is_an_id_or_an_invalid_id(key: bytes) -> None:
    try:
        content_id = id_of(key)
    except InvalidIDError:
        assert not key or (key[0] and not ord("g") <= key[0] <= ord("z"))
    else:
        assert key_of(content_id) == key
