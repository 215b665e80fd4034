"""Selects the snapshot of a restore, and decides how a restore without one ends."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Generic, Literal, Protocol, TypeVar

from pykopia.dataclass import dataclass
from pykopia_mover.failures import config_error

EXAMPLE: Final = "2022-08-10T20:01:03-04:00"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?([Zz]|([+-])(\d\d):(\d\d))"
)


class Started(Protocol):
    """The part of a snapshot that the selection needs."""

    @property
    def start_time_ns(self) -> int:
        """Nanoseconds since 1970."""


AnySnapshot = TypeVar("AnySnapshot", bound=Started)


def parse_as_of(text: str) -> int:
    """Return the instant of an RFC 3339 time in nanoseconds since 1970 (rule M-131).

    >>> parse_as_of("2022-08-10T20:01:03-04:00") == parse_as_of("2022-08-11T00:01:03z")
    True

    Raises:
        MoverError: it is none, has no zone, or a blank in place of the T.
    """
    match = _RFC3339.fullmatch(text.strip())
    wrong = config_error(
        f"restoreAsOf {text!r} is not a time of RFC 3339", f"Write date, T, time and zone, as in {EXAMPLE}"
    )
    if match is None:
        raise wrong
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    leap, second = second == 60, min(second, 59)
    try:
        zone = UTC
        if match[9]:
            offset = timedelta(hours=int(match[10]), minutes=int(match[11]))
            zone = timezone(offset if match[9] == "+" else -offset)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        whole = (moment - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        raise wrong from None
    return (whole + leap) * 1_000_000_000 + int((match[7] or "").ljust(9, "0") or 0)


def end_of(text: str) -> int:
    """Return the last nanosecond that an RFC 3339 time names: times are shown to the second, and snapshots begin within one.

    >>> end_of("2026-01-02T03:04:05Z") - parse_as_of("2026-01-02T03:04:05Z")
    999999999
    >>> end_of("2026-01-02T03:04:05.123Z") - parse_as_of("2026-01-02T03:04:05.123Z")
    999999

    Raises:
        MoverError: see ``parse_as_of``.
    """
    start = parse_as_of(text)
    match = _RFC3339.fullmatch(text.strip())
    digits = len(match[7] or "") if match is not None else 0
    return start + int(10 ** (9 - digits)) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection(Generic[AnySnapshot]):
    """Result of a selection."""

    snapshot: AnySnapshot | None
    available: int
    """Complete snapshots of the source."""
    eligible: int
    """Number of them that the settings allow."""


def select(
    snapshots: Sequence[AnySnapshot], *, as_of_ns: int | None = None, previous: int = 0, shallow: int | None = None
) -> Selection[AnySnapshot]:
    """Choose among the complete snapshots of one source (rule M-132).

    Args:
        snapshots: in any order.
        as_of_ns: leave out what began later.
        previous: skip so many of the newest.
        shallow: consider only so many of the newest that remain; the newest of them is taken, so only 0 makes a
            difference.
    """
    newest_first = sorted(snapshots, key=lambda each: each.start_time_ns, reverse=True)
    eligible = [each for each in newest_first if as_of_ns is None or each.start_time_ns <= as_of_ns][previous:]
    if shallow is not None:
        eligible = eligible[:shallow]
    return Selection(snapshot=eligible[0] if eligible else None, available=len(newest_first), eligible=len(eligible))


Outcome = Literal["no-data", "no-snapshot"]


def nothing_to_restore(mode: str, *, available: int, as_of_given: bool, previous: int, shallow: int | None) -> Outcome:
    """Decide how a restore without an eligible snapshot ends: with success and no data, or with a failure (rule M-133)."""
    if mode == "continue":
        return "no-data"
    if mode == "fail":
        return "no-snapshot"
    if shallow == 0:
        return "no-data"
    if as_of_given or previous:
        return "no-snapshot"
    return "no-data" if available == 0 else "no-snapshot"


__all__ = ["EXAMPLE", "Outcome", "Selection", "Started", "end_of", "nothing_to_restore", "parse_as_of", "select"]
