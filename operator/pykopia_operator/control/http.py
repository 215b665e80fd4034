"""Two small HTTP servers: probes, and metrics with TLS and authorization."""

import asyncio
import contextlib
import datetime as dt
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from pykopia_operator.api.base import Api
from pykopia_operator.errors import OperatorError, StartRefusedError
from pykopia_operator.settings import Settings

log: Final = logging.getLogger(__name__)

LONGEST_HEAD: Final = 16384
PATIENCE: Final = 10.0
REASONS: Final = {
    200: "OK",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

Answer = tuple[int, bytes]
Handler = Callable[[str, dict[str, str]], Awaitable[Answer]]
"""Gets the path and the headers, with lower-case names."""


def split_address(text: str) -> tuple[str | None, int]:
    """Return host and port of an address such as ``:8081``; the host is None for all interfaces.

    >>> split_address(":8081"), split_address("127.0.0.1:80"), split_address("[::1]:80")
    ((None, 8081), ('127.0.0.1', 80), ('::1', 80))

    Raises:
        StartRefusedError: it has no port.
    """
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        raise StartRefusedError(f'the address "{text}" must be HOST:PORT or :PORT')
    return host.strip("[]") or None, int(port)


async def serve(address: str, handler: Handler, *, context: ssl.SSLContext | None = None) -> asyncio.Server:
    """Serve GET requests, one a connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = await _answer(head, handler)
                reason = REASONS.get(status, "")
                lines = (
                    f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(lines.encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.debug("a request was not answered: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    host, port = split_address(address)
    return await asyncio.start_server(connected, host, port, ssl=context, limit=LONGEST_HEAD)


async def _answer(head: bytes, handler: Handler) -> Answer:
    first, *rest = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[0] not in {"GET", "HEAD"}:
        return 404, b"only GET is served\n"
    headers = {}
    for line in rest:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return await handler(parts[1].partition("?")[0], headers)


def probes(is_ready: Callable[[], bool]) -> Handler:
    """Return the handler of /healthz and /readyz."""

    async def handle(path: str, _headers: dict[str, str]) -> Answer:
        if path == "/healthz":
            return 200, b"ok\n"
        if path == "/readyz":
            return (200, b"ok\n") if is_ready() else (503, b"not ready\n")
        return 404, b"only /healthz and /readyz are served\n"

    return handle


def metrics(text: Callable[[], bytes], api: Api | None) -> Handler:
    """Return the handler of /metrics.

    Args:
        text: returns the metrics.
        api: asked whether a reader may have them; None: everybody may.
    """

    async def handle(path: str, headers: dict[str, str]) -> Answer:
        if path != "/metrics":
            return 404, b"only /metrics is served\n"
        if api is not None:
            status = await _allowed(api, headers.get("authorization", ""))
            if status != 200:
                return status, REASONS[status].encode() + b"\n"
        return 200, text()

    return handle


async def _allowed(api: Api, authorization: str) -> int:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return 401
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {},
        "spec": {"token": token.strip()},
    }
    try:
        status = (await api.create(review)).get("status") or {}
        if not status.get("authenticated"):
            return 401
        user = status.get("user") or {}
        access = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": user.get("username"),
                "groups": user.get("groups") or [],
                "uid": user.get("uid"),
                "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
            },
        }
        answer = (await api.create(access)).get("status") or {}
    except OperatorError as error:
        log.warning("a reader of metrics could not be authorized: %s", error)
        return 500
    return 200 if answer.get("allowed") else 403


def metrics_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS context of the metrics: with the given certificate, or a self-signed one; None without TLS."""
    if not settings.metrics_secure:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if settings.metrics_cert_path:
        folder = Path(settings.metrics_cert_path)
        context.load_cert_chain(folder / settings.metrics_cert_name, folder / settings.metrics_cert_key)
        return context
    with tempfile.TemporaryDirectory() as name:
        certificate, key = Path(name) / "tls.crt", Path(name) / "tls.key"
        _write_self_signed(certificate, key)
        context.load_cert_chain(certificate, key)
    return context


def _write_self_signed(certificate: Path, key: Path) -> None:
    from cryptography import x509  # noqa: PLC0415 -- only without a certificate
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pykopia-operator")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.touch(0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
