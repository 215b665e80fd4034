"""Times and durations as the API server and VolSync write them."""

from datetime import UTC, datetime, timedelta


def parse_time(text: str | None) -> datetime | None:
    """Return an RFC 3339 time, None for none.

    >>> parse_time("2026-01-02T03:04:05Z").isoformat()
    '2026-01-02T03:04:05+00:00'
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def format_time(moment: datetime) -> str:
    """Return a time in the form of the API server: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """Return a time with microseconds, as Leases and events hold it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def go_duration(length: timedelta) -> str:
    """Return a duration as Go writes it.

    >>> go_duration(timedelta(seconds=83.4))
    '1m23.4s'
    >>> go_duration(timedelta(hours=2))
    '2h0m0s'
    """
    total = max(length.total_seconds(), 0)
    hours, rest = divmod(total, 3600)
    minutes, seconds = divmod(rest, 60)
    text = f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{text}"
    return f"{int(minutes)}m{text}" if minutes else text
