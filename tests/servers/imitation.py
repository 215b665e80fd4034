"""What imitations of a service have in common: a server in this process, and answers."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.servers import process
from tests.servers.tls import Certificates


class Answering(BaseHTTPRequestHandler):
    """Answers requests by methods such as ``on_get``; one object serves a connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in pieces waits for an acknowledgement between them
    disable_nagle_algorithm = True

    def dispatch(self) -> None:
        """Answer the request that has come."""
        getattr(self, f"on_{self.command.lower()}")()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = dispatch  # noqa: N815 -- the standard library's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        """Return what was sent."""
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))


@contextlib.contextmanager
def serving(handler: type[Answering], certificates: Certificates | None = None, **shared: object) -> Iterator[int]:
    """Serve for the time of a block, with TLS if there is a certificate, and yield the port.

    All handlers have the ``shared`` attributes.
    """
    server = ThreadingHTTPServer((process.HOST, 0), type("Handler", (handler,), shared))
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
