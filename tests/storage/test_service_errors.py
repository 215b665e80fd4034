"""From what services answer to errors: which are tried again, for how long, and what a person is to do."""

import email.utils

import pytest

from pykopia import clock
from pykopia.errors import (
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageBusyError,
    StorageClockError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    WrongServerError,
)
from pykopia.storage.service_errors import not_the_service, service_error


def answered(**answer: object) -> PykopiaError:
    return service_error("read blob p1", **answer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (503, ""), (429, ""), (502, ""), (504, ""), (509, ""),
        (503, "SlowDown"), (503, "ServiceUnavailable"), (503, "RequestLimitExceeded"), (400, "Throttling"),
        (429, "TooManyRequests"), (503, "ServerBusy"), (403, "rateLimitExceeded"), (403, "userRateLimitExceeded"),
        (400, "ThrottlingException"), (400, "ThrottledException"), (400, "RequestThrottledException"),
    ],
)  # fmt: skip
def test_whoever_asks_for_fewer_requests_is_waited_for(status: int, code: str) -> None:
    error = answered(status=status, code=code, retry_after="17")
    assert isinstance(error, StorageBusyError)
    assert error.retry_after == 17


@pytest.mark.parametrize(("status", "code"), [(500, ""), (408, ""), (500, "InternalError"), (400, "RequestTimeout")])
def test_faults_of_a_server_are_temporary_but_not_waited_for_long(status: int, code: str) -> None:
    error = answered(status=status, code=code)
    assert isinstance(error, StorageUnavailableError)
    assert not isinstance(error, StorageBusyError)


def test_a_full_storage_is_no_busy_one_unless_it_asks_to_come_back() -> None:
    assert isinstance(answered(status=507), StorageFullError)
    assert isinstance(answered(status=507, retry_after="5"), StorageBusyError)


@pytest.mark.parametrize("minutes", [-60 * 24 * 365, -16, 16, 600])
@pytest.mark.parametrize(
    ("status", "code"), [(403, "RequestTimeTooSkewed"), (403, "AccessDenied"), (401, ""), (403, "AuthenticationFailed")]
)
def test_clocks_that_differ_are_named_both(minutes: int, status: int, code: str) -> None:
    now = 1_800_000_000
    with clock.replaced(lambda: now * 10**9):
        date = email.utils.formatdate(now + minutes * 60, usegmt=True)
        error = answered(status=status, code=code, date=date)
    assert isinstance(error, StorageClockError)
    assert not isinstance(error, StorageAccessDeniedError)
    assert "2027-01-15 08:00:00 UTC" in str(error)
    assert email.utils.formatdate(now + minutes * 60, usegmt=True)[17:25] in str(error)


def test_clocks_that_agree_leave_an_error_as_it_is() -> None:
    now = 1_800_000_000
    for date in (email.utils.formatdate(now - 300, usegmt=True), None, "", "no date"):
        with clock.replaced(lambda: now * 10**9):
            assert isinstance(answered(status=403, code="AccessDenied", date=date), StorageAccessDeniedError)
            assert isinstance(answered(status=401, date=date), StorageAuthenticationError)
    assert isinstance(answered(status=403, code="RequestTimeTooSkewed"), StorageClockError)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_with_where_it_leads_but_not_what_stands_in_its_url(status: int) -> None:
    error = answered(status=status, location="https://user:canary@portal.example/login?token=canary")
    assert isinstance(error, WrongServerError)
    assert not error.temporary
    assert f"redirect ({status}) to portal.example" in str(error)
    assert "canary" not in str(error)


def test_a_bucket_of_another_region_is_no_redirect() -> None:
    error = answered(status=301, code="PermanentRedirect", reason="The bucket must be addressed otherwise.")
    assert isinstance(error, StorageError)
    assert not isinstance(error, WrongServerError)
    assert "set the region" in str(error)


def test_a_web_page_is_named_as_such() -> None:
    assert "a web page came" in str(not_the_service("open it", "host:9001", "text/html; charset=utf-8"))
    assert "can't understand" in str(not_the_service("open it", "host:9001", "application/json"))
