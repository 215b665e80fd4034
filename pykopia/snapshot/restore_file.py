"""Restoring a single file or link: into the name given, or into a stream."""

import os
import shutil
import stat
from pathlib import Path
from typing import IO

import msgspec

from pykopia.errors import RestoreError
from pykopia.format.directory import FILE, SYMLINK, DirectoryEntry
from pykopia.repository.core import Core
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore import ENTRY_ERRORS, describe
from pykopia.snapshot.restore_decision import Refuse, unusable
from pykopia.snapshot.restore_local import LocalFolder, LocalOutput
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.restore_stream import FullWriter, opened_in_place
from pykopia.snapshot.selection import Selection
from pykopia.snapshot.target_folder import look_at_target

COPY_BYTES = 1 << 20


def restore_single(
    repository: Core,
    entry: DirectoryEntry,
    target: Path,
    options: RestoreOptions,
    progress: Progress[RestoreCounters],
) -> RestoreResult:
    """Restore a file or a symbolic link to ``target``; its folder is made if need be.

    A pipe or a device that has this name gets the contents of a file.

    Raises:
        RestoreError: it can't be restored.
    """
    if takes_contents(entry, target):
        with opened_in_place(target) as stream:
            return restore_to_stream(repository, entry, stream, progress)
    named = msgspec.structs.replace(entry, name=target.name)
    found = look_at_parent(named, target)
    if isinstance(found, Refuse):
        raise RestoreError(f"can't restore {target}: {found.reason}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RestoreError(describe(str(target), error)) from error
    selection = Selection()
    output = LocalOutput(
        target.parent, repository.contents, repository.objects, repository.sealer.hash, options, progress, selection
    )
    try:
        make = output.symlink if entry.type == SYMLINK else output.file
        made = make(LocalFolder(handle, fresh=False), named, target.name)
    except RestoreError:
        raise
    except ENTRY_ERRORS as error:
        raise RestoreError(describe(str(target), error)) from error
    finally:
        output.close(complete=True)
        os.close(handle)
    links = int(made and entry.type == SYMLINK)
    files = int(made and entry.type != SYMLINK)
    size = entry.size if made and not output.counts(entry) else 0
    progress.add(restored_symlinks=links, restored_files=files, restored_bytes=size, skipped_files=not made)
    return RestoreResult(counters=progress.counters, warnings=tuple(output.warnings))


def takes_contents(entry: DirectoryEntry, target: Path) -> bool:
    """Return True if the target is a pipe or a device, or leads to one: the contents of a file are written to that."""
    if entry.type != FILE:
        return False
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def look_at_parent(entry: DirectoryEntry, target: Path) -> os.stat_result | Refuse | None:
    """Return the status of the folder that gets an entry with the name of the target, see ``look_at_target``."""
    problem = unusable(entry)
    if problem is not None:
        return problem
    found = look_at_target(target.parent)
    if isinstance(found, os.stat_result) and not stat.S_ISDIR(found.st_mode):
        return Refuse(f"{target.parent} is no folder")
    return found


def restore_to_stream(
    repository: Core, entry: DirectoryEntry, stream: IO[bytes], progress: Progress[RestoreCounters]
) -> RestoreResult:
    """Write the contents of a file to a stream.

    Raises:
        RestoreError: the entry is no file, or its contents can't be read or written.
    """
    if entry.type != FILE:
        raise RestoreError(
            f"only a file, or a folder as an archive, can be written to a stream; {entry.name} is neither"
        )
    out = FullWriter(stream)
    try:
        length = repository.objects.length(entry.object_id)
        if length != entry.size:
            raise RestoreError(
                f"can't restore {entry.name}: its object has {length} bytes, its entry says {entry.size}"
            )
        with repository.objects.open(entry.object_id) as source:
            shutil.copyfileobj(source, out, COPY_BYTES)
        out.flush()
    except RestoreError:
        raise
    except ENTRY_ERRORS as error:
        raise RestoreError(describe(entry.name, error)) from error
    progress.add(restored_files=1, restored_bytes=entry.size)
    return RestoreResult(counters=progress.counters)


__all__ = ["look_at_parent", "restore_single", "restore_to_stream", "takes_contents"]
