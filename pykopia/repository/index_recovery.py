"""The index, listed anew from the packs: each pack holds at its end the entries that were made with it.

Facts: format 02 §2.4 (local index), §14 (recovery). Older entries lose against what the index has already, so doing it
twice, or without need, changes nothing that can be read. Not to be had this way: that a content was deleted without a
pack being written for it; such a content lives again until the next garbage collection.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence

from pykopia import clock
from pykopia.arguments import check_fields, check_number
from pykopia.crew import Crew
from pykopia.dataclass import dataclass
from pykopia.errors import BlobNotFoundError, DamagedDataError, DamagedPackError, PykopiaError, StorageError
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import INDEX_PREFIX, PACK_PREFIXES, is_pack
from pykopia.format.index import IndexEntry, IndexFile
from pykopia.format.index_build import build_indexes
from pykopia.format.pack import read_local_index
from pykopia.format.repository_blob import POISON_INDEX_BLOB_ID
from pykopia.format.session import new_session_id
from pykopia.ids import BlobID
from pykopia.repository.core import Core

ASIDE_PREFIX = "damaged-"
"""Name prefix of index blobs that were moved aside; neither Kopia nor pykopia reads them."""
WRITE_AT_ONCE = 1_000_000
"""Entries that go into one index: a bound on memory."""
QUEUED_PER_THREAD = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryOptions:
    """Which packs are read, and what is done with what they list."""

    blob_ids: tuple[BlobID, ...] = ()
    """Packs to read; none: all."""
    prefixes: tuple[str, ...] = ()
    """Name prefixes of the packs to read; none: all packs."""
    parallel: int = 1
    ignore_errors: bool = False
    """Go on after a pack that can't be read; its contents are not recovered then."""
    delete_indexes: bool = False
    """Delete the index blobs of format 1 (``n``) that were there before; done last."""
    commit: bool = False
    """Write what was found. Without it the repository is only read."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)
        check_number("parallel", self.parallel, least=1)

    @property
    def covers_all_packs(self) -> bool:
        """Whether every pack is read."""
        return not self.blob_ids and not self.prefixes


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveryResult:
    """Result of a recovery."""

    packs: int
    """Packs whose list was read."""
    contents: int
    """Entries in them."""
    missing_packs: int
    """Entries left out because the pack that they name is not there: they are of no use and would hide that."""
    errors: tuple[tuple[BlobID, PykopiaError], ...]
    """Packs that could not be read, with what is wrong."""
    deleted: tuple[BlobID, ...]
    """Index blobs that were deleted; without ``commit`` those that would be."""
    moved_aside: tuple[BlobID, ...]
    """Damaged index blobs that were moved aside; without ``commit`` those that would be."""


def recover_index(
    repository: Core,
    options: RecoveryOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RecoveryResult:
    """List the contents of packs anew.

    Blobs of the index that can't be read are moved aside at the end, that is copied to another name and then deleted,
    when all packs were read. Nothing else is deleted unless ``delete_indexes`` asks for it.

    Args:
        repository: Open for writing when ``options.commit`` is set.
        options: What to do; by default all packs are read and nothing is written.
        progress: Called with the number of packs and of entries so far.

    Raises:
        DamagedDataError: A pack can't be read and ``ignore_errors`` is not set. What was written by then stays, it is
            right; no index blob was deleted or moved. Or no pack at all can be read.
        ReadOnlyRepositoryError: The repository is connected read-only.
    """
    options = options or RecoveryOptions()
    if options.commit:
        repository.check_writable("recover the index")
    return _Recovery(repository, options, progress).run()


def read_pack_index(repository: Core, pack: BlobMetadata) -> IndexFile:
    """Return the index at the end of a pack.

    Raises:
        DamagedDataError: It has none, or it can't be read.
    """
    storage, sealer = repository.storage, repository.sealer.sealer
    try:
        return read_local_index(
            lambda offset, length: storage.get(pack.blob_id, offset, length),
            pack.length,
            sealer.open_content,
            name=pack.blob_id,
        )
    except DamagedPackError:
        raise
    except DamagedDataError as error:
        raise DamagedPackError(f"reading the local index of pack {pack.blob_id}: {error}") from error


class _Recovery:
    def __init__(self, repository: Core, options: RecoveryOptions, progress: Callable[[int, int], None] | None) -> None:
        self._repository = repository
        self._storage = repository.storage
        self._indexes = repository.contents.indexes
        self._options = options
        self._progress = progress
        self._pending: list[IndexEntry] = []
        self._packs = self._contents = self._missing = 0
        self._errors: list[tuple[BlobID, PykopiaError]] = []

    def run(self) -> RecoveryResult:
        packs = [blob for prefix in PACK_PREFIXES for blob in self._storage.list(prefix)]
        self._names = frozenset(blob.blob_id for blob in packs)
        old = self._old_indexes()
        damaged = list(self._indexes.damaged) if self._options.covers_all_packs else []
        for blob_id, found in self._read_all(self._chosen(packs)):
            self._take(blob_id, found)
        if self._errors and not self._packs and (old or damaged):
            raise DamagedDataError(
                f"no index blob is moved or deleted, because none of {len(self._errors)} packs can be read, as if they belonged "
                f"to another repository; the first is {self._errors[0][0]}: {self._errors[0][1]}"
            ) from self._errors[0][1]
        if self._options.commit:
            self._write()
            for blob_id in old:
                self._storage.delete(blob_id)
            damaged = [blob_id for blob_id in damaged if self._moved_aside(blob_id)]
            self._repository.refresh()
        return RecoveryResult(
            packs=self._packs,
            contents=self._contents,
            missing_packs=self._missing,
            errors=tuple(self._errors),
            deleted=tuple(old),
            moved_aside=tuple(blob_id for blob_id in damaged if blob_id not in old),
        )

    def _old_indexes(self) -> list[BlobID]:
        if not self._options.delete_indexes:
            return []
        return [blob.blob_id for blob in self._storage.list(INDEX_PREFIX) if blob.blob_id != POISON_INDEX_BLOB_ID]

    def _chosen(self, packs: Sequence[BlobMetadata]) -> list[BlobMetadata]:
        options = self._options
        if options.blob_ids:
            return [self._storage.metadata(blob_id) for blob_id in options.blob_ids]
        if not options.prefixes:
            return list(packs)
        # a prefix may be longer than a letter, or lead to blobs that are no packs
        return [blob for blob in packs if is_pack(blob.blob_id) and blob.blob_id.startswith(options.prefixes)]

    def _read_all(self, packs: Sequence[BlobMetadata]) -> Iterator[tuple[BlobID, list[IndexEntry] | PykopiaError]]:
        parallel = max(1, self._options.parallel)
        crew = Crew[tuple[BlobID, list[IndexEntry] | PykopiaError]](
            parallel, most=QUEUED_PER_THREAD * parallel, name="pykopia-recover"
        )
        with crew:
            yield from crew.map(self._read, packs)

    def _read(self, pack: BlobMetadata) -> tuple[BlobID, list[IndexEntry] | PykopiaError]:
        try:
            with read_pack_index(self._repository, pack) as index:
                return pack.blob_id, list(index.entries())
        except (DamagedDataError, StorageError) as error:
            return pack.blob_id, error

    def _take(self, blob_id: BlobID, found: list[IndexEntry] | PykopiaError) -> None:
        if isinstance(found, PykopiaError):
            if not self._options.ignore_errors:
                raise found
            self._errors.append((blob_id, found))
            return
        usable = [entry for entry in found if entry.deleted or entry.pack_blob in self._names]
        self._packs += 1
        self._contents += len(usable)
        self._missing += len(found) - len(usable)
        self._pending += usable
        if self._options.commit and len(self._pending) >= WRITE_AT_ONCE:
            self._write()
        elif not self._options.commit:
            self._pending.clear()
        if self._progress is not None:
            self._progress(self._packs, self._contents)

    def _write(self) -> None:
        entries, self._pending = self._pending, []
        if entries:
            plain = build_indexes(entries, version=self._indexes.version)
            self._indexes.write(plain, new_session_id(clock.now(), secrets.token_bytes(8)))

    def _moved_aside(self, blob_id: BlobID) -> bool:
        """Move an index blob out of the way unless it is gone, or whole by now: someone may have put it back."""
        try:
            self._indexes.stored.open(blob_id).close()
        except BlobNotFoundError:
            return False
        except DamagedDataError:
            self._storage.put(BlobID(ASIDE_PREFIX + blob_id), self._storage.get(blob_id))
            self._storage.delete(blob_id)
            return True
        return False


__all__ = [
    "ASIDE_PREFIX",
    "RecoveryOptions",
    "RecoveryResult",
    "read_pack_index",
    "recover_index",
]
