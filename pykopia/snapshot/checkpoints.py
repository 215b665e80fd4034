"""Checkpoints: what an upload has so far, saved as an incomplete snapshot.

Facts: format 04 §11.5. A later run finds the finished files in it and does not read them again; garbage collection leaves
what it refers to alone.
"""

import uuid
from collections.abc import Callable

import msgspec

from pykopia import clock
from pykopia.format.directory import FILE, DirectoryEntry, colliding_names, summarize
from pykopia.repository.object_writer import ObjectWriter
from pykopia.snapshot.directory_writing import write_directory
from pykopia.snapshot.source_folder import Folder, PartialFile, entry_from
from pykopia.snapshot.upload_options import CHECKPOINT

NAME_PREFIX = ".checkpointed."


class Checkpoints:
    """Saves a checkpoint from time to time; called by the walk of an upload."""

    def __init__(self, interval_seconds: float, writer: ObjectWriter, save: Callable[[DirectoryEntry], None]) -> None:
        """Call ``save`` with the entry of the root when ``interval_seconds`` have gone by since the last time."""
        self._interval = interval_seconds
        self._writer = writer
        self._save = save
        self._last = clock.monotonic()

    def __call__(self, root: Folder) -> None:
        """Save a checkpoint if it is time."""
        if clock.monotonic() - self._last >= self._interval:
            self.save(root)
            self._last = clock.monotonic()

    def save(self, root: Folder) -> None:
        """Save what there is."""
        self._save(_entry(self._writer, root))


def _entry(writer: ObjectWriter, folder: Folder) -> DirectoryEntry:
    """Store a directory object for what a folder has so far; return its entry."""
    entries = list(folder.entries)
    entries += [_entry(writer, subfolder) for subfolder in list(folder.subfolders.values())]
    for name, partial in list(folder.streams.items()):
        entry = _partial_entry(writer, folder, name, partial)
        if entry is not None:
            entries.append(entry)
    clashing = {name for names in colliding_names(entry.name for entry in entries) for name in names}
    entries = [entry for entry in entries if entry.name not in clashing]
    summary = summarize(
        entries,
        own_mtime_ns=folder.status.st_mtime_ns,
        failures=list(folder.failures),
        incomplete=CHECKPOINT,
    )
    compressor = folder.policies.effective.metadata_compression.compressor_name
    return folder.entry(write_directory(writer, entries, summary, compressor), summary)


def _partial_entry(writer: ObjectWriter, folder: Folder, name: str, partial: PartialFile) -> DirectoryEntry | None:
    """Return an entry that keeps the stored chunks of a file alive; its name keeps it from being taken for the file."""
    stored = partial.stored()
    if not stored.pieces:
        return None
    compressor = folder.policies.effective.metadata_compression.compressor_name
    object_id = writer.finish(stored, metadata_compressor=compressor)
    label = name if "/" not in name and " " not in name else "part"
    entry = entry_from(label, FILE, partial.status, object_id, partial.status.st_size)
    return msgspec.structs.replace(entry, name=f"{NAME_PREFIX}{label[:100]}.{uuid.uuid4()}")


__all__ = ["Checkpoints"]
