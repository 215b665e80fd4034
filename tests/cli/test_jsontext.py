import io
import json

from hypothesis import given
from hypothesis import strategies as st

from pykopia.cli.jsontext import JsonList, dumps, indent

TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
)


def printed(*items: object, indented: bool = False) -> str:
    stream = io.StringIO()
    printer = JsonList(stream.write, indented=indented)
    for item in items:
        printer.add(item)
    printer.end()
    return stream.getvalue()


def test_lists_have_kopias_form() -> None:
    assert printed() == "[\n]"
    assert printed({"a": 1}) == '[\n {"a":1}\n]'
    assert printed({"a": 1}, {"b": 2}) == '[\n {"a":1},\n {"b":2}\n]'


def test_an_empty_list_can_be_read() -> None:
    assert json.loads(printed()) == json.loads(printed(indented=True)) == []


def test_indented_lists_can_be_read() -> None:
    assert json.loads(printed({"a": [1]}, {}, indented=True)) == [{"a": [1]}, {}]


@given(JSON)
def test_indenting_changes_nothing_but_blanks(value: object) -> None:
    text = dumps(value)
    laid_out = indent(text)
    assert json.loads(laid_out) == json.loads(text)
    assert laid_out == json.dumps(json.loads(text), indent=2, ensure_ascii=False) or "\\u" in text or "\\" in text


def test_empty_containers_stay_on_their_line() -> None:
    assert indent('{"a":{},"b":[]}') == '{\n  "a": {},\n  "b": []\n}'


def test_later_lines_get_the_prefix() -> None:
    assert indent('{"a":[1,2]}', prefix="..") == '{\n..  "a": [\n..    1,\n..    2\n..  ]\n..}'


def test_text_is_left_as_it_is() -> None:
    text = '{"a":"x, y: [z] {\\"q\\"}"}'
    assert indent(text) == '{\n  "a": "x, y: [z] {\\"q\\"}"\n}'


@given(st.text())
def test_no_text_makes_indenting_fail(text: str) -> None:
    indent(text)
