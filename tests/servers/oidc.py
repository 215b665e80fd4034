"""An issuer of web identities: signed tokens, and over HTTP the key that proves them (OpenID Connect)."""

import base64
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.servers import process

AUDIENCE = "pykopia"
_KEY_ID = "only"


class Issuer:
    """What the tokens of an issuer are made of."""

    def __init__(self, url: str, key: rsa.RSAPrivateKey) -> None:
        self.url, self._key = url, key

    def token(self, subject: str, *, seconds: int = 3600) -> str:
        """Return a token that is valid for so many seconds."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": subject,
            "aud": AUDIENCE,
            "iat": min(now, now + seconds),
            "exp": now + seconds,
        }
        signed = f"{_part({'alg': 'RS256', 'kid': _KEY_ID, 'typ': 'JWT'})}.{_part(claims)}"
        return f"{signed}.{_text(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@contextlib.contextmanager
def issuer() -> Iterator[Issuer]:
    """Run an issuer in this process."""
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_numbers()
    known = {
        "kty": "RSA", "kid": _KEY_ID, "use": "sig", "alg": "RS256",
        "n": _text(public.n.to_bytes(256, "big")), "e": _text(public.e.to_bytes(3, "big")),
    }  # fmt: skip

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": [known]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as it is called
            pass

    with http.server.ThreadingHTTPServer((process.HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Issuer(f"http://{process.HOST}:{server.server_port}", key)
        finally:
            server.shutdown()
            thread.join()


def _part(value: object) -> str:
    return _text(json.dumps(value).encode())


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
