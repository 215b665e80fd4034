"""Parts of divided work as text."""

from typing import TypeVar

import msgspec

from pykopia.errors import UsageError

Part = TypeVar("Part")


def part_from_json(kind: type[Part], text: bytes | str, called: str) -> Part:
    """Return a part that ``msgspec.json.encode`` wrote.

    Raises:
        UsageError: the text is no such part, which the message calls ``called``.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"the text is no {called}: {error}") from error


__all__ = ["part_from_json"]
