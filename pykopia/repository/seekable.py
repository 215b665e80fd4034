"""What every seekable file of known length needs beside reading."""

import io


class SeekableFile(io.RawIOBase):
    """A raw file to read, with a position; ``readinto`` is for those that derive from it."""

    def __init__(self) -> None:
        """Start at the beginning; the length is set by those that derive from it."""
        super().__init__()
        self._position = 0
        self._length = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; one beyond the end reads nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise ValueError(f"can't seek to {base + offset}: that is before the start")
        self._position = base + offset
        return self._position


__all__ = ["SeekableFile"]
