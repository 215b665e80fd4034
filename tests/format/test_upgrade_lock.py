from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import UsageError
from pykopia.format import gojson
from pykopia.format.upgrade_lock import UpgradeLock

MINUTE = 60 * 1_000_000_000
CREATED = gojson.parse_time("2026-01-02T03:04:05Z")
LOCK = UpgradeLock(
    owner_id="owner-1",
    creation_time_ns=CREATED,
    io_drain_timeout_ns=15 * MINUTE,
    status_poll_interval_ns=MINUTE,
    message="please wait",
    max_clock_drift_ns=5 * MINUTE,
)
NOTICED = replace(LOCK, advance_notice_ns=60 * MINUTE)


def test_a_lock_without_notice_holds_at_once_and_drains_after_two_timeouts_and_the_drift() -> None:
    assert LOCK.drain_ns == 35 * MINUTE
    assert LOCK.upgrade_time_ns == CREATED + 35 * MINUTE
    assert LOCK.locked(CREATED - 1)
    assert not LOCK.drained(CREATED + 35 * MINUTE - 1)
    assert LOCK.drained(CREATED + 35 * MINUTE)


def test_a_lock_with_notice_holds_when_the_rest_of_the_notice_is_needed_to_drain() -> None:
    assert NOTICED.upgrade_time_ns == CREATED + 60 * MINUTE
    assert not NOTICED.locked(CREATED + 25 * MINUTE - 1)
    assert NOTICED.locked(CREATED + 25 * MINUTE)
    assert not NOTICED.drained(CREATED + 60 * MINUTE - 1)
    assert NOTICED.drained(CREATED + 60 * MINUTE)


def test_a_notice_shorter_than_the_drain_locks_at_once() -> None:
    lock = replace(LOCK, advance_notice_ns=34 * MINUTE)
    assert lock.locked(CREATED)
    assert lock.upgrade_time_ns == CREATED + 35 * MINUTE


@given(st.integers(0, 10**13), st.integers(1, 10**12), st.integers(1, 10**12), st.integers(-(10**13), 10**14))
def test_a_drained_repository_is_always_locked(notice: int, timeout: int, drift: int, offset: int) -> None:
    lock = replace(LOCK, advance_notice_ns=notice, io_drain_timeout_ns=timeout, max_clock_drift_ns=drift)
    assert lock.locked(CREATED + offset) or not lock.drained(CREATED + offset)


@pytest.mark.parametrize("lock", [LOCK, NOTICED, replace(LOCK, advance_notice_ns=35 * MINUTE + 1)])
def test_a_complete_lock_is_valid(lock: UpgradeLock) -> None:
    lock.validate()


@pytest.mark.parametrize(
    ("lock", "problem"),
    [
        (replace(LOCK, owner_id=""), "owner ID"),
        (replace(LOCK, creation_time_ns=gojson.ZERO_TIME_NS), "creation time"),
        (replace(LOCK, io_drain_timeout_ns=0), "drain timeout must be positive"),
        (replace(LOCK, status_poll_interval_ns=16 * MINUTE), "poll interval"),
        (replace(LOCK, message=""), "message"),
        (replace(LOCK, max_clock_drift_ns=0), "clock drift must be positive"),
        (replace(LOCK, advance_notice_ns=35 * MINUTE), "advance notice"),
        (replace(LOCK, advance_notice_ns=-1), "advance notice"),
    ],
)
def test_an_incomplete_lock_is_refused(lock: UpgradeLock, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        lock.validate()


def test_only_the_notice_can_be_moved_and_only_to_a_later_time() -> None:
    later = replace(NOTICED, advance_notice_ns=90 * MINUTE, message="another", status_poll_interval_ns=1)
    assert NOTICED.updated(later) == replace(NOTICED, advance_notice_ns=90 * MINUTE)
    assert LOCK.updated(LOCK) == LOCK
    for lock, other, problem in [
        (NOTICED, replace(later, owner_id="owner-2"), "belongs to 'owner-1'"),
        (NOTICED, replace(NOTICED, advance_notice_ns=59 * MINUTE), "later time"),
        (NOTICED, LOCK, "advance notice"),
        (LOCK, NOTICED, "advance notice"),
    ]:
        with pytest.raises(UsageError, match=problem):
            lock.updated(other)


def test_the_backup_is_named_after_the_owner() -> None:
    assert LOCK.backup_blob_id == "kopia.repository.backup.owner-1"


def test_json_is_that_of_kopia_with_empty_parts_left_out() -> None:
    text = (
        b'{"ownerID":"owner-1","creationTime":"2026-01-02T03:04:05Z","ioDrainTimeout":900000000000,'
        b'"statusPollInterval":60000000000,"message":"please wait","maxPermittedClockDrift":300000000000}'
    )
    assert gojson.dumps(LOCK.members()) == text
    assert UpgradeLock.parse(text) == LOCK
    assert gojson.dumps(UpgradeLock().members()) == b'{"creationTime":"0001-01-01T00:00:00Z"}'
