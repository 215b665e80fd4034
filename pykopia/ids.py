"""Identifiers by kind, so that a type checker keeps blobs and contents apart."""

from typing import NewType, TypeAlias

BlobID = NewType("BlobID", str)
"""Name of a blob in storage, such as ``p102a…-s39b2…``."""

ContentID = NewType("ContentID", str)
"""Optional prefix letter and hash in lower-case hex (format 02 §1)."""

ObjectID = NewType("ObjectID", str)
"""``I`` for each level of indirection, ``Z`` when compressed as an object, then a content ID (format 04 §1)."""

ManifestID = NewType("ManifestID", str)
"""32 hex digits of a manifest (format 04 §5)."""

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes in memory that are read without a copy."""

__all__ = ["BlobID", "Buffer", "ContentID", "ManifestID", "ObjectID"]
