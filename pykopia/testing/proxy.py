"""A proxy on loopback that kills, delays or answers connections in the place of the server behind it."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from types import TracebackType
from typing import Literal, Self

from pykopia.dataclass import dataclass

Kind = Literal["kill_upload", "kill_download", "lose_answer", "stall", "refuse", "answer"]

_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: the other side sees a reset, not an end."""


@dataclass(kw_only=True)
class _Fault:
    kind: Kind
    times: int
    after: int = 0
    answer: bytes = b""
    hits: int = field(default=0)

    @property
    def active(self) -> bool:
        return self.times < 0 or self.hits < self.times


class FaultyProxy:
    """Pass TCP connections on to a server, and do to them what a test plans.

    A fault strikes so many times (``times``; negative: until ``heal``). Connections that are open when a fault is planned are
    closed first where they could hide it, so a client that keeps connections sees a closed one: it must bear that.

    Args:
        host: The server.
        port: Its port.
    """

    host = "127.0.0.1"
    """Where it listens."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._lock = threading.Lock()
        self._fault: _Fault | None = None
        self._open: set[_Connection] = set()
        self._closed = False
        self._accepted = 0
        self._listener = socket.create_server((self.host, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="faulty-proxy", daemon=True)
        self._thread.start()

    def kill_uploads(self, after: int = 0, *, times: int = 1) -> None:
        """Reset a connection when the client has sent ``after`` bytes more; those are passed on."""
        self._plan(_Fault(kind="kill_upload", times=times, after=after))

    def kill_downloads(self, after: int = 0, *, times: int = 1) -> None:
        """Reset a connection when the server has sent ``after`` bytes more; those are passed on."""
        self._plan(_Fault(kind="kill_download", times=times, after=after))

    def lose_answers(self, *, times: int = 1) -> None:
        """Pass on what the client sends, and reset the connection when the server answers."""
        self._plan(_Fault(kind="lose_answer", times=times))

    def stall(self, *, times: int = -1) -> None:
        """Take connections and what comes on them, and answer nothing until ``heal``; ``times`` counts connections."""
        self._plan(_Fault(kind="stall", times=times), close=True)

    def refuse(self, *, times: int = -1) -> None:
        """Reset connections as soon as they are made."""
        self._plan(_Fault(kind="refuse", times=times), close=True)

    def answer(
        self, status: int, *, times: int = 1, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Answer requests of plain HTTP with a status, the server never sees them."""
        lines = [f"HTTP/1.1 {status} Planned", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self._plan(_Fault(kind="answer", times=times, answer=answer), close=True)

    def heal(self) -> None:
        """Drop the fault that is planned; connections that stand still are reset."""
        with self._lock:
            self._fault = None
            stalled = [connection for connection in self._open if connection.stalled]
        for connection in stalled:
            connection.reset()

    @property
    def hits(self) -> int:
        """How often the last planned fault struck."""
        with self._lock:
            return self._fault.hits if self._fault else 0

    @property
    def accepted(self) -> int:
        """How many connections there were."""
        return self._accepted

    def close(self) -> None:
        """End it with all connections."""
        self.heal()
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.drop_connections()

    def drop_connections(self) -> None:
        """Reset all connections that are open."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.reset()
        for connection in connections:
            connection.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _plan(self, fault: _Fault, *, close: bool = False) -> None:
        with self._lock:
            self._fault = fault
        if close:
            self.drop_connections()

    def take(self, *kinds: Kind) -> _Fault | None:
        """Return the planned fault if it is of such a kind and strikes now."""
        with self._lock:
            fault = self._fault
            if fault is None or not fault.active or fault.kind not in kinds:
                return None
            fault.hits += 1
            return fault

    def striking(self, kind: Kind, passed: int) -> tuple[int, bool]:
        """Return how many of ``passed`` bytes go through, and whether the connection is reset after them."""
        with self._lock:
            fault = self._fault
            if fault is None or not fault.active or fault.kind != kind:
                return passed, False
            if passed < fault.after:
                fault.after -= passed
                return passed, False
            through = fault.after
            fault.hits += 1
            return through, True

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._accepted += 1
            fault = self.take("stall", "refuse", "answer")
            connection = _Connection(self, client)
            with self._lock:
                self._open.add(connection)
            connection.start(self._work(connection, fault))

    def _work(self, connection: "_Connection", fault: _Fault | None) -> Callable[[], None]:
        if fault is None:
            return lambda: connection.relay(self._server)
        if fault.kind == "stall":
            return connection.hold
        if fault.kind == "answer":
            return lambda: connection.answer(fault.answer)
        return connection.reset

    def forget(self, connection: "_Connection") -> None:
        """Let a connection go that has ended."""
        with self._lock:
            self._open.discard(connection)


class _Connection:
    """One client, and the server's side of it."""

    def __init__(self, proxy: FaultyProxy, client: socket.socket) -> None:
        self._proxy, self._client = proxy, client
        self.stalled = False
        self._sockets = [client]
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            finally:
                self._end()

        thread = threading.Thread(target=run, name="faulty-proxy-connection", daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def reset(self) -> None:
        """Close both sides at once; each sees a reset."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RD)  # wakes the thread that reads, and sends nothing

    def hold(self) -> None:
        """Take all that comes, and answer nothing."""
        self.stalled = True
        with contextlib.suppress(OSError):
            while self._client.recv(_CHUNK):
                pass
        self.reset()

    def answer(self, answer: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            for _ in _request(self._client):
                pass
            self._client.sendall(answer)
            self._client.shutdown(socket.SHUT_WR)
            while self._client.recv(_CHUNK):  # until the client has read it all
                pass

    def relay(self, server: tuple[str, int]) -> None:
        try:
            upstream = socket.create_connection(server)
        except OSError:
            self.reset()
            return
        self._sockets.append(upstream)
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pump, args=(upstream, self._client, "kill_download"), daemon=True)
        back.start()
        self._pump(self._client, upstream, "kill_upload")
        back.join()

    def _pump(self, source: socket.socket, target: socket.socket, kind: Kind) -> None:
        try:
            while data := source.recv(_CHUNK):
                if kind == "kill_download" and self._proxy.take("lose_answer"):
                    self.reset()
                    return
                through, struck = self._proxy.striking(kind, len(data))
                target.sendall(data[:through])
                if struck:
                    self.reset()
                    return
            target.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset()

    def _end(self) -> None:
        for each in self._sockets:
            each.close()
        self._proxy.forget(self)


def _request(client: socket.socket) -> Iterator[bytes]:
    """Yield the bytes of one request as they come, with the body that its head announces."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(_CHUNK)
        if not data:
            return
        head += data
    yield head
    lines, _, body = head.partition(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines.split(b"\r\n")[1:])
    }
    if fields.get(b"expect"):
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        while not body.endswith(b"0\r\n\r\n") and (data := client.recv(_CHUNK)):
            body = (body + data)[-16:]
            yield data
        return
    missing = int(fields.get(b"content-length", b"0")) - len(body)
    while missing > 0 and (data := client.recv(_CHUNK)):
        missing -= len(data)
        yield data


__all__ = ["FaultyProxy"]
