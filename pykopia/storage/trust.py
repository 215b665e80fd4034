"""Which certificates of servers are trusted."""

import os
import re
import ssl
from contextlib import suppress
from itertools import islice

from pykopia.errors import UsageError

_HASHED_NAME = re.compile("[0-9a-f]{8}[.][0-9]+")
_PUBLIC_AUTHORITIES = 50
"""Certificates that a folder has at the least if it has the public authorities: there are some 140."""
_SAME_UPDATE_SECONDS = 60
"""Between the times of the file and the folder when one program has written both."""


def tls_context(authorities: bytes = b"") -> ssl.SSLContext:
    """Return the TLS settings of a client.

    Each certificate that is given is trusted by itself, as in Go: that of an authority, of one below it, or of the server.
    OpenSSL alone wants the root of the chain.

    Args:
        authorities: PEM of certificates to trust besides those of this machine, and those that certifi ships if this
            machine has few.

    Raises:
        UsageError: The authorities are no certificates.
    """
    context = _public_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ValueError, OSError) as error:  # an SSLError is an OSError
            raise UsageError(
                "can't use the authorities of this connection (rootCA): they are no certificates in PEM"
            ) from error
    return context


def _public_context() -> ssl.SSLContext:
    """Return the TLS settings of a client that trusts the authorities of this machine, and those of certifi if need be.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` choose others; then all of them are loaded.

    A folder of certificates by their hashes is searched when a server shows one. To load the same from one file takes some
    60 ms of processor time, and certifi's as much again: a third of what a short command takes.
    """
    paths = ssl.get_default_verify_paths()
    usual = paths.capath == paths.openssl_capath and paths.cafile in (None, paths.openssl_cafile)
    if usual and _is_complete(paths.capath, paths.cafile):
        return ssl.create_default_context(capath=paths.capath)
    context = ssl.create_default_context()
    _add_certifi(context)
    return context


def _is_complete(folder: str, bundle: str | None) -> bool:
    """Return True if a folder has the public authorities by their hashes, and all that the system's file has.

    Many add an authority of their own to that file alone; the folder is older then.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        hashed = islice((entry for entry in entries if _HASHED_NAME.fullmatch(entry.name)), _PUBLIC_AUTHORITIES)
        if sum(1 for _ in hashed) < _PUBLIC_AUTHORITIES:
            return False
        return bundle is None or os.stat(bundle).st_mtime <= os.stat(folder).st_mtime + _SAME_UPDATE_SECONDS
    return False


def _add_certifi(context: ssl.SSLContext) -> None:
    try:
        import certifi  # noqa: PLC0415 -- comes with the libraries of most backends
    except ImportError:
        return
    context.load_verify_locations(certifi.where())


def unverified_context() -> ssl.SSLContext:
    """Return the TLS settings of a client that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def with_public_authorities(authorities: bytes) -> bytes:
    """Return PEM of certificates and the public authorities, for a program that trusts nothing but one file."""
    context = ssl.create_default_context()
    _add_certifi(context)
    public = (ssl.DER_cert_to_PEM_cert(certificate) for certificate in context.get_ca_certs(binary_form=True))
    return authorities.rstrip() + b"\n" + "".join(public).encode("ascii")


__all__ = ["tls_context", "unverified_context", "with_public_authorities"]
