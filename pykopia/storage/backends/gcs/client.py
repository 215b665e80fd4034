"""The requests of Google's JSON API that a repository needs, with google-auth for credentials.

gcsfs brings asyncio, aiohttp and gRPC, whose import takes longer than a list of snapshots; what it knows beyond single
requests is not used here.
"""

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from pykopia import clock
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.http_connections import connections, part_asked_for, send
from pykopia.storage.object_store import CONNECTIONS
from pykopia.storage.trust import tls_context

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_READ_ONLY_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
_USER_AGENT = "pykopia"
_REFRESH_SECONDS = 300
"""Time before the end of a token at which another one is asked for."""


class AnswerError(OSError):
    """The service answered with an error."""

    def __init__(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.status, self.reason, self.words, self.headers = status, "", "", headers
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, IndexError):
            told = json.loads(content)["error"]
            self.words = str(told["message"])
            self.reason = str(told["errors"][0]["reason"])
        super().__init__(f"HTTP status {status}")


class OtherServerError(OSError):
    """The server is not Google's service."""

    def __init__(self, content_type: str = "") -> None:
        self.content_type = content_type
        super().__init__("what answers is not Google's service")


class TokenError(OSError):
    """Google gave no token; the cause says why."""

    def __init__(self, error: Exception) -> None:
        self.rejected = not getattr(error, "retryable", True)
        """Whether the credentials are of no use, now or later."""
        super().__init__("there is no token")


class GCSClient:
    """Makes requests; safe for threads.

    Args:
        options: Of the connection.
        connect_seconds: Time for a connection to be made.
        answer_seconds: Time in which nothing comes, or nothing is taken, before a request fails.
    """

    def __init__(self, options: GCSOptions, *, connect_seconds: float, answer_seconds: float) -> None:
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        universe = os.environ.get("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "googleapis.com")
        if emulator in {"", "default"}:
            self.location = f"https://storage.{universe}"
        else:
            self.location = emulator if emulator.startswith(("http://", "https://")) else f"http://{emulator}"
        self.base = f"{self.location}/storage/v1/"
        context = tls_context(options.root_ca) if self.location.startswith("https:") else None
        self._pool = connections(
            self.location,
            most=CONNECTIONS,
            connect_seconds=connect_seconds,
            answer_seconds=answer_seconds,
            context=context,
        )
        self._refreshing = threading.Lock()
        self._credentials: Credentials | None = None
        on_google = f"torage.{universe}" in self.location
        if on_google or options.credentials or options.credentials_file:
            self._credentials = _credentials(options)

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,  # noqa: ANN401 -- what urllib3 sends
        **parameters: str,
    ) -> bytes:
        """Make one request and return what comes back.

        Args:
            method: Of HTTP.
            path: Below ``base``, or a whole URL.
            headers: Besides those of every request.
            body: What is sent.
            parameters: Of the query.

        Raises:
            AnswerError: The service answered with an error.
            OtherServerError: Something else answered.
            HTTPError: The connection failed.
            TokenError: There is no token.
        """
        url = path if path.startswith("http") else self.base + path
        if parameters:
            url += f"?{urlencode(parameters, quote_via=quote)}"
        sent = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
        if self._credentials is not None:
            self._refresh(self._credentials)
            self._credentials.apply(sent)
        answer = send(self._pool, method, url, headers=sent, body=body)
        content = answer.data
        if answer.status >= 300:
            raise AnswerError(answer.status, content, answer.headers)
        kind = answer.headers.get("Content-Type", "")
        if kind.partition(";")[0].strip() == "text/html":
            raise OtherServerError("text/html")
        if answer.status == 200 and "Range" in sent:
            return part_asked_for(content, sent["Range"])
        return content

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _refresh(self, credentials: "Credentials") -> None:
        """Get another token, by one thread, unless there is one that lasts for some minutes.

        Raises:
            TokenError: There is none.
        """
        if _lasts(credentials):
            return
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 -- emulators do without

        from pykopia.storage.google_credentials import refresh  # noqa: PLC0415

        with self._refreshing:
            if not _lasts(credentials):
                try:
                    refresh(credentials)
                except GoogleAuthError as error:
                    raise TokenError(error) from error


def _credentials(options: GCSOptions) -> "Credentials":
    """Return what logs in: the credentials of the connection, or those of the machine."""
    from pykopia.storage.google_credentials import load_credentials, trust_for_tokens  # noqa: PLC0415 -- see above

    scope = _READ_ONLY_SCOPE if options.read_only else _SCOPE
    found = load_credentials(
        options.credentials, options.credentials_file, scopes=[scope], service="Google Cloud Storage"
    )
    if options.root_ca:
        trust_for_tokens(found, tls_context(options.root_ca))
    return found


def _lasts(credentials: "Credentials") -> bool:
    if not credentials.valid:
        return False
    expiry = credentials.expiry  # without a time zone, in UTC
    return expiry is None or expiry.replace(tzinfo=UTC).timestamp() - clock.now() / 1e9 > _REFRESH_SECONDS


__all__ = ["AnswerError", "GCSClient", "OtherServerError", "TokenError"]
