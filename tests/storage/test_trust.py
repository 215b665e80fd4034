"""Which servers a client trusts: those of this machine's authorities, by a folder that is searched or a file that is loaded."""

import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pykopia.storage import trust
from tests.servers.tls import Certificates, make_certificates

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of this machine's certificates, with 60 that are none and a file that has none."""
    folder = tmp_path / "certs"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:08x}.0").touch()
    (folder / "bundle.crt").touch()
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR")
    find = ssl.get_default_verify_paths
    default = {"cafile": str(folder / "bundle.crt"), "capath": str(folder)}

    def there(path: str) -> Any:  # noqa: ANN401 -- None where there is nothing, which the stubs do not know
        return path if os.path.exists(path) else None

    def found() -> ssl.DefaultVerifyPaths:
        paths = find()._replace(openssl_cafile=default["cafile"], openssl_capath=default["capath"])
        if "SSL_CERT_FILE" not in os.environ:
            paths = paths._replace(cafile=there(default["cafile"]))
        if "SSL_CERT_DIR" not in os.environ:
            paths = paths._replace(capath=there(default["capath"]))
        return paths

    monkeypatch.setattr(ssl, "get_default_verify_paths", found)
    return folder


def add_by_hash(folder: Path, authority: Path) -> None:
    words = ["openssl", "x509", "-hash", "-noout", "-in", str(authority)]
    name = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    shutil.copy(authority, folder / f"{name}.0")


def accepts(client: ssl.SSLContext, certificates: Certificates) -> bool:
    """Return whether a client trusts the server of the certificates."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates.certificate, certificates.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return True


def test_a_folder_of_the_public_authorities_is_searched_and_not_loaded(
    system: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_add_certifi", lambda _: pytest.fail("certifi is not needed"))
    assert not accepts(trust.tls_context(), certificates)
    add_by_hash(system, certificates.authority)
    context = trust.tls_context()
    assert context.cert_store_stats()["x509_ca"] == 0
    assert accepts(context, certificates)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


@pytest.mark.parametrize("case", ["few", "newer file", "variable of a file", "variable of a folder", "no folder"])
def test_otherwise_files_are_loaded_and_certifi_too(
    system: Path, certificates: Certificates, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[ssl.SSLContext] = []
    monkeypatch.setattr(trust, "_add_certifi", loaded.append)
    if case == "few":
        for number in range(20):
            (system / f"{number:08x}.0").unlink()
    elif case == "newer file":
        later = system.stat().st_mtime + 3600
        os.utime(system / "bundle.crt", (later, later))
    elif case == "variable of a file":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    elif case == "variable of a folder":
        shutil.copytree(system, system.with_name("others"))
        monkeypatch.setenv("SSL_CERT_DIR", str(system.with_name("others")))
    else:
        shutil.rmtree(system)
    context = trust.tls_context()
    assert loaded == [context]
    assert accepts(context, certificates) is (case == "variable of a file")


def test_an_authority_of_the_connection_is_trusted_besides(system: Path, certificates: Certificates) -> None:
    assert accepts(trust.tls_context(certificates.authority.read_bytes()), certificates)
