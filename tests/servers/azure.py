"""Azurite: Azure Blob Storage as its makers imitate it, from npm."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ResourceTypes,
    generate_account_sas,
)

from pykopia.storage.backends.azureblob.options import AzureBlobOptions
from tests.servers import process, programs
from tests.servers.tls import Certificates

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The published key of every Azurite."""

_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class AzureServer:
    """A running server."""

    domain: str
    """Host and port; the account is the first folder of its URLs."""
    account: str = ACCOUNT
    key: str = KEY
    certificates: Certificates | None = None
    """None: it speaks plain HTTP."""

    def container(self, name: str) -> ContainerClient:
        """Return a client that does what pykopia leaves to others, such as creating containers."""
        scheme = "https" if self.certificates else "http"
        service = BlobServiceClient(
            f"{scheme}://{self.domain}/{self.account}",
            credential=self.key,
            connection_verify=str(self.certificates.authority) if self.certificates else True,
        )
        return service.get_container_client(name)

    def signature(self) -> str:
        """Return a shared access signature for an hour."""
        return generate_account_sas(
            self.account,
            self.key,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
            datetime.now(UTC) + timedelta(hours=1),
        )

    def new_container(self) -> AzureBlobOptions:
        """Return the options of a new, empty container."""
        name = f"container-{os.getpid()}-{next(_numbers)}"
        with self.container(name) as container:
            container.create_container()
        return AzureBlobOptions(
            container=name,
            storage_account=self.account,
            storage_key=self.key,
            storage_domain=self.domain,
            do_not_use_tls=self.certificates is None,
            root_ca=self.certificates.authority.read_bytes() if self.certificates else b"",
        )


@contextlib.contextmanager
def azurite(folder: Path, certificates: Certificates | None = None) -> Iterator[AzureServer]:
    """Run Azurite with its data in a folder.

    With certificates it speaks TLS, and takes tokens, whose signature it does not check.
    """
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
        command += ["--cert", certificates.certificate, "--key", certificates.key, "--oauth", "basic"]
    with process.running(command, ready=lambda: process.accepts(port), log=folder / "log"):
        yield AzureServer(domain=f"{process.HOST}:{port}", certificates=certificates)
