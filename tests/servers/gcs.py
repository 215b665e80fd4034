"""fake-gcs-server: Google Cloud Storage as an emulator of its JSON API, built by Go."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import process, programs


@dataclass(frozen=True, kw_only=True)
class GCSServer:
    """A running server; it asks for no credentials."""

    url: str


@contextlib.contextmanager
def fake_gcs(folder: Path) -> Iterator[GCSServer]:
    """Run fake-gcs-server with its data in memory."""
    program = programs.require("fake-gcs-server", install="sh scripts/test-servers.sh --all")
    port = process.free_port()
    url = f"http://{process.HOST}:{port}"
    command: list[str | Path] = [
        program,
        "-scheme",
        "http",
        "-host",
        process.HOST,
        "-port",
        str(port),
        "-backend",
        "memory",
    ]
    command += ["-external-url", url, "-public-host", f"{process.HOST}:{port}"]
    with process.running(command, ready=lambda: process.accepts(port), log=folder / "log"):
        yield GCSServer(url=url)
