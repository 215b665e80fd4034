"""Patterns of ignore rules: much like gitignore, with Kopia's own corners (format 05 §4.4).

A path is that of an entry below the snapshot's root, with a leading slash and no other one at its end: ``/d/a.log``.
The *base* of a rule is the path of the directory that holds it, empty for the root. Bytes of a name that are not UTF-8
(``surrogateescape``) count as U+FFFD, as they do in Kopia.

``IgnorePattern.matches`` is the matching loop of the specification. It is neither recursive nor exponential: what was
found out for a place in the pattern and a place in the path is remembered.
"""

import re
import unicodedata
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from enum import Enum, auto
from itertools import groupby
from typing import Self, TypeAlias

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidPolicyError

_SURROGATES = re.compile("[\ud800-\udfff]")
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""White space as Go defines it, which differs from ``str.isspace``."""

_SLASH = "/"
_END = ""
"""Marks the end of a text or pattern: NUL, which no file name contains."""


def _is_one_of(*categories: str) -> Callable[[str], bool]:
    return lambda character: unicodedata.category(character).startswith(categories)


_CLASSES: Mapping[str, Callable[[str], bool]] = {
    "alnum": _is_one_of("L", "Nd"),
    "alpha": _is_one_of("L"),
    "ascii": str.isascii,
    "blank": lambda character: character == "\t" or unicodedata.category(character) == "Zs",
    "cntrl": _is_one_of("Cc"),
    "digit": _is_one_of("Nd"),
    "graph": _is_one_of("L", "M", "N", "P", "S", "Zs"),
    "lower": _is_one_of("Ll"),
    "print": lambda character: character == " " or unicodedata.category(character)[0] in "LMNPS",
    "punct": _is_one_of("P", "S"),
    "space": lambda character: character in WHITE_SPACE,
    "upper": _is_one_of("Lu"),
    "xdigit": lambda character: character in "ABCDEFabcdef" or unicodedata.category(character) == "Nd",
}


class Wildcard(Enum):
    """A token that stands for no certain character."""

    ANY = auto()
    """``?``: one character but the slash."""
    STAR = auto()
    """``*``: characters up to a slash."""
    DOUBLE_STAR = auto()
    """``**`` as a whole component: anything."""


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """``[...]``: one character that is in the set, or is not; a slash can be."""

    negated: bool
    ranges: tuple[tuple[str, str], ...]
    """First and last character of each range; a single character is a range of one."""
    classes: tuple[str, ...]
    """Names such as ``alpha``."""

    def matches(self, character: str) -> bool:
        """Return True if the set, or its complement if it is negated, has the character."""
        found = any(first <= character <= last for first, last in self.ranges) or any(
            _CLASSES[name](character) for name in self.classes
        )
        return found != self.negated


_ESCAPED_SLASH = CharacterSet(negated=False, ranges=(("/", "/"),), classes=())
"""Matches a slash, but does not make a star in front of it stand for a whole component."""

Token: TypeAlias = str | Wildcard | CharacterSet
"""A text stands for itself: one slash, or characters without a slash."""


class _Result(Enum):
    YES = auto()
    NO = auto()
    ABORT = auto()
    ABORT_TO_DOUBLE = auto()


class _Scanner:
    """Walks through a pattern's text; ``peek`` and ``read`` give ``_END`` where there is nothing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    @property
    def ended(self) -> bool:
        return self.at >= len(self.text)

    def peek(self, ahead: int = 0) -> str:
        place = self.at + ahead
        character = self.text[place] if 0 <= place < len(self.text) else _END
        return _END if character == "\0" else character

    def read(self) -> str:
        character = self.peek()
        self.at += character != _END
        return character

    def read_escaped(self, pattern: str) -> str:
        """Return the character behind a backslash."""
        if self.ended:
            raise _bad(pattern, r"nothing follows the last '\'; write '\\' for a backslash")
        return self.read() or "\0"


def _bad(pattern: str, reason: str) -> InvalidPolicyError:
    return InvalidPolicyError(f"ignore rule {pattern!r} can't be used: {reason}; correct it in the policy or file")


@dataclass(frozen=True, kw_only=True, slots=True)
class IgnorePattern:
    """A rule, ready to be asked."""

    text: str
    """The rule as it was written, without white space around it."""
    base: str
    """Path of the directory that holds the rule; empty for the root."""
    negated: bool
    """A rule with ``!``, which takes back what rules before it ignore."""
    directories_only: bool
    """The rule ended in a slash."""
    base_tokens: tuple[Token, ...]
    """Required base of a path; empty for an empty pattern too."""
    own_tokens: tuple[Token, ...]
    """Required rest of the path after the base."""

    @classmethod
    def parse(cls, text: str, base: str = "") -> Self:
        """Read a rule.

        Args:
            text: One line, without its end.
            base: Path of the directory that holds the rule.

        Raises:
            InvalidPolicyError: The pattern ends in a backslash, lacks a ``]``, or names a class that does not exist.
        """
        raw = text.encode("utf-8", "surrogateescape")
        if len(raw) > 2 and raw[-2:-1] != b"\\":
            text = text.strip(WHITE_SPACE)
        text = plain(text)
        if len(base) > 1:
            base = base.removesuffix("/")
        scanner = _Scanner(text)
        while scanner.peek() and scanner.peek() in WHITE_SPACE:
            scanner.read()
        negated = scanner.peek() == "!"
        if negated:
            scanner.read()
        rooted = scanner.peek() == "/"
        tokens: list[Token] = []
        if base and text and not rooted:
            tokens.append("/")
        if not rooted and text not in {"", "**"}:
            first_slash = text.find("/", scanner.at)
            if first_slash in {-1, len(text) - 1}:
                tokens += (Wildcard.DOUBLE_STAR, "/")
            elif not base:
                tokens.append("/")
        directories_only = text.endswith("/")
        if directories_only:
            scanner.text = text[:-1]
        tokens += _tokens(scanner, text)
        return cls(
            text=text,
            base=base,
            negated=negated,
            directories_only=directories_only,
            base_tokens=tuple(_joined(plain(base) if text else "")),
            own_tokens=tuple(_joined(tokens)),
        )

    def matches(self, path: str) -> bool:
        """Return True if the pattern, without regard to negation and to what kind of entry it is, matches a path.

        Args:
            path: With bytes that are not UTF-8 replaced already (``plain``).
        """
        return _match(self.base_tokens + self.own_tokens, path) is _Result.YES


def plain(path: str) -> str:
    """Return a name or path with each byte that is not UTF-8 as U+FFFD."""
    return path if path.isascii() else _SURROGATES.sub("\ufffd", path)


def _tokens(scanner: _Scanner, pattern: str) -> Generator[Token, None, None]:
    while character := scanner.read():
        if character == "\\":
            escaped = scanner.read_escaped(pattern)
            yield _ESCAPED_SLASH if escaped == "/" else escaped
        elif character == "?":
            yield Wildcard.ANY
        elif character == "*":
            yield _star(scanner)
        elif character == "[":
            yield _character_set(scanner, pattern)
        else:
            yield character


def _joined(tokens: Iterable[Token]) -> Iterator[Token]:
    """Put characters that stand for themselves together, but no slash."""
    for ordinary, same in groupby(tokens, lambda token: isinstance(token, str) and token != _SLASH):
        if ordinary:
            yield "".join(token for token in same if isinstance(token, str))
        else:
            yield from same


def _star(scanner: _Scanner) -> Wildcard:
    """Return what a run of stars, of which the first is read, stands for."""
    before = scanner.peek(-2)
    if scanner.peek() == "*":
        while scanner.peek() == "*":
            scanner.read()
        if before == _END or (before == "/" and (scanner.peek() == "/" or scanner.ended)):
            return Wildcard.DOUBLE_STAR
    return Wildcard.STAR


def _character_set(scanner: _Scanner, pattern: str) -> CharacterSet:
    """Return the set whose opening bracket is read."""
    ranges: list[tuple[str, str]] = []
    classes: list[str] = []
    character = scanner.read()
    negated = character == "!"
    if negated:
        character = scanner.read()
    while character not in {"]", _END}:
        if character == "\\":
            character = scanner.read_escaped(pattern)
        if scanner.peek() == "-" and scanner.peek(1) not in {"]", _END}:
            scanner.read()
            last = scanner.read()
            ranges.append((character, scanner.read_escaped(pattern) if last == "\\" else last))
        elif character == "[" and scanner.peek() == ":" and (name := _class_name(scanner, pattern)):
            classes.append(name)
        else:
            ranges.append((character, character))
        character = scanner.read()
    if character == _END:
        raise _bad(pattern, "a ']' is missing")
    return CharacterSet(negated, tuple(ranges), tuple(classes))


def _class_name(scanner: _Scanner, pattern: str) -> str:
    """Return the name of the class whose ``[`` is read, and go behind it; empty if it is none and goes on as text."""
    close = scanner.text.find("]", scanner.at)
    if close < 0:
        raise _bad(pattern, "a ']' is missing")
    length = close - scanner.at
    # Kopia compares the length with the place in the pattern, so that a class far from the start is not seen as one.
    if length - 1 <= scanner.at or scanner.text[close - 1] != ":":
        return ""
    name = scanner.text[scanner.at + 1 : close - 1].lower()
    if name not in _CLASSES:
        raise _bad(pattern, f"there is no class [:{name}:]")
    scanner.at = close + 1
    return name


# --- the matching loop -----------------------------------------------------------------------------------------------

_Place: TypeAlias = tuple[int, int]
"""Number of the first token, and of the first character, of what is left to match."""
_Attempt: TypeAlias = Generator[_Place, _Result, _Result]
"""Asks for the results of other places, and ends in its own."""


def _match(tokens: tuple[Token, ...], path: str) -> _Result:
    known: dict[_Place, _Result] = {}
    waiting: list[tuple[_Place, _Attempt]] = []
    place = (0, 0)
    attempt = _attempt(tokens, path, *place)
    result: _Result | None = None
    while True:
        try:
            asked = next(attempt) if result is None else attempt.send(result)
        except StopIteration as end:
            result = known[place] = end.value
            if not waiting:
                return result
            place, attempt = waiting.pop()
            continue
        result = known.get(asked)
        if result is None:
            waiting.append((place, attempt))
            place, attempt = asked, _attempt(tokens, path, *asked)


def _attempt(tokens: tuple[Token, ...], path: str, first: int, start: int) -> _Attempt:
    """Match the tokens from ``first`` on against the path from ``start`` on; the numbers are those of format 05 §4.4."""
    last = len(tokens) - 1
    at = start
    for number in range(first, len(tokens)):
        token = tokens[number]
        if isinstance(token, Wildcard) and token is not Wildcard.ANY:
            double = token is Wildcard.DOUBLE_STAR
            if number == last:  # 3
                return _Result.YES if double or "/" not in path[at:] else _Result.NO
            before_slash = tokens[number + 1] == "/"
            if double and before_slash and number + 2 <= last and (yield number + 2, at) is _Result.YES:  # 4
                return _Result.YES
            if double or not before_slash:
                return (yield from _try_each(tokens, path, number, at))
            slash = path.find("/", at)  # 5
            if slash < 0 or slash == start:  # with nothing before the slash, Kopia's step forward fails
                return _Result.NO
            at = slash
        elif isinstance(token, str):  # 1, 2
            if not path.startswith(token, at):
                return _Result.ABORT if token.startswith(path[at:]) else _Result.NO
            at += len(token)
        elif at == len(path):  # 1
            return _Result.ABORT
        elif not (token.matches(path[at]) if isinstance(token, CharacterSet) else path[at] != "/"):  # 2
            return _Result.NO
        else:
            at += 1
    return _Result.YES if at == len(path) else _Result.NO  # 7


def _try_each(tokens: tuple[Token, ...], path: str, star: int, at: int) -> _Attempt:
    """Match the tokens behind a star against the path from ``at`` on, from the next character on, and so forth (6)."""
    double = tokens[star] is Wildcard.DOUBLE_STAR
    following = tokens[star + 1]
    first_character = following[0] if isinstance(following, str) else ""
    end = len(path)
    gives_up = _Result.ABORT
    if not double:
        # A star looks for a slash one character late: it stops behind the one it has come to, or at once on one.
        slash = path.find("/", at)
        stop = slash if slash == at else slash + 1
        if slash >= 0 and stop < end:
            end, gives_up = stop + 1, _Result.ABORT_TO_DOUBLE
    # For any character but the first requested one the result would be NO.
    while 0 <= (at := path.find(first_character, at, end)) < end:
        result = yield star + 1, at
        if result is not _Result.NO and not (double and result is _Result.ABORT_TO_DOUBLE):
            return result
        at += 1
    return gives_up


__all__ = ["WHITE_SPACE", "CharacterSet", "IgnorePattern", "Token", "Wildcard", "plain"]
