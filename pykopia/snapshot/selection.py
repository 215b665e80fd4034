"""Choosing entries of a snapshot by patterns: those of ignore rules, relative to where the choice begins."""

from collections.abc import Iterable, Sequence

from pykopia.errors import InvalidPolicyError, UsageError
from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy import FilesPolicy


class Patterns:
    """Patterns in the manner of gitignore (spec 05 §4.4): a name, ``*.txt``, ``/folder/*``, ``a/**/b``, ``!not-this``.

    One without a slash is for entries of this name at any depth, one that ends in a slash for folders only.
    """

    def __init__(self, patterns: Iterable[str], *, ignore_case: bool = False) -> None:
        """Prepare.

        Raises:
            UsageError: a pattern can't be read.
        """
        texts = tuple(patterns)
        self._ignore_case = ignore_case
        lowered = tuple(text.lower() for text in texts) if ignore_case else texts
        for text, pattern in zip(texts, lowered, strict=True):
            try:
                IgnoreContext.empty().enter("", FilesPolicy(ignore=(pattern,)))
            except InvalidPolicyError as error:
                reason = str(error).partition("can't be used: ")[2].partition(";")[0]
                raise UsageError(f"the pattern {text!r} can't be used: {reason}") from None
        self._rules = IgnoreContext.empty().enter("", FilesPolicy(ignore=lowered))
        self.names_only = all("/" not in text.rstrip("/") and "**" not in text for text in texts)
        """Whether the name alone decides, wherever an entry lies."""

    def match(self, path: str, *, is_directory: bool) -> bool:
        """Tell whether an entry is meant.

        Args:
            path: with a leading slash, such as ``/a/b``.
            is_directory: a link never is one.
        """
        return self._rules.ignored(path.lower() if self._ignore_case else path, is_directory)


class Selection:
    """What of a folder is wanted: all that is included, itself or by a folder above it, and not excluded."""

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Prepare; with no ``include`` all is.

        Raises:
            UsageError: a pattern can't be read.
        """
        self.everything = not (include or exclude)
        self._include = Patterns(include) if include else None
        self._exclude = Patterns(exclude) if exclude else None

    @property
    def all_included(self) -> bool:
        """Whether nothing has to be included by a pattern."""
        return self._include is None

    def excludes(self, path: str, *, is_directory: bool) -> bool:
        """Tell whether an entry, with all below it, is not wanted; ``path`` without a leading slash."""
        return self._exclude is not None and self._exclude.match(f"/{path}", is_directory=is_directory)

    def includes(self, path: str, *, is_directory: bool) -> bool:
        """Tell whether an entry, with all below it, is wanted unless it is excluded."""
        return self._include is None or self._include.match(f"/{path}", is_directory=is_directory)


__all__ = ["Patterns", "Selection"]
