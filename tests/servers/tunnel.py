"""A proxy for HTTPS whose every name leads to one server: so a client reaches a name that this machine can't resolve.

Clients find it by HTTPS_PROXY. What they say to the server inside the tunnel is theirs: TLS is not broken up.
"""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from tests.servers import process

_CHUNK = 1 << 16


@contextlib.contextmanager
def tunnel(port: int) -> Iterator[str]:
    """Lead all tunnels to a port of this machine, and yield the URL of the proxy."""
    handler = type("Handler", (_Tunnel,), {"server_port": port})
    with _Server((process.HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{process.HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class _Tunnel(socketserver.StreamRequestHandler):
    server_port: int

    def handle(self) -> None:
        verb = self.rfile.readline(_CHUNK).partition(b" ")[0]
        while self.rfile.readline(_CHUNK).strip():
            pass
        if verb != b"CONNECT":
            self.wfile.write(b"HTTP/1.1 405 Only tunnels\r\nContent-Length: 0\r\n\r\n")
            return
        with contextlib.suppress(OSError), socket.create_connection((process.HOST, self.server_port)) as server:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, self.connection), daemon=True)
            back.start()
            _pump(self.connection, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
