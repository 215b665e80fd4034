"""Restoring a single file or link: into the name given, or into a stream."""

import os
import shutil
from pathlib import Path
from typing import IO

import msgspec

from pykopia.errors import RestoreError
from pykopia.format.directory import FILE, SYMLINK, DirectoryEntry
from pykopia.repository.core import Core
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore import ENTRY_ERRORS, describe
from pykopia.snapshot.restore_decision import unusable
from pykopia.snapshot.restore_local import LocalFolder, LocalOutput
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.restore_stream import FullWriter, opened_in_place, written_in_place
from pykopia.snapshot.selection import Selection

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
    if entry.type == FILE and written_in_place(target) and not target.is_file():
        with opened_in_place(target) as stream:
            return restore_to_stream(repository, entry, stream, progress)
    target.parent.mkdir(parents=True, exist_ok=True)
    selection = Selection()
    output = LocalOutput(
        target.parent, repository.contents, repository.objects, repository.sealer.hash, options, progress, selection
    )
    named = msgspec.structs.replace(entry, name=target.name)
    problem = unusable(named)
    if problem is not None:
        raise RestoreError(f"can't restore {target}: {problem.reason}")
    handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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


__all__ = ["restore_single", "restore_to_stream"]
