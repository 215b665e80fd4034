import contextlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError
from pykopia.format import gojson
from pykopia.format.gojson import Raw
from pykopia.format.json_object import (
    BASE64,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    JSONObject,
    list_of,
    member,
    nested,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf(JSONObject):
    size: int = field(default=0, metadata=member("Size", INTEGER, always=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree(JSONObject):
    name: str = field(default="", metadata=member("name", TEXT))
    flag: bool = field(default=False, metadata=member("flag", FLAG, always=True))
    rate: float = field(default=0.0, metadata=member("rate", NUMBER))
    key: bytes = field(default=b"", repr=False, metadata=member("key", BASE64))
    when_ns: int = field(default=0, metadata=member("when", TIME))
    leaf: Leaf | None = field(default=None, metadata=member("leaf", nested(Leaf)))
    leaves: tuple[Leaf, ...] = field(default=(), metadata=member("leaves", list_of(Leaf)))


FULL = Tree(
    name="<a>",
    flag=True,
    rate=1.5,
    key=b"\0\xff",
    when_ns=1_500_000_000,
    leaf=Leaf(size=1),
    leaves=(Leaf(), Leaf(size=-2)),
)
FULL_TEXT = (
    b'{"name":"\\u003ca\\u003e","flag":true,"rate":1.5,"key":"AP8=","when":"1970-01-01T00:00:01.5Z",'
    b'"leaf":{"Size":1},"leaves":[{"Size":0},{"Size":-2}]}'
)


def test_members_are_written_in_their_order_and_empty_ones_left_out() -> None:
    assert gojson.dumps(FULL.members()) == FULL_TEXT
    assert gojson.dumps(Tree().members()) == b'{"flag":false}'


def test_what_was_written_is_read_back() -> None:
    assert Tree.parse(FULL_TEXT) == FULL
    assert Tree.parse(b"{}") == Tree()


def test_names_match_without_regard_to_case_and_the_last_one_counts() -> None:
    assert Tree.parse(b'{"NAME":"a","name":"b","Name":"c","LEAF":{"size":3}}') == Tree(name="c", leaf=Leaf(size=3))


def test_null_leaves_the_default() -> None:
    assert (
        Tree.parse(b'{"name":null,"flag":null,"rate":null,"key":null,"when":null,"leaf":null,"leaves":null}') == Tree()
    )


def test_unknown_members_survive_a_rewrite_exactly() -> None:
    text = b'{"flag":false,"leaf":{"Size":1,"colour":[1.50,1e400]},"new":{"x" : 12345678901234567890}}'
    tree = Tree.parse(text)
    assert tree.unknown == {"new": Raw(b'{"x" : 12345678901234567890}')}
    assert gojson.dumps(tree.members()) == text.replace(b" ", b"")


def test_unknown_members_do_not_show_in_the_representation() -> None:
    assert "QQQ" not in repr(Tree.parse(b'{"password":"QQQ"}'))


def test_only_the_first_value_is_read_where_more_may_follow() -> None:
    assert Tree.parse(b'{"name":"a"} {"name":"b"}', first_only=True).name == "a"
    with pytest.raises(DamagedDataError):
        Tree.parse(b'{"name":"a"} {"name":"b"}')


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "1", '"x"', "{", '{"name"}', '{"name":1}', '{"name":["a"]}', '{"flag":1}', '{"flag":"true"}',
        '{"rate":"1"}', '{"rate":true}', '{"rate":1e999}', '{"rate":1' + "0" * 400 + "}",
        '{"key":1}', '{"key":"A"}', '{"key":"AP8"}', '{"key":"A-8="}',
        '{"key":"\u2603"}', '{"when":1}', '{"when":"yesterday"}', '{"leaf":[]}', '{"leaf":{"Size":1.0}}',
        '{"leaf":{"Size":true}}', '{"leaf":{"Size":9223372036854775808}}', '{"leaves":{}}', '{"leaves":[1]}',
        '{"leaves":[{"Size":"1"}]}', '{"leaf":{"Size":' + "9" * 5000 + "}}",
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_type_is_refused(text: str) -> None:
    with pytest.raises(DamagedDataError):
        Tree.parse(text.encode())


def test_base64_may_have_line_breaks_as_in_go() -> None:
    assert Tree.parse(b'{"key":"A\\r\\nP8="}').key == b"\0\xff"


def test_the_member_is_named_and_a_secret_value_is_not_shown() -> None:
    with pytest.raises(DamagedDataError, match="key: it must be base64") as caught:
        Tree.parse(b'{"key":"QQQ"}')
    assert "QQQ" not in str(caught.value)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:nulkeyaf0189.e ', max_size=40).map(str.encode))
def test_garbage_raises_only_our_error(data: bytes) -> None:
    with contextlib.suppress(DamagedDataError):
        Tree.parse(data)
