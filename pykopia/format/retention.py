"""Which snapshots of a source are kept, and why (format 05 §6).

All here is Kopia's rule, oddities included, so that both agree on what expires: periods are counted back from the newest
complete snapshot, not from now; weeks and limits follow the local time zone, all other periods UTC; and all periods share
one set of names, in which ``2024-05`` is a month and a week.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from typing import Final, Generic, Protocol, TypeVar

from pykopia.dataclass import dataclass
from pykopia.format.calendar_time import date_of, day_of, from_local, iso_week, local_day, to_local
from pykopia.format.gotime import DAY_SECONDS, SECOND_NS
from pykopia.format.policy import RetentionPolicy

INCOMPLETE_AGE_NS: Final = 4 * 3600 * SECOND_NS
"""Incomplete snapshots younger than this, compared with the newest snapshot, are kept: nanoseconds."""

INCOMPLETE_COUNT: Final = 3
"""So many of the newest snapshots are kept if they are incomplete."""

INCOMPLETE: Final = "incomplete"
"""Reason to keep an incomplete snapshot."""

WITHIN: Final = "within"
"""Reason to keep a snapshot that no rule of the policy keeps, but the time that the caller asked for."""

_RANKS = {"latest": 1, "hourly": 2, "daily": 3, "weekly": 4, "monthly": 5, "annual": 6}
_NUMBER = re.compile(r"\+?[0-9]{1,18}")


class RetainedSnapshot(Protocol):
    """The facts of a snapshot on which retention depends."""

    @property
    def start_time_ns(self) -> int:
        """Nanoseconds since 1970."""

    @property
    def end_time_ns(self) -> int:
        """Nanoseconds since 1970."""

    @property
    def incomplete(self) -> str:
        """Why the snapshot ended early; empty when it is complete."""

    @property
    def pins(self) -> Sequence[str]:
        """Names that keep the snapshot, whatever the policy says."""


AnySnapshot = TypeVar("AnySnapshot", bound=RetainedSnapshot)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpirePlan(Generic[AnySnapshot]):
    """Plan for the snapshots of a source: which to keep, which to delete."""

    kept: tuple[tuple[AnySnapshot, tuple[str, ...]], ...]
    """Snapshots to keep, with the reasons; those without any reason are pinned."""
    expired: tuple[AnySnapshot, ...]
    """Snapshots to delete."""

    def __str__(self) -> str:
        return f"keep {len(self.kept)} snapshots, delete {len(self.expired)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Period:
    """One kind of period."""

    kind: str
    count: int
    """Snapshots to keep."""
    cutoff_ns: int | None
    """Older snapshots are not kept for it."""
    name: Callable[[int, int], str]
    """Returns the name of the period from a snapshot's position and start; of each period one snapshot is kept."""


def plan_expire(
    snapshots: Iterable[AnySnapshot],
    policy: RetentionPolicy,
    *,
    tz: tzinfo,
    has_errors: Callable[[AnySnapshot], bool] | None = None,
    keep_within_ns: int = 0,
) -> ExpirePlan[AnySnapshot]:
    """Decide which snapshots of a source are deleted: those that have neither a reason to be kept nor a pin.

    Args:
        snapshots: All of one source, in any order.
        policy: In effect for the source.
        tz: Local time zone.
        has_errors: See ``reasons_despite_errors``; without it the rule is Kopia's.
        keep_within_ns: Keeps also all that began so many nanoseconds before the newest complete snapshot, or later. Policies
            of Kopia have no such rule.
    """
    listed = list(snapshots)
    if has_errors is None:
        reasons = retention_reasons(listed, policy, tz=tz)
    else:
        reasons = reasons_despite_errors(listed, policy, tz=tz, has_errors=has_errors)
    if keep_within_ns > 0:
        since_ns = _newest_start(listed) - keep_within_ns
        reasons = [
            why if why or each.start_time_ns < since_ns else (WITHIN,)
            for each, why in zip(listed, reasons, strict=True)
        ]
    return ExpirePlan(
        kept=tuple((each, why) for each, why in zip(listed, reasons, strict=True) if why or each.pins),
        expired=tuple(each for each, why in zip(listed, reasons, strict=True) if not (why or each.pins)),
    )


def retention_reasons(
    snapshots: Sequence[RetainedSnapshot], policy: RetentionPolicy, *, tz: tzinfo
) -> list[tuple[str, ...]]:
    """Return for each snapshot of a source why the policy keeps it, such as ``latest-1``; empty if it does not.

    Args:
        snapshots: All of one source, in any order.
        policy: In effect for the source.
        tz: Local time zone.
    """
    order = sorted(range(len(snapshots)), key=lambda i: (-snapshots[i].start_time_ns, -snapshots[i].end_time_ns))
    newest = _newest_start(snapshots)
    periods = _periods(policy, newest, tz)
    reasons: list[tuple[str, ...]] = [()] * len(snapshots)
    used: set[str] = set()
    given = dict.fromkeys((period.kind for period in periods), 0)
    for position, index in enumerate(order):
        if snapshots[index].incomplete:
            continue
        start_ns = snapshots[index].start_time_ns
        why = []
        for period in periods:
            if given[period.kind] >= period.count or (period.cutoff_ns is not None and start_ns < period.cutoff_ns):
                continue
            name = period.name(position, start_ns)
            if name not in used:
                used.add(name)
                given[period.kind] += 1
                why.append(f"{period.kind}-{given[period.kind]}")
        reasons[index] = tuple(sorted_reasons(why))
    for position, index in enumerate(order):
        age = snapshots[order[0]].start_time_ns - snapshots[index].start_time_ns
        if not snapshots[index].incomplete or not (age < INCOMPLETE_AGE_NS or position < INCOMPLETE_COUNT):
            break
        reasons[index] = (INCOMPLETE,)
    return reasons


def _newest_start(snapshots: Iterable[RetainedSnapshot]) -> int:
    """Return when the newest complete snapshot began; 0 without any."""
    return max((each.start_time_ns for each in snapshots if not each.incomplete), default=0)


def reasons_despite_errors(
    snapshots: Sequence[AnySnapshot],
    policy: RetentionPolicy,
    *,
    tz: tzinfo,
    has_errors: Callable[[AnySnapshot], bool],
) -> list[tuple[str, ...]]:
    """Return the reasons of ``retention_reasons``; those without errors also keep what they would keep among themselves.

    So retries of a backup that can't read a file push no good snapshot out. All that Kopia keeps is kept too.

    Args:
        snapshots: All of one source, in any order.
        policy: In effect for the source.
        tz: Local time zone.
        has_errors: Tells whether a snapshot lacks entries that could not be read.
    """
    reasons = retention_reasons(snapshots, policy, tz=tz)
    good = [index for index, each in enumerate(snapshots) if not has_errors(each)]
    if len(good) < len(snapshots):
        among_good = retention_reasons([snapshots[index] for index in good], policy, tz=tz)
        for index, why in zip(good, among_good, strict=True):
            reasons[index] = reasons[index] or why
    return reasons


def _periods(policy: RetentionPolicy, newest_ns: int, tz: tzinfo) -> list[_Period]:
    """Return the periods of the policy in the order in which they take their names."""
    counts = (
        policy.keep_latest,
        policy.keep_hourly,
        policy.keep_daily,
        policy.keep_weekly,
        policy.keep_monthly,
        policy.keep_annual,
    )
    latest = policy.keep_latest if sum(count or 0 for count in counts) else 1 << 63
    newest, fraction = divmod(newest_ns, SECOND_NS)
    newest_day, second = divmod(to_local(newest, tz), DAY_SECONDS)
    year, month, day = date_of(newest_day)

    def at(day: int) -> int:
        """Return the instant of a day at which the clock shows what it showed at the newest snapshot."""
        return from_local(day * DAY_SECONDS + second, tz) * SECOND_NS + fraction

    periods: list[tuple[str, int | None, Callable[[int], int | None], Callable[[int, int], str]]] = [
        ("latest", latest, lambda _: None, lambda position, _: str(position)),
        ("annual", policy.keep_annual, lambda n: at(day_of(year - n, month, day)), lambda _, ns: _utc(ns)[:4]),
        ("monthly", policy.keep_monthly, lambda n: at(day_of(year, month - n, day)), lambda _, ns: _utc(ns)[:7]),
        ("weekly", policy.keep_weekly, lambda n: at(newest_day - 7 * n), lambda _, ns: _week(ns, tz)),
        ("daily", policy.keep_daily, lambda n: at(newest_day - n), lambda _, ns: _utc(ns)[:10]),
        ("hourly", policy.keep_hourly, lambda n: newest_ns - n * 3600 * SECOND_NS, lambda _, ns: _utc(ns)),
    ]
    return [
        _Period(kind=kind, count=count, cutoff_ns=cutoff(count), name=name)
        for kind, count, cutoff, name in periods
        if count is not None
    ]


def _utc(ns: int) -> str:
    """Return date and hour in UTC, such as ``2024-05-31 23``."""
    hours = ns // SECOND_NS // 3600
    year, month, day = date_of(hours // 24)
    return f"{year:04d}-{month:02d}-{day:02d} {hours % 24:02d}"


def _week(ns: int, tz: tzinfo) -> str:
    year, week = iso_week(local_day(ns // SECOND_NS, tz))
    return f"{year:04d}-{week:02d}"


def sorted_reasons(reasons: Iterable[str]) -> list[str]:
    """Return reasons in Kopia's order: latest, hourly, daily, weekly, monthly, annual, and within these as text.

    >>> sorted_reasons(["annual-1", "latest-2", "latest-10", "incomplete"])
    ['incomplete', 'latest-10', 'latest-2', 'annual-1']
    """
    return sorted(reasons, key=_rank)


def _rank(reason: str) -> tuple[int, str, str]:
    kind, number = _split(reason)
    return _RANKS.get(kind, 0), kind, number


def _split(reason: str) -> tuple[str, str]:
    kind, dash, number = reason.rpartition("-")
    return (kind, number) if dash else (reason, "")


def compact_reasons(reasons: Iterable[str]) -> list[str]:
    """Return reasons sorted and with runs put together, as listings show them (format 05 §6.3).

    >>> compact_reasons(["latest-1", "latest-3", "latest-2", "daily-1"])
    ['latest-1..3', 'daily-1']
    """
    result = []
    numbers: dict[str, list[int]] = {}
    for reason in reasons:
        kind, number = _split(reason)
        if _NUMBER.fullmatch(number):
            numbers.setdefault(kind, []).append(int(number))
        else:
            result.append(reason)
    for kind, found in numbers.items():
        runs: list[list[int]] = []
        for number_found in sorted(found):
            if runs and number_found == runs[-1][1] + 1:
                runs[-1][1] = number_found
            else:
                runs.append([number_found, number_found])
        result += [f"{kind}-{first}" if first == last else f"{kind}-{first}..{last}" for first, last in runs]
    return sorted_reasons(result)


__all__ = [
    "INCOMPLETE",
    "INCOMPLETE_AGE_NS",
    "INCOMPLETE_COUNT",
    "WITHIN",
    "ExpirePlan",
    "RetainedSnapshot",
    "compact_reasons",
    "plan_expire",
    "reasons_despite_errors",
    "retention_reasons",
    "sorted_reasons",
]
