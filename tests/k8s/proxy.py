"""A proxy between the operator and the API server that counts calls, and makes them fail as a test asks."""

import contextlib
import http.client
import http.server
import json
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.servers import process

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request of the operator."""

    number: int
    """Counts from 1."""
    method: str
    path: str
    query: dict[str, str]

    @property
    def watches(self) -> bool:
        """True for a request that stays open."""
        return self.query.get("watch", "") in {"1", "true"}

    @property
    def writes(self) -> bool:
        """True for a request that may change an object; reviews of access change none."""
        return self.method in WRITES and "/apis/author" not in self.path and "/apis/authentication" not in self.path

    @property
    def plural(self) -> str:
        """The kind, as it is in URLs: ``jobs``."""
        parts = self.path.strip("/").split("/")
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            rest = rest[2:]
        return rest[0] if rest else ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer in the API server's place."""

    code: int
    reason: str
    message: str = "a test asked for this failure"
    retry_after: int | None = None

    def body(self) -> bytes:
        """Return the status object."""
        status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"code": self.code, "reason": self.reason, "message": self.message}
        return json.dumps(status).encode()


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The connection breaks: before the API server gets the call, or when it has done it and before its answer arrives."""

    done: bool


@dataclass(frozen=True, kw_only=True)
class Kill:
    """The caller ends when its call has changed something, before the answer arrives; a call that is refused gets its answer."""

    caller: Callable[[], None]
    """Ends the caller."""


Fault = Answer | Cut | Kill


class Proxy:
    """The proxy; it serves from ``start`` to ``stop`` at ``url``.

    Args:
        server: URL of the API server.
        authority: Its certificate authority.
    """

    def __init__(self, server: str, authority: str) -> None:
        self._upstream = urllib.parse.urlsplit(server).netloc
        self._context = ssl.create_default_context(cafile=authority)
        self._lock = threading.Lock()
        self._streams: set[socket.socket] = set()
        self._listener: http.server.ThreadingHTTPServer | None = None
        self.calls: list[Call] = []
        """All calls, in order."""
        self.fault: Callable[[Call], Fault | None] = lambda call: None
        """Says what becomes of a call; None lets it pass."""

    @property
    def url(self) -> str:
        """Where the proxy serves, without TLS."""
        assert self._listener
        return f"http://{process.HOST}:{self._listener.server_address[1]}"

    @property
    def writes(self) -> list[Call]:
        """The calls that may have changed something."""
        return [call for call in self.calls if call.writes]

    def start(self) -> None:
        """Serve."""
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle_one_request()
                    return
                self.close_connection = True

            def _pass(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                proxy.serve(self, self.rfile.read(length) if length else None)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
                pass

        self._listener = http.server.ThreadingHTTPServer((process.HOST, 0), Handler)
        self._listener.daemon_threads = True
        threading.Thread(target=self._listener.serve_forever, name="proxy", daemon=True).start()

    def stop(self) -> None:
        """Stop, and break all connections."""
        self.cut_watches()
        if self._listener:
            self._listener.shutdown()
            self._listener.server_close()

    def cut_watches(self) -> None:
        """Break all watches that are open."""
        with self._lock:
            for stream in self._streams:
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)

    def serve(self, handler: http.server.BaseHTTPRequestHandler, body: bytes | None) -> None:
        """Answer one request."""
        url = urllib.parse.urlsplit(handler.path)
        with self._lock:
            number = len(self.calls) + 1
            query = dict(urllib.parse.parse_qsl(url.query))
            call = Call(number=number, method=handler.command, path=url.path, query=query)
            self.calls.append(call)
            fault = self.fault(call)
        if isinstance(fault, Answer):
            _answer(handler, fault)
        elif isinstance(fault, Cut):
            if fault.done:
                upstream, response = self._forward(handler, body)
                with contextlib.closing(upstream):
                    response.read()
            _break(handler)
        else:
            self._relay(handler, body, call, fault.caller if fault else None)

    def _forward(
        self, handler: http.server.BaseHTTPRequestHandler, body: bytes | None
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        upstream = http.client.HTTPSConnection(self._upstream, context=self._context)
        names = ("Authorization", "Content-Type", "Accept", "User-Agent")
        headers = {name: value for name in names if (value := handler.headers.get(name))}
        upstream.request(handler.command, handler.path, body=body, headers=headers)
        return upstream, upstream.getresponse()

    def _relay(
        self,
        handler: http.server.BaseHTTPRequestHandler,
        body: bytes | None,
        call: Call,
        kill: Callable[[], None] | None,
    ) -> None:
        try:
            upstream, response = self._forward(handler, body)
        except (OSError, http.client.HTTPException):
            _break(handler)
            return
        with contextlib.closing(upstream):
            if kill and response.status < 400:
                response.read()
                kill()
                _break(handler)
                return
            if not call.watches or response.status != 200:
                content = response.read()
                handler.send_response(response.status)
                for name in ("Content-Type", "Retry-After"):
                    if value := response.headers.get(name):
                        handler.send_header(name, value)
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)
                return
            self._stream(handler, upstream, response)

    def _stream(
        self,
        handler: http.server.BaseHTTPRequestHandler,
        upstream: http.client.HTTPSConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        watched = self._watched(handler.connection, upstream.sock)
        with watched, contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while part := response.read1(65536):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                handler.wfile.flush()
            handler.wfile.write(b"0\r\n\r\n")
            return
        _break(handler)

    @contextlib.contextmanager
    def _watched(self, *streams: socket.socket) -> Iterator[None]:
        with self._lock:
            self._streams |= set(streams)
        try:
            yield
        finally:
            with self._lock:
                self._streams -= set(streams)


def _answer(handler: http.server.BaseHTTPRequestHandler, answer: Answer) -> None:
    body = answer.body()
    handler.send_response(answer.code)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    if answer.retry_after is not None:
        handler.send_header("Retry-After", str(answer.retry_after))
    handler.end_headers()
    handler.wfile.write(body)


def _break(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)


__all__ = ["WRITES", "Answer", "Call", "Cut", "Fault", "Kill", "Proxy"]
