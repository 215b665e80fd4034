"""Restoring to another filesystem: an object store, a server, whatever fsspec writes to.

Such filesystems keep names and contents. Times, modes and owners are not set; links can't be made, and are warned of.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pykopia.crew import in_parallel
from pykopia.errors import CanceledError, DuplicateNameError, PykopiaError, RestoreError, TargetExistsError, UsageError
from pykopia.format.directory import DIRECTORY, FILE, DirectoryEntry
from pykopia.repository.core import Core
from pykopia.repository.objects import DirectoryReader
from pykopia.snapshot.problem import Problem, reason
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore_decision import Existing, Refuse, apart, collide, decide, unusable
from pykopia.snapshot.restore_mode import archive_mode
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.selection import Selection
from pykopia.snapshot.trail import Trail

AT_ONCE = 8 << 20
"""Bytes up to which a file is written by one request."""


def restore_to_url(
    repository: Core, entry: DirectoryEntry, url: str, options: RestoreOptions, progress: Progress[RestoreCounters]
) -> RestoreResult:
    """Restore a folder or a file; see ``Snapshots.restore``.

    Raises:
        UsageError: an option can't be kept there.
        RestoreError: an entry can't be restored. What was restored before stays.
    """
    from fsspec.core import url_to_fs  # noqa: PLC0415 -- other restores do without

    _check(options, entry, url)
    try:
        fs, root = url_to_fs(url, skip_instance_cache=True, **options.target_options)
    except (ImportError, ValueError) as error:
        raise RestoreError(f"can't restore to {url}: {error}") from error
    return _Restore(repository, fs, root.rstrip("/"), options, progress).run(entry)


def _check(options: RestoreOptions, entry: DirectoryEntry, url: str) -> None:
    if options.extended_attributes:
        raise UsageError("extended_attributes can't be used for a URL: other filesystems do not have them")
    for name in ("skip_existing", "only_differences", "delete_extra", "shallow_depth"):
        if getattr(options, name) not in (False, None):
            raise UsageError(f"{name} can't be used for a URL: other filesystems do not keep the times of files")
    named = archive_mode(url) if options.mode == "auto" and entry.type == DIRECTORY else options.mode
    if named not in ("auto", "local"):
        raise UsageError(
            f"no archive is made at a URL such as {url}: export to a stream that leads there, or choose the mode local for a "
            "folder of this name"
        )


class _Restore:
    """One restore to another filesystem."""

    def __init__(
        self,
        repository: Core,
        fs: Any,  # noqa: ANN401 -- of fsspec
        root: str,
        options: RestoreOptions,
        progress: Progress[RestoreCounters],
    ) -> None:
        self._repository, self._fs, self._root = repository, fs, root
        self._options, self._progress = options, progress
        self._selection = Selection(options.include, options.exclude)
        self._problems: list[Problem] = []
        self._collisions: list[DuplicateNameError] = []
        self._warnings: list[str] = []

    def run(self, entry: DirectoryEntry) -> RestoreResult:
        """Restore an entry with all below it."""
        if entry.type == DIRECTORY:
            in_parallel(self._restore, self._files(entry), threads=self._options.parallel, name="pykopia-restore")
        elif entry.type == FILE:
            self._make_above(entry)
            self._restore(("", entry))
        else:
            raise RestoreError(f"can't restore {entry.name}: it is a symbolic link, which this filesystem can't hold")
        if self._collisions and not self._options.ignore_errors:
            raise self._collisions[0]
        return RestoreResult(
            counters=self._progress.counters,
            problems=tuple(sorted(self._problems, key=lambda each: each.path)),
            warnings=tuple(self._warnings),
        )

    def _make_above(self, entry: DirectoryEntry) -> None:
        """Make the folder that a single file is put into."""
        above = self._root.rpartition("/")[0]
        try:
            if above:
                self._fs.makedirs(above, exist_ok=True)
        except Exception as error:
            raise RestoreError(f"can't restore {entry.name}: {reason(error)}") from error

    def _files(self, root: DirectoryEntry) -> Iterator[tuple[str, DirectoryEntry]]:
        """Make the folders; yield the files that are to be restored, with their paths below the root."""
        objects = self._repository.objects
        self._selection.look_into(root, objects)
        reader, trail = DirectoryReader(objects), Trail(objects, root)
        pending = [("", root, 0, self._selection.all_included)]
        while pending:
            self._progress.check()
            here, folder, depth, included = pending.pop()
            try:
                trail.enter(depth, folder.object_id)
                following = (each.object_id for _, each, *_ in reversed(pending))
                entries: Sequence[DirectoryEntry] = reader.read(folder.object_id, following).entries
                self._make_folder(here)
            except Exception as error:  # noqa: BLE001 -- each filesystem raises its own
                self._failed(here, folder, error)
                continue
            self._progress.add(restored_directories=1)
            folders = []
            for entry in self._selection.of_folder(here, self._apart(here, entries), included=included):
                path = f"{here}/{entry.name}" if here else entry.name
                bad = unusable(entry)
                if bad is not None:
                    self._failed(path, entry, RestoreError(f"can't restore {path}: {bad.reason}"))
                elif entry.type == DIRECTORY:
                    folders.append(
                        (path, entry, depth + 1, included or self._selection.includes(path, is_directory=True))
                    )
                elif entry.type == FILE:
                    yield path, entry
                else:
                    self._warnings.append(
                        f"{path} is a symbolic link, which this filesystem can't hold: it was left out"
                    )
            pending += reversed(folders)

    def _make_folder(self, path: str) -> None:
        folder = "/".join(filter(None, (self._root, path)))
        if not path and not self._options.overwrite_directories:
            decision = decide(
                DirectoryEntry(name="root", type=DIRECTORY), self._existing(), self._options, lambda: False
            )
            if isinstance(decision, Refuse):
                raise TargetExistsError(f"can't restore {self._root}: {decision.reason}")
        self._fs.makedirs(folder, exist_ok=True)

    def _existing(self) -> Existing | None:
        """Return what is in the place of the root; only the root: if that is empty, all below it is new."""
        try:
            names = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return None
        if self._fs.isfile(self._root):
            return Existing(FILE)
        return Existing(DIRECTORY, empty=all(name.strip("/") == self._root.strip("/") for name in names))

    def _apart(self, here: str, entries: Sequence[DirectoryEntry]) -> Sequence[DirectoryEntry]:
        """Return the entries of a folder, those whose name an earlier one has under names of their own."""
        if not collide(entries, str):
            return entries
        restored = []
        for entry, renamed in apart(entries, str):
            restored.append(renamed or entry)
            path = f"{here}/{entry.name}" if here else entry.name
            if renamed is not None and self._selection.wants(path, is_directory=entry.type == DIRECTORY):
                error = DuplicateNameError(path, f"{here}/{renamed.name}" if here else renamed.name)
                self._collisions.append(error)
                self._problems.append(Problem(path=path, object_id=entry.object_id, error=error, line=str(error)))
                self._progress.add(ignored_errors=1)
        return restored

    def _restore(self, item: tuple[str, DirectoryEntry]) -> None:
        path, entry = item
        target = f"{self._root}/{path}" if path else self._root
        self._progress.check()
        try:
            if not self._options.overwrite_files and self._fs.exists(target):
                raise TargetExistsError(f"{target} exists already; it was left as it is")
            self._write(entry, target)
        except CanceledError:
            raise
        except Exception as error:  # noqa: BLE001 -- each filesystem raises its own
            self._failed(path, entry, error)
        else:
            self._progress.add(restored_files=1, restored_bytes=entry.size)

    def _write(self, entry: DirectoryEntry, target: str) -> None:
        objects = self._repository.objects
        length = objects.length(entry.object_id)
        if length != entry.size:
            raise RestoreError(f"its object has {length} bytes, its entry says {entry.size}: one of both is damaged")
        if entry.size <= AT_ONCE:
            self._fs.pipe_file(target, objects.read(entry.object_id))
            return
        with self._fs.open(target, "wb") as file:
            for part in objects.parts(objects.chunks(entry.object_id, limit=entry.size)):
                self._progress.check()
                for _, data in objects.read_part(part):
                    file.write(data)

    def _failed(self, path: str, entry: DirectoryEntry, error: Exception) -> None:
        if not self._options.ignore_errors:
            if isinstance(error, PykopiaError):
                raise error
            raise RestoreError(f"can't restore {path or entry.name}: {reason(error)}") from error
        self._problems.append(Problem(path=path, object_id=entry.object_id, error=error))
        self._progress.add(ignored_errors=1)


__all__ = ["restore_to_url"]
