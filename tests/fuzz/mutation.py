"""Changes of stored bytes that keep most of their structure, so that they reach deep into a decoder.

All chance comes from a ``random.Random`` of the caller: a seed makes a case again.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Mutator = Callable[[bytes, Random], bytes]

NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
NUMBERS += [1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e300,
    "",
    "a",
    "\ud800",
    "\0",
    [],
    {},
    [None],
    {"": 0},
    *NUMBERS,
    -(1 << 63),
]
TEXTS = [
    "",
    ".",
    "..",
    "/",
    "a/b",
    "\0",
    "x" * 300,
    "é" * 200,
    "\U0001f600",
    "0001-01-01T00:00:00Z",
    "-1",
    "k",
    "Ix",
    "IIIIIIIIIIx",
]
LONGEST = 1 << 16
"""Bytes that a change makes of an input at the most."""


def mutate_bytes(data: bytes, chance: Random) -> bytes:
    """Change some bits, numbers and ranges."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        chance.choice(_CHANGES)(out, chance)
    return bytes(out[:LONGEST])


def _place(out: bytearray, chance: Random) -> int:
    """Return a position, more often near the start or the end, where the headers are."""
    where = chance.random()
    if where < 0.3:
        return chance.randrange(min(len(out), 32) + 1)
    if where < 0.5:
        return max(len(out) - chance.randrange(33), 0)
    return chance.randrange(len(out) + 1)


def _flip(out: bytearray, chance: Random) -> None:
    at = _place(out, chance)
    if at < len(out):
        out[at] ^= 1 << chance.randrange(8)


def _set(out: bytearray, chance: Random) -> None:
    at = _place(out, chance)
    if at < len(out):
        out[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))


def _number(out: bytearray, chance: Random) -> None:
    """Write a number where there may be one, or one more or less than there is."""
    at, width, order = _place(out, chance), chance.choice((1, 2, 3, 4, 8)), chance.choice(("big", "little"))
    old = int.from_bytes(out[at : at + width], order)  # type: ignore[arg-type]
    new = chance.choice((old + 1, old - 1, old * 2, len(out), len(out) - at, chance.choice(NUMBERS)))
    out[at : at + width] = (new % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]


def _cut(out: bytearray, chance: Random) -> None:
    del out[_place(out, chance) :]


def _remove(out: bytearray, chance: Random) -> None:
    at = _place(out, chance)
    del out[at : at + chance.choice((1, 2, 4, 16, 100))]


def _insert(out: bytearray, chance: Random) -> None:
    at = _place(out, chance)
    out[at:at] = chance.choice((b"\0", b"\xff" * 4, b'"', b"{", b"[" * 300, chance.randbytes(chance.randrange(1, 20))))


def _repeat(out: bytearray, chance: Random) -> None:
    at = _place(out, chance)
    piece = bytes(out[at : at + chance.choice((1, 4, 30, 400))])
    out[at:at] = piece * chance.choice((1, 2, 50))


def _move(out: bytearray, chance: Random) -> None:
    start, to = _place(out, chance), _place(out, chance)
    piece = bytes(out[start : start + chance.choice((1, 4, 8, 30))])
    out[to : to + len(piece)] = piece


_CHANGES = [_flip, _flip, _set, _number, _number, _cut, _remove, _insert, _repeat, _move]


# ---------------------------------------------------------------------- JSON


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON, with its keys in order and repeated where they are."""


def mutate_json(data: bytes, chance: Random) -> bytes:
    """Change values, keys and nesting of a JSON text; now and then its bytes."""
    if chance.random() < 0.2:
        return mutate_bytes(data, chance)
    try:
        value = json.loads(data, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return mutate_bytes(data, chance)
    for _ in range(chance.choice((1, 1, 2, 4))):
        value = _changed(value, chance)
    return _written(value, chance).encode("utf-8", "surrogatepass")[:LONGEST]


def _changed(value: Any, chance: Random) -> Any:  # noqa: ANN401 -- JSON
    """Return a value with one change, somewhere in it."""
    if isinstance(value, _Pairs) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        key, inner = value[at]
        change = chance.random()
        if change < 0.6:
            value[at] = key, _changed(inner, chance)
        elif change < 0.7:
            value.insert(chance.randrange(len(value) + 1), (key, _any(inner, chance)))
        elif change < 0.8:
            value[at] = chance.choice((key.upper(), key.title(), key + "\u017f", "", key[:-1], "x")), inner
        elif change < 0.9:
            del value[at]
        else:
            chance.shuffle(value)
        return value
    if isinstance(value, list) and value and not isinstance(value, _Pairs) and chance.random() < 0.85:
        at = chance.randrange(len(value))
        change = chance.random()
        if change < 0.6:
            value[at] = _changed(value[at], chance)
        elif change < 0.8:
            value[at:at] = [value[at]] * chance.choice((1, 2, 40))
        else:
            del value[at]
        return value
    return _any(value, chance)


def _any(value: Any, chance: Random) -> Any:  # noqa: ANN401 -- JSON
    if isinstance(value, bool) or chance.random() < 0.3:
        return chance.choice(VALUES)
    if isinstance(value, int):
        return chance.choice(
            (value + 1, value - 1, -value, value * 10**9, float(value), str(value), chance.choice(NUMBERS))
        )
    if isinstance(value, str):
        at = chance.randrange(len(value) + 1)
        return chance.choice(
            (value[:at], value[:at] + chance.choice(TEXTS) + value[at:], chance.choice(TEXTS), value.upper(), [value])
        )
    return chance.choice(
        ([value], _Pairs([("a", value)]), chance.choice(VALUES), _deep(chance.choice((5, 199, 201, 3000))))
    )


class _Deep(int):
    """Stands for so many lists within each other."""


def _deep(levels: int) -> _Deep:
    return _Deep(levels)


def _written(value: Any, chance: Random) -> str:  # noqa: ANN401 -- JSON
    blank = "" if chance.random() < 0.95 else chance.choice((" ", "\n", "\t", "\u00a0"))
    if isinstance(value, _Deep):
        return "[" * value + "]" * value
    if isinstance(value, _Pairs):
        items = (
            f"{json.dumps(key, ensure_ascii=chance.random() < 0.5)}:{blank}{_written(each, chance)}"
            for key, each in value
        )
        return "{" + f",{blank}".join(items) + "}"
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list):
        return "[" + f",{blank}".join(_written(each, chance) for each in value) + "]"
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)


# ---------------------------------------------------------------------- what is wrapped


def inside_gzip(mutate: Mutator) -> Mutator:
    """Return a mutator of what is compressed, and now and then of the compressed bytes."""

    def changed(data: bytes, chance: Random) -> bytes:
        if chance.random() < 0.15:
            return mutate_bytes(data, chance)
        try:
            return gzip.compress(mutate(gzip.decompress(data), chance), 1, mtime=0)
        except (OSError, EOFError, zlib.error):
            return mutate_bytes(data, chance)

    return changed


def behind_header(length: int, headers: Sequence[bytes]) -> Mutator:
    """Return a mutator that keeps a header, or puts another one in its place."""

    def changed(data: bytes, chance: Random) -> bytes:
        header = data[:length] if chance.random() < 0.9 else chance.choice(headers)
        return header + mutate_bytes(data[length:], chance)

    return changed
