"""What mfusepy leaves out of libfuse 3: attributes that come along with names.

With them ``find`` and ``ls -l`` ask once for each folder, not once for each name. The method replaces the one of the same
name that mfusepy registers with libfuse 3; on libfuse 2 its other one stays.
"""

from collections.abc import Callable
from typing import Any

import mfusepy

from pykopia.access.attributes import BLOCK, attributes

WITH_ATTRIBUTES = 1 << 1
"""Flag of libfuse for a name whose attributes are complete: ``FUSE_FILL_DIR_PLUS``."""
SECOND_NS = 1_000_000_000


class Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """A mount; see the module."""

    def opendir(self, path: bytes, info: Any) -> int:  # noqa: ANN401 -- a pointer of ctypes
        """Open a folder; let the kernel keep the names of one that is in a snapshot, for they never change."""
        name = path.decode(self.encoding, self.errors)
        opened = info.contents
        opened.fh = self.operations.opendir(name)
        if hasattr(opened, "cache_readdir") and self.operations.is_fixed(opened.fh):
            opened.cache_readdir = opened.keep_cache = 1
        return 0

    def readdir_fuse_3(
        self,
        _path: bytes,
        buffer: int,
        fill: Callable[..., int],
        offset: int,
        info: Any,  # noqa: ANN401 -- a pointer of ctypes
        _flags: int,
    ) -> int:
        """Give names of a folder with their attributes, from a place on and as many as there is room for.

        The place is given with each name: libfuse passes attributes on for such names only.
        """
        status = mfusepy.c_stat()
        status.st_nlink, status.st_blksize = 1, BLOCK
        modified, changed, used = status.st_mtimespec, status.st_ctimespec, status.st_atimespec
        entries = self.operations.listing(info.contents.fh)
        for place in range(offset, len(entries)):
            name, entry = entries[place]
            status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_blocks, time = attributes(entry)
            seconds, rest = divmod(time, SECOND_NS)
            modified.tv_sec = changed.tv_sec = used.tv_sec = seconds
            modified.tv_nsec = changed.tv_nsec = used.tv_nsec = rest
            if fill(buffer, name.encode(self.encoding, self.errors), status, place + 1, WITH_ATTRIBUTES):
                break
        return 0


__all__ = ["Fuse"]
