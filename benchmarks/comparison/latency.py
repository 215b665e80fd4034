"""A proxy that puts a network between a client and a server of this machine: it delays all bytes and counts HTTP requests.

Every byte arrives half a round trip after it was sent, in either direction, and the first bytes of a connection wait one
round trip more, as a TCP handshake takes. Bandwidth is not limited. The proxy runs in a thread of the process that measures,
which only waits meanwhile; the processor time of the measured commands is not touched by it, their wall-clock time is by the
little that the proxy needs for itself.
"""

import asyncio
import contextlib
import re
import threading
from collections import deque
from collections.abc import Iterator
from typing import cast

from tests.servers.process import HOST

REQUEST_LINE = re.compile(
    rb"(?:GET|HEAD|PUT|POST|DELETE|PATCH|PROPFIND|MKCOL|MOVE|COPY) [^\s]{1,4000} HTTP/1\.[01]\r\n"
)
MOST_QUEUED = 64 << 20
"""Bytes on their way in one direction of one connection; beyond them the sender waits."""


class RequestCounter:
    """Counts the HTTP requests in the bytes that one client sends, however they are cut.

    >>> counter = RequestCounter()
    >>> counter.count(b"GET /a HTTP/1.1\\r\\nHost: b\\r\\n\\r\\nPUT /a"), counter.count(b" HTTP/1.1\\r\\n")
    (1, 1)
    """

    _LONGEST = 4096

    def __init__(self) -> None:
        self._tail = b""

    def count(self, data: bytes) -> int:
        """Return how many request lines end in `data`, which follows what was given before."""
        if b" HTTP/1." not in data and len(data) > self._LONGEST:  # the middle of a body
            self._tail = data[-self._LONGEST :]
            return 0
        known = len(self._tail)
        joined = self._tail + data
        self._tail = joined[-self._LONGEST :]
        return sum(match.end() > known for match in REQUEST_LINE.finditer(joined))


class LatencyProxy:
    """Accepts connections on `port` and passes their bytes to `target_port`, late."""

    def __init__(self) -> None:
        self.round_trip_seconds = 0.0
        """May be changed between commands; it counts for connections and bytes from then on."""
        self.target_port = 0
        self.port = 0
        self.requests = 0
        """HTTP requests seen so far; 0 if the bytes are not HTTP, or are encrypted."""
        self._connections: set[_Connection] = set()

    def add(self, connection: "_Connection") -> None:
        """Note an open connection."""
        self._connections.add(connection)

    def remove(self, connection: "_Connection") -> None:
        """Note that a connection has ended."""
        self._connections.discard(connection)

    @contextlib.contextmanager
    def running(self) -> Iterator["LatencyProxy"]:
        """Serve in a thread for the time of a block."""
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(loop.create_server(lambda: _Client(self), HOST, 0, backlog=512))
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, name="latency proxy")
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            server.close()
            for connection in list(self._connections):
                connection.abort()
            loop.run_until_complete(asyncio.sleep(0))  # the transports end in the next turn of the loop
            loop.close()


class _Connection:
    """Both sides of one connection, each with what is on its way to it."""

    def __init__(self, proxy: LatencyProxy, client: "_Client") -> None:
        self._proxy = proxy
        self.to_server, self.to_client = _Way(), _Way()
        self.client, self.server = client, _Server(self)
        self._loop = asyncio.get_running_loop()
        self.established = self._loop.time() + proxy.round_trip_seconds
        """When the handshake with the server is over."""
        self._opening = self._loop.create_task(self._open())
        proxy.add(self)

    @property
    def one_way_seconds(self) -> float:
        return self._proxy.round_trip_seconds / 2

    def count(self, requests: int) -> None:
        self._proxy.requests += requests

    async def _open(self) -> None:
        await asyncio.sleep(self._proxy.round_trip_seconds)
        try:
            await self._loop.create_connection(lambda: self.server, HOST, self._proxy.target_port)
        except OSError:
            self.abort()

    def abort(self) -> None:
        """End both sides at once."""
        self._opening.cancel()
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.abort()
        self._proxy.remove(self)


class _Way:
    """Bytes on their way in one direction: each piece is written when its time has come."""

    def __init__(self) -> None:
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued = 0
        self._timer: asyncio.TimerHandle | None = None
        self._source: asyncio.Transport | None = None
        self._target: asyncio.Transport | None = None

    def comes_from(self, source: asyncio.Transport) -> None:
        self._source = source

    def goes_to(self, target: asyncio.Transport) -> None:
        self._target = target
        self._schedule()

    def send(self, data: bytes, due: float) -> None:
        """Write `data` at the time `due` of the loop; no data means the end."""
        self._queue.append((due, data))
        self._queued += len(data)
        if self._queued > MOST_QUEUED and self._source is not None:
            self._source.pause_reading()
        self._schedule()

    def _schedule(self) -> None:
        if self._queue and self._timer is None and self._target is not None:
            self._timer = asyncio.get_running_loop().call_at(self._queue[0][0], self._write_due)

    def _write_due(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        target = self._target
        while self._queue and self._queue[0][0] <= now and target is not None and not target.is_closing():
            _, data = self._queue.popleft()
            self._queued -= len(data)
            if data:
                target.write(data)
            else:
                with contextlib.suppress(OSError):  # it has ended its side too
                    target.write_eof()
        if self._queued <= MOST_QUEUED // 2 and self._source is not None and not self._source.is_closing():
            self._source.resume_reading()
        self._schedule()


class _Client(asyncio.Protocol):
    """The side of the client."""

    def __init__(self, proxy: LatencyProxy) -> None:
        self._proxy = proxy
        self._counter = RequestCounter()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connection = _Connection(self._proxy, self)
        self._connection.to_server.comes_from(self.transport)
        self._connection.to_client.goes_to(self.transport)

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        connection.count(self._counter.count(data))
        connection.to_server.send(data, self._due())

    def eof_received(self) -> bool:
        self._connection.to_server.send(b"", self._due())
        return True

    def connection_lost(self, _: Exception | None) -> None:
        self._connection.abort()

    def _due(self) -> float:
        sent = max(asyncio.get_running_loop().time(), self._connection.established)
        return sent + self._connection.one_way_seconds


class _Server(asyncio.Protocol):
    """The side of the server."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connection.to_client.comes_from(self.transport)
        self._connection.to_server.goes_to(self.transport)

    def data_received(self, data: bytes) -> None:
        self._connection.to_client.send(data, self._due())

    def eof_received(self) -> bool:
        self._connection.to_client.send(b"", self._due())
        return True

    def connection_lost(self, _: Exception | None) -> None:
        self._connection.abort()

    def _due(self) -> float:
        return asyncio.get_running_loop().time() + self._connection.one_way_seconds


__all__ = ["LatencyProxy", "RequestCounter"]
