"""One session of writing: contents, objects and manifests that become visible together."""

from types import TracebackType
from typing import Self

from pykopia.crew import available_cpus
from pykopia.format.replica import embed_replica
from pykopia.ids import BlobID
from pykopia.repository.content_writer import ContentWriter
from pykopia.repository.core import Core
from pykopia.repository.manifests import ManifestWriter
from pykopia.repository.object_writer import ObjectWriter
from pykopia.repository.packs import PackStore
from pykopia.repository.write_buffers import WriteBuffers


class RepositoryWriter:
    """Writes to a repository; leaving the block commits, an exception commits nothing.

    What is written is deduplicated against everything committed. ``flush`` makes what was written so far visible to all
    readers at once; a writer that ends without it leaves only blobs that nothing refers to.

    Attributes:
        contents: adds contents.
        objects: adds objects.
        manifests: adds and deletes manifests.
    """

    contents: ContentWriter
    objects: ObjectWriter
    manifests: ManifestWriter

    def __init__(self, repository: Core, *, parallel: int | None = None, buffers: WriteBuffers | None = None) -> None:
        """Prepare for writing.

        Args:
            repository: where to.
            parallel: threads that seal chunks of large objects; the number of CPUs when not given.
            buffers: how much is in memory at one time.
        """
        repository.check_writable("write")
        self._repository = repository
        parameters = repository.format
        buffers = buffers or WriteBuffers()
        packs = PackStore(
            repository.sealer.sealer,
            max_pack_size=parameters.effective_max_pack_size,
            index_version=parameters.effective_index_version,
            replica=embed_replica(repository.format_blob_bytes) if parameters.embeds_format_blob else b"",
            parallel=min(buffers.packs, parallel or buffers.packs),
            put=self._put_pack,
        )
        self.contents = ContentWriter(
            repository.contents,
            repository.storage,
            packs,
            username=repository.username,
            hostname=repository.hostname,
            format_version=parameters.version,
        )
        self.objects = ObjectWriter(
            self.contents,
            default_splitter=parameters.effective_splitter,
            parallel=parallel or available_cpus(),
            trays=buffers.trays,
        )
        self.manifests = ManifestWriter(repository.manifests, self.contents)
        repository.contents.indexes.check_complete("write to the repository")
        if self.manifests.compact():
            self.flush()

    def __repr__(self) -> str:
        return f"<RepositoryWriter of {self._repository!r}>"

    def _put_pack(self, pack_blob: BlobID, data: memoryview) -> None:
        self._repository.storage.put(pack_blob, data)
        self._repository.contents.keep_pack(pack_blob, data)

    def flush(self) -> None:
        """Commit everything written so far.

        Raises:
            ClosedError: this writer, or the repository, was closed.
            PykopiaError: nothing since the last flush was committed, and this writer can't go on.
        """
        self.contents.check_open()
        self._repository.check_not_locked()
        self.manifests.write_pending()
        if self.contents.flush():
            manifests = self._repository.manifests
            manifests.forget()
            if manifests.known_damage:
                manifests.entries()  # what was written may have ended the damage

    def close(self) -> None:
        """Discard unflushed data and close the writer; later calls raise ``ClosedError``."""
        self.objects.close()
        self.contents.close()

    def __enter__(self) -> Self:
        self.contents.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()


__all__ = ["RepositoryWriter"]
