"""Which certificates of servers are trusted."""

import os
import ssl

from pykopia.errors import UsageError


def tls_context(authorities: bytes = b"") -> ssl.SSLContext:
    """Return the TLS settings of a client.

    Args:
        authorities: PEM of authorities to trust besides those of this machine and those that certifi ships.

    Raises:
        UsageError: The authorities are no certificates.
    """
    context = ssl.create_default_context()
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
            tls_context(authorities)
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
