"""Connections to a service over HTTP by urllib3: TLS settings of ours, the proxy that counts, and nothing tried again."""

import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3

from pykopia.ids import Buffer
from pykopia.storage.proxies import proxy_for

PIECE = 256 << 10
"""Bytes that are sent at once, for which the time-out of the connection counts."""


class Body:
    """Buffers one after the other, sent in pieces: with one alone, the time-out of a connection would count for all of it."""

    def __init__(self, *buffers: Buffer) -> None:
        self._views = [memoryview(buffer).cast("B") for buffer in buffers]

    def __len__(self) -> int:
        return sum(map(len, self._views))

    def __iter__(self) -> Iterator[memoryview]:
        for view in self._views:
            for start in range(0, len(view), PIECE):
                yield view[start : start + PIECE]


def connections(
    url: str, *, most: int, connect_seconds: float, answer_seconds: float, context: ssl.SSLContext | None
) -> urllib3.PoolManager:
    """Return connections to the server of a URL, directly or by its proxy.

    Args:
        url: Any URL of the server.
        most: Connections that are kept.
        connect_seconds: Time for a connection to be made.
        answer_seconds: Time in which nothing comes, or nothing is taken, before a request fails.
        context: TLS settings; None for a server without TLS.
    """
    settings: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=connect_seconds, read=answer_seconds),
        "maxsize": most,
    }
    if context is not None:
        settings["ssl_context"] = context
    proxy = proxy_for(url)
    if proxy is None:
        return urllib3.PoolManager(**settings)
    login = urllib3.util.parse_url(proxy).auth
    headers = urllib3.util.make_headers(proxy_basic_auth=unquote(login)) if login else {}
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **settings)


def send(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: Any = None,  # noqa: ANN401 -- what urllib3 sends
) -> urllib3.BaseHTTPResponse:
    """Make one request as it is, and return the answer to be read; redirects are answers like others.

    Raises:
        HTTPError: The connection failed.
    """
    split = urlsplit(url)
    by_proxy = pool.proxy is not None and split.scheme == "http"  # which wants all of the URL
    target = url if by_proxy else url[len(f"{split.scheme}://{split.netloc}") :]
    return pool.connection_from_url(url).urlopen(
        method,
        target,
        body=body,
        headers=dict(headers),
        retries=False,
        redirect=False,
        assert_same_host=False,
        preload_content=False,
        decode_content=False,
    )


def part_asked_for(content: bytes, asked: str) -> bytes:
    """Return the part of a whole object that a header ``Range`` asked for, where a server or a proxy passed it over.

    Args:
        content: The whole object.
        asked: Such as ``bytes=0-99`` or ``bytes=5-``.
    """
    first, _, last = asked.removeprefix("bytes=").partition("-")
    return content[int(first) : int(last) + 1 if last else None]


__all__ = ["PIECE", "Body", "connections", "part_asked_for", "send"]
