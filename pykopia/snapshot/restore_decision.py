"""Decides what a restore does with one entry; a restore carries it out, a dry run prints it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from pykopia.dataclass import dataclass
from pykopia.format.directory import DIRECTORY, FILE, SYMLINK, DirectoryEntry
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX

if TYPE_CHECKING:
    from pykopia.snapshot.restore_options import RestoreOptions
    from pykopia.snapshot.selection import Selection

SAME_TIME_NS = 2_000_000_000
"""Difference of times up to which ``skip_existing`` takes a file as the same."""
NAME_MAX = 255
"""Bytes of the longest name that file systems take."""
KINDS = {FILE: "a file", DIRECTORY: "a folder", SYMLINK: "a symbolic link", "": "a device, pipe or socket"}
"""Kinds of things at the target path, by type of entry; the empty type can't be in a snapshot."""
ENTRY_TYPES = frozenset("fds")


@dataclass(frozen=True, slots=True)
class Existing:
    """The existing thing at the target path."""

    kind: str
    """A key of ``KINDS``."""
    size: int = 0
    mtime_ns: int = 0
    empty: bool = True
    """Whether nothing is in a folder; only counted where folders that hold something may not be filled."""
    links: int = 1
    """Names of a file. A change of the file through one of them changes it under all others."""


@dataclass(frozen=True, slots=True)
class Make:
    """Make the entry: nothing is in its place."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Make the entry in the place of another."""

    in_place: bool = False
    """Write into the file that is there, instead of renaming a finished one over it."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave what is there as it is."""


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Keep contents and set owner, mode and time; fill a folder first."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Make a placeholder instead of the entry (format 04 §14.3)."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Make nothing: an error of this entry."""

    reason: str
    """A clause that follows the path of the entry."""
    unsafe: bool = False
    """Whether the name would leave the target."""


Decision = Make | Replace | Keep | SetAttributes | Placeholder | Refuse

MAKE = Make()


def decide(
    entry: DirectoryEntry,
    existing: Existing | None,
    options: "RestoreOptions",
    same: Callable[[], bool],
    *,
    shallow: bool = False,
) -> Decision:
    """Decide what is done with an entry.

    Args:
        entry: of the snapshot.
        existing: what is in its place; what is to be deleted does not count. For a folder that is restored to a target
            which is a link, what the link leads to.
        options: of the restore.
        same: whether what is there has the contents, or the link the target, of the entry. Called at most once, and only
            where the answer matters.
        shallow: whether the entry is so deep that placeholders are made.
    """
    problem = unusable(entry)
    if problem is not None:
        return problem
    if shallow and has_placeholder(entry, options):
        if existing is not None:
            return Refuse("the real thing is there, so no placeholder is put beside it")
        return Placeholder()
    if existing is None:
        return MAKE
    if entry.type == DIRECTORY:
        return _folder(existing, options)
    if entry.type == SYMLINK:
        return _link(existing, options, same)
    return _file(entry, existing, options, same)


def unusable(entry: DirectoryEntry) -> Refuse | None:
    """Return why an entry can't be restored anywhere, None if it can."""
    name = entry.name
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        return Refuse(f"entry name {name!r} would leave the target; it was not restored", unsafe=True)
    if entry.type not in ENTRY_TYPES:
        return Refuse(f"its type is {entry.type!r}, which can't be restored")
    if len(name) * 4 > NAME_MAX or not name.isascii():
        try:
            length = len(name.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError:
            return Refuse("its name can't be written as UTF-8")
        if length > NAME_MAX:
            return Refuse(f"its name has {length} bytes, and file systems take {NAME_MAX}")
    return None


def _folder(existing: Existing, options: "RestoreOptions") -> Decision:
    if existing.kind != DIRECTORY:
        return Refuse(
            f"{KINDS[existing.kind]} is there (links are not followed); move it away, or let the restore delete what is "
            "not in the snapshot"
        )
    if not options.overwrite_directories and not existing.empty:
        return Refuse("the folder exists and is not empty; restore to another one or allow overwriting directories")
    return SetAttributes()


def _link(existing: Existing, options: "RestoreOptions", same: Callable[[], bool]) -> Decision:
    if existing.kind != SYMLINK:
        return Refuse(f"something else is there: {KINDS[existing.kind]}")
    if options.skip_existing:
        return Keep()
    if options.only_differences and same():
        return SetAttributes()
    if not options.overwrite_symlinks:
        return Refuse("the symbolic link exists and links may not be replaced")
    return Replace()


def _file(entry: DirectoryEntry, existing: Existing, options: "RestoreOptions", same: Callable[[], bool]) -> Decision:
    if existing.kind == DIRECTORY:
        return Refuse("a folder is there")
    if existing.kind == FILE:
        if options.skip_existing and looks_same(existing, entry):
            return Keep()
        if options.only_differences and _is_apart(entry, existing, options) and same():
            return SetAttributes()
    if existing.kind == SYMLINK and not options.overwrite_symlinks:
        return Refuse("a symbolic link is there and links may not be replaced")
    if not options.overwrite_files:
        return Refuse("it exists and files may not be overwritten; it was left as it is")
    return Replace(in_place=not options.atomic_files and existing.kind == FILE and existing.links == 1)


def _is_apart(entry: DirectoryEntry, existing: Existing, options: "RestoreOptions") -> bool:
    """Return True if the attributes of a file may be set without a change of other entries, or the file is not to be replaced.

    Where the snapshot has several names of the file as well, they have the same attributes.
    """
    extended = entry.extended if options.extended_attributes else None
    return existing.links == 1 or not options.overwrite_files or (extended is not None and bool(extended.hard_link))


def looks_same(existing: Existing, entry: DirectoryEntry) -> bool:
    """Return True if size and time are those of the entry."""
    return existing.size == entry.size and abs(existing.mtime_ns - entry.mtime_ns) <= SAME_TIME_NS


def has_placeholder(entry: DirectoryEntry, options: "RestoreOptions") -> bool:
    """Return True if the entry becomes a placeholder where it is deep enough."""
    if entry.type == SYMLINK or (entry.type == FILE and entry.size < options.shallow_min_size):
        return False
    return len(entry.name.encode("utf-8", "replace")) + len(PLACEHOLDER_SUFFIX) <= NAME_MAX


def extra_names(
    path: str,
    entries: Iterable[DirectoryEntry],
    there: Mapping[str, str],
    selection: "Selection",
    options: "RestoreOptions",
    *,
    shallow: bool,
) -> list[str]:
    """Return the names in a folder of the target that ``delete_extra`` removes, sorted.

    Args:
        path: of the folder below the target, empty for the target itself.
        entries: all that the snapshot has in this folder.
        there: the kind of what is in the folder of the target, by name.
        selection: what is restored; nothing else is removed.
        options: of the restore.
        shallow: whether the entries become placeholders.
    """
    if not options.delete_extra:
        return []
    stored: dict[str, str] = {}
    for entry in entries:
        stored[entry.name] = entry.type
        if shallow and has_placeholder(entry, options):
            stored.setdefault(entry.name + PLACEHOLDER_SUFFIX, entry.type)
    kept = options.keep_at_root if not path else frozenset()
    return [
        name
        for name in sorted(there)
        if stored.get(name) != there[name]
        and name not in kept
        and selection.wants(f"{path}/{name}" if path else name, is_directory=there[name] == DIRECTORY)
    ]


def alike(name: str) -> str:
    """Return what two names have in common that a target which ignores case takes for one."""
    return name.casefold()


def collide(entries: Sequence[DirectoryEntry], key: Callable[[str], str]) -> bool:
    """Return True if two entries of a folder have one name in the eyes of ``key``."""
    return len({key(entry.name) for entry in entries}) < len(entries)


def apart(
    entries: Sequence[DirectoryEntry], key: Callable[[str], str]
) -> Iterator[tuple[DirectoryEntry, DirectoryEntry | None]]:
    """Give the second and each later entry of one name a name of its own.

    Args:
        entries: all of a folder.
        key: what the target takes for one name: the name itself, or ``alike``.

    Yields:
        Each entry as stored, and as it is restored where that is under another name.
    """
    taken = {key(entry.name) for entry in entries}
    first: set[str] = set()
    for entry in entries:
        if key(entry.name) not in first:
            first.add(key(entry.name))
            yield entry, None
            continue
        number = 2
        while key(name := duplicate_name(entry.name, number)) in taken:
            number += 1
        taken.add(key(name))
        yield entry, msgspec.structs.replace(entry, name=name)


def duplicate_name(name: str, number: int) -> str:
    """Return the name under which the second, third, … entry of one name is restored."""
    suffix = f".duplicate-{number}"
    while len(name.encode("utf-8", "surrogatepass")) + len(suffix) > NAME_MAX:
        name = name[:-1]
    return name + suffix


__all__ = [
    "ENTRY_TYPES",
    "KINDS",
    "MAKE",
    "NAME_MAX",
    "Decision",
    "Existing",
    "Keep",
    "Make",
    "Placeholder",
    "Refuse",
    "Replace",
    "SetAttributes",
    "alike",
    "apart",
    "collide",
    "decide",
    "duplicate_name",
    "extra_names",
    "has_placeholder",
    "looks_same",
    "unusable",
]
