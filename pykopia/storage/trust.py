"""Which certificates of servers are trusted."""

import ssl

from pykopia.errors import UsageError


def tls_context(authorities: bytes = b"") -> ssl.SSLContext:
    """Return the TLS settings of a client.

    Each certificate that is given is trusted by itself, as in Go: that of an authority, of one below it, or of the server.
    OpenSSL alone wants the root of the chain.

    Args:
        authorities: PEM of certificates to trust besides those of this machine and those that certifi ships.

    Raises:
        UsageError: The authorities are no certificates.
    """
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _add_certifi(context)
    if authorities:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ValueError, OSError) as error:  # an SSLError is an OSError
            raise UsageError(
                "can't use the authorities of this connection (rootCA): they are no certificates in PEM"
            ) from error
    return context


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
