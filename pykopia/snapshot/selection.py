"""Choosing entries of a snapshot by patterns: those of ignore rules, relative to where the choice begins."""

from collections.abc import Iterable, Sequence

from pykopia.errors import InvalidPolicyError, PykopiaError, UsageError
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy import FilesPolicy
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.trail import Trail


class Patterns:
    """Patterns in the manner of gitignore (format 05 §4.4): a name, ``*.txt``, ``/folder/*``, ``a/**/b``, ``!not-this``.

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
        """Whether the name alone decides, in whichever folder an entry is."""

    def match(self, path: str, *, is_directory: bool) -> bool:
        """Return True if an entry is meant.

        Args:
            path: with a leading slash, such as ``/a/b``.
            is_directory: a link never is one.
        """
        return self._rules.ignored(path.lower() if self._ignore_case else path, is_directory)


class Selection:
    """Selects entries of a folder: included by their own path or a parent's, and not excluded.

    Paths are relative to the folder, without a leading slash.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Prepare; with no ``include`` all is.

        Raises:
            UsageError: a pattern can't be read.
        """
        self._include = Patterns(include) if include else None
        self._exclude = Patterns(exclude) if exclude else None
        self._needed: set[str] = set()

    @property
    def everything(self) -> bool:
        """Whether there are no patterns."""
        return self._include is None and self._exclude is None

    @property
    def all_included(self) -> bool:
        """Whether nothing has to be included by a pattern."""
        return self._include is None

    def look_into(self, root: DirectoryEntry, objects: ObjectStore) -> None:
        """Find the folders that hold something included, before ``of_folder`` is asked."""
        if self._include is None:
            return
        stack, trail = [(root, "", 0)], Trail(objects, root)
        while stack:
            folder, path, depth = stack.pop()
            try:
                trail.enter(depth, folder.object_id)
                entries = objects.directory(folder.object_id).entries
            except PykopiaError:
                self._need(path)  # something in it may be included: the walk that follows reports the error
                continue
            for entry in entries:
                below, is_directory = _join(path, entry.name), entry.type == DIRECTORY
                if self._excludes(below, is_directory=is_directory):
                    continue
                if self.includes(below, is_directory=is_directory):
                    self._need(path)
                elif is_directory:
                    stack.append((entry, below, depth + 1))

    def _need(self, path: str) -> None:
        """Note that a folder and those above it are to be walked."""
        while path and path not in self._needed:
            self._needed.add(path)
            path = path.rpartition("/")[0]

    def of_folder(self, path: str, entries: Sequence[DirectoryEntry], *, included: bool) -> Sequence[DirectoryEntry]:
        """Return the selected entries of a folder, and the folders that lead to selected entries.

        Args:
            path: of the folder.
            entries: all that are in it.
            included: whether the folder itself, or one above it, is included.
        """
        if self.everything:
            return entries
        return [
            entry
            for entry in entries
            if not self._excludes(
                below := _join(path, entry.name), is_directory=(is_directory := entry.type == DIRECTORY)
            )
            and (
                included or self.includes(below, is_directory=is_directory) or (is_directory and below in self._needed)
            )
        ]

    def includes(self, path: str, *, is_directory: bool) -> bool:
        """Return True if an entry is selected with all below it, unless a part is excluded."""
        return self._include is None or self._include.match(f"/{path}", is_directory=is_directory)

    def wants(self, path: str, *, is_directory: bool) -> bool:
        """Return True if an entry is selected, by its own path and the paths of the folders above it."""
        parts = path.split("/")
        above = ["/".join(parts[:length]) for length in range(1, len(parts))]
        if self._excludes(path, is_directory=is_directory) or any(
            self._excludes(each, is_directory=True) for each in above
        ):
            return False
        return self.includes(path, is_directory=is_directory) or any(
            self.includes(each, is_directory=True) for each in above
        )

    def _excludes(self, path: str, *, is_directory: bool) -> bool:
        return self._exclude is not None and self._exclude.match(f"/{path}", is_directory=is_directory)


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


__all__ = ["Patterns", "Selection"]
