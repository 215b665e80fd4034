"""Restoring to another filesystem: an object store, a server, whatever fsspec writes to.

Such filesystems keep names and contents. Times, modes and owners are not set; links can't be made, and are warned of.
"""

from collections.abc import Iterator
from typing import Any

from pykopia.crew import in_parallel
from pykopia.errors import CanceledError, PykopiaError, RestoreError, TargetExistsError, UsageError
from pykopia.format.directory import DIRECTORY, FILE, DirectoryEntry
from pykopia.repository.core import Core
from pykopia.snapshot.entry_tree import EntryTree
from pykopia.snapshot.problem import Problem, reason
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore_decision import unusable
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.selection import Selection

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

    _check(options)
    try:
        fs, root = url_to_fs(url, skip_instance_cache=True, **options.target_options)
    except (ImportError, ValueError) as error:
        raise RestoreError(f"can't restore to {url}: {error}") from error
    return _Restore(repository, fs, root.rstrip("/"), options, progress).run(entry)


def _check(options: RestoreOptions) -> None:
    for name in ("skip_existing", "only_differences", "delete_extra", "shallow_depth"):
        if getattr(options, name) not in (False, None):
            raise UsageError(f"{name} can't be used for a URL: other filesystems do not keep the times of files")


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
        self._warnings: list[str] = []

    def run(self, entry: DirectoryEntry) -> RestoreResult:
        """Restore an entry with all below it."""
        if entry.type == DIRECTORY:
            in_parallel(self._restore, self._files(entry), threads=self._options.parallel, name="pykopia-restore")
        else:
            self._restore(("", entry))
        return RestoreResult(
            counters=self._progress.counters,
            problems=tuple(sorted(self._problems, key=lambda each: each.path)),
            warnings=tuple(self._warnings),
        )

    def _files(self, root: DirectoryEntry) -> Iterator[tuple[str, DirectoryEntry]]:
        """Yield the files that are to be restored, with their paths below the root."""
        for parts, entries in EntryTree(self._repository.objects, root).walk(root):
            self._progress.check()
            here = "/".join(parts)
            self._progress.add(restored_directories=1)
            if not entries and not self._selection.everything:
                continue
            self._fs.makedirs("/".join(filter(None, (self._root, here))), exist_ok=True)
            for name, entry in [*entries.items()]:
                path = f"{here}/{name}" if here else name
                bad = unusable(entry)
                if bad is not None:
                    del entries[name]
                    self._failed(path, entry, RestoreError(f"can't restore {path}: {bad.reason}"))
                elif entry.type == DIRECTORY:
                    continue
                elif not self._selection.wants(path, is_directory=False):
                    self._progress.add(skipped_files=1, skipped_bytes=entry.size)
                elif entry.type == FILE:
                    yield path, entry
                else:
                    self._warnings.append(
                        f"{path} is a symbolic link, which this filesystem can't hold: it was left out"
                    )

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
        if entry.size <= AT_ONCE:
            self._fs.pipe_file(target, objects.read(entry.object_id))
            return
        written = 0
        with self._fs.open(target, "wb") as file:
            for part in objects.parts(objects.chunks(entry.object_id, limit=entry.size)):
                self._progress.check()
                for _, data in objects.read_part(part):
                    file.write(data)
                    written += len(data)
        if written != entry.size:
            raise RestoreError(f"{target} has {written} bytes, and its entry says {entry.size}: one of both is damaged")

    def _failed(self, path: str, entry: DirectoryEntry, error: Exception) -> None:
        if not self._options.ignore_errors:
            if isinstance(error, PykopiaError):
                raise error
            raise RestoreError(f"can't restore {path or entry.name}: {reason(error)}") from error
        self._problems.append(Problem(path=path, object_id=entry.object_id, error=error))
        self._progress.add(ignored_errors=1)


__all__ = ["restore_to_url"]
