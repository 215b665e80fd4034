"""Times that people type: when a snapshot began, and before when a snapshot to restore was taken (format 04 §14.1)."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from pykopia.errors import InvalidTimeError

_SECOND = 1_000_000_000
_AGO = re.compile(
    r"(?:(\d{1,3})(?:y|year|years)-)?(?:(\d{1,3})(?:m|mo|month|months)-)?(?:(\d{1,3})(?:d|day|days)-)?ago"
)
_MOMENT = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2})"
    r"(?:[ T](?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?)?"
    r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?| [A-Z]{3,5}| [+-]\d{2,4})?)?)?)?"
)


def parse_timestamp(text: str, *, local: tzinfo | None = None) -> int:
    """Return nanoseconds of a time such as ``2026-08-01 12:30:00 UTC``, the form in which times are printed.

    Raises:
        InvalidTimeError: It has another form.
    """
    found = _MOMENT.fullmatch(text)
    if found is None or found["second"] is None or found["zone"] is None:
        message = f"{text!r} is not a time such as '2026-08-01 12:30:00 UTC'"
        raise InvalidTimeError(message)
    try:
        return _nanoseconds(_moment(found, text, local))
    except OverflowError:
        raise _beyond_calendar(text) from None


def latest_start(spec: str, *, now_ns: int, local: tzinfo | None = None) -> int:
    """Return the moment (nanoseconds) before which a snapshot must have begun to be meant by ``spec``.

    Args:
        spec: ``yesterday``, ``last-month``, ``last-year``, ``1y-2m-3d-ago``, or a time: its last unit is included.
        now_ns: The present.
        local: Zone of times that name none; None: this machine's.

    Raises:
        InvalidTimeError: ``spec`` has none of these forms.
    """
    try:
        return _latest_start(spec, now_ns, local)
    except OverflowError:
        raise _beyond_calendar(spec) from None


def _beyond_calendar(text: str) -> InvalidTimeError:
    return InvalidTimeError(f"{text!r} is beyond the calendar: give a time from year 2 to year 9998")


def _latest_start(spec: str, now_ns: int, local: tzinfo | None) -> int:
    now = datetime.fromtimestamp(now_ns // _SECOND, UTC).astimezone(local)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if spec == "yesterday":
        return _local_ns(today, local)
    if spec == "last-month":
        return _local_ns(today.replace(day=1), local)
    if spec == "last-year":
        return _local_ns(today.replace(month=1, day=1), local)
    ago = _AGO.fullmatch(spec)
    if ago is not None:
        years, months, days = (int(part or 0) for part in ago.groups())
        return _local_ns(_back(today, years * 12 + months) + timedelta(days=1 - days), local)
    found = _MOMENT.fullmatch(spec)
    if found is None:
        message = f"{spec!r} is no time: use latest, oldest, yesterday, 3d-ago, 2026-08, '2026-08-01 12:30' or the like"
        raise InvalidTimeError(message)
    return _end_of(found, spec, local)


def _end_of(found: re.Match[str], spec: str, local: tzinfo | None) -> int:
    moment = _moment(found, spec, local)
    if found["day"] is None:
        months = 12 if found["month"] is None else 1
        return _local_ns(_back(moment, -months), local)
    if found["hour"] is None:
        return _local_ns(moment + timedelta(days=1), local)
    if found["minute"] is None:
        return _nanoseconds(moment) + 3600 * _SECOND
    if found["second"] is None:
        return _nanoseconds(moment) + 60 * _SECOND
    return _nanoseconds(moment) + (_SECOND if found["fraction"] is None else 1_000_000)


def _moment(found: re.Match[str], text: str, local: tzinfo | None) -> datetime:
    def part(name: str, default: int = 0) -> int:
        return int(found[name] or default)

    microsecond = int((found["fraction"] or "0").ljust(6, "0")[:6])
    try:
        plain = datetime(  # noqa: DTZ001 -- the zone follows
            part("year"),
            part("month", 1),
            part("day", 1),
            part("hour"),
            part("minute"),
            part("second"),
            microsecond,
        )
    except ValueError as error:
        message = f"{text!r} is not a time: {error}"
        raise InvalidTimeError(message) from None
    if not 1 < plain.year < 9999:  # near the ends of the calendar a zone, or a day more, leads out of it
        raise _beyond_calendar(text)
    return _in_zone(plain, (found["zone"] or "").strip(), local)


def _in_zone(plain: datetime, zone: str, local: tzinfo | None) -> datetime:
    if not zone:
        return plain.replace(tzinfo=local) if local is not None else plain.astimezone()
    if zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        return plain.replace(tzinfo=timezone(-offset if zone[0] == "-" else offset))
    in_local = plain.replace(tzinfo=local) if local is not None else plain.astimezone()
    # an abbreviation counts when it is that of the local zone at that time; any other means UTC, as Go has it
    return in_local if in_local.tzname() == zone else plain.replace(tzinfo=UTC)


def _back(moment: datetime, months: int) -> datetime:
    """Return the same day some months earlier; days beyond the month's end run over into the next, as in Go."""
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    if not 1 < year < 9999:
        raise OverflowError(year)
    import calendar  # noqa: PLC0415 -- imports locale, and commands that name a snapshot import this module

    last = calendar.monthrange(year, month + 1)[1]
    over = max(0, moment.day - last)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last)) + timedelta(days=over)


def _local_ns(moment: datetime, local: tzinfo | None) -> int:
    """Return nanoseconds of a wall-clock time, whatever summer time does in between."""
    plain = moment.replace(tzinfo=None)
    return _nanoseconds(plain.replace(tzinfo=local) if local is not None else plain.astimezone())


def _nanoseconds(moment: datetime) -> int:
    past = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds) * 1_000


__all__ = ["latest_start", "parse_timestamp"]
