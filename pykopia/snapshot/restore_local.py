"""Restoring into a folder, never outside it: every step is relative to an open folder and follows no link.

Facts: format 04 §14.2. Where Kopia follows links that it finds in the target, cuts times or leaves lengths unchecked,
this does not (docs/kopia-differences.md). What is done with each entry is decided by ``restore_decision``.
"""

import contextlib
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pykopia.errors import RestoreError, TargetExistsError, UnsafePathError
from pykopia.format import gojson
from pykopia.format.directory import DIRECTORY, SYMLINK, DirectoryEntry
from pykopia.ids import Buffer
from pykopia.repository.contents import ContentStore
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.file_writing import FileWriter, write_all
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX, placeholder_bytes
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore import (
    FULL_ERRNOS,
    SMALL_FILE,
    Failed,
    Item,
    describe,
    fetched_together,
    link_target,
    one_by_one,
)
from pykopia.snapshot.restore_decision import (
    MAKE,
    NAME_MAX,
    Decision,
    Keep,
    Make,
    Placeholder,
    Refuse,
    Replace,
    SetAttributes,
    alike,
    collide,
    decide,
    extra_names,
)
from pykopia.snapshot.restore_differences import Differences
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions
from pykopia.snapshot.selection import Selection
from pykopia.snapshot.small_files import (
    EXTENDED,
    FLUSH,
    IGNORE_RIGHTS,
    MODE,
    OWNER,
    TEMPORARY_NAME,
    TIME,
    change_owner,
    finish_folder,
    lacks_rights,
    make_folder,
    publish,
    set_attributes,
    temporary_name,
    write_files,
)
from pykopia.snapshot.target_folder import (
    PARKED,
    LocalFolder,
    allow_owner,
    existing_of,
    kind_of,
    look_at_target,
    made_writable,
    opened,
    remove,
    reopened,
    status_of,
)

if TYPE_CHECKING:
    from pykopia.snapshot.hard_links import HardLinks
    from pykopia.snapshot.restore_attributes import AttributeWriter

WRONG = b"?" * (SMALL_FILE + 1)
"""Stands in for a content that could not be read. Longer than any small file, so the length check rejects it."""
COMMON_TIMES = range(-(1 << 31) * 10**9, (1 << 31) * 10**9)
"""Times in nanoseconds that every file system can hold."""

SECONDS_OFF_NS = 2 * 10**9
"""Difference up to which a time was only rounded by the file system."""

FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def _for_extended_attributes(
    options: RestoreOptions, warn: Callable[[str], None]
) -> "tuple[AttributeWriter | None, HardLinks | None]":
    if not options.extended_attributes:
        return None, None
    from pykopia.snapshot.hard_links import HardLinks  # noqa: PLC0415 -- most restores do without
    from pykopia.snapshot.restore_attributes import AttributeWriter  # noqa: PLC0415

    return AttributeWriter(options, warn), HardLinks()


class LocalOutput:
    """Puts entries into a folder of this machine."""

    def __init__(
        self,
        target: Path,
        contents: ContentStore,
        objects: ObjectStore,
        content_hash: Callable[[Buffer], bytes],
        options: RestoreOptions,
        progress: Progress[RestoreCounters],
        selection: Selection,
    ) -> None:
        self._target = target
        self._contents = contents
        self._objects = objects
        self._options = options
        self._progress = progress
        self._differences = Differences(objects, content_hash)
        self._selection = selection
        self._lock = threading.Lock()
        """Held while a folder is parked or opened again."""
        self._open: set[LocalFolder] = set()
        """Folders that are not finished."""
        self._writer = FileWriter(
            objects, self._differences, options, progress.check, lambda count: progress.add(restored_bytes=count)
        )
        self._refused_owners: set[tuple[int, int]] = set()
        """Owner and group that this process may not give to its own files, as was seen with one of them."""
        self.warnings: list[str] = []
        """Deviations from the usual way, one line each."""
        self._extended, self._hard_links = _for_extended_attributes(options, self._warn)
        """Both None unless extended attributes are to be restored."""
        self._root: LocalFolder | None = None
        """The target, once it is open."""
        self._flags = (
            OWNER * (not options.skip_owners)
            | MODE * (not options.skip_permissions)
            | TIME * (not options.skip_times)
            | IGNORE_RIGHTS * options.ignore_permission_errors
            | FLUSH * options.flush_files
        )

    # ------------------------------------------------------------------ deciding

    def _decide(
        self, folder: LocalFolder, entry: DirectoryEntry, status: os.stat_result | None, *, shallow: bool = False
    ) -> Decision:
        """Decide what is done with an entry that has ``status`` in its place."""
        empty = True
        if status is not None and entry.type == DIRECTORY and not self._options.overwrite_directories:
            empty = self._is_empty(folder, entry.name)

        def same() -> bool:
            return status is not None and self._same(folder, entry, status)

        return decide(entry, existing_of(status, empty=empty), self._options, same, shallow=shallow)

    def _is_empty(self, folder: LocalFolder, name: str) -> bool:
        try:
            handle, mode = opened(self._handle(folder), name)
        except OSError:
            return True  # it is no folder, or opening it again tells what is wrong
        with _closing(handle):
            empty = not any(not TEMPORARY_NAME.fullmatch(each) for each in os.listdir(handle))
            if mode is not None:
                os.fchmod(handle, mode)
            return empty

    def _same(self, folder: LocalFolder, entry: DirectoryEntry, status: os.stat_result) -> bool:
        """Return True if what is there has the contents of a file, or the target of a link."""
        if entry.type == SYMLINK:
            there = os.readlink(entry.name, dir_fd=self._handle(folder))
            return os.fsencode(there) == self._objects.read(entry.object_id)
        with self._old(folder, entry.name, status) as old:
            return old is not None and self._differences.same(old, entry)

    def _refused(self, path: str, refusal: Refuse) -> RestoreError:
        if refusal.unsafe:
            return UnsafePathError(refusal.reason)
        return TargetExistsError(f"can't restore {self._target / path}: {refusal.reason}")

    def _warn(self, text: str) -> None:
        with self._lock:
            self.warnings.append(text)

    def ends_all(self, error: OSError) -> bool:
        """Return True unless only a part of the target is read-only, see ``Output.ends_all``."""
        if error.errno != errno.EROFS:
            return True
        try:
            return bool(os.statvfs(self._target).f_flag & os.ST_RDONLY)
        except OSError:
            return True

    # ------------------------------------------------------------------ folders

    def root(self, entry: DirectoryEntry) -> LocalFolder:
        """Make or open the target folder; a link to a folder is followed here, because the caller named it."""
        options = self._options
        try:
            status = look_at_target(self._target)
            decision = decide_root(entry, self._target, status, options)
            if isinstance(decision, Refuse):
                raise self._refused("", decision)
            self._target.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except RestoreError:
            raise
        except OSError as error:
            raise RestoreError(describe(str(self._target), error)) from error
        self._root = self._opened(LocalFolder(handle, fresh=status is None, mode=made_writable(handle)))
        return self._root

    def _opened(self, folder: LocalFolder) -> LocalFolder:
        self._open.add(folder)
        return folder

    def _handle(self, folder: LocalFolder) -> int:
        if folder.handle != PARKED:
            return folder.handle
        with self._lock:
            return reopened(folder)

    def park(self, folder: LocalFolder) -> None:
        """Close a folder for now, see ``Output.park``; the target itself stays open."""
        if folder.parent is not None:
            with self._lock:
                folder.park()

    def directory(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> LocalFolder:
        """Make or open a folder within another."""
        above, name = self._handle(parent), entry.name
        status = None if parent.fresh else status_of(name, above)
        decision = self._decide(parent, entry, status)
        if isinstance(decision, Refuse):
            raise self._refused(path, decision)
        if isinstance(decision, Make):
            handle, fresh = make_folder(above, name)
            mode = None if fresh else made_writable(handle)
        else:
            fresh = False
            handle, mode = opened(above, name)
        return self._opened(LocalFolder(handle, fresh=fresh, name=name, parent=parent, mode=mode))

    def name_key(self, folder: LocalFolder, entries: Sequence[DirectoryEntry]) -> Callable[[str], str]:
        """Return what decides whether two names are one here: a target may ignore case."""
        if collide(entries, alike) and not collide(entries, str) and self._ignores_case(folder):
            return alike
        return str

    def _ignores_case(self, folder: LocalFolder) -> bool:
        """Return True if the file system of a folder takes names in other letters for the same."""
        handle, name = self._handle(folder), temporary_name()
        try:
            os.close(os.open(name, FILE_FLAGS, 0o600, dir_fd=handle))
        except OSError:
            return False
        try:
            return status_of(name.upper(), handle) is not None
        finally:
            os.unlink(name, dir_fd=handle)

    def prepare(
        self, folder: LocalFolder, entries: Sequence[DirectoryEntry], path: str, *, shallow: bool
    ) -> Iterator[Failed]:
        """Remove what the snapshot does not have here (``delete_extra``), and what a killed restore has left."""
        if folder.fresh:
            return
        handle = self._handle(folder)
        leftovers = leftover_names(os.listdir(handle), entries)
        for name in leftovers:
            _remove_leftover(handle, name)
        if not self._options.delete_extra:
            return
        with os.scandir(handle) as found:
            there = {each.name: kind_of(each.stat(follow_symlinks=False).st_mode) for each in found}
        for name in extra_names(path, entries, there, self._selection, self._options, shallow=shallow):
            try:
                remove(handle, name)
            except OSError as error:
                where = f"{path}/{name}" if path else name
                yield where, RestoreError(f"can't delete {where}: {error.strerror}")
            else:
                self._progress.add(deleted_entries=1)

    def finish(self, folder: LocalFolder, entry: DirectoryEntry, path: str, *, complete: bool) -> None:
        """Set owner, mode and time of a folder; its time is its own, not that of what is in it."""
        handle = self._handle(folder)
        self._open.discard(folder)
        parent = folder.parent
        if complete and (parent is None or not parent.fresh):
            self._drop_folder_placeholder(folder)
        if parent is not None and parent.handle == PARKED:
            self._take_back(parent, handle)
        if folder.mode is not None and not self._flags & MODE:
            os.fchmod(handle, folder.mode)
        self._finish_folder(handle, entry, path)

    def _finish_folder(self, handle: int, entry: DirectoryEntry, path: str) -> None:
        """Set the attributes of a folder and close it; those that may not be set are counted."""
        flags, unset = self._flags & ~FLUSH, 0
        try:
            unset = self._extended.before(handle, entry, path or ".") if self._extended else 0
            try:
                finish_folder(os.dup(handle), entry, flags & ~IGNORE_RIGHTS)
            except OSError as error:
                if not (flags & IGNORE_RIGHTS and lacks_rights(error)):
                    raise
                unset |= set_attributes(handle, entry, flags)
            if self._extended is not None:
                unset |= self._extended.after(handle, entry, path or ".", unset)
        finally:
            self._count_unset(unset)
            os.close(handle)

    def _take_back(self, parent: LocalFolder, handle: int) -> None:
        """Open a parked folder by the one in it, which costs less than by those above it."""
        with self._lock, contextlib.suppress(OSError):
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
            if not parent.take_back(above):
                os.close(above)

    def _drop_folder_placeholder(self, folder: LocalFolder) -> None:
        """Remove the placeholder of a folder that is here in full now."""
        if folder.parent is not None:
            self._drop_placeholder(folder.parent, folder.name)
            return
        name = self._target.name
        with contextlib.suppress(FileNotFoundError):
            above = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with _closing(above):
                drop_placeholder(above, name)

    # ------------------------------------------------------------------ files

    def needed(self, folder: LocalFolder, entries: Iterable[DirectoryEntry]) -> Iterator[DirectoryEntry]:
        """Yield the entries that are not there yet, and those that replace what is."""
        for entry in entries:
            status = None if folder.fresh else status_of(entry.name, self._handle(folder))
            # where the hash of what is there can say that it is the same, contents are not fetched ahead
            same = status is not None and status.st_size == entry.size
            decision = decide(entry, existing_of(status), self._options, partial(bool, same))
            if isinstance(decision, Make | Replace):
                yield entry

    def files(self, items: Sequence[Item[LocalFolder]]) -> Iterator[tuple[Item[LocalFolder], bool | Exception]]:
        """Make files, see ``Output.files``; small ones in new folders all at once."""
        rest: Iterable[Item[LocalFolder]] = items
        if not self._options.write_sparse:
            made = {id(item) for item in self._small_files(items)}
            yield from ((item, True) for item in items if id(item) in made)
            # what did not go well is tried again, to say what is wrong with it
            rest = (item for item in items if id(item) not in made)
        yield from one_by_one(
            lambda parent, entry, path: self.file(parent, entry, f"{path}/{entry.name}" if path else entry.name), rest
        )

    def _small_files(self, items: Sequence[Item[LocalFolder]]) -> Sequence[Item[LocalFolder]]:
        """Make the small files in new folders; return those that were made."""
        small = [
            item for item in items if item[0].fresh and fetched_together(item[1]) and item[1].mtime_ns in COMMON_TIMES
        ]
        if self._extended is not None:
            small = [item for item in small if item[1].extended is None]
        lengths: dict[str, int] = {entry.object_id: entry.size for _, entry, _ in small}
        contents = self._contents.get_many(lengths, lengths=lengths)
        ready = [item for item in small if len(contents.get(item[1].object_id, WRONG)) == item[1].size]
        refused = self._refused_owners
        may = [item for item in ready if (item[1].uid, item[1].gid) not in refused] if refused else ready
        made = self._written(may, contents, self._flags & ~IGNORE_RIGHTS)
        if len(may) < len(ready):
            may_not = [item for item in ready if (item[1].uid, item[1].gid) in refused]
            without_owner = self._written(may_not, contents, self._flags, uid=os.geteuid())
            for _ in without_owner:
                self._count_unset(OWNER)
            made += without_owner
        return made

    def _written(
        self, items: Sequence[Item[LocalFolder]], contents: Mapping[str, bytes], flags: int, *, uid: int | None = None
    ) -> list[Item[LocalFolder]]:
        """Make small files all at once, and return those that were made.

        Args:
            items: the files.
            contents: by the IDs of their objects.
            flags: which attributes are set, and how.
            uid: owner in the place of those of the entries, so that the group alone is set; None: those of the entries.
        """
        entries = [entry if uid is None else msgspec.structs.replace(entry, uid=uid) for _, entry, _ in items]
        try:
            errors = write_files(
                [self._handle(folder) for folder, _, _ in items],
                entries,
                [contents[entry.object_id] for entry in entries],
                flags,
            )
        except (ValueError, OverflowError):
            return []  # one of them has a value that no file can have
        return [item for item, error in zip(items, errors, strict=True) if not error]

    def file(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> bool:
        """Make a file; return False when one that is there was left as it is.

        A file has its name only when it is whole, unless it is to be written in place.
        """
        if self._hard_links is None or entry.extended is None or not entry.extended.hard_link:
            return self._file(parent, entry, path)
        with self._hard_links.making(entry) as names:
            made = self._file(parent, entry, path)
            if made:
                names.note_first(path, self._handle(parent), entry.name)
            return made

    def _file(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> bool:
        handle, name = self._handle(parent), entry.name
        status = None if parent.fresh else status_of(name, handle)
        decision = MAKE if status is None else self._decide(parent, entry, status)
        match decision:
            case Make():
                self._make_file(handle, entry, path)
            case Replace(in_place=True):
                self._write_in_place(parent, entry, path, status)
            case Replace():
                self._replace_file(parent, entry, path, status)
            case SetAttributes():
                self._give_attributes(parent, entry, path)
            case Refuse():
                raise self._refused(path, decision)
        if not parent.fresh:
            self._drop_placeholder(parent, name)
        return isinstance(decision, Make | Replace)

    @contextlib.contextmanager
    def _old(self, parent: LocalFolder, name: str, existing: os.stat_result | None) -> Iterator[int | None]:
        """Open the file that is replaced, if what is in it is to be used."""
        handle = None
        if self._options.only_differences and existing is not None and stat.S_ISREG(existing.st_mode):
            with contextlib.suppress(PermissionError):  # then it is written in full
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._handle(parent))
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)

    def _give_attributes(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> None:
        handle = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._handle(parent))
        with _closing(handle):
            self._attributes(handle, entry, path)

    def _make_file(self, folder: int, entry: DirectoryEntry, path: str) -> None:
        temporary = self._write_new(folder, entry, path)
        try:
            publish(folder, temporary, entry.name)
        except OSError:
            os.unlink(temporary, dir_fd=folder)
            raise

    def _replace_file(
        self, parent: LocalFolder, entry: DirectoryEntry, path: str, existing: os.stat_result | None
    ) -> None:
        folder = self._handle(parent)
        try:
            with self._old(parent, entry.name, existing) as old:
                temporary = self._write_new(folder, entry, path, old=old)
        except OSError as error:
            if error.errno not in FULL_ERRNOS or not self._fits_in_place(folder, entry, existing):
                raise
            self._warn(
                f"{path}: there is no room for a second copy, so the file that is there is written over; if the restore is "
                "cut off, run it again"
            )
            self._write_in_place(parent, entry, path, existing)
            return
        try:
            os.replace(temporary, entry.name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            os.unlink(temporary, dir_fd=folder)
            raise

    def _fits_in_place(self, folder: int, entry: DirectoryEntry, existing: os.stat_result | None) -> bool:
        """Return True if a file may be written over where it is and there is room for that.

        A file with several names is not: the others may be another's.
        """
        if not self._options.in_place_when_full or existing is None or not stat.S_ISREG(existing.st_mode):
            return False
        volume = os.fstatvfs(folder)
        room = volume.f_bavail * volume.f_frsize + existing.st_blocks * 512
        return existing.st_nlink == 1 and room >= entry.size

    def _write_in_place(
        self, parent: LocalFolder, entry: DirectoryEntry, path: str, existing: os.stat_result | None
    ) -> None:
        folder, flags = self._handle(parent), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(entry.name, flags, dir_fd=folder)
        except PermissionError:
            if allow_owner(folder, entry.name, stat.S_IWUSR) is None:
                raise
            handle = os.open(entry.name, flags, dir_fd=folder)
        with _closing(handle), self._old(parent, entry.name, existing) as old:
            os.ftruncate(handle, 0 if old is None else entry.size)
            self._writer.write(handle, entry, path, old=old, in_place=old is not None)
            self._complete(handle, entry, path)

    def _write_new(self, folder: int, entry: DirectoryEntry, path: str, *, old: int | None = None) -> str:
        """Write a file under a temporary name and return this name; nothing is left after an error."""
        temporary = temporary_name()
        if self._linked(folder, entry, temporary):
            return temporary
        handle = os.open(temporary, FILE_FLAGS, 0o600, dir_fd=folder)
        try:
            with _closing(handle):
                with contextlib.suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # see _remove_leftover
                self._writer.write(handle, entry, path, old=old)
                if self._complete(handle, entry, path) & OWNER:
                    self._refused_owners.add((entry.uid, entry.gid))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        return temporary

    def _linked(self, folder: int, entry: DirectoryEntry, temporary: str) -> bool:
        """Make a name of a file that is restored already; return whether there is one to do this with."""
        if self._hard_links is None or self._root is None or entry.extended is None or not entry.extended.hard_link:
            return False
        if not self._hard_links.link(entry, self._root.handle, folder, temporary):
            return False
        if self.counts(entry):
            self._progress.add(restored_bytes=entry.size)
        return True

    def _complete(self, handle: int, entry: DirectoryEntry, path: str) -> int:
        unset = self._attributes(handle, entry, path)
        if self._options.flush_files:
            os.fsync(handle)
        return unset

    # ------------------------------------------------------------------ links

    def counts(self, entry: DirectoryEntry) -> bool:
        """Return True for large files: their bytes are counted as they are written."""
        return self._writer.counts(entry)

    def symlink(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> bool:
        """Make a symbolic link, in the place of one that is there; return False when that was left as it is."""
        handle, name = self._handle(parent), entry.name
        status = None if parent.fresh else status_of(name, handle)
        decision = MAKE if status is None else self._decide(parent, entry, status)
        match decision:
            case Make():
                os.symlink(link_target(self._objects, entry), os.fsencode(name), dir_fd=handle)
            case Replace():
                temporary = temporary_name()
                os.symlink(link_target(self._objects, entry), os.fsencode(temporary), dir_fd=handle)
                os.replace(temporary, name, src_dir_fd=handle, dst_dir_fd=handle)
            case Refuse():
                raise self._refused(path, decision)
        if not isinstance(decision, Keep):
            self._link_attributes(handle, entry, path)
        if not parent.fresh:
            self._drop_placeholder(parent, name)
        return isinstance(decision, Make | Replace)

    def _link_attributes(self, folder: int, entry: DirectoryEntry, path: str) -> None:
        name, unset = entry.name, 0
        place = f"/proc/self/fd/{folder}/{name}"
        if self._extended is not None:
            unset |= self._extended.before(place, entry, path)
        if not self._options.skip_owners:
            unset |= self._may_lack_rights(
                OWNER, lambda: change_owner(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
            )
        if not self._options.skip_times:
            times = (entry.mtime_ns, entry.mtime_ns)
            unset |= self._may_lack_rights(TIME, lambda: os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False))
            if entry.mtime_ns not in COMMON_TIMES and not unset & TIME:
                self._compare_time(os.lstat(name, dir_fd=folder), entry, path)
        if self._extended is not None:
            unset |= self._extended.after(place, entry, path, unset)
        self._count_unset(unset)

    # ------------------------------------------------------------------ attributes

    def _attributes(self, handle: int, entry: DirectoryEntry, path: str) -> int:
        """Set owner, then mode (a change of owner clears set-uid bits), then time; return those that could not be set."""
        options, unset = self._options, 0
        if self._extended is not None:
            unset |= self._extended.before(handle, entry, path)
        if not options.skip_owners:
            unset |= self._may_lack_rights(OWNER, lambda: change_owner(handle, entry.uid, entry.gid))
        if not options.skip_permissions:
            unset |= self._may_lack_rights(MODE, lambda: os.chmod(handle, entry.mode))
        if not options.skip_times:
            unset |= self._may_lack_rights(TIME, lambda: os.utime(handle, ns=(entry.mtime_ns, entry.mtime_ns)))
            if entry.mtime_ns not in COMMON_TIMES and not unset & TIME:
                self._compare_time(os.fstat(handle), entry, path)
        if self._extended is not None:
            unset |= self._extended.after(handle, entry, path, unset)
        self._count_unset(unset)
        return unset

    def _count_unset(self, unset: int) -> None:
        """Count one entry whose attributes of these flags could not be set for lack of rights."""
        if unset:
            self._progress.add(
                unset_entries=1,
                unset_owners=bool(unset & OWNER),
                unset_modes=bool(unset & MODE),
                unset_times=bool(unset & TIME),
                unset_extended_attributes=bool(unset & EXTENDED),
            )

    def _compare_time(self, found: os.stat_result, entry: DirectoryEntry, path: str) -> None:
        """Warn where the file system can't hold a time."""
        if abs(found.st_mtime_ns - entry.mtime_ns) > SECONDS_OFF_NS:
            stored, here = gojson.format_time(entry.mtime_ns), gojson.format_time(found.st_mtime_ns)
            self._warn(f"{path}: the file system can't hold its time {stored}; it has {here} now")

    def _may_lack_rights(self, attribute: int, step: Callable[[], None]) -> int:
        """Set an attribute; return its flag when a lack of rights is passed over, else 0."""
        try:
            step()
        except PermissionError:
            if not self._options.ignore_permission_errors:
                raise
            return attribute
        return 0

    # ------------------------------------------------------------------ placeholders

    def placeholder(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> bool:
        """Make the placeholder of an entry (format 04 §14.3)."""
        folder = self._handle(parent)
        status = None if parent.fresh else status_of(entry.name, folder)
        decision = self._decide(parent, entry, status, shallow=True)
        if isinstance(decision, Refuse):
            raise self._refused(path, decision)
        if not isinstance(decision, Placeholder):
            return False
        name, data = entry.name + PLACEHOLDER_SUFFIX, placeholder_bytes(entry)
        if not parent.fresh and status_of(name, folder) is not None:
            remove(folder, name)
        if entry.type == DIRECTORY:
            inner, _ = make_folder(folder, name)
            with _closing(inner):
                self._placeholder_file(inner, PLACEHOLDER_SUFFIX, data, entry, path)
        else:
            self._placeholder_file(folder, name, data, entry, path)
        return True

    def _placeholder_file(self, folder: int, name: str, data: bytes, entry: DirectoryEntry, path: str) -> None:
        handle = os.open(name, FILE_FLAGS, 0o600, dir_fd=folder)
        with _closing(handle):
            write_all(handle, data, 0)
            self._attributes(handle, msgspec.structs.replace(entry, extended=None), path)
            if not self._options.skip_permissions:
                self._may_lack_rights(MODE, lambda: os.chmod(handle, entry.mode & ~0o222))

    def _drop_placeholder(self, parent: LocalFolder, name: str) -> None:
        drop_placeholder(self._handle(parent), name)

    def close(self, *, complete: bool) -> None:
        """Stop the threads, and close the folders that an error left unfinished."""
        self._writer.close()
        while self._open:
            folder = self._open.pop()
            if folder.handle == PARKED:
                continue
            if folder.mode is not None:
                with contextlib.suppress(OSError):
                    os.fchmod(folder.handle, folder.mode)
            os.close(folder.handle)


def decide_root(
    entry: DirectoryEntry, target: Path, found: os.stat_result | Refuse | None, options: RestoreOptions
) -> Decision:
    """Decide what is done with the folder that a snapshot's root directory becomes.

    Args:
        entry: the root; its name, often a whole path, is not used.
        target: the folder.
        found: what is there, see ``look_at_target``.
        options: of the restore.

    Raises:
        OSError: the folder can't be listed.
    """
    if isinstance(found, Refuse):
        return found
    empty = True
    if found is not None and stat.S_ISDIR(found.st_mode) and not options.overwrite_directories:
        empty = not os.listdir(target)
    return decide(msgspec.structs.replace(entry, name="root"), existing_of(found, empty=empty), options, lambda: False)


def leftover_names(names: Iterable[str], entries: Sequence[DirectoryEntry]) -> list[str]:
    """Return the names in a folder of the target that a restore which was killed has left."""
    found = [name for name in names if TEMPORARY_NAME.fullmatch(name)]
    if found:
        stored = {entry.name for entry in entries}
        found = [name for name in found if name not in stored]
    return sorted(found)


def _remove_leftover(folder: int, name: str) -> None:
    """Remove a temporary file or link, unless another restore is writing it now."""
    with contextlib.suppress(OSError):
        status = os.lstat(name, dir_fd=folder)
        if stat.S_ISLNK(status.st_mode):
            os.unlink(name, dir_fd=folder)
        elif stat.S_ISREG(status.st_mode):
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            with _closing(handle):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name, dir_fd=folder)


def drop_placeholder(folder: int, name: str) -> None:
    """Remove the placeholder of what is in an open folder in full now."""
    placeholder = name + PLACEHOLDER_SUFFIX
    if len(os.fsencode(placeholder)) <= NAME_MAX and status_of(placeholder, folder) is not None:
        remove(folder, placeholder)


@contextlib.contextmanager
def _closing(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


__all__ = ["LocalFolder", "LocalOutput", "decide_root", "leftover_names"]
