"""Connections of the library requests, with TLS settings of ours and the proxy that counts for a server."""

import ssl
from typing import Any

from requests.adapters import HTTPAdapter

from pykopia.storage.proxies import proxy_for


class OwnSettings(HTTPAdapter):
    """An adapter that takes TLS settings, and never tries again by itself.

    Args:
        context: TLS settings; None: those of requests.
        more: What ``HTTPAdapter`` takes.
    """

    def __init__(self, context: ssl.SSLContext | None, **more: Any) -> None:  # noqa: ANN401 -- of requests
        self._context = context
        super().__init__(max_retries=0, **more)

    def init_poolmanager(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 -- of requests
        """Apply the TLS settings to direct connections."""
        super().init_poolmanager(*arguments, **more, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:  # noqa: ANN401 -- of requests
        """Apply the TLS settings to connections through a proxy."""
        return super().proxy_manager_for(proxy, **more, ssl_context=self._context)

    def send(self, request: Any, **more: Any) -> Any:  # type: ignore[override] # noqa: ANN401 -- of requests
        """Send a request, by the proxy that counts for its server."""
        proxy = proxy_for(request.url)
        return super().send(request, **{**more, "proxies": {"https": proxy, "http": proxy} if proxy else {}})


__all__ = ["OwnSettings"]
