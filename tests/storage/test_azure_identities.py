"""How pykopia logs in to Azure without a key: tokens of an imitation of Entra, which Azurite takes."""

import base64
import json
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pykopia.errors import StorageAuthenticationError, UsageError
from pykopia.storage.backends.azureblob.options import AzureBlobOptions
from pykopia.storage.backends.azureblob.storage import AzureStorage
from pykopia.testing.storage_tests import PACK
from tests.cli_runner import Runner
from tests.servers import tls
from tests.servers.azure import AzureServer
from tests.servers.entra import CLIENT, SECRET, TENANT, Entra, entra
from tests.servers.tls import Certificates
from tests.trees import small_tree

_PRINCIPAL = {"tenant_id": TENANT, "client_id": CLIENT}


@pytest.fixture
def identities(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Entra]:
    with entra(certificates) as found:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", found.authority)
        yield found


@pytest.fixture
def options(azurite_tls: AzureServer, identities: Entra) -> AzureBlobOptions:
    return replace(azurite_tls.new_container(), storage_key="")


def works(options: AzureBlobOptions, **changes: Any) -> None:  # noqa: ANN401
    with AzureStorage(replace(options, **changes)) as storage:
        storage.put(PACK, b"x")
        assert storage.get(PACK) == b"x"


def test_a_client_secret_logs_in_once_for_many_requests(options: AzureBlobOptions, identities: Entra) -> None:
    works(options, **_PRINCIPAL, client_secret=SECRET)
    [request] = identities.requests
    assert request["grant_type"] == "client_credentials"
    assert request["scope"] == "https://storage.azure.com/.default"


def test_a_client_certificate_signs_what_logs_in(
    options: AzureBlobOptions, identities: Entra, certificates: Certificates
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    certificate = x509.load_pem_x509_certificate(certificates.certificate.read_bytes())
    signed = (
        x509.CertificateBuilder(certificate.issuer, certificate.subject, key.public_key(), 1)
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    works(options, **_PRINCIPAL, client_certificate=pem.decode())
    [request] = identities.requests
    head, claims, signature = request["client_assertion"].split(".")
    assert json.loads(decoded(head))["alg"] == "PS256"
    rule = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    key.public_key().verify(decoded(signature), f"{head}.{claims}".encode(), rule, hashes.SHA256())
    assert json.loads(decoded(claims))["iss"] == CLIENT


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("pem", ["canary: no PEM", "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n"])
def test_a_client_certificate_that_is_none_is_told_and_not_shown(options: AzureBlobOptions, pem: str) -> None:
    with pytest.raises(UsageError, match="must be PEM, with its private key") as caught:
        works(options, **_PRINCIPAL, client_certificate=pem)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_the_token_of_a_workload_is_read_from_its_file(
    options: AzureBlobOptions, identities: Entra, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token-of-the-workload")
    works(options, **_PRINCIPAL, azure_federated_token_file=str(tmp_path / "token"))
    [request] = identities.requests
    assert request["client_assertion"] == "token-of-the-workload"


def test_without_any_the_machine_is_asked(
    options: AzureBlobOptions, identities: Entra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pod of a cluster has it: by variables, and a token in a file."""
    (tmp_path / "token").write_text("token-of-the-pod")
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    works(options)
    assert identities.requests[0]["client_assertion"] == "token-of-the-pod"


def test_a_signature_comes_before_the_key_and_the_key_before_a_principal(
    azurite_tls: AzureServer, options: AzureBlobOptions, identities: Entra
) -> None:
    works(options, **_PRINCIPAL, client_secret="canary-wrong", storage_key=azurite_tls.key)
    assert identities.requests == []


def test_a_wrong_secret_is_told_and_not_shown(options: AzureBlobOptions) -> None:
    with pytest.raises(
        StorageAuthenticationError, match=r"Invalid client secret provided.*check the credentials"
    ) as caught:
        works(options, **_PRINCIPAL, client_secret=SECRET[::-1])
    assert SECRET[::-1] not in "".join(traceback.format_exception(caught.value))


def test_the_command_line_takes_a_principal_by_flags_and_variables(
    options: AzureBlobOptions,
    azurite_tls: AzureServer,
    azurite_tunnel: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert azurite_tls.certificates is not None
    monkeypatch.setenv("HTTPS_PROXY", azurite_tunnel)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(azurite_tls.certificates.authority))
    cli = Runner(tmp_path / "client", environment={"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_SECRET": SECRET})
    account = ("--storage-account", azurite_tls.account, "--storage-domain", tls.DOMAIN, "--client-id", CLIENT)
    cli.ok("repository", "create", "azure", "--container", options.container, *account)
    small_tree(tmp_path / "source")
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    cli.ok("snapshot", "verify", "--verify-files-percent=100")
    told = cli.ok("repository", "status")
    assert SECRET not in told.stdout + told.stderr
