"""Which entries of a directory a snapshot leaves out (format 05 §4).

A walk carries an ``IgnoreContext`` from each directory to the next: it asks which dot-ignore files to look for, reads
them, enters the directory with what it found, and asks about each entry. There is no I/O in here.

    >>> from pykopia.format.policy import FilesPolicy
    >>> root = IgnoreContext.empty().enter("", FilesPolicy(ignore=("*.tmp",)), [b"/build/"])
    >>> root.ignored("/a.tmp", is_directory=False), root.ignored("/build", is_directory=False)
    (True, False)

Rules of the usual forms (a name, ``*.extension``, ``prefix*``, a whole path) are answered by comparing texts; whether
that says the same as the matching loop is held by a test.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, StrEnum, auto
from itertools import groupby
from typing import Self

from pykopia.dataclass import dataclass
from pykopia.format.ignore_pattern import WHITE_SPACE, IgnorePattern, Token, Wildcard, plain
from pykopia.format.policy import FilesPolicy

CACHE_TAG_NAME = "CACHEDIR.TAG"
"""A regular file of this name marks a directory whose content need not be kept (format 05 §4.6)."""

CACHE_TAG_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
"""The first bytes of that file."""

LONGEST_LINE = 64 * 1024 - 1
"""Bytes of a line in a dot-ignore file; Kopia stops to read at a longer one, without a word."""


class Exclusion(StrEnum):
    """Why an entry is left out."""

    RULE = "rule"
    """An ignore rule matches."""
    SIZE = "size"
    """It is larger than ``maxFileSize``."""
    DEVICE = "device"
    """It is on another device than its directory, and ``oneFileSystem`` is set."""


def is_cache_tag(head: bytes) -> bool:
    """Return True if a file that begins with these bytes, if it is called ``CACHEDIR.TAG``, marks a cache directory."""
    return head.startswith(CACHE_TAG_SIGNATURE)


def dot_ignore_rules(content: bytes) -> list[str]:
    """Return the rules in a dot-ignore file: the lines that are neither blank nor begin with ``#`` (format 05 §4.3).

    Bytes that are not UTF-8 are kept as ``surrogateescape`` does. As in Kopia, a line that is too long ends the file.
    """
    rules = []
    for line in content.split(b"\n"):
        if len(line) > LONGEST_LINE:
            break
        text = line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        if text.strip(WHITE_SPACE) and not text.startswith("#"):
            rules.append(text)
    return rules


@dataclass(frozen=True, kw_only=True, slots=True)
class IgnoreContext:
    """The rules that hold in a directory and, unless more are added, below it."""

    rules: "tuple[_Rules, ...]" = ()
    """From the root on; rules that follow each other and say the same, ignore or take back, are together."""
    dot_ignore_files: tuple[str, ...] = ()
    """Names of the files that hold more rules."""
    max_file_size: int = 0
    """Bytes; 0 is no limit."""
    one_file_system: bool = False
    """Whether entries on another device are left out."""

    @classmethod
    def empty(cls) -> Self:
        """Return the context outside of the snapshot's root."""
        return cls()

    def dot_ignore_names(self, defined: FilesPolicy | None) -> tuple[str, ...]:
        """Return the names of dot-ignore files to look for in a directory below, in the order in which they apply.

        Regular files of such a name count, and links that lead to one; that is the caller's to find out.

        Args:
            defined: The policy defined at just that directory, or None.
        """
        if defined is None:
            return self.dot_ignore_files
        return tuple(dict.fromkeys(defined.dot_ignore_files))

    def enter(self, path: str, defined: FilesPolicy | None, dot_ignore_files: Sequence[bytes] = ()) -> "IgnoreContext":
        """Return the context for the entries of a directory.

        Args:
            path: The directory: empty for the snapshot's root, else such as ``/d/e``.
            defined: The policy defined at just this directory, or None.
            dot_ignore_files: Content of each file found that ``dot_ignore_names`` asked for.

        Raises:
            InvalidPolicyError: A rule can't be parsed; to Kopia the directory can't be read then.
        """
        if defined is None and not dot_ignore_files:
            return self
        texts = list(defined.ignore) if defined else []
        for content in dot_ignore_files:
            texts += dot_ignore_rules(content)
        patterns = [IgnorePattern.parse(text, path) for text in texts]
        return IgnoreContext(
            rules=self.rules + tuple(_Rules.compile(path, same) for _, same in groupby(patterns, lambda p: p.negated)),
            dot_ignore_files=self.dot_ignore_names(defined),
            max_file_size=(defined.max_file_size if defined else 0) or self.max_file_size,
            one_file_system=self.one_file_system if defined is None else bool(defined.one_file_system),
        )

    def ignored(self, path: str, is_directory: bool) -> bool:
        """Return True if the rules leave an entry of this directory out.

        Args:
            path: Of the entry below the snapshot's root, such as ``/d/a.log``.
            is_directory: Whether it is a directory; a link never is.
        """
        if not self.rules:
            return False
        path = plain(path)
        name = path[path.rfind("/") + 1 :]
        ignored = False
        for rules in self.rules:
            if rules.negated is ignored and rules.match(path, name, is_directory):
                ignored = not ignored
        return ignored

    def excludes(
        self, path: str, *, is_directory: bool, size: int = 0, device: int = 0, directory_device: int = 0
    ) -> Exclusion | None:
        """Return why an entry of this directory is left out, or None.

        Args:
            path: Of the entry below the snapshot's root, such as ``/d/a.log``.
            is_directory: Whether it is a directory; a link never is.
            size: Bytes of a file, length of a link's target; that of a directory does not matter.
            device: Device number of the entry.
            directory_device: Device number of the directory that holds it.
        """
        if self.rules and self.ignored(path, is_directory):
            return Exclusion.RULE
        if 0 < self.max_file_size < size and not is_directory:
            return Exclusion.SIZE
        if self.one_file_system and device != directory_device:
            return Exclusion.DEVICE
        return None


class _Form(Enum):
    NAME = auto()
    SUFFIX = auto()
    PREFIX = auto()
    PATH = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rules:
    """Rules of one directory that are all positive or all negated, sorted by how they are answered.

    In each pair the first are for any entry, the second for directories only.
    """

    negated: bool
    below: str
    """Prefix of the paths below the directory that holds the rules."""
    names: tuple[frozenset[str], frozenset[str]]
    """Last components of paths."""
    suffixes: tuple[tuple[str, ...], tuple[str, ...]]
    """Suffixes of the last path component."""
    prefixes: tuple[tuple[str, ...], tuple[str, ...]]
    """Prefixes of the last path component."""
    paths: tuple[frozenset[str], frozenset[str]]
    """Complete paths."""
    others: tuple[tuple["_Filtered", ...], tuple["_Filtered", ...]]
    """Patterns that only the loop over all patterns evaluates."""

    @classmethod
    def compile(cls, base: str, patterns: Iterable[IgnorePattern]) -> Self:
        found: dict[_Form, tuple[set[str], set[str]]] = {form: (set(), set()) for form in _Form}
        others: tuple[list[_Filtered], list[_Filtered]] = ([], [])
        negated = False
        for pattern in patterns:
            negated = pattern.negated
            simple = _simplified(pattern)
            if simple is None:
                others[pattern.directories_only].append(_Filtered.of(pattern))
            else:
                form, text = simple
                found[form][pattern.directories_only].add(text)
        any_name, directory_name = found[_Form.NAME]
        any_suffix, directory_suffix = found[_Form.SUFFIX]
        any_prefix, directory_prefix = found[_Form.PREFIX]
        any_path, directory_path = found[_Form.PATH]
        return cls(
            negated=negated,
            below=plain(base) + "/",
            names=(frozenset(any_name), frozenset(directory_name)),
            suffixes=(tuple(any_suffix), tuple(directory_suffix)),
            prefixes=(tuple(any_prefix), tuple(directory_prefix)),
            paths=(frozenset(any_path), frozenset(directory_path)),
            others=(tuple(others[False]), tuple(others[True])),
        )

    def match(self, path: str, name: str, is_directory: bool) -> bool:
        """Return True if one of the rules matches."""
        return self._match(0, path, name) or (is_directory and self._match(1, path, name))

    def _match(self, which: int, path: str, name: str) -> bool:
        if (
            name in self.names[which] or name.endswith(self.suffixes[which]) or name.startswith(self.prefixes[which])
        ) and path.startswith(self.below):
            return True
        if path in self.paths[which]:
            return True
        return any(each.matches(path) for each in self.others[which])


def _simplified(pattern: IgnorePattern) -> tuple[_Form, str] | None:
    """Return what a path or its last component must be, where a pattern of a simple form says no more than that."""
    tokens = pattern.base_tokens + pattern.own_tokens
    if (path := _text(tokens)) is not None:
        return _Form.PATH, path
    match pattern.own_tokens:
        case ("/", Wildcard.DOUBLE_STAR, "/", *name) | (Wildcard.DOUBLE_STAR, "/", *name):
            form, text = _form_of_name(name)
            return (form, text) if text and "/" not in text else None
    return None


def _form_of_name(tokens: Sequence[Token]) -> tuple[_Form, str | None]:
    if tokens[:1] == [Wildcard.STAR]:
        return _Form.SUFFIX, _text(tokens[1:])
    if tokens[-1:] == [Wildcard.STAR]:
        return _Form.PREFIX, _text(tokens[:-1])
    return _Form.NAME, _text(tokens)


def _text(tokens: Sequence[Token]) -> str | None:
    """Return what the tokens spell, if none of them is a wildcard."""
    texts = [token for token in tokens if isinstance(token, str)]
    return "".join(texts) if len(texts) == len(tokens) else None


@dataclass(frozen=True, slots=True)
class _Filtered:
    """A pattern for the loop, and what a path must at least have to make it worthwhile to ask."""

    head: str
    """Prefix of the path."""
    inner: tuple[str, ...]
    """Parts that the path must contain, in this order."""
    tail: str
    """Suffix of the path."""
    pattern: IgnorePattern

    @classmethod
    def of(cls, pattern: IgnorePattern) -> Self:
        runs = [""]
        before: Token = ""
        for token in pattern.base_tokens + pattern.own_tokens:
            if not isinstance(token, str):
                runs.append("")
            elif before is not Wildcard.DOUBLE_STAR:  # the slash behind it may stand for nothing
                runs[-1] += token
            before = token
        return cls(runs[0], tuple(filter(None, runs[1:-1])), runs[-1], pattern)

    def matches(self, path: str) -> bool:
        if not (path.startswith(self.head) and path.endswith(self.tail)):
            return False
        at = len(self.head)
        for run in self.inner:
            at = path.find(run, at) + len(run)
            if at < len(run):
                return False
        return self.pattern.matches(path)


__all__ = [
    "CACHE_TAG_NAME",
    "CACHE_TAG_SIGNATURE",
    "LONGEST_LINE",
    "Exclusion",
    "IgnoreContext",
    "dot_ignore_rules",
    "is_cache_tag",
]
