"""Directory objects: the entries of one directory, and the summary of all below it (format 04 §7).

``{"stream":"kopia:directory","entries":[…],"summary":{…}}`` and a newline; the same bytes as Kopia's, or the same
directory would be stored twice. What Kopia can't read back is never written: an entry without an object makes it crash,
one it can't parse makes the whole directory unreadable, and of two equal names it sees only one.

Names are text as ``os.fsdecode`` gives it; bytes that are not UTF-8 are stored as U+FFFD and can't be got back. Unknown
keys that others put into entries are not kept. One key is our own, see ``extended_attributes``.

The functions here are the definition; ``_directory`` does in C what Kopia itself writes, for snapshots of many files.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final

import msgspec

from pykopia.dataclass import dataclass
from pykopia.errors import CollidingNamesError, DamagedDataError, DamagedObjectError, InvalidIDError, UsageError
from pykopia.format import gojson
from pykopia.format.extended_attributes import (
    ExtendedAttributes,
    extended_attributes_of,
    extended_attributes_text,
)
from pykopia.format.file_mode import mode_text, parse_mode
from pykopia.format.gotime import moment, nearest_time
from pykopia.format.object_id import CANONICAL, parse_object_id
from pykopia.ids import Buffer, ObjectID

try:
    from pykopia.format import _directory
except ImportError:  # no compiler at installation
    _directory = None  # type: ignore[assignment]

STREAM: Final = "kopia:directory"

FILE: Final = "f"
DIRECTORY: Final = "d"
SYMLINK: Final = "s"

MAX_INT64: Final = (1 << 63) - 1
MAX_UINT32: Final = (1 << 32) - 1


class EntryError(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Why something is missing from a snapshot."""

    path: str = ""
    """Relative to the root of the snapshot, with slashes."""
    error: str = ""


class DirectorySummary(msgspec.Struct, frozen=True, gc=False):
    """Totals of a directory and of everything below it (format 04 §7.2)."""

    size: int = 0
    """Bytes of all files."""
    files: int = 0
    symlinks: int = 0
    dirs: int = 0
    """Directories, the summarized one among them."""
    max_time_ns: int = 0
    """Latest modification time: nanoseconds since 1970."""
    incomplete: str = ""
    """Why the snapshot ended early, such as ``checkpoint``; empty when it did not."""
    num_failed: int = 0
    num_ignored_errors: int = 0
    errors: tuple[EntryError, ...] = ()


class DirectoryEntry(msgspec.Struct, frozen=True, gc=False):
    """One name in a directory, or the root of a snapshot (format 04 §7.1)."""

    name: str
    type: str
    """``FILE``, ``DIRECTORY`` or ``SYMLINK``; what others wrote is read as it is."""
    mode: int = 0
    """The 12 permission bits of POSIX."""
    size: int = 0
    """Bytes of a file or of the target of a symlink; 0 for directories."""
    mtime_ns: int = 0
    """Nanoseconds since 1970, in 64 bits."""
    uid: int = 0
    gid: int = 0
    object_id: ObjectID = ObjectID("")
    summary: DirectorySummary | None = None
    """Totals of a directory, or of a file that is the root of a snapshot; None for other entries."""
    extended: ExtendedAttributes | None = None
    """Recorded where the snapshot was asked to; Kopia does not know them."""

    @property
    def mtime(self) -> datetime | None:
        """Modification time in UTC; parts of a microsecond are cut."""
        return moment(self.mtime_ns)


_EXTENDED = attrgetter("extended")


def any_extended(entries: Iterable[DirectoryEntry]) -> bool:
    """Return True if an entry has extended attributes or is a hard link."""
    return any(map(_EXTENDED, entries))


def with_total(entry: DirectoryEntry) -> DirectoryEntry:
    """Return an entry of a folder with the total of the files in it as its size; other entries as they are."""
    if entry.type != DIRECTORY or entry.summary is None or entry.size:
        return entry
    return msgspec.structs.replace(entry, size=entry.summary.size)


def as_compared(entry: DirectoryEntry) -> DirectoryEntry:
    """Return an entry as Kopia compares it: a folder has the total and the newest time of what is in it."""
    if entry.type != DIRECTORY or entry.summary is None:
        return entry
    return msgspec.structs.replace(with_total(entry), mtime_ns=entry.summary.max_time_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryFailure:
    """A name of a directory that could not be stored."""

    path: str
    """Relative to the root of the snapshot, with slashes."""
    error: str
    ignored: bool
    """Whether the policy says that such errors are to be ignored."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory object."""

    entries: tuple[DirectoryEntry, ...]
    """In the order in which they were read; sorted when they are written."""
    summary: DirectorySummary | None = None

    def to_bytes(self) -> bytes:
        """Return the object; see ``encode_directory``."""
        return encode_directory(self.entries, self.summary)

    @classmethod
    def from_bytes(cls, data: Buffer) -> "Directory":
        """Return what a directory object holds, read as Kopia reads it.

        An entry may be one that ``to_bytes`` would refuse, such as one without an object or with a name like ``..``.

        Raises:
            DamagedObjectError: The bytes are no directory object, or an entry can't be read.
        """
        try:
            found = None
            if _directory is not None:
                found = _directory.decode_directory(bytes(data), DirectorySummary, _decode_summary)
            if found is None:
                return python_decode(data)
            columns, summary = found
            return cls(tuple(map(DirectoryEntry, *columns)), summary)
        except (DamagedDataError, InvalidIDError) as error:
            raise DamagedObjectError(f"a directory object can't be read: {error}") from error


# --- summaries -------------------------------------------------------------------------------------------------------


MOST_ERRORS = 1000
"""Failures that a summary lists. Kopia means to list 10 and lists all, in each directory above one: of a million that would be
hundreds of megabytes."""


def summarize(
    entries: Iterable[DirectoryEntry],
    own_mtime_ns: int,
    failures: Iterable[EntryFailure] = (),
    incomplete: str = "",
) -> DirectorySummary:
    """Return the summary of a directory (format 04 §7.2).

    Args:
        entries: Its entries; sub-directories with their summaries.
        own_mtime_ns: Its modification time in nanoseconds since 1970; counts only when it has no entries.
        failures: Its names that could not be stored.
        incomplete: Why the snapshot ended early; empty when it did not.
    """
    size = files = symlinks = failed = ignored = 0
    dirs, max_time, empty = 1, 0, True
    errors: list[EntryError] = []
    for entry in entries:
        empty = False
        max_time = max(max_time, entry.mtime_ns)
        if entry.type == FILE:
            files += 1
            size += entry.size
        elif entry.type == SYMLINK:
            symlinks += 1
        elif entry.type == DIRECTORY and entry.summary is not None:
            below = entry.summary
            size += below.size
            files += below.files
            symlinks += below.symlinks
            dirs += below.dirs
            failed += below.num_failed
            ignored += below.num_ignored_errors
            errors += below.errors
            max_time = max(max_time, below.max_time_ns)
    for failure in failures:
        failed += not failure.ignored
        ignored += failure.ignored
        errors.append(EntryError(failure.path, failure.error))
    return DirectorySummary(
        size=size,
        files=files,
        symlinks=symlinks,
        dirs=dirs,
        max_time_ns=nearest_time(own_mtime_ns) if empty else max_time,
        incomplete=incomplete,
        num_failed=failed,
        num_ignored_errors=ignored,
        errors=tuple(sorted(errors, key=lambda error: _raw(error.path))[:MOST_ERRORS]),
    )


def summarize_file(size: int, mtime_ns: int) -> DirectorySummary:
    """Return the summary of a file that is the root of a snapshot: size in bytes, time in nanoseconds since 1970."""
    return DirectorySummary(size=size, files=1, max_time_ns=nearest_time(mtime_ns))


# --- names -----------------------------------------------------------------------------------------------------------

_NO_NAME = re.compile("[/\0\ud800-\udc7f\udd00-\udfff]")
"""Characters that a name can't contain: slash, NUL, and surrogates that stand for no byte."""


def colliding_names(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of names that become equal when they are stored, because they are not UTF-8.

    Kopia stores such names and then sees one of them only; the data of the others is lost (format 04 §8).
    """
    names = list(names)
    try:
        "/".join(names).encode()
    except UnicodeEncodeError:
        pass
    else:
        if len(set(names)) == len(names):
            return []  # all are UTF-8 and stored as they are
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(gojson.stored_form(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _raw(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UsageError(f"{text!r} can't be written: it is not a name that a file can have") from error


# --- writing ---------------------------------------------------------------------------------------------------------


def encode_directory(entries: Sequence[DirectoryEntry], summary: DirectorySummary | None) -> bytes:
    """Return a directory object, byte for byte as Kopia writes it: directories first, then by the bytes of the names.

    Raises:
        UsageError: An entry is one that Kopia could not read, or that has no place in a directory.
        CollidingNamesError: Two names are equal once they are stored.
    """
    data = None
    if _directory is not None and not any_extended(entries):
        data = _directory.encode_directory(entries, summary, msgspec.structs.astuple, _summary_text)
    return python_encode_directory(entries, summary) if data is None else data


def encode_entry(entry: DirectoryEntry) -> bytes:
    """Return the root of a snapshot as JSON; its name may be a path.

    Raises:
        UsageError: The entry is one that Kopia could not read.
    """
    reason = "a character that no path can have" if _NO_NAME.search(entry.name.replace("/", "")) else _flaw(entry)
    if reason:
        raise UsageError(f"the root entry {entry.name!r} can't be written: {reason}")
    return _checked_text(entry).encode()


def python_encode_directory(entries: Sequence[DirectoryEntry], summary: DirectorySummary | None) -> bytes:
    """Return what ``encode_directory`` returns, or raise what it raises: the definition of it."""
    end = "null" if summary is None else _summary_text(summary)
    return f'{{"stream":"{STREAM}","entries":{_entries_text(entries)},"summary":{end}}}\n'.encode()


def _entries_text(entries: Sequence[DirectoryEntry]) -> str:
    if not entries:
        return "null"
    for entry in entries:
        reason = _name_flaw(entry.name) or _flaw(entry)
        if reason:
            raise UsageError(f"the entry {entry.name!r} of a directory can't be written: {reason}")
    if len({gojson.stored_form(entry.name) for entry in entries}) != len(entries):
        raise CollidingNamesError(colliding_names(entry.name for entry in entries))
    ordered = sorted(entries, key=lambda entry: (entry.type != DIRECTORY, _raw(entry.name)))
    return f"[{','.join(map(_checked_text, ordered))}]"


def _name_flaw(name: str) -> str:
    """Return why a name can't stand in a directory, or the empty text."""
    if name in {"", ".", ".."}:
        return "it is not the name of a file"
    if _NO_NAME.search(name):
        return "the name contains a character that no name can have"
    return ""


def _flaw(entry: DirectoryEntry) -> str:
    """Return why Kopia could not use an entry, or the empty text."""
    if entry.type not in {FILE, DIRECTORY, SYMLINK}:
        return f"the type {entry.type!r} is unknown"
    if not CANONICAL.fullmatch(entry.object_id):
        return f"{entry.object_id!r} is not an object ID"
    if not 0 <= entry.mode <= 0o7777:
        return f"the mode {entry.mode:#o} has more than the 12 permission bits"
    if not 0 <= entry.size <= MAX_INT64:
        return f"the size {entry.size} is out of range"
    if not -MAX_INT64 - 1 <= entry.mtime_ns <= MAX_INT64:
        return f"the modification time {entry.mtime_ns} does not fit into 64 bits"
    if not (0 <= entry.uid <= MAX_UINT32 and 0 <= entry.gid <= MAX_UINT32):
        return f"the owner {entry.uid}:{entry.gid} does not fit into 32 bits"
    return ""


def _checked_text(entry: DirectoryEntry) -> str:
    try:
        return _entry_text(entry)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"the entry {entry.name!r} can't be written: a field is not a whole number ({error})"
        ) from error


def _entry_text(entry: DirectoryEntry) -> str:
    parts = []
    if entry.name:
        parts.append(f'"name":{gojson.quote(entry.name)}')
    if entry.type:
        parts.append(f'"type":{gojson.quote(entry.type)}')
    if entry.mode:
        parts.append(f'"mode":"{mode_text(entry.mode)}"')
    if entry.size:
        parts.append(f'"size":{entry.size:d}')
    if entry.mtime_ns:
        parts.append(f'"mtime":"{gojson.format_time(entry.mtime_ns)}"')
    if entry.uid:
        parts.append(f'"uid":{entry.uid:d}')
    if entry.gid:
        parts.append(f'"gid":{entry.gid:d}')
    parts.append(f'"obj":"{entry.object_id}"')
    if entry.summary is not None:
        parts.append(f'"summ":{_summary_text(entry.summary)}')
    if entry.extended is not None:
        parts.append(f'"pykopia":{extended_attributes_text(entry.extended)}')
    return f"{{{','.join(parts)}}}"


def _summary_text(summary: DirectorySummary) -> str:
    counts = (
        summary.size,
        summary.files,
        summary.symlinks,
        summary.dirs,
        summary.num_failed,
        summary.num_ignored_errors,
    )
    time_fits = gojson.wrap_int64(summary.max_time_ns) == summary.max_time_ns
    if min(counts) < 0 or max(counts) > MAX_INT64 or not time_fits:
        raise UsageError(f"the summary of a directory can't be written: a number is out of range in {summary}")
    incomplete = f',"incomplete":{gojson.quote(summary.incomplete)}' if summary.incomplete else ""
    ignored = f',"numIgnoredErrors":{summary.num_ignored_errors:d}' if summary.num_ignored_errors else ""
    errors = ",".join(
        f'{{"path":{gojson.quote(error.path)},"error":{gojson.quote(error.error)}}}' for error in summary.errors
    )
    return (
        f'{{"size":{summary.size:d},"files":{summary.files:d},"symlinks":{summary.symlinks:d},"dirs":{summary.dirs:d},'
        f'"maxTime":"{gojson.format_time(summary.max_time_ns)}"{incomplete},"numFailed":{summary.num_failed:d}{ignored}'
        + (f',"errors":[{errors}]}}' if errors else "}")
    )


# --- reading ---------------------------------------------------------------------------------------------------------


class _StoredSummary(msgspec.Struct, forbid_unknown_fields=True):
    size: gojson.Int64 = 0
    files: gojson.Int64 = 0
    symlinks: gojson.Int64 = 0
    dirs: gojson.Int64 = 0
    maxTime: str | None = gojson.EPOCH_TEXT  # noqa: N815 -- the key on disk
    incomplete: str = ""
    numFailed: gojson.Int64 = 0  # noqa: N815
    numIgnoredErrors: gojson.Int64 = 0  # noqa: N815
    errors: list[EntryError] | None = None


class StoredEntry(msgspec.Struct, forbid_unknown_fields=True):
    """A directory entry as JSON has it, for use inside of other structures that ``gojson.decode`` reads."""

    name: str = ""
    type: str = ""
    mode: str | None = "0"
    size: gojson.Int64 = 0
    mtime: str | None = gojson.EPOCH_TEXT
    uid: gojson.Uint32 = 0
    gid: gojson.Uint32 = 0
    obj: str | None = ""
    summ: _StoredSummary | None = None
    pykopia: object = None

    def entry(self) -> DirectoryEntry:
        """Return what the JSON stands for.

        Raises:
            DamagedDataError: The mode or a time is not one.
            InvalidIDError: The object ID is not one.
        """
        return _entry(self)


class _StoredDirectory(msgspec.Struct, forbid_unknown_fields=True):
    stream: str = ""
    entries: list[StoredEntry] | None = None
    summary: _StoredSummary | None = None


def decode_entry(data: Buffer) -> DirectoryEntry:
    """Return one entry from its JSON, as a root or in a placeholder file.

    Raises:
        DamagedObjectError: The bytes are no entry that Kopia could read.
    """
    try:
        return _entry(gojson.decode(data, StoredEntry))
    except (DamagedDataError, InvalidIDError) as error:
        raise DamagedObjectError(f"a directory entry can't be read: {error}") from error


def _entry(stored: StoredEntry) -> DirectoryEntry:
    object_id = stored.obj or ""
    if object_id and not CANONICAL.fullmatch(object_id):
        object_id = parse_object_id(object_id).to_string()
    return DirectoryEntry(
        stored.name,
        stored.type,
        parse_mode(stored.mode),
        stored.size,
        gojson.stored_time(stored.mtime),
        stored.uid,
        stored.gid,
        ObjectID(object_id),
        None if stored.summ is None else _summary(stored.summ),
        extended_attributes_of(stored.pykopia),
    )


def python_decode(data: Buffer) -> Directory:
    """Return what ``Directory.from_bytes`` returns: the definition of it.

    Raises:
        DamagedDataError: The bytes are no directory object, or a value is not what it must be.
        InvalidIDError: An object ID is not one.
    """
    stored = gojson.decode(data, _StoredDirectory, first_only=True)
    if stored.stream != STREAM:
        raise DamagedDataError(f"the stream is {stored.stream!r} instead of {STREAM!r}")
    summary = None if stored.summary is None else _summary(stored.summary)
    return Directory(tuple(map(_entry, stored.entries or ())), summary)


def _decode_summary(data: bytes) -> DirectorySummary:
    return _summary(gojson.decode(data, _StoredSummary))


def _summary(stored: _StoredSummary) -> DirectorySummary:
    return DirectorySummary(
        size=stored.size,
        files=stored.files,
        symlinks=stored.symlinks,
        dirs=stored.dirs,
        max_time_ns=gojson.stored_time(stored.maxTime),
        incomplete=stored.incomplete,
        num_failed=stored.numFailed,
        num_ignored_errors=stored.numIgnoredErrors,
        errors=tuple(stored.errors or ()),
    )


__all__ = [
    "DIRECTORY",
    "FILE",
    "STREAM",
    "SYMLINK",
    "Directory",
    "DirectoryEntry",
    "DirectorySummary",
    "EntryError",
    "EntryFailure",
    "StoredEntry",
    "any_extended",
    "as_compared",
    "colliding_names",
    "decode_entry",
    "encode_directory",
    "encode_entry",
    "python_decode",
    "python_encode_directory",
    "summarize",
    "summarize_file",
    "with_total",
]
