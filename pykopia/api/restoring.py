"""From the arguments of a restore to what carries it out; the parts of each kind are imported when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import IO

import pykopia
from pykopia.arguments import path_text
from pykopia.errors import RestoreError, UsageError
from pykopia.format.directory import DIRECTORY
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.resolve import with_length
from pykopia.snapshot.restore_mode import restore_mode
from pykopia.snapshot.restore_options import RestoreCounters
from pykopia.snapshot.source_url import is_url

# ruff: noqa: PLC0415 -- a restore is of one kind


def restore(
    repository: pykopia.Repository,
    entry: pykopia.DirectoryEntry,
    target: str | os.PathLike[str] | IO[bytes],
    options: pykopia.RestoreOptions,
    progress: Callable[[pykopia.RestoreCounters], None] | None,
    cancel: pykopia.Cancel | None,
    executor: Executor | None,
    parts: int | None,
) -> pykopia.RestoreResult:
    """Restore an entry; see ``Snapshots.restore``."""
    from pykopia.snapshot.restore import Restore
    from pykopia.snapshot.selection import Selection

    if options.extended_attributes:
        from pykopia.snapshot.extended_attributes import check_supported

        check_supported()
    objects = repository.objects
    entry = with_length(entry, objects)
    counting = Progress(RestoreCounters(), progress, cancel)
    if isinstance(target, str) and is_url(target):
        from pykopia.snapshot.restore_remote import restore_to_url

        with counting.told():
            return restore_to_url(repository, entry, target, options, counting)
    if isinstance(target, str | os.PathLike):
        place: Path | IO[bytes] = Path(path_text("target", target))
    elif callable(getattr(target, "write", None)):
        place = target
    else:
        raise UsageError("target must be a path, or a binary stream that can be written to")
    mode = restore_mode(options.mode, entry, place)
    if options.extended_attributes and (mode != "local" or not isinstance(place, Path)):
        raise UsageError(
            "extended attributes and hard links can be restored to a folder only, not to an archive or stream"
        )
    if executor is not None and mode == "local" and entry.type == DIRECTORY and isinstance(place, Path):
        from pykopia.api.executors import restore_by

        return restore_by(repository, executor, entry, place, parts, options, progress, cancel)
    with counting.told():
        if entry.type != DIRECTORY:
            if mode != "local":
                raise RestoreError(f"only a folder can be restored to an archive, and {entry.name} is a file")
            from pykopia.snapshot.restore_file import restore_single, restore_to_stream

            if not isinstance(place, Path):
                return restore_to_stream(repository, entry, place, counting)
            return restore_single(repository, entry, place, options, counting)
        selection = Selection(options.include, options.exclude)
        if mode == "local":
            if not isinstance(place, Path):
                raise UsageError("a folder is written to a stream as an archive: choose a mode, such as tar or zip")
            from pykopia.snapshot.restore_local import LocalOutput

            hashing = repository.sealer.hash
            local = LocalOutput(place, repository.contents, objects, hashing, options, counting, selection)
            return Restore(repository, local, options, counting, selection).run(entry)
        from pykopia.snapshot.restore_archive import TarOutput, ZipOutput
        from pykopia.snapshot.restore_stream import sink_for

        sink, whole = sink_for(place, overwrite=options.overwrite_files), options.ignore_errors
        if mode in ("tar", "tgz"):
            tar = TarOutput(sink, objects, whole=whole, compressed=mode == "tgz")
            return Restore(repository, tar, options, counting, selection).run(entry)
        zipped = ZipOutput(sink, objects, whole=whole, compressed=mode == "zip")
        return Restore(repository, zipped, options, counting, selection).run(entry)


def plan(
    repository: pykopia.Repository,
    entry: pykopia.DirectoryEntry,
    target: str | os.PathLike[str],
    options: pykopia.RestoreOptions,
    cancel: pykopia.Cancel | None,
) -> pykopia.RestorePlan:
    """Return what a restore would change; see ``Snapshots.plan_restore``."""
    from pykopia.snapshot.restore_differences import Differences
    from pykopia.snapshot.restore_plan import RestorePlan

    if isinstance(target, str) and is_url(target):
        raise UsageError(f"what a restore would change can be told of folders and files, and {target} is a URL")
    place = Path(path_text("target", target))
    if restore_mode(options.mode, entry, place) != "local":
        raise UsageError(f"what a restore would change can be told of folders and files, and {target} is an archive")
    objects = repository.objects
    return RestorePlan(
        objects,
        Differences(objects, repository.sealer.hash),
        with_length(entry, objects),
        place,
        options,
        check=Progress(RestoreCounters(), cancel=cancel).check,
    )


__all__ = ["plan", "restore"]
