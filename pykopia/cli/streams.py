"""The standard streams of the process, made fit for use whatever the process was started with."""

import codecs
import os
import sys
from typing import TextIO

_SURROGATES = range(0xDC80, 0xDD00)
"""Code points that stand for single bytes of names that are not UTF-8."""
_ERRORS = "pykopia"


class OutputClosed(Exception):
    """The reader of our output is gone, so nothing can be reported."""


class OutputError(Exception):
    """The output can't be written, as on a full volume."""


def is_closed_pipe(error: BaseException | None) -> bool:
    """Return whether an error came of a reader that went away."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__cause__ or error.__context__
    return False


def open_closed_descriptors() -> None:
    """Connect standard descriptors that are closed with the null device.

    Otherwise the next file that is opened gets the descriptor's number, and messages are written into it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one


def prepare() -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` usable, and let them write every name."""
    open_closed_descriptors()
    codecs.register_error(_ERRORS, _encoded)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(descriptor, "r" if name == "stdin" else "w", closefd=False, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)
        stream.reconfigure(errors="surrogateescape" if name == "stdin" else _ERRORS)


def _encoded(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode what an encoding does not have.

    Bytes of names that are not UTF-8 go out as they came in. Characters become escapes that JSON understands too.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    out = bytearray()
    for character in error.object[error.start : error.end]:
        code = ord(character)
        if code in _SURROGATES:
            out.append(code - 0xDC00)
            continue
        units = character.encode("utf-16-be", "surrogatepass")
        for place in range(0, len(units), 2):
            out += b"\\u%04x" % int.from_bytes(units[place : place + 2], "big")
    return bytes(out), error.end


def tell(stream: TextIO, text: str) -> None:
    """Write to stderr. A stderr that can't be written to never changes what a command does."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        return


def close_quietly(*outputs: TextIO) -> None:
    """Write what is held back; drop what can't be written, or the interpreter would end with a status of its own."""
    for stream in outputs:
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


def silence(stream: TextIO) -> None:
    """Discard everything written to a broken stream from now on."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return


__all__ = [
    "OutputClosed",
    "OutputError",
    "close_quietly",
    "is_closed_pipe",
    "open_closed_descriptors",
    "prepare",
    "silence",
    "tell",
]
