"""Index blobs in storage: opened, and looked for after they were written."""

from collections.abc import Iterable, Sequence

from pykopia.errors import BlobNotFoundError, DamagedDataError, DamagedIndexError, InvalidIDError, NotVisibleError
from pykopia.format.blob import BlobMetadata
from pykopia.format.index import IndexFile
from pykopia.format.whole_blob import Sealer
from pykopia.ids import BlobID
from pykopia.storage.base import BlobStorage

WAY_OUT = (
    "put it back from a copy of the repository, or run `index recover --commit`, which lists the contents of all packs "
    "anew and then moves the damaged blob aside"
)


class IndexBlobs:
    """Reads and writes index blobs, whether they count or not."""

    def __init__(self, storage: BlobStorage, sealer: Sealer) -> None:
        """Take where the blobs are and what opens them."""
        self.storage = storage
        self._sealer = sealer

    def decrypt(self, blob_id: BlobID) -> bytes:
        """Return what an index, session or log blob holds.

        Raises:
            BlobNotFoundError: it is not there.
            DamagedIndexError: it can't be read.
        """
        stored = self.storage.get(blob_id)
        try:
            return self._sealer.open(blob_id, stored)
        except (DamagedDataError, InvalidIDError) as error:
            raise self.damage(blob_id, error) from error

    def open(self, blob_id: BlobID) -> IndexFile:
        """Return an index blob, opened in memory; see ``decrypt``."""
        return IndexFile(self.decrypt(blob_id), name=blob_id)

    def damage(self, blob_id: BlobID, error: Exception) -> DamagedIndexError:
        """Return the error of an index blob that can't be read."""
        return DamagedIndexError(
            f"index blob {blob_id} in {self.storage.display_name} can't be read: {error}; {WAY_OUT}"
        )

    def put(self, prefix: str, plain: bytes, suffix: str = "") -> BlobID:
        """Seal and store an index blob; return its name."""
        blob_id, stored = self._sealer.seal(prefix, plain, suffix)
        self.storage.put(blob_id, stored)
        return blob_id

    def unlisted(self, listed: Iterable[BlobMetadata], written: Sequence[BlobID]) -> list[BlobMetadata]:
        """Return the blobs of ``written`` that are stored and that a listing does not show yet, as some storages do."""
        names = {blob.blob_id for blob in listed}
        found = []
        for blob_id in written:
            if blob_id not in names:
                try:
                    found.append(self.storage.metadata(blob_id))
                except BlobNotFoundError:
                    continue
        return found

    def check_read(self, written: Sequence[BlobID], read: Iterable[BlobID]) -> None:
        """Verify that every reader, Kopia too, reads index blobs that were just written.

        Args:
            written: the index blobs.
            read: what readers use, by a listing that was made after they were written.

        Raises:
            NotVisibleError: one would not be read.
        """
        names = set(read)
        for blob_id in written:
            if blob_id not in names:
                raise NotVisibleError(
                    f"index blob {blob_id} was written to {self.storage.display_name}, and a fresh listing shows that no "
                    "reader would find it: what was just stored does not count as stored. Run `index epoch list` to see the "
                    "epochs of the repository, then the command again"
                )


__all__ = ["WAY_OUT", "IndexBlobs"]
