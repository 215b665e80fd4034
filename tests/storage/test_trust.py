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


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("others"))


@pytest.fixture
def system(tmp_path: Path, others: Certificates, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of this machine's certificates, with an empty file for all of them; certifi has one."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "bundle.crt").touch()
    shutil.copy(others.authority, tmp_path / "certifi.pem")
    monkeypatch.setattr(trust, "_certifi_file", lambda: str(tmp_path / "certifi.pem"))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
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


def hash_of(authority: Path) -> str:
    words = ["openssl", "x509", "-hash", "-noout", "-in", str(authority)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def add_by_hash(folder: Path, authority: Path, number: int = 0) -> Path:
    """Store a certificate where OpenSSL looks for it; return the file."""
    return Path(shutil.copy(authority, folder / f"{hash_of(authority)}.{number}"))


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


def test_what_the_folder_has_is_searched_and_not_loaded(system: Path, certificates: Certificates) -> None:
    assert not accepts(trust.tls_context(), certificates)
    for file in (system / "bundle.crt", system.with_name("certifi.pem")):
        shutil.copy(certificates.authority, file)
    add_by_hash(system, certificates.authority)
    context = trust.tls_context()
    assert context.cert_store_stats()["x509_ca"] == 0
    assert accepts(context, certificates)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


@pytest.mark.parametrize("found", [True, False])
def test_several_certificates_of_one_hash_are_all_found(
    system: Path, certificates: Certificates, others: Certificates, found: bool
) -> None:
    first = add_by_hash(system, others.authority)
    assert first == add_by_hash(system, certificates.authority, 1).with_suffix(".0"), "both have one name"
    shutil.copy(certificates.authority, system / "bundle.crt")
    if not found:
        first.unlink()  # OpenSSL does not look at number 1 then
    context = trust.tls_context()
    assert context.cert_store_stats()["x509_ca"] == (0 if found else 2)
    assert accepts(context, certificates)
    assert accepts(context, others)


@pytest.mark.parametrize("bundle", ["bundle.crt", "../certifi.pem"])
@pytest.mark.parametrize("folder", ["without", "link to nowhere", "link to a folder", "empty", "damaged", "two in one"])
@pytest.mark.parametrize("text", ["as written", "crlf", "no line break at the end", "with a comment"])
def test_what_a_search_does_not_find_is_loaded(
    system: Path, certificates: Certificates, bundle: str, folder: str, text: str
) -> None:
    """As where the folder was copied to an image without what its links name, or where a file was mounted over that of the
    system; the times of files mean nothing then."""
    pem = certificates.authority.read_bytes()
    by_hash = add_by_hash(system, certificates.authority)
    by_hash.unlink()
    if folder == "link to nowhere":
        by_hash.symlink_to("/usr/share/ca-certificates/nowhere.crt")
    elif folder == "link to a folder":
        by_hash.symlink_to(system)
    elif folder == "empty":
        by_hash.touch()
    elif folder == "damaged":
        by_hash.write_bytes(pem[: len(pem) // 2])
    elif folder == "two in one":
        by_hash.write_bytes(pem + pem)
    written = {
        "crlf": pem.replace(b"\n", b"\r\n"),
        "no line break at the end": pem.rstrip(),
        "with a comment": b"# M\xc3\xbcller\n" + pem,
    }
    (system / bundle).write_bytes(written.get(text, pem))
    os.utime(system / bundle, (1, 1))
    assert accepts(trust.tls_context(), certificates)


@pytest.mark.parametrize(
    "case", ["variable of a file", "variable of a folder", "no folder", "no certifi", "no file", "a key in a file"]
)
def test_what_is_not_there_is_no_error(
    system: Path, certificates: Certificates, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = True
    if case == "variable of a folder":
        monkeypatch.setattr(
            trust, "_certifi_file", lambda: None
        )  # one of the same name would hide it, with any OpenSSL
    if case == "variable of a file":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    elif case == "variable of a folder":
        folder = system.with_name("named")
        folder.mkdir()
        add_by_hash(folder, certificates.authority)
        monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    elif case == "no folder":
        shutil.rmtree(system)
        shutil.copy(certificates.authority, system.with_name("certifi.pem"))
    elif case == "a key in a file":  # then OpenSSL reads all files
        both = certificates.key.read_bytes() + certificates.authority.read_bytes()
        system.with_name("certifi.pem").write_bytes(both)
    elif case == "no certifi":
        monkeypatch.setattr(trust, "_certifi_file", lambda: None)
        trusted = False
    else:
        (system / "bundle.crt").unlink()
        add_by_hash(system, certificates.authority)
    assert accepts(trust.tls_context(), certificates) is trusted


def test_variables_that_name_others_leave_out_those_of_the_system(
    system: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_by_hash(system, certificates.authority)
    shutil.copy(certificates.authority, system / "bundle.crt")
    folder = system.with_name("named")
    folder.mkdir()
    (folder / "none.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert not accepts(trust.tls_context(), certificates)


@pytest.mark.parametrize("place", ["bundle.crt", "../certifi.pem", "connection"])
def test_a_loaded_authority_does_not_hide_another_of_the_same_name(
    system: Path, certificates: Certificates, others: Certificates, place: str
) -> None:
    """An authority gets a new key and keeps its name."""
    add_by_hash(system, certificates.authority)
    system.with_name("certifi.pem").touch()
    given = b""
    if place == "connection":
        given = others.authority.read_bytes()
    else:
        shutil.copy(others.authority, system / place)
    context = trust.tls_context(given)
    assert accepts(context, certificates)
    assert accepts(context, others)


def test_an_authority_of_the_connection_is_trusted_besides(system: Path, certificates: Certificates) -> None:
    assert accepts(trust.tls_context(certificates.authority.read_bytes()), certificates)
