"""Restoring into a folder, never outside it: every step is relative to an open folder and follows no link.

Facts: spec 04 §14.2. Where Kopia follows links that it finds in the target, cuts times or leaves lengths unchecked,
this does not (docs/kopia-differences.md).
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pykopia.errors import RestoreError, TargetExistsError
from pykopia.format.directory import DirectoryEntry
from pykopia.ids import Buffer
from pykopia.repository.contents import ContentStore
from pykopia.repository.objects import UNKNOWN_LENGTH, ObjectStore, Part
from pykopia.snapshot.parts import Parts
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX, placeholder_bytes
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore import SMALL_FILE, Item, fetched_together, one_by_one
from pykopia.snapshot.restore_differences import Differences
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions
from pykopia.snapshot.selection import Selection
from pykopia.snapshot.small_files import (
    FLUSH,
    FOLDER_FLAGS,
    IGNORE_RIGHTS,
    MODE,
    OWNER,
    TIME,
    finish_folder,
    make_folder,
    write_files,
)

SAME_TIME_NS = 2_000_000_000
"""Difference of times up to which ``skip_existing`` takes a file as the same."""
NAME_MAX = 255
SPARSE_BLOCK = 4096
LARGE_FILE = 8 << 20
"""Bytes from which on the chunks of a file are read and written by several threads."""
MOST_PARTS = 4
"""Parts of large files that are read and written at one time: a bound on memory, for each takes some 12 to 20 MiB."""
WRONG = b"?" * (SMALL_FILE + 1)
"""In the place of contents that could not be read: of no small file's length."""

FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalFolder:
    """An open folder of the target, closed when it is finished."""

    __slots__ = ("fresh", "handle")

    def __init__(self, handle: int, *, fresh: bool) -> None:
        self.handle = handle
        self.fresh = fresh
        """Whether this restore has made it, so nothing can be in it yet."""


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
    ) -> None:
        self._target = target
        self._contents = contents
        self._objects = objects
        self._options = options
        self._progress = progress
        self._differences = Differences(objects, content_hash)
        self._selection = Selection(options.include, options.exclude)
        self._open: set[LocalFolder] = set()
        """Folders that are not finished."""
        self._parts = Parts[Part](min(options.parallel, MOST_PARTS))
        self._flags = (
            OWNER * (not options.skip_owners)
            | MODE * (not options.skip_permissions)
            | TIME * (not options.skip_times)
            | IGNORE_RIGHTS * options.ignore_permission_errors
            | FLUSH * options.flush_files
        )

    # ------------------------------------------------------------------ folders

    def root(self, entry: DirectoryEntry) -> LocalFolder:
        """Make or open the target folder; a link to a folder is followed here, because the caller named it."""
        fresh = not self._target.exists()
        try:
            self._target.mkdir(parents=True, exist_ok=True, mode=0o700)
        except FileExistsError:
            raise TargetExistsError(f"can't restore a folder to {self._target}: a file is there") from None
        if not fresh and not self._options.overwrite_directories and os.listdir(self._target):
            raise TargetExistsError(
                f"{self._target} exists and is not empty; restore to another folder or allow overwriting directories"
            )
        return self._opened(os.open(self._target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), fresh=fresh)

    def _opened(self, handle: int, *, fresh: bool) -> LocalFolder:
        folder = LocalFolder(handle, fresh=fresh)
        self._open.add(folder)
        return folder

    def directory(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> LocalFolder:
        """Make or open a folder within another."""
        try:
            handle, fresh = make_folder(parent.handle, entry.name)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise TargetExistsError(
                f"can't restore folder {path}: something that is no folder is there (links are not followed); "
                "move it away, or let the restore delete what is not in the snapshot"
            ) from None
        if not fresh and not self._options.overwrite_directories and os.listdir(handle):
            os.close(handle)
            raise TargetExistsError(f"folder {path} exists and is not empty; it was left as it is")
        return self._opened(handle, fresh=fresh)

    def prepare(self, folder: LocalFolder, entries: Sequence[DirectoryEntry], path: str) -> None:
        """Remove what the snapshot does not have here (``delete_extra``)."""
        if folder.fresh or not self._options.delete_extra:
            return
        wanted = {entry.name: entry.type for entry in entries}
        with os.scandir(folder.handle) as found:
            extra = [
                each.name
                for each in found
                if wanted.get(each.name) != (kind := kind_of(each.stat(follow_symlinks=False).st_mode))
                and self._selection.wants(f"{path}/{each.name}".lstrip("/"), is_directory=kind == "d")
            ]
        if not path:
            extra = [name for name in extra if name not in self._options.keep_at_root]
        for name in extra:
            self._remove(folder, name, path)
        if extra:
            self._progress.add(deleted_entries=len(extra))

    @staticmethod
    def _remove(folder: LocalFolder, name: str, path: str) -> None:
        """Remove an entry with all that is in it; links are removed, not followed."""
        try:
            os.unlink(name, dir_fd=folder.handle)
        except IsADirectoryError:
            shutil.rmtree(name, dir_fd=folder.handle)
        except PermissionError as error:
            # unlink of a folder: EPERM on some systems
            if not stat.S_ISDIR(os.lstat(name, dir_fd=folder.handle).st_mode):
                raise RestoreError(f"can't delete {path}/{name}: {error.strerror}") from error
            shutil.rmtree(name, dir_fd=folder.handle)

    def finish(self, folder: LocalFolder, entry: DirectoryEntry, path: str) -> None:
        """Set owner, mode and time of a folder; its time is its own, not that of what is in it."""
        self._open.discard(folder)
        finish_folder(folder.handle, entry, self._flags & ~FLUSH)

    # ------------------------------------------------------------------ files

    def needed(self, folder: LocalFolder, entries: Iterable[DirectoryEntry]) -> Iterator[DirectoryEntry]:
        """Yield the entries that are not there yet, and those that replace what is."""
        options = self._options
        for entry in entries:
            existing = None if folder.fresh else _lstat(entry.name, folder)
            if existing is not None:
                alike = options.only_differences and existing.st_size == entry.size  # which its hash may prove
                if alike or not options.overwrite_files or self._keep(existing, entry):
                    continue
            yield entry

    def files(self, items: Sequence[Item[LocalFolder]]) -> Iterator[tuple[Item[LocalFolder], bool | Exception]]:
        """Make files, see ``Output.files``; small ones in new folders all at once."""
        rest: Iterable[Item[LocalFolder]] = items
        if not self._options.write_sparse:
            small = [item for item in items if item[0].fresh and fetched_together(item[1])]
            lengths: dict[str, int] = {entry.object_id: entry.size for _, entry, _ in small}
            contents = self._contents.get_many(lengths, lengths=lengths)
            ready = [item for item in small if len(contents.get(item[1].object_id, WRONG)) == item[1].size]
            errors = write_files(
                [folder.handle for folder, _, _ in ready],
                [entry for _, entry, _ in ready],
                [contents[entry.object_id] for _, entry, _ in ready],
                self._flags,
            )
            made = {id(item) for item, error in zip(ready, errors, strict=True) if not error}
            yield from ((item, True) for item in ready if id(item) in made)
            # what did not go well is tried again, to say what is wrong with it
            rest = (item for item in items if id(item) not in made)
        yield from one_by_one(lambda parent, entry, path: self.file(parent, entry, f"{path}/{entry.name}"), rest)

    def file(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> bool:
        """Make a file; return False when one that is there was left as it is.

        One that exists is replaced only by a finished one (unless it is to be written in place).
        """
        name = entry.name
        if parent.fresh:
            self._write_new(parent, name, entry, path)
            return True
        existing = _lstat(name, parent)
        kept = existing is not None and (self._keep(existing, entry) or self._is_same(parent, name, existing, entry))
        if existing is None:
            self._write_new(parent, name, entry, path)
        elif not kept:
            self._replace(parent, name, entry, path, existing)
        self._drop_placeholder(parent, name)
        return not kept

    def _keep(self, existing: os.stat_result, entry: DirectoryEntry) -> bool:
        return (
            self._options.skip_existing
            and stat.S_ISREG(existing.st_mode)
            and existing.st_size == entry.size
            and abs(existing.st_mtime_ns - entry.mtime_ns) <= SAME_TIME_NS
        )

    def _is_same(self, parent: LocalFolder, name: str, existing: os.stat_result, entry: DirectoryEntry) -> bool:
        """Tell whether a file has the right contents already (``only_differences``); give it the attributes then."""
        with self._old(parent, name, existing) as old:
            if old is None or not self._differences.same(old, entry):
                return False
            self._attributes(old, entry)
            return True

    @contextlib.contextmanager
    def _old(self, parent: LocalFolder, name: str, existing: os.stat_result | None) -> Iterator[int | None]:
        """Open the file that is replaced, if what is in it is to be used."""
        handle = None
        if self._options.only_differences and existing is not None and stat.S_ISREG(existing.st_mode):
            with contextlib.suppress(PermissionError):  # then it is written in full
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.handle)
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)

    def _replace(
        self, parent: LocalFolder, name: str, entry: DirectoryEntry, path: str, existing: os.stat_result
    ) -> None:
        if stat.S_ISDIR(existing.st_mode):
            raise TargetExistsError(f"can't restore file {path}: a folder is there")
        if stat.S_ISLNK(existing.st_mode) and not self._options.overwrite_symlinks:
            raise TargetExistsError(
                f"can't restore file {path}: a symbolic link is there and links may not be replaced"
            )
        if not self._options.overwrite_files:
            raise TargetExistsError(f"file {path} exists and files may not be overwritten; it was left as it is")
        if not self._options.atomic_files and stat.S_ISREG(existing.st_mode):
            handle = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.handle)
            with _closing(handle), self._old(parent, name, existing) as old:
                os.ftruncate(handle, 0 if old is None else entry.size)
                self._fill(handle, entry, path, old=old, in_place=old is not None)
            return
        temporary = f".pykopia-{secrets.token_hex(8)}"
        with self._old(parent, name, existing) as old:
            self._write_new(parent, temporary, entry, path, old=old)
        os.replace(temporary, name, src_dir_fd=parent.handle, dst_dir_fd=parent.handle)

    def _write_new(
        self, parent: LocalFolder, name: str, entry: DirectoryEntry, path: str, *, old: int | None = None
    ) -> None:
        handle = os.open(name, FILE_FLAGS, 0o600, dir_fd=parent.handle)
        try:
            with _closing(handle):
                self._fill(handle, entry, path, old=old)
        except BaseException:
            # no half-made file stays behind under a name that looks whole
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=parent.handle)
            raise

    def _fill(
        self, handle: int, entry: DirectoryEntry, path: str, *, old: int | None = None, in_place: bool = False
    ) -> None:
        """Write contents and attributes; the length must be what the entry says.

        What an ``old`` file has at the same place is taken from there; ``in_place`` says that it is the same file.
        """
        position = 0
        chunks = self._objects.chunks(entry.object_id, limit=entry.size)
        if len(chunks) > 1 and not self._options.write_sparse:
            with contextlib.suppress(OSError):
                os.posix_fallocate(handle, 0, entry.size)
        if old is None and entry.size >= LARGE_FILE and all(chunk.length != UNKNOWN_LENGTH for chunk in chunks):
            self._parts.run(lambda part: self._write_part(handle, part), self._objects.parts(chunks))
            position, chunks = chunks[-1].start + chunks[-1].length, []
        for chunk in chunks:
            self._progress.check()
            data = None if old is None else self._differences.piece(old, chunk)
            if data is not None and in_place:
                position += len(data)
                continue
            if data is None:
                data = self._objects.read_chunk(chunk)
            if self._options.write_sparse and not in_place:
                _write_sparse(handle, data, position)
            else:
                _write_all(handle, data, position)
            position += len(data)
        if position != entry.size:
            raise RestoreError(
                f"can't restore {path}: its object has {position} bytes, its entry says {entry.size} (an unfinished file "
                "of a checkpoint, or damage)"
            )
        if self._options.write_sparse:
            os.ftruncate(handle, position)
        self._attributes(handle, entry)
        if self._options.flush_files:
            os.fsync(handle)

    def _write_part(self, handle: int, part: Part) -> None:
        for chunk, data in self._objects.read_part(part):
            self._progress.check()
            if self._options.write_sparse:
                _write_sparse(handle, data, chunk.start)
            else:
                _write_all(handle, data, chunk.start)

    # ------------------------------------------------------------------ links

    def symlink(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> bool:
        """Make a symbolic link, in the place of one that is there; return False when that was left as it is."""
        name = entry.name
        target = self._objects.read(entry.object_id)
        if not parent.fresh:
            existing = _lstat(name, parent)
            if existing is not None:
                if not stat.S_ISLNK(existing.st_mode):
                    raise TargetExistsError(f"can't restore symbolic link {path}: something else is there")
                if self._options.skip_existing:
                    return False
                if self._options.only_differences and os.fsencode(os.readlink(name, dir_fd=parent.handle)) == target:
                    self._link_attributes(parent, entry)
                    return False
                if not self._options.overwrite_symlinks:
                    raise TargetExistsError(f"symbolic link {path} exists and links may not be replaced")
                os.unlink(name, dir_fd=parent.handle)
        os.symlink(target, os.fsencode(name), dir_fd=parent.handle)
        self._link_attributes(parent, entry)
        return True

    def _link_attributes(self, parent: LocalFolder, entry: DirectoryEntry) -> None:
        name = entry.name
        with self._permission_errors():
            if not self._options.skip_owners:
                os.chown(name, entry.uid, entry.gid, dir_fd=parent.handle, follow_symlinks=False)
        with self._permission_errors():
            if not self._options.skip_times:
                times = (entry.mtime_ns, entry.mtime_ns)
                os.utime(name, ns=times, dir_fd=parent.handle, follow_symlinks=False)

    # ------------------------------------------------------------------ attributes

    def _attributes(self, handle: int, entry: DirectoryEntry) -> None:
        """Set owner, then mode (a change of owner clears set-uid bits), then time."""
        options = self._options
        if not options.skip_owners:
            with self._permission_errors():
                os.chown(handle, entry.uid, entry.gid)
        if not options.skip_permissions:
            with self._permission_errors():
                os.chmod(handle, entry.mode)
        if not options.skip_times:
            with self._permission_errors():
                os.utime(handle, ns=(entry.mtime_ns, entry.mtime_ns))

    @contextlib.contextmanager
    def _permission_errors(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
        """Pass over a lack of rights when that is allowed."""
        try:
            yield
        except PermissionError:
            if not self._options.ignore_permission_errors:
                raise

    # ------------------------------------------------------------------ placeholders

    def placeholder(self, parent: LocalFolder, entry: DirectoryEntry, path: str) -> bool:
        """Make the placeholder of an entry (spec 04 §14.3)."""
        if entry.type == "f" and entry.size < self._options.shallow_min_size:
            return False
        name = entry.name + PLACEHOLDER_SUFFIX
        if len(os.fsencode(name)) > NAME_MAX:
            return False
        if not parent.fresh and _lstat(entry.name, parent) is not None:
            raise TargetExistsError(f"can't put a placeholder for {path}: the real thing is there")
        data = placeholder_bytes(entry)
        if entry.type == "d":
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent.handle)
            inner = os.open(name, FOLDER_FLAGS, dir_fd=parent.handle)
            with _closing(inner):
                self._placeholder_file(inner, PLACEHOLDER_SUFFIX, data, entry)
        else:
            self._placeholder_file(parent.handle, name, data, entry)
        return True

    def _placeholder_file(self, folder: int, name: str, data: bytes, entry: DirectoryEntry) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        handle = os.open(name, FILE_FLAGS, 0o600, dir_fd=folder)
        with _closing(handle):
            _write_all(handle, data, 0)
            self._attributes(handle, entry)
            if not self._options.skip_permissions:
                with self._permission_errors():
                    os.chmod(handle, entry.mode & ~0o222)

    def _drop_placeholder(self, parent: LocalFolder, name: str) -> None:
        """Remove the placeholder of what is here in full now."""
        placeholder = name + PLACEHOLDER_SUFFIX
        if _lstat(placeholder, parent) is not None:
            self._remove(parent, placeholder, name)

    def close(self, *, complete: bool) -> None:
        """End the threads, and close the folders that an error left unfinished."""
        self._parts.close()
        while self._open:
            os.close(self._open.pop().handle)


@contextlib.contextmanager
def _closing(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


def _lstat(name: str, folder: LocalFolder) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=folder.handle)
    except FileNotFoundError:
        return None


def kind_of(mode: int) -> str:
    """Return the type of an entry, from the mode of what is in the target; empty for devices and the like."""
    if stat.S_ISLNK(mode):
        return "s"
    if stat.S_ISDIR(mode):
        return "d"
    return "f" if stat.S_ISREG(mode) else ""


def _write_all(handle: int, data: bytes, position: int) -> None:
    written = os.pwrite(handle, data, position)
    while written < len(data):
        written += os.pwrite(handle, memoryview(data)[written:], position + written)


def _write_sparse(handle: int, data: bytes, position: int) -> None:
    """Write all but blocks of zeros; runs of other blocks in one go."""
    zeros = bytes(SPARSE_BLOCK)
    start: int | None = None
    for offset in range(0, len(data), SPARSE_BLOCK):
        block = data[offset : offset + SPARSE_BLOCK]
        if block == zeros[: len(block)]:
            if start is not None:
                _write_all(handle, data[start:offset], position + start)
                start = None
        elif start is None:
            start = offset
    if start is not None:
        _write_all(handle, data[start:], position + start)


__all__ = ["LocalFolder", "LocalOutput", "kind_of"]
