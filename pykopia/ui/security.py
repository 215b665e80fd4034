"""Who may use the page, and what a browser may do with it.

The page can read every backup and write any file of its user, and every program and every page in a browser of this
machine can connect to it. So:

- Only requests that name this machine by a loopback name are answered: a name of a foreign domain that resolves to
  127.0.0.1 (DNS rebinding) is refused.
- The address that the command prints has a random token. It is exchanged for a cookie of another value, which scripts
  can't read and other sites can't send. The cookie is bound to a random folder, because browsers send cookies of
  127.0.0.1 to every port of it.
- What changes anything is a POST with a secret of the session in the form, from this origin.
- No script, style, picture or frame from elsewhere, and none inside of a page (Content-Security-Policy).
"""

import hmac
import logging
import secrets
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of pages: nothing from elsewhere, nothing inline, no frames."""
FILE_POLICY: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"
"""Content-Security-Policy of files out of snapshots: opened by themselves they run nothing."""

HEADERS: Final = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers send forms without their origin
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

log = logging.getLogger(__name__)


class Secrets:
    """The random values of one run of the page."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        """Opens the page; only in the address that is printed."""
        self.cookie = secrets.token_urlsafe(32)
        self.form = secrets.token_urlsafe(32)
        """In each form."""
        self.base = f"/{secrets.token_urlsafe(12)}"
        """Folder of all addresses."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def same(first: str, second: str) -> bool:
    """Compare two texts in a time that does not depend on where they differ."""
    return hmac.compare_digest(first.encode("utf-8", "surrogatepass"), second.encode("utf-8", "surrogatepass"))


def is_loopback(host: str) -> bool:
    """Return True if a Host header names this machine by a loopback name, with or without a port.

    >>> is_loopback("127.0.0.1:8000"), is_loopback("[::1]:8000"), is_loopback("localhost")
    (True, True, True)
    >>> is_loopback("127.0.0.1.evil.example"), is_loopback("evil.example:8000"), is_loopback("")
    (False, False, False)
    """
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port  # a port that is none raises too
    except ValueError:
        return False
    return name in LOOPBACK_NAMES and parts.netloc == host and "@" not in host


def is_same_origin(headers: Headers) -> bool:
    """Return True if a request comes from a page of the same origin, as far as the browser says."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = headers.get("origin")
    return origin is not None and origin == f"http://{headers.get('host', '')}"


def cookie_of(headers: Headers, name: str) -> str:
    """Return a cookie of a request, empty if there is none."""
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
    return ""


COOKIE: Final = "pykopia"

_STRANGER = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>pykopia</title></head>
<body><h1>{heading}</h1><p>{text}</p></body></html>"""

_ENTRY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>pykopia</title>
<link rel="icon" href="{place}static/icon.svg">
<meta http-equiv="refresh" content="0; url={place}"></head><body><p><a href="{place}">Open the page</a></p></body></html>"""


class Guard:
    """Lets requests through that may be answered, and gives all answers their headers."""

    def __init__(self, app: ASGIApp, keys: Secrets) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        """Return the answer to a request that the page itself does not see; None for one that it answers."""
        headers, keys = Headers(scope=scope), self._keys
        if len(headers.getlist("host")) != 1 or not is_loopback(headers["host"]):
            return _stranger(421, "Wrong address", "This page answers to 127.0.0.1 and localhost alone.")
        if scope["method"] not in ("GET", "POST"):
            return _stranger(405, "Not allowed", "This page answers to GET and POST alone.")
        if scope["path"] == "/" and scope["method"] == "GET":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if same(given, keys.token):
                return self._entry()
        inside = scope["path"].startswith(f"{keys.base}/")
        if not inside or not same(cookie_of(headers, COOKIE), keys.cookie):
            return _stranger(
                403, "This page is private", "Open the address that “pykopia ui” has printed in the terminal."
            )
        if scope["method"] == "POST" and not is_same_origin(headers):
            log.warning("a request from another origin was refused")
            return _stranger(403, "Refused", "This request does not come from the page itself.")
        return None

    def _entry(self) -> Response:
        """Return a page that leads on: a redirect would be taken as one of the site that linked here."""
        keys = self._keys
        response = HTMLResponse(_ENTRY.format(place=f"{keys.base}/"))
        response.headers["Referrer-Policy"] = "no-referrer"  # the address has the token
        response.set_cookie(COOKIE, keys.cookie, path=f"{keys.base}/", httponly=True, samesite="strict")
        return response


def _stranger(status: int, heading: str, text: str) -> Response:
    return HTMLResponse(_STRANGER.format(heading=heading, text=text), status)


__all__ = [
    "COOKIE",
    "FILE_POLICY",
    "HEADERS",
    "PAGE_POLICY",
    "Guard",
    "Secrets",
    "cookie_of",
    "is_loopback",
    "is_same_origin",
    "same",
]
