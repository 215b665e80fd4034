"""JSON texts: values written as Go writes them, and texts laid out over lines as Go lays them out."""

from collections.abc import Callable

from pykopia.format import gojson

_BLANKS = " \t\r\n"


def dumps(value: object) -> str:
    """Return compact JSON."""
    return gojson.dumps(value).decode("utf-8", "surrogateescape")


def indent(text: str, *, prefix: str = "", step: str = "  ") -> str:
    """Return JSON laid out over lines; the first line gets no prefix.

    The values stay exactly as they are written, also where they are not what we would write; so do blanks at the end.
    """
    text, rest = text.rstrip(_BLANKS), text[len(text.rstrip(_BLANKS)) :]
    out: list[str] = []
    depth, position, end = 0, 0, len(text)
    opened = False
    while position < end:
        character = text[position]
        if character in _BLANKS:
            position += 1
            continue
        if opened and character not in "]}":
            depth += 1
            out.append("\n" + prefix + step * depth)
        if character == '"':
            stop = _end_of_string(text, position)
            out.append(text[position:stop])
            position, opened = stop, False
            continue
        if character in "[{":
            out.append(character)
            position, opened = position + 1, True
            continue
        if character in "]}":
            if not opened:
                depth -= 1
                out.append("\n" + prefix + step * depth)
            out.append(character)
        elif character == ",":
            out.append(",\n" + prefix + step * depth)
        elif character == ":":
            out.append(": ")
        else:
            out.append(character)
        position, opened = position + 1, False
    return "".join(out) + rest


def _end_of_string(text: str, start: int) -> int:
    position = start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == '"':
            return position + 1
        position += 1
    return len(text)


class JsonList:
    """A list printed element by element: one a line with a leading blank, no newline after the end (format 04 §13)."""

    def __init__(self, write: Callable[[str], object], *, indented: bool = False) -> None:
        self._write, self._indented = write, indented
        self._separator = "[" if indented else "[\n "

    def add(self, value: object) -> None:
        """Print one element."""
        self.add_text(dumps(value))

    def add_text(self, text: str) -> None:
        """Print one element that is JSON already."""
        self._write(self._separator + (indent(text) if self._indented else text))
        self._separator = "," if self._indented else ",\n "

    def end(self) -> None:
        """Print the end of the list."""
        if self._separator[0] == "[":
            self._write("[")
        self._write("]" if self._indented else "\n]")


__all__ = ["JsonList", "dumps", "indent"]
