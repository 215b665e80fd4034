"""Targets of archives and single files: a file that gets its name when it is complete, or a stream."""

import contextlib
import io
import os
import secrets
import stat
from pathlib import Path
from typing import IO, Protocol, cast

from pykopia.errors import RestoreError, TargetExistsError


class ByteSink(Protocol):
    """Takes bytes: a file, a pipe, a socket's file, or any object with this method."""

    def write(self, data: bytes, /) -> object:
        """Take bytes; return their number, or None when all were taken."""


class FullWriter(io.RawIOBase):
    """Passes every byte on to a sink, also to one that may take a part of what it is given, as raw files do."""

    def __init__(self, sink: ByteSink) -> None:
        super().__init__()
        self._sink = sink

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]
        """Write all of ``data``.

        Raises:
            BlockingIOError: the sink is a raw file that does not block, and takes nothing now.
        """
        rest = memoryview(data).cast("B")
        length = len(rest)
        while rest:
            taken = self._sink.write(bytes(rest))
            if taken is None and isinstance(self._sink, io.RawIOBase):
                raise BlockingIOError("the stream takes nothing at the moment: an export needs one that blocks")
            if not isinstance(taken, int):
                break
            rest = rest[taken:]
        return length

    def flush(self) -> None:
        """Flush the sink, if it can be flushed."""
        flush = getattr(self._sink, "flush", None)
        if flush is not None and not getattr(self._sink, "closed", False):
            flush()


class Sink(Protocol):
    """Takes the bytes of an archive."""

    stream: IO[bytes]
    scratch: str | None
    """A folder with room for copies of files; None for that of the system."""

    def close(self, *, complete: bool) -> None:
        """Finish; ``complete`` is False after an error."""


class FileSink:
    """A file that is written under a temporary name and replaces what has its name when it is whole."""

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        """Begin.

        Raises:
            TargetExistsError: a folder is there, or a file that may not be replaced.
            RestoreError: no file can be made there.
        """
        if target.is_dir():
            raise TargetExistsError(f"can't write an archive to {target}: a folder is there")
        if target.exists() and not overwrite:
            raise TargetExistsError(f"{target} exists and files may not be overwritten; it was left as it is")
        self._target = target
        self._temporary = target.with_name(f".pykopia-{secrets.token_hex(8)}")
        self.scratch: str | None = str(target.parent)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self.stream: IO[bytes] = open(self._temporary, "xb")  # noqa: SIM115 -- closed by close()
        except OSError as error:
            raise RestoreError(f"can't write an archive to {target}: {error.strerror}") from error

    def close(self, *, complete: bool) -> None:
        """Give the file its name, or remove it."""
        try:
            self.stream.close()
            if complete:
                os.replace(self._temporary, self._target)
        finally:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)


class StreamSink:
    """A stream: what was written stays written."""

    def __init__(self, stream: ByteSink, *, owned: IO[bytes] | None = None) -> None:
        """Begin.

        Args:
            stream: takes the bytes.
            owned: what to close at the end.
        """
        self.stream = cast("IO[bytes]", FullWriter(stream))
        self.scratch: str | None = None
        self._owned = owned

    def close(self, *, complete: bool) -> None:
        """Pass on what was written."""
        with contextlib.nullcontext() if complete else contextlib.suppress(OSError, ValueError):
            try:
                self.stream.flush()
            finally:
                if self._owned is not None:
                    self._owned.close()


def written_in_place(target: Path) -> bool:
    """Return True if a target is a pipe, a device or a link, which is written to and not replaced."""
    try:
        mode = os.lstat(target).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def opened_in_place(target: Path) -> IO[bytes]:
    """Open a pipe, a device, or what a link leads to.

    Raises:
        RestoreError: it can't be written to.
    """
    try:
        return open(target, "wb")
    except OSError as error:
        raise RestoreError(f"can't write to {target}: {error.strerror}") from error


def sink_for(target: Path | IO[bytes], *, overwrite: bool) -> Sink:
    """Return where an archive is written to.

    Raises:
        RestoreError: it can't be written there.
    """
    if not isinstance(target, Path):
        return StreamSink(target)
    if written_in_place(target) and not target.is_dir():
        if target.is_file() and not overwrite:
            raise TargetExistsError(f"{target} exists and files may not be overwritten; it was left as it is")
        opened = opened_in_place(target)
        return StreamSink(opened, owned=opened)
    return FileSink(target, overwrite=overwrite)


__all__ = [
    "ByteSink",
    "FileSink",
    "FullWriter",
    "Sink",
    "StreamSink",
    "opened_in_place",
    "sink_for",
    "written_in_place",
]
