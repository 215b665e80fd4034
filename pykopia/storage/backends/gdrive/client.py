"""Google Drive's HTTP API, version 3, as far as blobs need it (format 03 §3)."""

import ssl
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.auth.transport.requests import AuthorizedSession, Request

from pykopia.errors import (
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from pykopia.storage.backends.gdrive.options import GoogleDriveOptions
from pykopia.storage.google_credentials import load_credentials
from pykopia.storage.http_adapter import OwnSettings
from pykopia.storage.proxies import proxy_for
from pykopia.storage.service_errors import asking_to_wait, connection_error, service_error
from pykopia.storage.trust import tls_context

API_ROOT = "https://www.googleapis.com"
TIMEOUT_SECONDS = 60.0
"""A connection on which nothing comes or goes for so long is given up."""

_SCOPE = "https://www.googleapis.com/auth/drive.file"
_READ_ONLY_SCOPE = "https://www.googleapis.com/auth/drive.readonly"
_TOKENS = "https://oauth2.googleapis.com"
_POOL = {"pool_connections": 4, "pool_maxsize": 32}
_RATE_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "backendError"})
_FULL_REASONS = frozenset({"storageQuotaExceeded", "teamDriveFileLimitExceeded", "numChildrenInNonRootLimitExceeded"})
_DAY_REASONS = frozenset({"dailyLimitExceeded", "quotaExceeded"})


class MissingFileError(Exception):
    """The service knows no such file, or does not show it to this user."""


class RangeError(Exception):
    """A range that does not lie within a file."""


class DriveClient:
    """Sends requests with credentials, and turns what goes wrong into errors of a storage.

    Args:
        options: The connection.
        api_root: URL of the service.
        timeout: Seconds after which a connection is given up on which nothing comes or goes.

    Raises:
        UsageError: The credentials or the authorities can't be used.
    """

    def __init__(
        self, options: GoogleDriveOptions, *, api_root: str = API_ROOT, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self.api_root, self._timeout = api_root, timeout
        self._address = urlsplit(api_root).netloc
        credentials = credentials_of(options)
        self._token_address = urlsplit(getattr(credentials, "token_uri", None) or _TOKENS).netloc
        self.account: str = getattr(credentials, "service_account_email", "") or ""
        adapter = OwnSettings(_context(options), **_POOL)
        tokens = requests.Session()
        tokens.mount("https://", adapter)
        self._session = AuthorizedSession(credentials, auth_request=Request(tokens), refresh_timeout=timeout)
        self._session.mount("https://", adapter)
        self._session.mount("http://", OwnSettings(None, **_POOL))

    def request(self, method: str, url: str, doing: str, **more: Any) -> requests.Response:  # noqa: ANN401 -- of requests
        """Send a request to a path of the service, or to a URL that it gave, and return an answer of success.

        Raises:
            MissingFileError: There is no such file.
            RangeError: It is shorter than the range.
            PykopiaError: All else that goes wrong.
        """
        target = url if url.startswith("http") else self.api_root + url
        try:
            response = cast(
                "requests.Response",
                self._session.request(method, target, timeout=self._timeout, max_allowed_time=None, **more),
            )
        except RefreshError:
            raise StorageAuthenticationError(
                f"can't {doing}: Google does not take these credentials{self._of_account()}; get new ones"
            ) from None  # its text may hold a part of them
        except (TransportError, requests.RequestException, OSError) as error:
            raise self._connection_error(doing, error) from error
        except GoogleAuthError as error:
            raise StorageAuthenticationError(f"can't {doing}: no access token: {type(error).__name__}") from None
        if response.status_code == requests.codes.not_found:
            raise MissingFileError
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            raise RangeError
        if not response.ok:
            raise asking_to_wait(self._answer_error(doing, response), response.headers.get("Retry-After"))
        return response

    def json(self, method: str, path: str, doing: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- of requests
        """Send a request, and return the JSON object of its answer."""
        try:
            found = self.request(method, path, doing, **more).json()
        except requests.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise StorageUnavailableError(
                f"can't {doing}: {self._address} did not answer as Google Drive does; try again later"
            )
        return found

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _of_account(self) -> str:
        return f" of {self.account}" if self.account else ""

    def _connection_error(self, doing: str, error: Exception) -> PykopiaError:
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
            return StorageError(f"can't {doing}: a URL that the service gave can't be used")
        return connection_error(
            doing,
            error,
            self._token_address if isinstance(error, TransportError) else self._address,
            untrusted="give the authority of your proxy (rootCA), if you are sure that it is the right server",
            no_tls="check the proxy",
            proxy=proxy_for(self.api_root),
        )

    def _answer_error(self, doing: str, response: requests.Response) -> PykopiaError:
        status, code, words = response.status_code, *_reason_of(response)
        said = f"can't {doing}: Google Drive answered {code or 'HTTP status'} ({status})" + (
            f": {words}" if words else ""
        )
        if code in _RATE_REASONS or status == requests.codes.too_many_requests:
            return StorageBusyError(
                f"{said}; too many requests in a short time: use less --parallel, or try again later"
            )
        if code in _FULL_REASONS:
            return StorageFullError(
                f"{said}; free some space, or raise the quota: a service account has none of its own, so the folder must be in a "
                "shared drive"
            )
        if code in _DAY_REASONS:
            return StorageUnavailableError(f"{said}; the limit of the day is used up: try again tomorrow, or raise it")
        if status == requests.codes.unauthorized:
            return StorageAuthenticationError(f"{said}; check the credentials{self._of_account()}")
        if status == requests.codes.forbidden:
            return StorageAccessDeniedError(
                f"{said}; share the folder with {self.account or 'the account of these credentials'} as an editor"
            )
        return service_error(doing, status=status, code=code, reason=words)


def credentials_of(options: GoogleDriveOptions) -> Credentials:
    """Return the credentials of a connection; see ``load_credentials``."""
    scope = _READ_ONLY_SCOPE if options.read_only else _SCOPE
    return load_credentials(options.credentials, options.credentials_file, scopes=[scope], service="Google Drive")


def _reason_of(response: requests.Response) -> tuple[str, str]:
    """Return what the service calls an error, and its words."""
    try:
        error = response.json()["error"]
        words = str(error.get("message", ""))
        details = error.get("errors") or [{}]
        code = str(details[0].get("reason", "")) or str(error.get("status", ""))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return "", ""
    return code, words


def _context(options: GoogleDriveOptions) -> ssl.SSLContext:
    return tls_context(options.root_ca)


__all__ = ["API_ROOT", "TIMEOUT_SECONDS", "DriveClient", "MissingFileError", "RangeError", "credentials_of"]
