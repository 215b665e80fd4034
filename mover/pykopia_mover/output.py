"""The log of a run: plain lines or JSON objects, on standard output and in a file, without secrets."""

import contextlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from pykopia import clock
from pykopia_mover.redaction import Redactor

LONGEST_LINE: Final = 4 << 10
"""Bytes of a line."""

MOST_WARNINGS: Final = 100
"""Different warnings that are kept for the result; all are in the log."""

LEVELS: Final = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40}
_NAMES: Final = {10: "debug", 20: "info", 30: "warn", 40: "error"}
_MARKS: Final = {30: "WARNING: ", 40: "ERROR: "}
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
LOG_NAME: Final = "pykopia-mover"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Output:
    """Writes the log of a run."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._file_level = LEVELS["info"]
        self.json_lines = False
        self.times = False
        """Whether lines of text begin with the time."""
        self.level = LEVELS["info"]
        self.warnings: dict[str, None] = {}
        """The first different warnings, for the result."""

    # ------------------------------------------------------------------ saying things

    def line(self, text: str) -> None:
        """Log a line."""
        self.say(LEVELS["info"], text)

    def lines(self, texts: Iterable[str]) -> None:
        """Log several lines."""
        for text in texts:
            self.line(text)

    def debug(self, text: str) -> None:
        """Log a line that only debugging needs."""
        self.say(LEVELS["debug"], text)

    def closing(self, texts: Iterable[str]) -> None:
        """Write the last lines, which programs read: never with the time before them."""
        for text in texts:
            self.say(LEVELS["info"], text, times=False)

    def warning(self, text: str) -> None:
        """Write a warning to the log, and keep it for the result."""
        with self._lock:
            if len(self.warnings) < MOST_WARNINGS:
                self.warnings.setdefault(text)
        self.say(LEVELS["warn"], text)

    def error(self, text: str) -> None:
        """Log why the run ends."""
        self.say(LEVELS["error"], text, times=False)

    def wants(self, level: int) -> bool:
        """Return True if a line of a level reaches the stream or the file."""
        return level >= self.level or (self._file is not None and level >= self._file_level)

    def say(self, level: int, text: str, *, times: bool = True) -> None:
        """Write a text at a level: each of its lines is one event."""
        if not self.wants(level):
            return
        for line in self._redactor(text).splitlines() or [""]:
            printable = _CONTROL.sub("", line.replace("\t", "    "))
            if printable != line:
                printable = self._redactor(printable)
            clean = _shortened(_MARKS.get(level, "") + printable)
            with self._lock:
                if level >= self.level:
                    self._stream.write(self._formatted(level, clean, times=times and self.times) + "\n")
                    self._stream.flush()
                if self._file is not None and level >= self._file_level:
                    self._write_to_file(clean)

    def _formatted(self, level: int, text: str, *, times: bool) -> str:
        if not self.json_lines:
            return f"{timestamp(clock.now())} {text}" if times else text
        return json.dumps(
            {"ts": timestamp(clock.now()), "level": _NAMES.get(level, "info"), "msg": text}, ensure_ascii=False
        )

    def _write_to_file(self, text: str) -> None:
        assert self._file is not None
        try:
            self._file.write(f"{timestamp(clock.now())} {text}\n")
            self._file.flush()
        except OSError:  # a full cache volume must not end a run
            self.close()

    # ------------------------------------------------------------------ the file

    def open_file(self, folder: Path, *, level: str, max_files: int, max_age: str) -> bool:
        """Write to a file in a folder too, and remove the oldest others; return whether that is possible."""
        self._file_level = LEVELS[level]
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            prune_logs(folder, max_files=max(0, max_files - 1), max_age_seconds=_age(max_age), now_ns=clock.now())
            name = f"{LOG_NAME}-{timestamp(clock.now()).replace(':', '')}-{os.getpid()}.log"
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = open(descriptor, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


RETRYING: Final = "pykopia.storage.retrying"
"""Logger of calls that are repeated."""
ENTRIES: Final = "pykopia.snapshot.upload.entries"
"""Logger of entries that are not in a snapshot."""


class LibraryLog(logging.Handler):
    """Passes the log records of pykopia on to the output."""

    def __init__(self, output: Output, in_settings: Callable[[str], str] = str) -> None:
        """Prepare; ``in_settings`` replaces what only the command line has in the text of a warning."""
        super().__init__()
        self._output, self._in_settings = output, in_settings

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on; an error of the library that does not end the run is a warning.

        Attempts that are repeated are for the debug level: older operators take the words for a failure. Entries that could
        not be read are too: there may be a million of them, and the backup lists the first ones.
        """
        if record.name == ENTRIES:
            self._output.debug(record.getMessage())
        elif record.levelno >= LEVELS["warn"]:
            self._output.warning(self._in_settings(record.getMessage()))
        elif record.name == RETRYING:
            self._output.debug(record.getMessage())
        else:
            self._output.say(record.levelno, record.getMessage())


def _shortened(text: str) -> str:
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= LONGEST_LINE:
        return data.decode()
    return data[: LONGEST_LINE - 3].decode("utf-8", "ignore") + "…"


def timestamp(ns: int) -> str:
    """Return a time as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def prune_logs(folder: Path, *, max_files: int, max_age_seconds: int, now_ns: int) -> None:
    """Remove old log files: the oldest beyond a number, and those beyond an age."""
    files = sorted(folder.glob(f"{LOG_NAME}-*.log"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for position, path in enumerate(files):
        if position >= max_files or now_ns - path.stat().st_mtime_ns > max_age_seconds * 1_000_000_000:
            path.unlink(missing_ok=True)


def _age(text: str) -> int:
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhd])", text))


__all__ = ["ENTRIES", "LEVELS", "LOG_NAME", "LONGEST_LINE", "LibraryLog", "Output", "prune_logs", "timestamp"]
