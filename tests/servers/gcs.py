"""fake-gcs-server: Google Cloud Storage as an emulator of its JSON API, built by Go."""

import contextlib
import itertools
import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pykopia.storage.backends.gcs.options import GCSOptions
from tests.servers import process, programs

_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class GCSServer:
    """A running server; it asks for no credentials."""

    url: str

    def new_bucket(self) -> GCSOptions:
        """Return the options of a new, empty bucket."""
        name = f"bucket-{os.getpid()}-{next(_numbers)}"
        request = urllib.request.Request(
            f"{self.url}/storage/v1/b?project=p",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request).close()
        return GCSOptions(bucket=name)


@contextlib.contextmanager
def fake_gcs(folder: Path, *, public_host: str = "") -> Iterator[GCSServer]:
    """Run fake-gcs-server with its data in memory.

    Args:
        folder: Gets its log.
        public_host: Host and port by which clients reach it; empty: its own.
    """
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
    public_host = public_host or f"{process.HOST}:{port}"
    command += ["-external-url", f"http://{public_host}", "-public-host", public_host]
    with process.running(command, ready=lambda: process.accepts(port), log=folder / "log"):
        yield GCSServer(url=url)
