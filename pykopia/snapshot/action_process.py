"""One run of an action: a process group of its own, its output line by line, an end to it in time.

Facts: format 05 §10. What an action prints goes to the log as it comes; nothing waits for a pipe that a left-over child
keeps open, and at the timeout the whole group is ended.
"""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from pykopia import clock
from pykopia.dataclass import dataclass
from pykopia.errors import ActionFailedError, CanceledError

log = logging.getLogger(__name__)

TICK_SECONDS = 0.05
"""Seconds between two checks for timeout, cancellation and the end of the process."""
GRACE_SECONDS = 3.0
"""Time between the request to end (SIGTERM) and the end (SIGKILL)."""
LONGEST_LINE = 64 << 10
"""Bytes of a line of output; what is longer comes in pieces."""
TAIL_LINES = 10
"""Lines of output that an error keeps."""
PIPE_READS = 17
"""So many reads empty a pipe of the greatest size, 1 MiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionProcess:
    """Program to start, and how long to wait for it."""

    label: str
    """Names action and folder in messages, such as ``before-folder action of /data``."""
    words: Sequence[str]
    folder: str
    """Working folder."""
    environment: Mapping[str, str]
    timeout_seconds: float

    def run(self, tell: Callable[[str], None], canceled: Callable[[], bool]) -> None:
        """Run to the end, and report the lines of its standard output; all it prints goes to the log.

        Raises:
            ActionFailedError: it could not be started, its status is not 0, or it took too long.
            CanceledError: the caller asked to stop; it was ended.
        """
        process = self._start(subprocess.PIPE)
        with process:
            assert process.stdout is not None
            assert process.stderr is not None

            tail: deque[str] = deque(maxlen=TAIL_LINES)

            def log_line(line: str) -> None:
                tail.append(line)
                log.info("%s: %s", self.label, line)

            def told(line: str) -> None:
                log_line(line)
                tell(line)

            streams = (_Lines(process.stdout, told), _Lines(process.stderr, log_line))
            try:
                self._follow(process, streams, canceled)
            except BaseException:
                _end(process)
                raise
            finally:
                for stream in streams:
                    stream.close()
        if process.returncode:
            raise ActionFailedError(
                f"{self.label} failed: {_status(process.returncode)}", status=process.returncode, output=tuple(tail)
            )

    def start(self, script: str = "") -> None:
        """Start without waiting: its output is dropped, its end is logged if this process sees it.

        Args:
            script: a file among the words that may be gone before it is read: it is handed over open.

        Raises:
            ActionFailedError: it could not be started.
        """
        with open(script or os.devnull, "rb") as file:
            process = self._start(subprocess.DEVNULL, script, file.fileno())
        threading.Thread(target=self._watch, args=(process,), name="pykopia-action", daemon=True).start()

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        try:
            code = process.wait(self.timeout_seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            log.error("%s", self._too_long())  # noqa: TRY400 -- nothing was raised that a traceback could explain
        else:
            log.log(logging.ERROR if code else logging.DEBUG, "%s ended: %s", self.label, _status(code))

    def _start(self, output: int, script: str = "", descriptor: int = -1) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                [f"/dev/fd/{descriptor}" if script and word == script else word for word in self.words],
                pass_fds=(descriptor,) if script else (),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ActionFailedError(f"{self.label} can't be started: {self.words[0]}: {reason}") from error

    def _follow(
        self, process: "subprocess.Popen[bytes]", streams: "Sequence[_Lines]", canceled: Callable[[], bool]
    ) -> None:
        """Read output until the process has ended."""
        deadline = clock.monotonic() + self.timeout_seconds
        with selectors.DefaultSelector() as selector:
            for stream in streams:
                selector.register(stream, selectors.EVENT_READ)
            while process.poll() is None:
                for key, _ in selector.select(TICK_SECONDS):
                    assert isinstance(key.fileobj, _Lines)
                    if not key.fileobj.read():
                        selector.unregister(key.fileobj)
                if not selector.get_map():
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(TICK_SECONDS)
                if canceled():
                    raise CanceledError(f"{self.label} was ended: canceled")
                if clock.monotonic() >= deadline:
                    raise ActionFailedError(self._too_long(), timed_out=True)
        for stream in streams:
            stream.drain()  # children that are left may keep the pipes open: they are not waited for

    def _too_long(self) -> str:
        return (
            f"{self.label} was ended after {self.timeout_seconds:g} s, with all that it had started; "
            "`policy set --action-command-timeout` gives it more time"
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Stop a process and its children: SIGTERM first, so that they can clean up."""
    if process.returncode is not None:
        return
    _signal(process, signal.SIGTERM)
    deadline = clock.monotonic() + GRACE_SECONDS
    pause = threading.Event()
    # its status is not fetched yet: until then no other process can get its number, which is that of the group
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if clock.monotonic() >= deadline:
            break
        pause.wait(TICK_SECONDS)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all gone; some run as another user
        os.killpg(process.pid, number)


class _Lines:
    """Bytes of a pipe, handed on as lines of text."""

    def __init__(self, pipe: IO[bytes], tell: Callable[[str], None]) -> None:
        self._pipe, self._tell = pipe, tell
        self._rest = b""
        os.set_blocking(pipe.fileno(), False)

    def fileno(self) -> int:
        return self._pipe.fileno()

    def read(self) -> bool:
        """Hand on what is there; return False at the end."""
        try:
            data = os.read(self._pipe.fileno(), LONGEST_LINE)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) >= LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._told(line)
        return bool(data)

    def drain(self) -> None:
        """Hand on what the pipe holds now."""
        for _ in range(PIPE_READS):
            if not self.read():
                return

    def close(self) -> None:
        """Hand on what is left and close."""
        if self._rest:
            self._told(self._rest)
        self._pipe.close()

    def _told(self, line: bytes) -> None:
        self._tell(line.removesuffix(b"\r").decode("utf-8", "surrogateescape"))


def _status(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


__all__ = ["ActionProcess"]
