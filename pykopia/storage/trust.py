"""Which certificates of servers are trusted."""

import os
import ssl

from pykopia.errors import UsageError


def tls_context(*, authorities: bytes = b"", verify: bool = True, bundle: str = "") -> ssl.SSLContext:
    """Return the TLS settings of a client.

    Args:
        authorities: PEM of the only authorities to trust; empty: those of this machine and those that certifi ships.
        verify: Whether certificates are looked at.
        bundle: File of authorities to trust instead of those of this machine.

    Raises:
        UsageError: The authorities or the file are no certificates.
    """
    try:
        if authorities:
            context = ssl.create_default_context(cadata=authorities.decode("ascii"))
        elif bundle:
            context = ssl.create_default_context(cafile=bundle)
        else:
            context = ssl.create_default_context()
            _add_certifi(context)
    except (ValueError, OSError) as error:  # an SSLError is an OSError
        what = "the certificates of the authorities to trust" if authorities else f"the authorities in {bundle}"
        raise UsageError(f"can't use {what}: they are no certificates in PEM format") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _add_certifi(context: ssl.SSLContext) -> None:
    try:
        import certifi  # noqa: PLC0415 -- comes with the libraries of most backends
    except ImportError:
        return
    context.load_verify_locations(certifi.where())


class AuthoritiesFile:
    """Authorities to trust as a file, for libraries that take nothing else; it lies in memory.

    Args:
        authorities: PEM; empty: there is no file.

    Raises:
        UsageError: They are no certificates.
    """

    def __init__(self, authorities: bytes) -> None:
        self.path = ""
        """Empty: there is none."""
        self._descriptor = -1
        if authorities:
            tls_context(authorities=authorities)
            self._descriptor = os.memfd_create("authorities")
            os.write(self._descriptor, authorities)
            self.path = f"/proc/self/fd/{self._descriptor}"

    def close(self) -> None:
        """Let the file go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


__all__ = ["AuthoritiesFile", "tls_context"]
