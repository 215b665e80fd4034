"""Which certificates of servers are trusted."""

import os
import re
import ssl
from binascii import a2b_base64
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pykopia.errors import UsageError
from pykopia.storage.subject_hash import subject_hash

_HASHED_NAME = re.compile("[0-9a-f]{8}[.](?:0|[1-9][0-9]{0,3})")
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


def tls_context(authorities: bytes = b"") -> ssl.SSLContext:
    """Return the TLS settings of a client.

    Each certificate that is given is trusted by itself, as in Go: that of an authority, of one below it, or of the server.
    OpenSSL alone wants the root of the chain.

    Args:
        authorities: PEM of certificates to trust besides those of this machine and those that certifi ships.

    Raises:
        UsageError: The authorities are no certificates.
    """
    context = _public_context(authorities)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ValueError, OSError) as error:  # an SSLError is an OSError
            raise UsageError(
                "can't use the authorities of this connection (rootCA): they are no certificates in PEM"
            ) from error
    return context


def _public_context(authorities: bytes) -> ssl.SSLContext:
    """Return the TLS settings of a client that trusts the authorities of this machine and those that certifi ships.

    The caller loads ``authorities`` besides.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` choose others than those of the machine; then all of them are loaded.

    A folder of certificates by their hashes is searched when a server shows one. To load the same from one file takes some
    60 ms of processor time, and certifi's as much again: a third of what a short command takes. So only those certificates
    are loaded that a search of the folder does not find.
    """
    paths = ssl.get_default_verify_paths()
    shipped = _certifi_file()
    if paths.capath == paths.openssl_capath and paths.cafile in (None, paths.openssl_cafile):
        with suppress(OSError, ValueError):  # OpenSSL reads by its own rules what can't be compared
            files = [file for file in (paths.cafile, shipped) if file is not None]
            return _searching(paths.capath, files, authorities)
    context = ssl.create_default_context()
    if shipped is not None:
        context.load_verify_locations(shipped)
    return context


def _searching(folder: str, files: Iterable[str], authorities: bytes) -> ssl.SSLContext:
    """Return the TLS settings of a client that searches a folder, with the certificates of files that the folder lacks.

    OpenSSL does not search the folder for a name that it has loaded: of each loaded name it gets all that there are.

    Args:
        folder: with certificates by their hashes.
        files: in PEM.
        authorities: PEM of certificates that the caller loads.

    Raises:
        OSError: the folder or a file can't be read, or a certificate can't be used.
        ValueError: a file holds something else than certificates.
    """
    context = ssl.create_default_context(capath=folder)
    found = _found_by_hash(folder)
    lacking = [body for file in files for body in _bodies(Path(file).read_bytes()) if body not in found]
    loaded = {subject_hash(a2b_base64(body)) for body in (*lacking, *_bodies(authorities))}
    lacking += [body for body, name_hash in found.items() if name_hash in loaded]
    if lacking:
        context.load_verify_locations(cadata=b"\n".join(_BEGIN + body + _END for body in lacking).decode("ascii"))
    return context


def _found_by_hash(folder: str) -> dict[bytes, str]:
    """Return the certificates that OpenSSL finds when it searches a folder: their text in PEM, and the hash of the name.

    OpenSSL looks for the hash of a name with the numbers 0, 1, 2 and so on, and gives up at the first that it can't read.
    """
    by_hash: dict[str, list[int]] = {}
    for name in os.listdir(folder):
        if _HASHED_NAME.fullmatch(name):
            by_hash.setdefault(name[:8], []).append(int(name[9:]))
    found: dict[bytes, str] = {}
    for name_hash, numbers in by_hash.items():
        with suppress(OSError, ValueError):
            for expected, number in enumerate(sorted(numbers)):
                if number != expected:
                    break
                (body,) = _bodies(Path(folder, f"{name_hash}.{number}").read_bytes())
                found[body] = name_hash
    return found


def _bodies(text: bytes) -> list[bytes]:
    """Return what lies between the first and the last line of each certificate in PEM.

    Raises:
        ValueError: a certificate does not end, or the text has something else than certificates.
    """
    bodies = []
    for part in text.split(b"-----BEGIN ")[1:]:
        body, end, _ = part.removeprefix(b"CERTIFICATE-----").partition(_END)
        if not end or len(part) == len(part.removeprefix(b"CERTIFICATE-----")):
            raise ValueError("not a file of certificates")
        bodies.append(body)
    return bodies


def _certifi_file() -> str | None:
    try:
        import certifi  # noqa: PLC0415 -- comes with the libraries of most backends
    except ImportError:
        return None
    return certifi.where()


def unverified_context() -> ssl.SSLContext:
    """Return the TLS settings of a client that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def with_public_authorities(authorities: bytes) -> bytes:
    """Return PEM of certificates and the public authorities, for a program that trusts nothing but one file."""
    context = ssl.create_default_context()
    shipped = _certifi_file()
    if shipped is not None:
        context.load_verify_locations(shipped)
    public = (ssl.DER_cert_to_PEM_cert(certificate) for certificate in context.get_ca_certs(binary_form=True))
    return authorities.rstrip() + b"\n" + "".join(public).encode("ascii")


__all__ = ["tls_context", "unverified_context", "with_public_authorities"]
