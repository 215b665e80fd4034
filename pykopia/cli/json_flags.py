"""Flags of commands that print JSON when asked to."""

from typing import TYPE_CHECKING

from pykopia.cli.parsing import Options, flag

if TYPE_CHECKING:
    from pykopia.cli.jsontext import JsonList
    from pykopia.cli.session import Session


class JsonFlags(Options):
    """``--json`` and how it is laid out."""

    json = flag(False, "Print JSON.")
    json_indent = flag(False, "Lay the JSON out over lines.", hidden=True)
    json_verbose = flag(False, "Print what is left out otherwise, such as statistics.", hidden=True)

    def write_json(self, session: "Session", value: object, *, margin: str = "") -> None:
        """Print one JSON value.

        Args:
            session: the run of the program.
            value: what is printed.
            margin: stands before each line but the first one where the JSON is laid out, and again at each of its levels.
        """
        from pykopia.cli.jsontext import dumps, indent  # noqa: PLC0415 -- `--help` does without

        text = dumps(value)
        session.write(indent(text, prefix=margin, step=margin + "  ") if self.json_indent else text)

    def json_list(self, session: "Session") -> "JsonList":
        """Return the printer of a JSON list."""
        from pykopia.cli.jsontext import JsonList  # noqa: PLC0415 -- `--help` does without

        return JsonList(lambda text: session.write(text, end=""), indented=self.json_indent)


__all__ = ["JsonFlags"]
