"""Starting a server, waiting until it answers, and ending it."""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE_SECONDS = 60
_POLL_SECONDS = 0.02


class ServerFailedError(Exception):
    """A server ended, or did not answer in time."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Tell whether somebody listens."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def answers_http(port: int, path: str = "/", *, tls: bool = False, below: int = 500) -> bool:
    """Tell whether an HTTP server gives a status below `below`; whose certificate it has is not looked at."""
    if tls:
        trusting = ssl._create_unverified_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(HOST, port, timeout=2, context=trusting)
    else:
        connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < below
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    ready: Callable[[], bool],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the time of a block, with all its children.

    Args:
        command: Program and arguments.
        ready: Tells whether it answers.
        log: File that gets what it prints.
        environment: Variables beyond those of this process.

    Raises:
        ServerFailedError: It ended, or did not answer in time; the message has the end of its log.
    """
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # so that its children end with it
        )
    try:
        _wait(server, ready, log)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(server: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            end = log.read_bytes()[-2000:].decode(errors="replace")
            state = "does not answer" if server.returncode is None else f"ended with status {server.returncode}"
            raise ServerFailedError(f"{server.args!r} {state}; its log ends in:\n{end}")
        pause.wait(_POLL_SECONDS)
