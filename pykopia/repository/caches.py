"""Local caches of a client: index files, metadata packs, contents, copies of the format blobs.

Everything lies in a folder ``pykopia`` inside the cache folder of the connection, so Kopia, which may share the
connection file, never meets it (format 02 §17). All of it may be deleted at any time. Connections to several repositories
may share the folder: what one keeps there is never taken for another's.
"""

import contextlib
from pathlib import Path

from pykopia.dataclass import dataclass
from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID
from pykopia.format.local_config import CachingOptions
from pykopia.repository.cache import (
    FORMAT_FOLDER_PREFIX,
    INDEX_FOLDER,
    OWN_FOLDER,
    BlobCache,
    CacheUsage,
    tag_cache_folder,
)
from pykopia.repository.contents import ContentCaches


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheReport:
    """Usage of one part of the cache."""

    name: str
    folder: Path
    usage: CacheUsage


class Caches:
    """The cache folder of one connection, or none at all."""

    def __init__(
        self,
        config_path: Path | None,
        caching: CachingOptions | None,
        *,
        unique_id: bytes,
        mac_key: bytes,
        local_storage: bool,
    ) -> None:
        """Use the folder that ``caching`` names; nothing is kept on disk without one.

        Packs of a storage on this machine are not kept a second time: reading them again costs no more.
        """
        self.folder: Path | None = None
        self.index_folder: Path | None = None
        self.contents: ContentCaches | None = None
        self._parts: dict[str, BlobCache] = {}
        folder = caching.folder(config_path) if caching is not None else None
        if folder is None or caching is None:
            return
        own = folder / OWN_FOLDER
        with contextlib.suppress(OSError):
            tag_cache_folder(folder)
            tag_cache_folder(own)
        self.folder = folder
        self.index_folder = own / INDEX_FOLDER / unique_id.hex()[:16]
        if local_storage:
            return
        metadata = BlobCache(own / "metadata", limit_bytes=caching.metadata_limit, mac_key=mac_key)
        data = BlobCache(own / "contents", limit_bytes=caching.content_limit, mac_key=mac_key)
        self._parts = {"metadata": metadata, "contents": data}
        self.contents = ContentCaches(metadata=metadata, data=data)

    def report(self) -> list[CacheReport]:
        """Return what each part holds."""
        parts = [
            CacheReport(name=name, folder=cache.folder, usage=cache.usage()) for name, cache in self._parts.items()
        ]
        if self.index_folder is not None:
            sizes = [path.stat().st_size for path in self.index_folder.glob("*") if path.is_file()]
            parts.append(
                CacheReport(
                    name="indexes",
                    folder=self.index_folder,
                    usage=CacheUsage(files=len(sizes), total_bytes=sum(sizes), limit_bytes=0),
                )
            )
        return parts

    def clear(self) -> None:
        """Drop everything that pykopia keeps."""
        if self.folder is not None:
            from shutil import rmtree  # noqa: PLC0415 -- seldom needed, and it imports compressors

            rmtree(self.folder / OWN_FOLDER, ignore_errors=True)
            self.forget_format_blobs()

    def forget_format_blobs(self) -> None:
        """Drop the copies of the format blobs, Kopia's too: the next open reads them from storage."""
        if self.folder is not None:
            for copies in (self.folder, *(self.folder / OWN_FOLDER).glob(f"{FORMAT_FOLDER_PREFIX}*")):
                for name in (FORMAT_BLOB_ID, BLOBCFG_ID):
                    with contextlib.suppress(OSError):
                        (copies / name).unlink()


__all__ = ["OWN_FOLDER", "CacheReport", "Caches"]
