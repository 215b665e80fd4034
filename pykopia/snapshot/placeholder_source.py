"""Placeholders found in a source: the entry they stand for is taken over, if all of it is still stored."""

import os
import stat
from collections.abc import Callable

import msgspec

from pykopia.errors import SourceReadError
from pykopia.format.directory import DirectoryEntry
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX, entry_of_placeholder
from pykopia.snapshot.trail import contents_below

MAX_BYTES = 1 << 20
"""A placeholder holds one entry: more is something else."""


def read_placeholder(path: str) -> DirectoryEntry:
    """Return the entry in a placeholder: a file, or a folder that holds one.

    Raises:
        OSError: it can't be read.
        DamagedObjectError: it is no placeholder.
    """
    if stat.S_ISDIR(os.lstat(path).st_mode):
        path = f"{path}/{PLACEHOLDER_SUFFIX}"
    with open(path, "rb") as file:
        return entry_of_placeholder(file.read(MAX_BYTES))


def stored_entry(path: str, name: str, objects: ObjectStore, exists: Callable[[str], bool]) -> DirectoryEntry:
    """Return the entry that a placeholder stands for, under ``name``.

    Args:
        path: the placeholder: a file, or a folder that holds one.
        name: what it is a placeholder of.
        objects: of the repository.
        exists: whether a content is stored.

    Raises:
        OSError: it can't be read.
        SourceReadError: what it stands for is not in this repository.
        DamagedObjectError: it is no placeholder.
    """
    entry = read_placeholder(path)
    for content_id in contents_below(entry, objects):
        if not exists(content_id):
            raise SourceReadError(
                f"the placeholder stands for {entry.object_id}, and content {content_id} of it is not in this repository: "
                "restore it in full from where it came"
            )
    return msgspec.structs.replace(entry, name=name)


__all__ = ["read_placeholder", "stored_entry"]
