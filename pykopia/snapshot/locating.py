"""Finds the contents of an object and checks their places without reading them."""

from collections.abc import Iterator, Sequence

from pykopia.errors import (
    BlobNotFoundError,
    ContentNotFoundError,
    DamagedDataError,
    DamagedObjectError,
    InvalidIDError,
    InvalidRangeError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import PACK_PREFIXES
from pykopia.format.directory import FILE, SYMLINK, DirectoryEntry
from pykopia.format.index import IndexEntry
from pykopia.ids import ContentID
from pykopia.repository.core import Core
from pykopia.repository.objects import UNKNOWN_LENGTH, Chunk

LOST = (BlobNotFoundError, ContentNotFoundError, DamagedDataError, InvalidIDError, InvalidRangeError)
"""Errors that mean that stored data is lost. An unreachable storage is not one of them."""

Located = Sequence[tuple[Chunk, IndexEntry]]
"""The chunks of an object, each with its place."""

MAX_TARGET = 4095
"""Bytes of the longest target of a symbolic link that Linux takes."""


class Locator:
    """Finds what objects are made of.

    Args:
        repository: where they are.
        packs: all that there are; they are listed now when it is None.
    """

    def __init__(self, repository: Core, packs: Sequence[BlobMetadata] | None = None) -> None:
        self._repository = repository
        if packs is None:
            packs = [blob for kind in PACK_PREFIXES for blob in repository.storage.list(kind)]
        self._packs = {blob.blob_id: blob.length for blob in packs}

    def locate(self, object_id: str, *, limit: int | None = None) -> Located:
        """Return the chunks of an object with their index entries, all of which lie in packs that exist.

        Args:
            object_id: its ID.
            limit: bytes that the object may have, see ``ObjectStore.chunks``.

        Raises:
            ContentNotFoundError: a content is not in the index.
            BlobNotFoundError: a pack is missing.
            DamagedDataError: a list of chunks can't be read, or a content does not lie where it should.
        """
        objects, contents = self._repository.objects, self._repository.contents
        chunks = objects.chunks(object_id, limit=limit)
        if len(chunks) > 1:
            for content_id in objects.index_contents_of(object_id):
                self._check_pack(contents.entry(content_id))
        found = []
        for chunk in chunks:
            entry = contents.entry(chunk.content_id)
            self._check_pack(entry)
            if not chunk.compressed and chunk.length != entry.original_length:
                raise DamagedObjectError(
                    f"content {chunk.content_id} has {entry.original_length} bytes where the list of chunks says "
                    f"{chunk.length}"
                )
            found.append((chunk, entry))
        return found

    def lost_contents(self, object_id: str, *, read: bool) -> Iterator[ContentID]:
        """Yield the contents of an object that the index has and that can't be had any more.

        Args:
            object_id: of a file or folder.
            read: also read those whose packs are there.
        """
        contents = self._repository.contents
        needed = self._repository.objects.contents_of(object_id)
        while True:
            try:
                content_id = next(needed)
            except StopIteration:
                return
            except LOST:
                return  # what a list of chunks names can't be known without it; that list itself came before
            try:
                entry = contents.entry(content_id)
            except ContentNotFoundError:
                continue
            try:
                self._check_pack(entry)
                if read:
                    contents.read(entry, check=True)
            except LOST:
                yield content_id

    def _check_pack(self, entry: IndexEntry) -> None:
        length = self._packs.get(entry.pack_blob)
        if length is None:
            raise BlobNotFoundError(entry.pack_blob, self._repository.storage.display_name)
        if entry.pack_offset + entry.packed_length > length:
            raise DamagedObjectError(
                f"pack {entry.pack_blob} has {length} bytes, and content {entry.content_id} should end at "
                f"{entry.pack_offset + entry.packed_length}"
            )


def size_limit(entry: DirectoryEntry) -> int | None:
    """Return how many bytes the object of an entry may have, None where the entry does not say."""
    return entry.size if entry.type == FILE and not _is_unfinished(entry) else None


def length_of(chunks: Located) -> int:
    """Return the bytes of an object, ``UNKNOWN_LENGTH`` where only reading shows it."""
    last = chunks[-1][0]
    return UNKNOWN_LENGTH if last.length == UNKNOWN_LENGTH else last.start + last.length


def check_length(entry: DirectoryEntry, length: int) -> None:
    """Compare the length of a file or link with what a restore of its entry needs.

    Args:
        entry: of a file or a link.
        length: bytes of its object, ``UNKNOWN_LENGTH`` if that is not known.

    Raises:
        DamagedObjectError: they differ, or a link is longer than any path.
    """
    if length == UNKNOWN_LENGTH or _is_unfinished(entry):
        return
    if entry.type == SYMLINK:
        if not 0 < length <= MAX_TARGET:
            raise DamagedObjectError(
                f"a link's target has 1 to {MAX_TARGET} bytes, and object {entry.object_id} has {length}"
            )
    elif entry.type == FILE and length != entry.size:
        raise DamagedObjectError(f"object {entry.object_id} has {length} bytes, its entry says {entry.size}")


def _is_unfinished(entry: DirectoryEntry) -> bool:
    """Return True if a checkpoint has stored a file that was not read to its end (format 04 §11.5)."""
    return entry.name.startswith(".checkpointed.")


__all__ = ["LOST", "Located", "Locator", "check_length", "length_of", "size_limit"]
