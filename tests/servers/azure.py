"""Azurite: Azure Blob Storage as its makers imitate it, from npm."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers import process, programs
from tests.servers.tls import Certificates

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The published key of every Azurite."""


@dataclass(frozen=True, kw_only=True)
class AzureServer:
    """A running server."""

    domain: str
    """Host and port; the account is the first folder of its URLs."""
    account: str = ACCOUNT
    key: str = KEY
    certificates: Certificates | None = None


@contextlib.contextmanager
def azurite(folder: Path, certificates: Certificates | None = None) -> Iterator[AzureServer]:
    """Run Azurite with its data in a folder; with certificates it speaks TLS."""
    program = programs.require("azurite-blob")
    port = process.free_port()
    command: list[str | Path] = [
        program,
        "--blobHost",
        process.HOST,
        "--blobPort",
        str(port),
        "--location",
        folder,
        "--silent",
    ]
    command += ["--skipApiVersionCheck", "--disableTelemetry"]
    if certificates:
        command += ["--cert", certificates.certificate, "--key", certificates.key]
    with process.running(command, ready=lambda: process.accepts(port), log=folder / "log"):
        yield AzureServer(domain=f"{process.HOST}:{port}", certificates=certificates)
