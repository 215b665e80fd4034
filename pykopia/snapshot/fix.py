"""Snapshots from which files are taken out that can't be read, or that the user does not want to keep.

Facts: format 04 §15.2. A snapshot that changes is saved anew, with all it had but another ID, in the place of the old one.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from pykopia.arguments import check_fields, check_number
from pykopia.dataclass import dataclass
from pykopia.errors import PykopiaError, SnapshotNotFoundError, UsageError
from pykopia.format.compression import decompress
from pykopia.format.content_id import prefix_of
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.format.manifest import CONTENT_PREFIX
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import BlobID, ContentID, ManifestID, ObjectID
from pykopia.repository.core import Core
from pykopia.repository.format_blobs import has_blob
from pykopia.repository.objects import UNKNOWN_LENGTH
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.expiry import view_for_deletion
from pykopia.snapshot.locating import LOST, Located, Locator, check_length, length_of
from pykopia.snapshot.manifests import read_snapshots
from pykopia.snapshot.policies import Policies
from pykopia.snapshot.rewriting import Change, Handling, Rewriter
from pykopia.snapshot.selection import Patterns

_HUNDRED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class FixOptions:
    """Which snapshots are looked at, and whether they are changed."""

    snapshot_ids: tuple[str, ...] = ()
    """Snapshots; none, and no sources: all."""
    sources: tuple[SourceInfo, ...] = ()
    """Sources whose snapshots are looked at."""
    commit: bool = False
    """Save what changed. Without it nothing is written."""
    invalid_directories: Handling = "stub"
    """Handling of folders that can't be read; not ``remove``."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedSnapshot:
    """A snapshot that was looked at."""

    before: SnapshotManifest
    after: SnapshotManifest
    """The same when nothing changed; with the ID under which it was saved, if it was."""
    changes: tuple[str, ...]
    """A line for each entry that was replaced or left out, and was not reported for an earlier snapshot."""

    @property
    def changed(self) -> bool:
        """Whether anything changed."""
        return self.after is not self.before


def fix_invalid_files(
    repository: Core,
    options: FixOptions | None = None,
    *,
    invalid_files: Handling = "stub",
    files_percent: float = 0,
    on_snapshot: Callable[[FixedSnapshot], None] | None = None,
    on_lost: Callable[[ContentID], None] | None = None,
) -> list[FixedSnapshot]:
    """Replace or remove the files of snapshots whose data is lost.

    The lost contents are marked as deleted, so that the next snapshot that meets the same data stores it again, which
    also heals older snapshots. Full maintenance brings a marked content back that a snapshot needs and whose pack has
    been put back meanwhile.

    A storage that can't be reached stops it; only data that is gone or damaged for good makes a file invalid. While a
    part of the index can't be read, or is missing, it is refused, since recovering the index may bring the data back;
    handlings that change no snapshot (``keep``) are refused only for what can't be read.

    Args:
        repository: open; for writing when ``options.commit`` is set.
        options: which snapshots.
        invalid_files: what becomes of such files.
        files_percent: share of files that are read in full, 0 to 100; where their contents lie is checked for all.
        on_snapshot: told of each snapshot.
        on_lost: told of each lost content, which is marked when ``options.commit`` is set.

    Returns:
        All snapshots that were looked at.

    Raises:
        UsageError: ``files_percent`` is no percentage.
        DamagedIndexError: a part of the index can't be read.
        ContradictedViewError: a part of the index is missing.
        PykopiaError: a file is invalid and the handling says to fail; nothing was saved.
    """
    check_number("files_percent", files_percent, least=0, most=100)
    repository.contents.indexes.check_complete("fix snapshots")
    if invalid_files != "keep" or (options or FixOptions()).invalid_directories != "keep":
        view_for_deletion(repository, "fix snapshots")  # what is lost by the index alone would be given up for good
    checker = _FileChecker(repository, files_percent)

    def change(rewriter: Rewriter, path: str, entry: DirectoryEntry) -> DirectoryEntry | None:
        if entry.type == DIRECTORY:
            checker.look_at_folder(entry)
            return entry
        error = checker.error_of(entry)
        return entry if error is None else rewriter.handle(invalid_files, path, entry, error)

    def end(rewriter: Rewriter, writer: RepositoryWriter | None) -> None:
        for content_id in checker.lost_contents(rewriter.unreadable):
            if writer is not None:
                writer.contents.delete(content_id)
            if on_lost is not None:
                on_lost(content_id)

    return _rewrite_all(repository, options or FixOptions(), change, on_snapshot, end)


def remove_files(
    repository: Core,
    options: FixOptions | None = None,
    *,
    object_ids: Iterable[str] = (),
    names: Sequence[str] = (),
    patterns: Sequence[str] = (),
    on_snapshot: Callable[[FixedSnapshot], None] | None = None,
) -> list[FixedSnapshot]:
    """Take files and folders out of snapshots; their data goes when maintenance finds that nothing else needs it.

    Args:
        repository: open; for writing when ``options.commit`` is set.
        options: which snapshots.
        object_ids: objects of what is taken out.
        names: patterns such as ``*.iso`` for the names, without their folders, of what is taken out.
        patterns: as in ignore rules, by the path in the snapshot: ``/var/cache``, ``*.iso``, ``node_modules/``.
        on_snapshot: told of each snapshot.

    Raises:
        UsageError: nothing is named, or a pattern makes no sense.
        ContradictedViewError: a part of the index is missing.
    """
    unwanted, wildcards = frozenset(object_ids), [name_pattern(name) for name in names]
    rules = Patterns(patterns) if patterns else None
    if not unwanted and not wildcards and rules is None:
        raise UsageError("can't remove files: name them by --object-id or --filename")
    repository.contents.indexes.check_complete("fix snapshots")
    view_for_deletion(repository, "fix snapshots")

    def change(_: Rewriter, path: str, entry: DirectoryEntry) -> DirectoryEntry | None:
        # the name of the root folder is that of the source, not of something in it
        named = path != "." or entry.type != DIRECTORY
        if entry.object_id in unwanted or (named and any(wildcard.fullmatch(entry.name) for wildcard in wildcards)):
            return None
        if rules is not None and path != "." and rules.match(f"/{path}", is_directory=entry.type == DIRECTORY):
            return None
        return entry

    return _rewrite_all(repository, options or FixOptions(), change, on_snapshot, by_path=rules is not None)


def _rewrite_all(
    repository: Core,
    options: FixOptions,
    change: Callable[[Rewriter, str, DirectoryEntry], DirectoryEntry | None],
    on_snapshot: Callable[[FixedSnapshot], None] | None,
    end: Callable[[Rewriter, RepositoryWriter | None], None] = lambda *_: None,
    *,
    by_path: bool = False,
) -> list[FixedSnapshot]:
    snapshots = chosen_snapshots(repository, options)
    if not options.commit:
        return _rewrite(repository, None, snapshots, options, change, on_snapshot, end, by_path=by_path)
    with RepositoryWriter(repository) as writer:
        return _rewrite(repository, writer, snapshots, options, change, on_snapshot, end, by_path=by_path)


def _rewrite(
    repository: Core,
    writer: RepositoryWriter | None,
    snapshots: Sequence[SnapshotManifest],
    options: FixOptions,
    change: Callable[[Rewriter, str, DirectoryEntry], DirectoryEntry | None],
    on_snapshot: Callable[[FixedSnapshot], None] | None,
    end: Callable[[Rewriter, RepositoryWriter | None], None],
    *,
    by_path: bool,
) -> list[FixedSnapshot]:
    bound: Change = lambda path, entry: change(rewriter, path, entry)  # noqa: E731 -- they need each other
    rewriter = Rewriter(
        repository.objects, writer, bound, invalid_directories=options.invalid_directories, by_path=by_path
    )
    found = []
    for before in snapshots:
        if before.root_entry is None:
            continue
        policy = Policies(repository).effective(before.source).policy
        rewriter.metadata_compressor = policy.metadata_compression.compressor_name
        told = len(rewriter.changes)
        root = rewriter.root(before.root_entry)
        after = before if root is before.root_entry else replace(before, root_entry=root)
        if after is not before and writer is not None:
            after = replace(after, id=writer.manifests.put(after.labels(), after.to_json()))
            writer.manifests.delete(before.id)
        found.append(FixedSnapshot(before=before, after=after, changes=tuple(rewriter.changes[told:])))
        if on_snapshot is not None:
            on_snapshot(found[-1])
    end(rewriter, writer)
    return found


def chosen_snapshots(repository: Core, options: FixOptions) -> list[SnapshotManifest]:
    """Return the snapshots that options name, by source, oldest first.

    Raises:
        SnapshotNotFoundError: there is no such snapshot, or a source has none.
    """
    everything = {each.id: each for each in read_snapshots(repository.manifests)}
    if not options.snapshot_ids and not options.sources:
        chosen = dict(everything)
    else:
        chosen = {}
        for snapshot_id in map(ManifestID, options.snapshot_ids):
            if snapshot_id not in everything:
                raise SnapshotNotFoundError(f"there is no snapshot {snapshot_id}; `snapshot list --all` shows all")
            chosen[snapshot_id] = everything[snapshot_id]
        for source in options.sources:
            of_source = read_snapshots(repository.manifests, source)
            if not of_source:
                raise SnapshotNotFoundError(f"no snapshots for {source}")
            chosen |= {each.id: each for each in of_source}
    return sorted(chosen.values(), key=lambda each: (str(each.source), each.start_time_ns))


class _FileChecker:
    """Checks whether files can be read, each object once."""

    def __init__(self, repository: Core, files_percent: float) -> None:
        self._repository = repository
        self._percent = files_percent
        self._locator = Locator(repository)
        self._known: dict[str, PykopiaError | None] = {}
        self._lengths: dict[str, int] = {}
        """Bytes of the objects of files that were looked at, as far as they are known."""

    def error_of(self, entry: DirectoryEntry) -> PykopiaError | None:
        object_id = entry.object_id
        if object_id not in self._known:
            self._lengths[object_id] = UNKNOWN_LENGTH
            self._known[object_id] = self._error_of(entry)
        known = self._known[object_id]
        try:
            check_length(entry, self._lengths[object_id])
        except LOST as error:
            return known or error
        return known

    def look_at_folder(self, entry: DirectoryEntry) -> None:
        """Find out whether the contents of a folder are where they should be; the cache may still have lost ones."""
        if entry.object_id not in self._known:
            try:
                self._locator.locate(entry.object_id)
            except LOST as error:
                self._known[entry.object_id] = error
            else:
                self._known[entry.object_id] = None

    def _error_of(self, entry: DirectoryEntry) -> PykopiaError | None:
        try:
            chunks = self._locator.locate(entry.object_id)
            self._lengths[entry.object_id] = length_of(chunks)
            if self._percent > 0 and random.random() * _HUNDRED < self._percent:  # noqa: S311 -- a sample
                self._read(chunks)
        except LOST as error:
            return error
        return None

    def lost_contents(self, folders: Iterable[ObjectID]) -> Iterator[ContentID]:
        """Yield each content that is lost for the files and folders found invalid so far, and for ``folders``, once.

        With a missing pack goes all that it held: what a lost folder names can't be known, and is likely to be there.
        Contents with manifests are left out, because nothing stores them again.
        """
        contents = self._repository.contents
        found: set[ContentID] = set()
        missing: dict[str, bool] = {}
        invalid = (ObjectID(object_id) for object_id, error in self._known.items() if error is not None)
        for object_id in chain(invalid, folders):
            for content_id in self._locator.lost_contents(object_id, read=True):
                pack = contents.entry(content_id).pack_blob
                if pack not in missing:
                    missing[pack] = not has_blob(self._repository.storage, BlobID(pack))
                if not missing[pack] and content_id not in found and self._is_damaged(content_id):
                    found.add(content_id)
                    yield content_id
        if any(missing.values()):
            for entry in contents.list():
                if missing.get(entry.pack_blob) and prefix_of(entry.content_id) != CONTENT_PREFIX:
                    yield entry.content_id

    def _is_damaged(self, content_id: ContentID) -> bool:
        """Return whether a content can't be read; its pack may be one that a listing left out."""
        try:
            self._repository.contents.get(content_id, check=True)
        except LOST:
            return True
        return False

    def _read(self, chunks: Located) -> None:
        for chunk, found in chunks:
            data = self._repository.contents.read(found, check=True)
            if chunk.compressed:
                decompress(data, expected_length=None if chunk.length == UNKNOWN_LENGTH else chunk.length)


def name_pattern(text: str) -> re.Pattern[str]:
    r"""Return the pattern for names that Kopia's wildcards stand for: ``*``, ``?``, ``[a-z]``, ``[^a-z]``, ``\x``.

    >>> bool(name_pattern("*.[ch]").fullmatch("main.c")), bool(name_pattern("[^a]*").fullmatch("abc"))
    (True, False)

    Raises:
        UsageError: it is not one, such as ``[a``.
    """
    parts: list[str] = []
    position = 0
    while position < len(text):
        letter = text[position]
        position += 1
        if letter in "*?":
            parts.append(".*" if letter == "*" else ".")
        elif letter == "\\":
            if position == len(text):
                raise UsageError(f"the wildcard {text!r} ends with a backslash that stands before nothing")
            parts.append(re.escape(text[position]))
            position += 1
        elif letter == "[":
            end = re.compile(r"\^?(?:[^\]\\-]|\\.)(?:[^\]\\]|\\.)*\]", re.DOTALL).match(text, position)
            if end is None:
                raise UsageError(f"the wildcard {text!r} has a [ without its ]")
            parts.append("[" + end[0].replace("[", r"\["))
            position = end.end()
        else:
            parts.append(re.escape(letter))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise UsageError(f"the wildcard {text!r} makes no sense: {error}") from error


__all__ = ["FixOptions", "FixedSnapshot", "chosen_snapshots", "fix_invalid_files", "name_pattern", "remove_files"]
