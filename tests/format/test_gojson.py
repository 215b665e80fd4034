"""JSON and times of Go: known answers, and properties that hold them to Python's own."""

import contextlib
import json
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError, UsageError
from pykopia.format import gojson as m
from pykopia.format.gojson import (
    ZERO_TIME_NS,
    Int32,
    Raw,
    compact,
    decode,
    dumps,
    escape_string,
    fold,
    format_time,
    loads,
    members,
    parse_time,
    sorted_map,
    wrap_int64,
)

VECTORS = Path(__file__).parents[1] / "vectors"
ENTRIES: list[dict[str, Any]] = json.loads((VECTORS / "dir_objects.json").read_text())["entries"]

any_text = st.text(st.characters())
"""Any text, with lone surrogates."""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


# --- writing


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["entry"]["name_hex"] or "empty")
def test_names_are_escaped_as_kopia_escapes_them(entry: dict[str, Any]) -> None:
    name = bytes.fromhex(entry["entry"]["name_hex"])
    if name:
        assert entry["json"].encode().startswith(b'{"name":' + escape_string(name) + b",")
        assert escape_string(name) == escape_string(name.decode("utf-8", "surrogateescape"))


@given(st.binary())
def test_names_of_any_bytes_give_json_in_utf8_with_a_replacement_for_each_wrong_byte(name: bytes) -> None:
    written = escape_string(name)
    assert json.loads(written.decode("utf-8")) == re.sub(
        "[\udc80-\udcff]", "\ufffd", name.decode("utf-8", "surrogateescape")
    )
    assert not set(written) & set(b"<>&\n\r\t\0")


@given(any_text)
def test_any_text_can_be_written(text: str) -> None:
    assert json.loads(dumps(text)) == re.sub("[\ud800-\udfff]", "\ufffd", text)


@given(json_values)
def test_values_survive_being_written_and_read(value: object) -> None:
    assert loads(dumps(value)) == value
    assert loads(dumps(value, indent=2)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (0.1, "0.1"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (1e-10, "1e-10"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (123456789012345680.0, "123456789012345680"),
        (30.0, "30"),
    ],
)
def test_floats_look_as_go_writes_them(value: float, text: str) -> None:
    assert dumps(value) == text.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(UsageError, match="JSON has no form"):
        dumps([value])


def test_values_without_a_form_in_json_are_refused() -> None:
    with pytest.raises(TypeError, match="JSON has no form for set"):
        dumps({"a": {1}})


def test_keys_keep_their_order_and_maps_are_sorted_by_bytes() -> None:
    names = {"b": 1, "\U0001f600": 2, "\ufffd": 3, "a": 4}
    assert dumps(names) == '{"b":1,"\U0001f600":2,"\ufffd":3,"a":4}'.encode()
    assert list(sorted_map(names)) == ["a", "b", "\ufffd", "\U0001f600"]


def test_indented_text_is_laid_out_as_go_lays_it_out() -> None:
    value = {"a": [], "b": {}, "c": [1, {"d": "x: {y}, [z]"}], "e": Raw(b'{"f" : [ ] }')}
    assert dumps(value, indent=2).decode() == (
        '{\n  "a": [],\n  "b": {},\n  "c": [\n    1,\n    {\n      "d": "x: {y}, [z]"\n    }\n  ],\n'
        '  "e": {\n    "f": []\n  }\n}'
    )


def test_raw_json_loses_its_blanks_and_html_characters_and_nothing_else() -> None:
    raw = b' { "a b" : [ 1 , "<\\"& > \xe2\x80\xa8" ],\n\t"c\xff":1.50 } '
    assert compact(raw) == b'{"a b":[1,"\\u003c\\"\\u0026 \\u003e \\u2028"],"c\xff":1.50}'
    assert dumps([Raw(raw)]) == b"[" + compact(raw) + b"]"
    assert compact(b'{"a":1}') == b'{"a":1}'


@pytest.mark.parametrize("raw", [b"", b"{", b"{} {}", b"nul", b"[1,]", b"'a'"])
def test_raw_text_that_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(UsageError, match="raw JSON can't be written"):
        dumps({"data": Raw(raw)})


# --- times


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_time_survives_being_written_and_read(ns: int) -> None:
    assert parse_time(format_time(ns)) == ns


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001 -- UTC is set below
def test_times_agree_with_those_of_python(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    ns = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    text = moment.replace(tzinfo=None).isoformat()
    assert format_time(ns) == (text.rstrip("0") if moment.microsecond else text) + "Z"
    assert parse_time(moment.isoformat()) == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2024-01-01T00:00:00.1234567899Z", 1704067200123456789),
        ("2024-01-01T00:00:00,5Z", 1704067200500000000),
        ("2024-01-01T1:00:00Z", 1704070800000000000),
        ("2024-01-01T05:30:00+05:30", 1704067200000000000),
        ("2023-12-31T20:00:00-04:00", 1704067200000000000),
        ("2024-01-02T01:00:00+24:60", 1704067200000000000),
        ("2024-02-29T00:00:00Z", 1709164800000000000),
        ("0001-01-01T00:00:00Z", ZERO_TIME_NS),
        ("0000-01-01T00:00:00Z", ZERO_TIME_NS - 366 * 86400 * 10**9),
        ("9999-12-31T23:59:59Z", 253402300799 * 10**9),
    ],
)
def test_times_are_read_as_go_reads_them(text: str, ns: int) -> None:
    assert parse_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-01-01",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00z",
        "2024-01-01t00:00:00Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-01-01T00:00:00+25:00",
        "2024-01-01T00:00:00+00:61",
        "2024-01-01T00:00:00+0000",
        "2024-01-01T00:00:00Z ",
        "2024-01-01T00:00:00Z\n",
        "-024-01-01T00:00:00Z",
        "20240-01-01T00:00:00Z",
        "٢٠٢٤-01-01T00:00:00Z",
    ],
)
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(DamagedDataError, match="is not a"):
        parse_time(text)


@pytest.mark.parametrize("ns", [(ZERO_TIME_NS - 367 * 86400 * 10**9), 253402300800 * 10**9])
def test_times_outside_of_four_digit_years_are_refused(ns: int) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        format_time(ns)


def test_numbers_wrap_as_in_64_bits() -> None:
    assert wrap_int64(ZERO_TIME_NS) == -6795364578871345152
    assert wrap_int64(parse_time("9999-01-01T00:00:00Z")) == -4883652231933722624
    assert [wrap_int64(value) for value in (0, -1, (1 << 63) - 1, 1 << 63)] == [0, -1, (1 << 63) - 1, -(1 << 63)]


# --- reading


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: Int32 = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    name: str = "unset"
    stamp: str | None = "absent"
    inner: Inner | None = None
    items: list[Inner] | None = None
    labels: dict[str, str] | None = None
    names: list[str] = msgspec.field(default_factory=list)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", Outer()),
        (b'{"name":"a"}', Outer(name="a")),
        (b'{"NAME":"a","sTamp":null,"x":{"y":[1]}}', Outer(name="a", stamp=None)),
        (b'{"name":"a","Name":"b"}', Outer(name="b")),
        (b'{"name":"a","name":null}', Outer(name="a")),
        (b'{"inner":{"\xc5\xbfize":5}}', Outer(inner=Inner(5))),
        (b'{"inner":{"size":5},"inner":null}', Outer()),
        (b'{"items":[{"size":1},{"Size":2,"z":0}]}', Outer(items=[Inner(1), Inner(2)])),
        (b'{"labels":{"A":"1","a":null},"names":["x",null]}', Outer(labels={"A": "1", "a": ""}, names=["x", ""])),
        (b'{"name":"\xff\xe2\x82x"}', Outer(name="\ufffd\ufffd\ufffdx")),
        (b'{"name":"\\ud800\\ud83d\\ude00"}', Outer(name="\ufffd\U0001f600")),
        (b' {"name" : "a"}\r\n', Outer(name="a")),
    ],
)
def test_structures_are_read_by_the_rules_of_go(data: bytes, expected: Outer) -> None:
    assert decode(data, Outer) == expected


@pytest.mark.parametrize(
    "data",
    [
        b'{"name":1}',
        b'{"inner":{"size":5.0}}',
        b'{"inner":{"size":1e3}}',
        b'{"inner":{"size":"5"}}',
        b'{"inner":{"size":true}}',
        b'{"inner":{"size":2147483648}}',
        b'{"inner":[]}',
        b'{"items":{}}',
        b'{"items":[null]}',
        b'{"labels":{"a":1}}',
        b'{"labels":[]}',
        b"[]",
        b"null",
        b"",
        b'{"name":"a"} x',
        b'{"name":NaN}',
        b'{"name":"\x01"}',
        b'{"name":"a"',
        b"\xef\xbb\xbf{}",
        b'{"x":' + b"[" * 100_000,
        b'{"x":' + b"9" * 10_000 + b"}",
    ],
)
def test_values_of_a_wrong_type_are_damage(data: bytes) -> None:
    with pytest.raises(DamagedDataError):
        decode(data, Outer)


def test_only_the_first_value_is_looked_at_when_asked_for() -> None:
    assert decode(b'{"name":"a"} x', Outer, first_only=True) == Outer(name="a")
    assert loads(b"[1]]]", first_only=True) == [1]
    with pytest.raises(DamagedDataError, match="more behind the value"):
        loads(b"[1] 2")


def test_the_last_of_two_equal_keys_counts() -> None:
    assert loads(b'{"a":1,"b":{"c":2,"c":3},"a":4}') == {"a": 4, "b": {"c": 3}}


@given(st.dictionaries(st.text(), json_values, max_size=5), st.integers(0, 2))
def test_members_give_back_keys_and_exact_texts(value: dict[str, Any], indent: int) -> None:
    data = b" " + dumps(value, indent=indent) + b"\n"
    found = members(data)
    assert [key for key, _ in found] == list(value)
    assert [loads(text) for _, text in found] == list(value.values())


def test_members_keep_repeated_keys_and_the_form_of_numbers() -> None:
    assert members(b'{ "a" : 1.50 , "a":"\xff\\u003c" }') == [("a", b"1.50"), ("a", b'"\xff\\u003c"')]
    assert members(b"{}") == members(b" { } ") == []


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"1", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b"{1:2}", b'{"a":1}x', b"{,}"],
)
def test_members_of_what_is_no_object_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedDataError):
        members(data)


@given(st.binary() | st.text(alphabet='{}[]:,"\\ \n01.eE-+ntflsura', max_size=40).map(str.encode))
def test_hostile_bytes_raise_damage_or_are_read(data: bytes) -> None:
    for read in (loads, members, lambda garbage: decode(garbage, Outer, first_only=True)):
        with contextlib.suppress(DamagedDataError):
            read(data)


@given(json_values.map(dumps), st.data())
def test_truncated_json_raises_damage_or_is_read(data: bytes, draw: st.DataObject) -> None:
    cut = data[: draw.draw(st.integers(0, len(data)))]
    try:
        loads(cut)
    except DamagedDataError:
        assert cut != data


def test_folding_knows_the_two_foreign_letters_that_go_takes_for_ascii() -> None:
    assert fold("Mod\u017f") == "mods"
    assert fold("\u212aey") == "key"
    assert fold("\u0130d") != "id"


def test_all_public_names_are_exported() -> None:
    assert sorted(m.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)) == m.__all__


@given(st.integers(min_value=1, max_value=400), st.lists(st.sampled_from(["[", '{"a":']), min_size=1, max_size=7))
def test_nesting_is_read_up_to_the_limit_and_refused_beyond(depth: int, pattern: list[str]) -> None:
    openings = [pattern[level % len(pattern)] for level in range(depth)]
    text = "".join(openings) + "1" + "".join("]" if opening == "[" else "}" for opening in reversed(openings))
    if depth <= m.MAX_NESTING:
        assert m.dumps(m.loads(text.encode())) == text.encode()
    else:
        with pytest.raises(DamagedDataError, match="nested more than 200 deep"):
            m.loads(text.encode())


def test_brackets_in_texts_are_no_nesting() -> None:
    text = json.dumps({"a": ["[" * 1000, '{"' * 1000], "b": "\\"}).encode()
    assert m.loads(text) == json.loads(text)


def test_siblings_are_no_nesting() -> None:
    text = b"[" + b",".join([b'{"a":[]}'] * 1000) + b"]"
    assert m.loads(text) == [{"a": []}] * 1000


def test_raw_text_that_a_parser_accepted_is_written_however_deep_it_is() -> None:
    deep = b'{"a": ' * 600 + b'"<"' + b"}" * 600
    assert m.dumps(m.Raw(deep, parsed=True)) == b'{"a":' * 600 + b'"\\u003c"' + b"}" * 600
    with pytest.raises(UsageError, match="nested"):
        m.dumps(m.Raw(deep))
