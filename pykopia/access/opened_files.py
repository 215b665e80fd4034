"""Open files of ``kopia://``."""

import io
import os
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from pykopia.access.errors import reading
from pykopia.access.files import ObjectReader, RawFile, ReadAhead


class KopiaFile(io.BufferedReader):
    """A file of a snapshot, open for reading; it can be pickled, and is at the same place when it comes back."""

    def __init__(
        self,
        fs: AbstractFileSystem,
        path: str,
        details: dict[str, Any],
        reader: ObjectReader,
        read_ahead: int,
        buffer_size: int,
    ) -> None:
        """Read ``reader``; ``details`` is what ``info`` returns."""
        self.fs, self.path, self.details = fs, path, details
        self.size = reader.length
        """Bytes."""
        self._reader, self._ahead, self._buffer_size = reader, ReadAhead(reader, read_ahead), buffer_size
        super().__init__(_NamedRawFile(path, reader, self._ahead), buffer_size)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next ``size`` bytes, all that are left if it is negative; fewer at the end alone.

        What is larger than the buffer does not go through it: then a request of the caller is known to be one, and what
        comes after it is not fetched.
        """
        if size is not None and 0 <= size <= self._buffer_size:
            return super().read(size)
        start = self.tell()
        end = self.size if size is None or size < 0 else min(start + size, self.size)
        if start >= end:
            return b""
        self._ahead.note(start, end)
        with reading(self.path):
            data = self._reader.read(start, end)
        self.seek(end)
        return data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Fill a buffer with the next bytes; return how many they are."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @property
    def full_name(self) -> str:
        """The path with the protocol."""
        return f"kopia://{self.path}"

    def info(self) -> dict[str, Any]:
        """Return what is known of the file."""
        return self.details

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _again, (self.fs, self.path, self.tell())

    def __reduce_ex__(self, _: object) -> tuple[object, tuple[object, ...]]:
        return self.__reduce__()

    def __repr__(self) -> str:
        return f"<KopiaFile {self.path}>"


class _NamedRawFile(RawFile):
    """Names the file where it can't be read."""

    def __init__(self, path: str, reader: ObjectReader, ahead: ReadAhead) -> None:
        super().__init__(reader, ahead)
        self._path = path

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        with reading(self._path):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with reading(self._path):
            return super().readall()


def _again(fs: AbstractFileSystem, path: str, position: int) -> KopiaFile:
    file: KopiaFile = fs.open(path)
    file.seek(position, os.SEEK_SET)
    return file


class CachedFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is read through one of fsspec's own caches, for callers that name one."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.cat_file(self.path, start, end)
        return data


__all__ = ["CachedFile", "KopiaFile"]
