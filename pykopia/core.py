"""What a repository is made of beneath its snapshots: contents, objects, manifests, caches.

Programs reach these classes through ``Repository`` and ``RepositoryWriter``; the names here are for annotations.
"""

from typing import TYPE_CHECKING

from pykopia.lazy import lazily

if TYPE_CHECKING:
    from pykopia.chunking.splitters import Splitter, SplitterRun
    from pykopia.format.blob_names import BLOBCFG_ID, EPOCH_PREFIX, FORMAT_BLOB_ID, MAINTENANCE_ID, METADATA_PACK_PREFIX
    from pykopia.format.manifest import CompactionPlan
    from pykopia.repository.cache import CacheUsage
    from pykopia.repository.caches import CacheReport, Caches
    from pykopia.repository.content_writer import ContentWriter
    from pykopia.repository.contents import ContentStore
    from pykopia.repository.core import Core
    from pykopia.repository.manifests import ManifestStore, ManifestWriter
    from pykopia.repository.object_file import Chunk
    from pykopia.repository.object_writer import ObjectWriter, Readable, WrittenObject, Zeros
    from pykopia.repository.objects import ObjectStore, Part
    from pykopia.repository.runs import Run
    from pykopia.sealing.batch import Packed

_PLACES = {
    "BLOBCFG_ID": "pykopia.format.blob_names",
    "EPOCH_PREFIX": "pykopia.format.blob_names",
    "FORMAT_BLOB_ID": "pykopia.format.blob_names",
    "MAINTENANCE_ID": "pykopia.format.blob_names",
    "METADATA_PACK_PREFIX": "pykopia.format.blob_names",
    "CacheReport": "pykopia.repository.caches",
    "CacheUsage": "pykopia.repository.cache",
    "Caches": "pykopia.repository.caches",
    "Chunk": "pykopia.repository.object_file",
    "CompactionPlan": "pykopia.format.manifest",
    "ContentStore": "pykopia.repository.contents",
    "ContentWriter": "pykopia.repository.content_writer",
    "Core": "pykopia.repository.core",
    "ManifestStore": "pykopia.repository.manifests",
    "ManifestWriter": "pykopia.repository.manifests",
    "ObjectStore": "pykopia.repository.objects",
    "ObjectWriter": "pykopia.repository.object_writer",
    "Packed": "pykopia.sealing.batch",
    "Part": "pykopia.repository.objects",
    "Readable": "pykopia.repository.object_writer",
    "Run": "pykopia.repository.runs",
    "Splitter": "pykopia.chunking.splitters",
    "SplitterRun": "pykopia.chunking.splitters",
    "WrittenObject": "pykopia.repository.object_writer",
    "Zeros": "pykopia.repository.object_writer",
}
"""Module of each public name."""

if not TYPE_CHECKING:  # a type checker knows the names from above, and must refuse all others
    __getattr__ = lazily(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted([*__all__, "__all__", "__doc__"])


__all__ = [
    "BLOBCFG_ID",
    "EPOCH_PREFIX",
    "FORMAT_BLOB_ID",
    "MAINTENANCE_ID",
    "METADATA_PACK_PREFIX",
    "CacheReport",
    "CacheUsage",
    "Caches",
    "Chunk",
    "CompactionPlan",
    "ContentStore",
    "ContentWriter",
    "Core",
    "ManifestStore",
    "ManifestWriter",
    "ObjectStore",
    "ObjectWriter",
    "Packed",
    "Part",
    "Readable",
    "Run",
    "Splitter",
    "SplitterRun",
    "WrittenObject",
    "Zeros",
]
