"""From the answers of storage services, and failures on the way to them, to errors of a storage.

Temporary errors are tried again by `RetryingStorage`: throttling, faults of the server, lost connections, time-outs. All
others end at once with the reason that the service gave and what to do.
"""

import contextlib
import email.utils
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from pykopia import clock
from pykopia.errors import (
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageBusyError,
    StorageClockError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnavailableError,
    UnsupportedOptionError,
    UntrustedServerError,
    WrongServerError,
)
from pykopia.storage.proxies import shown

_CREDENTIALS = "check the credentials, and that they may use this bucket or container"
_HINTS = {
    "AuthorizationHeaderMalformed": "set the region of the bucket",
    "AuthorizationPermissionMismatch": _CREDENTIALS,
    "ExpiredToken": "get new credentials: these have expired",
    "IllegalLocationConstraintException": "set the region of the bucket",
    "InvalidAccessKeyId": "check the access key: the service does not know it",
    "InvalidObjectState": "restore the object from its archive first: it can't be read from there",
    "InvalidToken": "check the session token: it does not belong to the access key, or it is damaged",
    "PermanentRedirect": "set the region or the endpoint of the bucket",
    "SignatureDoesNotMatch": "check the secret access key: it does not belong to the access key",
    "TokenRefreshRequired": "get new credentials: these must be refreshed",
}
"""Remedies by error code."""
_TEMPORARY_CODES = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "OperationTimedOut",
        "RequestTimeout",
        "RequestTimeoutException",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
        "backendError",
        "internalError",
    }
)
_BUSY_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ServerBusy",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
        "TransactionInProgressException",
        "rateLimitExceeded",
        "sharingRateLimitExceeded",
        "userRateLimitExceeded",
    }
)
"""The service limits the rate of requests, or can't serve them for the moment."""
_CLOCK_CODES = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
_ALLOWED_SKEW_NS = 15 * 60 * 10**9
"""Nanoseconds by which clocks may differ: services refuse signatures that are older or lie further ahead."""
_FULL_CODES = frozenset({"InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"})
_UNKNOWN_CODES = frozenset(
    {
        "AuthenticationFailed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "XAdminUserNotFound",
    }
)
"""The service does not take the credentials at all."""
_MISSING_CODES = frozenset({"ContainerNotFound", "NoSuchBucket"})
_TEMPORARY_STATUS = frozenset({408, 425, 500})
_BUSY_STATUS = frozenset({429, 502, 503, 504, 509})
_PAGES_OF_OTHERS = frozenset({401, 403, 404, 405, 511})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHECK_PROXY = "check HTTP_PROXY and HTTPS_PROXY, or name the server in NO_PROXY"
_TUNNEL = re.compile(r"Tunnel connection failed: \d{3}|\d{3} [A-Z][\w ]*$|\d{3}, message=")
"""Message of libraries when a proxy refuses to connect."""
_REASON_LENGTH = 300
_Error = TypeVar("_Error", bound=PykopiaError)


def service_error(
    doing: str,
    *,
    status: int = 0,
    code: str = "",
    reason: str = "",
    retry_after: str | None = None,
    date: str | None = None,
    location: str | None = None,
) -> PykopiaError:
    """Return the error that stands for an answer of a service.

    Args:
        doing: What was being done to which thing, such as ``write blob p12 to S3: host bucket``.
        status: Of HTTP, 0 where there is none.
        code: What the service calls the error.
        reason: Its words, free of secrets.
        retry_after: Header of that name.
        date: Header of that name: the clock of the service.
        location: Header of that name: where a redirect leads.
    """
    known = (
        f"{code} ({status})" if code and status and code != str(status) else f"HTTP status {status}" if status else code
    )
    first_line = reason.strip().splitlines()[0][:_REASON_LENGTH] if reason.strip() else ""
    said = f"{known}: {first_line}" if first_line and first_line != code else known
    text = f"can't {doing}: the service answered {said.rstrip('.')}"
    hint = _HINTS.get(code)
    if status in _REDIRECTS and not (code and hint):
        return redirected(doing, status, location)
    if "HTTP request" in reason and "HTTPS" in reason:
        return StorageError(f"{text}; use TLS: this endpoint speaks nothing else")
    if code in _FULL_CODES or (status == 507 and not retry_after):
        return StorageFullError(f"{text}; free some space, or raise the quota, and try again")
    if code in _BUSY_CODES or status in _BUSY_STATUS or status == 507:
        return asking_to_wait(
            StorageBusyError(f"{text}; try again later, with fewer requests at one time"), retry_after
        )
    if code in _TEMPORARY_CODES or status in _TEMPORARY_STATUS:
        return asking_to_wait(StorageUnavailableError(f"{text}; try again later"), retry_after)
    if code in _MISSING_CODES:
        return StorageNotFoundError(f"{text}; check the name, or create it first: pykopia does not")
    clocks = _clocks(date, clock.now())
    if code in _CLOCK_CODES or (status in {400, 401, 403} and clocks):
        return StorageClockError(
            f"{text}; {clocks or 'the clocks of this machine and of the service differ too much'}; set the clock of this machine"
        )
    if status == 401 or code in _UNKNOWN_CODES:
        return StorageAuthenticationError(f"{text}; {hint or _CREDENTIALS}")
    if status == 403:
        return StorageAccessDeniedError(f"{text}; {hint or _CREDENTIALS}")
    if status == 501:
        return UnsupportedOptionError(f"{text}; this service can't do it")
    if status in {404, 405}:
        hint = hint or "check the endpoint: another server may answer there"
    return StorageError(f"{text}; {hint}" if hint else text)


def redirected(doing: str, status: int, location: str | None) -> WrongServerError:
    """Return the error for a server that answers with a redirect.

    Args:
        doing: What was being done to which thing.
        status: Of HTTP.
        location: Where the redirect leads; only its host is shown.
    """
    host = urlsplit(location or "").netloc.rpartition("@")[2]
    return WrongServerError(
        f"can't {doing}: the server answered with a redirect ({status})"
        + (f" to {host}" if host else "")
        + ", as login pages, "
        "proxies and wrong endpoints do; check the endpoint, and whether a portal or a proxy answers in its place"
    )


def is_page_of_another(status: int, content_type: str | None) -> bool:
    """Return True for a web page with an error, where the service never answers with one: it is a portal's or a proxy's."""
    return status in _PAGES_OF_OTHERS and is_web_page(content_type)


def is_web_page(content_type: str | None) -> bool:
    """Return True if a header ``Content-Type`` names HTML."""
    return (content_type or "").partition(";")[0].strip().lower() in {"text/html", "application/xhtml+xml"}


def not_the_service(doing: str, address: str, content_type: str | None = None) -> WrongServerError:
    """Return the error for a server whose answer no storage service gives.

    Args:
        doing: What was being done to which thing.
        address: Host and port.
        content_type: Header of that name.
    """
    what = "a web page" if is_web_page(content_type) else "something that it can't understand"
    return WrongServerError(
        f"can't {doing}: what answers at {address} is not the storage service: {what} came; check the address and its port (a "
        "console or a portal may be there), and whether a proxy answers in its place"
    )


def _clocks(date: str | None, now: int) -> str:
    """Return words on both clocks if they differ so much that signatures are refused; else nothing."""
    if not date:
        return ""
    try:
        theirs = email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return ""
    if abs(theirs * 1e9 - now) <= _ALLOWED_SKEW_NS:
        return ""
    shown = [f"{datetime.fromtimestamp(each, UTC):%Y-%m-%d %H:%M:%S} UTC" for each in (now / 1e9, theirs)]
    return f"the clock of this machine says {shown[0]}, that of the service {shown[1]}"


def asking_to_wait(error: _Error, retry_after: str | None) -> _Error:
    """Store in an error when the service asks for the next attempt, if it does; return the error."""
    if isinstance(error, StorageUnavailableError) and retry_after:
        error.retry_after = seconds_to_wait(retry_after, clock.now())
    return error


def seconds_to_wait(retry_after: str, now: int) -> float | None:
    """Return what a header ``Retry-After`` says: seconds, or a date of HTTP; None if it makes no sense.

    Args:
        retry_after: The header.
        now: Nanoseconds since 1970.
    """
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with contextlib.suppress(ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now / 1e9)
    return None


def connection_error(
    doing: str, error: BaseException, address: str, *, untrusted: str, no_tls: str, proxy: str | None = None
) -> PykopiaError:
    """Return the error that stands for a failure on the way to a service.

    Args:
        doing: What was being done to which thing.
        error: What the library raised; the text of it is not used, as it may hold a secret.
        address: Host and port.
        untrusted: What to do when the certificate is not trusted.
        no_tls: What to do when the endpoint does not speak TLS.
        proxy: URL of the proxy by which the service is reached, if there is one.
    """
    for cause in _causes(error):
        # the classes of aiohttp are subclasses without what says more; that has the error that they stand for
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_message"):
            reason = cause.verify_message or "it can't be verified"
            return UntrustedServerError(
                f"can't {doing}: the certificate of {address} is not trusted: {reason}; {untrusted}"
            )
        if isinstance(cause, ssl.SSLError) and hasattr(cause, "reason"):
            if cause.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
                return StorageError(f"can't {doing}: {address} does not speak TLS; {no_tls}")
            reason = cause.reason or "handshake failed"
            return StorageUnavailableError(f"can't {doing}: TLS with {address} failed: {reason}; check the endpoint")
    timed_out = any(isinstance(cause, TimeoutError) for cause in _causes(error))
    check = "check the endpoint and the network"
    if proxy and not timed_out:  # the connection to the server is the proxy's affair: it answers if that fails
        address, check = f"the proxy {shown(proxy)}, which leads to {address},", _CHECK_PROXY
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return StorageUnavailableError(f"can't {doing}: the name of {address} can't be resolved; {check}")
    if timed_out:
        through = f" (by the proxy {shown(proxy)})" if proxy else ""
        return StorageUnavailableError(f"can't {doing}: {address}{through} did not answer in time; check the network")
    reason = next((cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror), "")
    if proxy and not reason:
        reason = next((str(cause) for cause in _causes(error) if _TUNNEL.match(str(cause))), "")
    why = f"the connection to {address} failed" + (f": {reason}" if reason else f" ({type(error).__name__})")
    return StorageUnavailableError(f"can't {doing}: {why}; {check}")


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return the text without secrets."""
    for secret in secrets:
        if len(secret) >= 4:  # shorter ones stand in any text
            text = text.replace(secret, "***")
    return text


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it came from; some libraries keep the one beneath in an attribute."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        item = waiting.pop(0)
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        waiting += [
            item.__cause__,
            item.__context__,
            getattr(item, "os_error", None),
            getattr(item, "inner_exception", None),
        ]
        waiting += [
            getattr(item, "certificate_error", None),
            getattr(item, "kwargs", {}).get("error") if hasattr(item, "kwargs") else None,
        ]
        waiting += list(item.args)


__all__ = [
    "asking_to_wait",
    "connection_error",
    "is_page_of_another",
    "is_web_page",
    "not_the_service",
    "redirected",
    "seconds_to_wait",
    "service_error",
    "without_secrets",
]
