"""Finds the issuer of a certificate that is not trusted, so that a person can find the right authority certificate."""

import contextlib
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from pykopia.storage.options import StorageOptions

TIMEOUT_SECONDS: Final = 10
HTTPS: Final = 443


def server_of(options: StorageOptions | None) -> tuple[str, int] | None:
    """Return host and port of the TLS server of a storage; None where its options do not name it.

    >>> from pykopia.storage import S3Options
    >>> server_of(S3Options(bucket="b", endpoint="minio:9000"))
    ('minio', 9000)
    """
    address = "" if options is None else options.server
    if not address:
        return None
    with contextlib.suppress(ValueError):
        split = urlsplit(address if "://" in address else f"https://{address}")
        if split.hostname:
            return split.hostname, split.port or HTTPS
    return None


def issuer_of(server: tuple[str, int] | None) -> str:
    """Return the issuer in the certificate that a server shows, empty where it can't be asked.

    The connection transfers nothing but the handshake, so the certificate need not be trusted.
    """
    if server is None:
        return ""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(server, timeout=TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=server[0]) as secured,
        ):
            certificate = secured.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(certificate or b"").issuer.rfc4514_string()
    except (OSError, ValueError):
        return ""


__all__ = ["issuer_of", "server_of"]
