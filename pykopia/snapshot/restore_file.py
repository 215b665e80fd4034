"""Restoring a single file or link: into the name given, or into the folder given."""

import os
from pathlib import Path

import msgspec

from pykopia.errors import PykopiaError, RestoreError
from pykopia.format.directory import DirectoryEntry
from pykopia.repository.repository import Repository
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore import describe
from pykopia.snapshot.restore_local import LocalFolder, LocalOutput
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult


def restore_single(
    repository: Repository,
    entry: DirectoryEntry,
    target: Path,
    options: RestoreOptions,
    progress: Progress[RestoreCounters],
) -> RestoreResult:
    """Restore a file or a symbolic link to ``target``; its folder is made if need be.

    Raises:
        RestoreError: it can't be restored.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    output = LocalOutput(
        target.parent, repository.contents, repository.objects, repository.sealer.hash, options, progress
    )
    named = msgspec.structs.replace(entry, name=target.name)
    handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        make = output.symlink if entry.type == "s" else output.file
        made = make(LocalFolder(handle, fresh=False), named, str(target))
    except RestoreError:
        raise
    except (PykopiaError, OSError) as error:
        raise RestoreError(describe(str(target), error)) from error
    finally:
        output.close(complete=True)
        os.close(handle)
    links = int(made and entry.type == "s")
    files = int(made and entry.type != "s")
    progress.add(
        restored_symlinks=links, restored_files=files, restored_bytes=entry.size * made, skipped_files=not made
    )
    return RestoreResult(counters=progress.counters)


__all__ = ["restore_single"]
