"""Where an archive, or a single file, is written to: a file that gets its name when it is whole, or a stream."""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import IO, Protocol

from pykopia.errors import RestoreError, TargetExistsError


class Sink(Protocol):
    """Takes the bytes of an archive."""

    stream: IO[bytes]
    scratch: str | None
    """A folder with room for copies of files; None for that of the system."""

    def close(self, *, complete: bool) -> None:
        """End; ``complete`` is false after an error."""


class FileSink:
    """A file that is written under a temporary name and replaces what has its name when it is whole."""

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        """Begin.

        Raises:
            TargetExistsError: a folder is there, or a file that may not be replaced.
        """
        if target.is_dir():
            raise TargetExistsError(f"can't write an archive to {target}: a folder is there")
        if target.exists() and not overwrite:
            raise TargetExistsError(f"{target} exists and files may not be overwritten; it was left as it is")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._temporary = target.with_name(f".pykopia-{secrets.token_hex(8)}")
        self.scratch: str | None = str(target.parent)
        self.stream: IO[bytes] = open(self._temporary, "xb")  # noqa: SIM115 -- closed by close()

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

    def __init__(self, stream: IO[bytes], *, owned: bool) -> None:
        """Begin; a stream that is ``owned`` is closed at the end."""
        self.stream = stream
        self.scratch: str | None = None
        self._owned = owned

    def close(self, *, complete: bool) -> None:
        """Pass on what was written."""
        with contextlib.nullcontext() if complete else contextlib.suppress(OSError, ValueError):
            try:
                self.stream.flush()
            finally:
                if self._owned:
                    self.stream.close()


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
        return StreamSink(target, owned=False)
    if written_in_place(target) and not target.is_dir():
        if target.is_file() and not overwrite:
            raise TargetExistsError(f"{target} exists and files may not be overwritten; it was left as it is")
        return StreamSink(opened_in_place(target), owned=True)
    return FileSink(target, overwrite=overwrite)


__all__ = ["FileSink", "Sink", "StreamSink", "opened_in_place", "sink_for", "written_in_place"]
