"""Log lines: short ones on stderr, full ones in a file of the log folder."""

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from pykopia import clock
from pykopia.cli.colors import ERROR, WARNING, colored
from pykopia.cli.global_flags import LogFlags
from pykopia.cli.session import Session, escaped

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NAMES = {logging.WARNING: "WARN", logging.CRITICAL: "ERROR"}
_FOLDER = "cli-logs"
_LATEST = "latest.log"
_SECOND = 1_000_000_000


class ConsoleFormatter(logging.Formatter):
    """The bare message; the level only where it is not INFO."""

    def __init__(
        self, *, timestamps: bool = False, as_json: bool = False, terminal: bool = False, color: bool = False
    ) -> None:
        super().__init__()
        self._timestamps, self._as_json, self._terminal = timestamps, as_json, terminal
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = self._text(record)
        when = datetime.fromtimestamp(record.created, UTC).astimezone()
        if self._as_json:
            fields = {"l": _level(record), "t": when.isoformat()} if self._timestamps else {"l": _level(record)}
            return json.dumps({**fields, "n": record.name, "m": text})
        if record.levelno not in {logging.INFO, logging.ERROR}:
            text = f"{_level(record)} {text}"
        if self._color and record.levelno >= logging.WARNING:
            text = colored(text, ERROR if record.levelno >= logging.ERROR else WARNING)
        return f"{when:%H:%M:%S}.{when.microsecond // 1000:03d} {text}" if self._timestamps else text

    def _text(self, record: logging.LogRecord) -> str:
        """Return the message; on a terminal without the control characters of names in its arguments."""
        if not self._terminal or self._as_json or not isinstance(record.args, tuple):
            return record.getMessage()
        return str(record.msg) % tuple(
            each if isinstance(each, int | float) else escaped(str(each)) for each in record.args
        )


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr; a stderr that can't be written to disturbs nothing."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.stderr)
        self._session = session

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, in the place of a line of progress."""
        line = self._session.progress
        if line is not None:
            line.clear()
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- the base's name
        """Do nothing: there is nowhere to complain."""

    def flush(self) -> None:
        """Write what is held back."""
        with suppress(OSError, ValueError):
            super().flush()


class FileFormatter(logging.Formatter):
    """Time to the microsecond, level, name of the logger, message, traceback."""

    def __init__(self, *, local: bool = False, as_json: bool = False) -> None:
        super().__init__()
        self._local, self._as_json = local, as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines."""
        when = datetime.fromtimestamp(record.created, UTC)
        if self._local:
            when = when.astimezone()
        stamp = when.isoformat(timespec="microseconds").replace("+00:00", "Z")
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        name = record.name.replace(".", "/")
        if self._as_json:
            return json.dumps({"t": stamp, "l": _level(record), "n": name, "m": text})
        return f"{stamp} {_level(record)} {name} {text}"


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, record.levelname)


class OnDemandFile(logging.Handler):
    """A log file that comes into being with its first line."""

    def __init__(self, path: Path, *, link: Path | None, stderr: TextIO) -> None:
        super().__init__()
        self._path, self._link, self._stderr = path, link, stderr
        self._stream: TextIO | None = None
        self._broken = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; a log that can't be written is reported once and never fails a command."""
        if self._broken:
            return
        try:
            if self._stream is None:
                self._stream = self._open()
            self._stream.write(self.format(record) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the path has a NUL
            self._broken = True
            reason = getattr(error, "strerror", None) or str(error)
            with suppress(OSError):
                self._stderr.write(
                    f"can't write the log file {self._path}: {reason}; the command goes on without it "
                    "(--log-dir chooses another folder, --disable-file-logging none)\n"
                )

    def _open(self) -> TextIO:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stream = self._path.open("a", encoding="utf-8", errors="backslashreplace")
        if self._link is not None:
            temporary = self._link.with_name(f"{self._link.name}.{os.getpid()}")
            with suppress(OSError):  # file systems without links
                temporary.unlink(missing_ok=True)
                temporary.symlink_to(self._path.name)
                temporary.replace(self._link)
        return stream

    def close(self) -> None:
        """Close the file; what could not be written to a full volume is dropped."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(OSError):
                stream.close()
        super().close()


def start(session: Session) -> list[logging.Handler]:
    """Send the log of pykopia where the flags say; give the result to `stop` at the end."""
    flags = session.flags
    console = ConsoleHandler(session)
    console.setLevel(_LEVELS[flags.log_level])
    console.setFormatter(
        ConsoleFormatter(
            timestamps=flags.console_timestamps,
            as_json=flags.json_log_console,
            terminal=session.stderr.isatty(),
            color=session.colors(session.stderr),
        )
    )
    handlers: list[logging.Handler] = [console]
    if not flags.disable_file_logging:
        handlers.append(_file_handler(session))
    logger = logging.getLogger("pykopia")
    logger.setLevel(min(handler.level for handler in handlers))
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    return handlers


def stop(handlers: Iterable[logging.Handler]) -> None:
    """Take the handlers away again."""
    logger = logging.getLogger("pykopia")
    for handler in handlers:
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True


def _file_handler(session: Session) -> OnDemandFile:
    flags = session.flags
    if flags.log_file:
        handler = OnDemandFile(Path(flags.log_file).absolute(), link=None, stderr=session.stderr)
    else:
        folder = session.log_folder / _FOLDER
        when = datetime.fromtimestamp(clock.now() // _SECOND, UTC)
        if flags.file_log_local_tz:
            when = when.astimezone()
        name = f"kopia-{when:%Y%m%d-%H%M%S}-{os.getpid()}-{session.invocation.name.replace(' ', '-')}.log"
        sweep(folder, flags, now_ns=clock.now())
        handler = OnDemandFile(folder / name, link=folder / _LATEST, stderr=session.stderr)
    handler.setLevel(_LEVELS[flags.file_log_level])
    handler.setFormatter(FileFormatter(local=flags.file_log_local_tz, as_json=flags.json_log_file))
    return handler


def sweep(folder: Path, flags: LogFlags, *, now_ns: int) -> None:
    """Delete log files that are too old, too many or too much, oldest first."""
    try:
        with os.scandir(folder) as entries:
            logs = [
                (info.st_mtime_ns, info.st_size, entry.path)
                for entry in entries
                if entry.name.endswith(".log") and entry.is_file(follow_symlinks=False)
                for info in (entry.stat(follow_symlinks=False),)
            ]
    except OSError:
        return
    total, limit = 0, int(flags.log_dir_max_total_size_mb * 1_000_000)
    for place, (modified, length, path) in enumerate(sorted(logs, reverse=True), start=2):  # the new file is the first
        total += length
        too_many = 0 < flags.log_dir_max_files < place
        too_old = flags.log_dir_max_age > 0 and modified < now_ns - flags.log_dir_max_age
        if too_many or too_old or (limit > 0 and total > limit):
            with suppress(OSError):  # a folder of another user
                os.unlink(path)


__all__ = ["ConsoleFormatter", "ConsoleHandler", "FileFormatter", "OnDemandFile", "start", "stop", "sweep"]
