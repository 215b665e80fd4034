"""Storing the directory objects of folders."""

from collections.abc import Sequence

from pykopia.format.directory import DirectoryEntry, DirectorySummary, encode_directory
from pykopia.format.object_id import DIRECTORY_PREFIX
from pykopia.ids import ObjectID
from pykopia.repository.object_writer import ObjectWriter


def write_directory(
    writer: ObjectWriter, entries: Sequence[DirectoryEntry], summary: DirectorySummary | None, compressor: str
) -> ObjectID:
    """Store a directory object; return its ID.

    Args:
        writer: of objects.
        entries: of the folder.
        summary: of all below it.
        compressor: the policy's compressor for metadata.
    """
    return writer.write(
        encode_directory(entries, summary),
        prefix=DIRECTORY_PREFIX,
        compressor=compressor,
        metadata_compressor=compressor,
    )


def write_directories(
    writer: ObjectWriter,
    directories: Sequence[tuple[Sequence[DirectoryEntry], DirectorySummary]],
    compressors: Sequence[str],
) -> list[ObjectID]:
    """Store many directory objects at once; return their IDs."""
    encoded = [encode_directory(entries, summary) for entries, summary in directories]
    return writer.write_many(encoded, compressors, prefix=DIRECTORY_PREFIX)


__all__ = ["write_directories", "write_directory"]
