"""The shell commands of the spec, before and after a snapshot (rule M-110)."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pykopia import clock
from pykopia_mover.failures import MoverError

MOST_OUTPUT: Final = 64 << 10
"""Bytes of output that are logged."""
TAIL_LINES: Final = 10
"""Lines of output in the error."""
GRACE_SECONDS: Final = 10
"""Between the request to end and the end."""
TICK_SECONDS: Final = 0.1
NOT_FOUND: Final = 127


def run_command(
    text: str,
    *,
    name: str,
    timeout_seconds: int,
    environment: Mapping[str, str],
    tell: Callable[[str], None],
    canceled: Callable[[], bool] = lambda: False,
) -> None:
    """Run a shell command to its end.

    Args:
        text: for the shell.
        name: of the action, such as ``before-snapshot``.
        timeout_seconds: until it is ended, with all that it started.
        environment: all that it gets.
        tell: gets each line of its output.
        canceled: says whether to stop.

    Raises:
        MoverError: it can't be started, fails, takes too long, or the caller asked to stop.
    """
    shell = shutil.which("bash") or "/bin/sh"
    try:
        process = subprocess.Popen(
            [shell, "-c", text],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise MoverError("action", f"the {name} action can't be started: {shell}: {error.strerror}") from error
    output = _Output(process, tell)
    ended_why = _wait(process, clock.monotonic() + timeout_seconds, canceled)
    output.finish()
    tail = "".join(f"\n  {line}" for line in output.tail)
    if ended_why == "canceled":
        raise MoverError("terminated", f"the {name} action was ended: the run was told to stop")
    if ended_why == "timeout":
        raise MoverError(
            "action",
            f"the {name} action timed out after {timeout_seconds} seconds and was ended{tail}",
            "KOPIA_ACTION_TIMEOUT gives it more time",
        )
    if process.returncode:
        raise MoverError(
            "action",
            f"the {name} action failed: {_status(process.returncode)}{tail}",
            advice(process.returncode, output.tail),
        )


class _Output:
    """The output of a process, passed on line by line up to a limit."""

    def __init__(self, process: "subprocess.Popen[bytes]", tell: Callable[[str], None]) -> None:
        self._process, self._tell = process, tell
        self.tail: list[str] = []
        self.told = 0
        self._thread = threading.Thread(target=self._read, name="pykopia-action-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed from the other side
            for data in self._process.stdout:
                line = data.decode("utf-8", "replace").rstrip("\r\n")
                self.tail = [*self.tail, line][-TAIL_LINES:]
                if self.told < MOST_OUTPUT:
                    self.told += len(data)
                    self._tell(line if self.told < MOST_OUTPUT else f"{line} … (the rest of the output is left out)")

    def finish(self) -> None:
        """Wait a short time for the rest of the output: a child process may keep the pipe open."""
        self._thread.join(1)
        if not self._thread.is_alive():
            assert self._process.stdout is not None
            self._process.stdout.close()


def _wait(process: "subprocess.Popen[bytes]", deadline: float, canceled: Callable[[], bool]) -> str:
    """Wait for the end of the process; return why it was ended, empty if it ended by itself."""
    while True:
        try:
            process.wait(TICK_SECONDS)
        except subprocess.TimeoutExpired:
            why = "canceled" if canceled() else "timeout" if clock.monotonic() >= deadline else ""
            if why:
                _end(process)
                return why
        else:
            return ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    _signal(process, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()
    _signal(process, signal.SIGKILL)  # what it left behind


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _status(code: int) -> str:
    return f"exit status {code}" if code >= 0 else f"ended by signal {-code}"


def advice(status: int | None, output: Sequence[str]) -> str:
    """Return what to do about an action that failed.

    Args:
        status: exit status of its shell.
        output: its last lines.
    """
    if status == NOT_FOUND:
        return (
            "A command was not found (exit status 127): actions run in the mover's container, not in that of the "
            "application; it has a shell and the basic tools. Put the tool into the image, or dump from within the application"
        )
    text = "\n".join(output)
    if "Read-only file system" in text or "Permission denied" in text or "Operation not permitted" in text:
        return (
            "Actions run in the mover's container, with its rights and without any to the node's kernel; the volume is at "
            "/data, whatever path the snapshots record, and it may be mounted read-only"
        )
    return "Actions run in the mover's container, where the volume is at /data"


__all__ = ["advice", "run_command"]
