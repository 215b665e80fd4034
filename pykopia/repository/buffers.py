"""Large buffers: memory is taken page by page as it is used, in large pages where the system has them.

A ``bytearray`` fills itself with zeros first: a writer that stores one small manifest would touch a whole pack.
"""

import contextlib
import mmap
from typing import TypeAlias

LargeBuffer: TypeAlias = mmap.mmap


def new_buffer(size: int) -> LargeBuffer:
    """Return ``size`` writable bytes, zeros at first; given back when the last reference goes."""
    buffer = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


__all__ = ["LargeBuffer", "new_buffer"]
