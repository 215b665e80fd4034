"""Which compressor a policy picks for a file, and for metadata (format 05 §7)."""

from bisect import bisect_left
from collections.abc import Sequence

from pykopia.format.policy import CompressionPolicy, MetadataCompressionPolicy

NO_COMPRESSION = "none"
"""Name that switches compression off in a policy; an empty name inherits from the parent policy."""


def compressor_for(policy: CompressionPolicy, name: str, size: int) -> str:
    """Return the name of the compressor for a file's contents; empty for none.

    ``only_compress`` does not keep other files from being compressed: it only wins over ``never_compress``.

    Args:
        policy: In effect for the directory that holds the file.
        name: Of the file.
        size: Bytes, as ``lstat`` gives them; 0 for a stream.

    >>> policy = CompressionPolicy(compressor_name="zstd", never_compress=(".jpg",), min_size=100)
    >>> compressor_for(policy, "a.txt", 100), compressor_for(policy, "a.jpg", 100)
    ('zstd', '')
    """
    compressor = policy.compressor_name
    if compressor in {"", NO_COMPRESSION} or 0 < policy.max_size < size or size < policy.min_size:
        return ""
    if policy.only_compress or policy.never_compress:
        extension = file_extension(name)
        if not _has(policy.only_compress, extension) and _has(policy.never_compress, extension):
            return ""
    return compressor


def metadata_compressor(policy: MetadataCompressionPolicy) -> str:
    """Return the name of the compressor for directories and indexes of chunks; empty for none."""
    return "" if policy.compressor_name == NO_COMPRESSION else policy.compressor_name


def file_extension(name: str) -> str:
    """Return what follows the last dot of a file's name, with the dot; empty without a dot.

    >>> [file_extension(name) for name in ("a.tar.gz", ".gz", "a.", "noext", "d.x/a")]
    ['.gz', '.gz', '.', '', '']
    """
    dot = name.rfind(".")
    return name[dot:] if dot > name.rfind("/") else ""


def _has(extensions: Sequence[str], extension: str) -> bool:
    # A binary search, as in Kopia: it misses entries of a list that is not sorted, and both must miss the same ones.
    place = bisect_left(extensions, extension)
    return place < len(extensions) and extensions[place] == extension


__all__ = ["NO_COMPRESSION", "compressor_for", "file_extension", "metadata_compressor"]
