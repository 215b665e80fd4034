"""What a command costs: wall-clock and processor time, peak memory, and what it printed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command line with its environment and the folder it runs in."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one run of a command cost and printed."""

    exit_code: int
    wall_seconds: float
    user_seconds: float
    system_seconds: float
    """Processor time in user and system mode, of the command and the children it waited for."""
    peak_rss_bytes: int
    """The largest resident set of the command or one of its children."""
    stdout: str
    stderr: str

    @property
    def cpu_seconds(self) -> float:
        """Processor time in user and system mode together."""
        return self.user_seconds + self.system_seconds


class CommandFailedError(Exception):
    """A command that was to be measured did not end well."""

    def __init__(self, command: Command, reason: str, printed: str) -> None:
        self.command, self.reason = command, reason
        tail = "\n".join(printed.strip().splitlines()[-12:])[-2000:]
        super().__init__(f"{' '.join(command.words)} {reason}" + (f"; it printed at the end:\n{tail}" if tail else ""))


def run(command: Command, *, timeout_seconds: float) -> Outcome:
    """Run a command and return what it cost.

    Raises:
        CommandFailedError: It ended with an exit code other than zero, or took longer than the timeout.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        reader, writer = os.pipe()
        with open(reader, "rb") as report:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), str(writer), *command.words],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=dict(command.environment),
                cwd=command.folder,
                pass_fds=[writer],
                start_new_session=True,
            )
            os.close(writer)
            timed_out = _wait(process, timeout_seconds)
            cost = report.read() if not timed_out else b""
        stdout.seek(0)
        stderr.seek(0)
        printed, complaints = stdout.read().decode(errors="replace"), stderr.read().decode(errors="replace")
    if timed_out:
        raise CommandFailedError(command, f"took longer than {timeout_seconds:.0f} s and was stopped", complaints)
    if not cost:
        raise CommandFailedError(command, "could not be started", complaints)
    outcome = Outcome(**json.loads(cost), stdout=printed, stderr=complaints)
    if outcome.exit_code:
        raise CommandFailedError(command, f"ended with exit code {outcome.exit_code}", complaints or printed)
    return outcome


def _wait(process: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
    """Wait for the process and return whether it had to be stopped; on ^C its whole session is stopped too."""
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        return True
    except BaseException:
        _kill(process)
        raise
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


__all__ = ["Command", "CommandFailedError", "Outcome", "run"]
