"""Durations as text, in the form that Go reads and writes."""

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
"""Nanoseconds in each unit that a duration may use."""

_PART = r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)"


def parse_duration(value: str) -> int:
    """Return nanoseconds of a duration such as ``1h30m`` or ``1.5s``; a unit is demanded, except for ``0``.

    Raises:
        ValueError: It is no duration.
    """
    import re  # noqa: PLC0415 -- most command lines have no duration

    sign, rest = (-1, value[1:]) if value.startswith("-") else (1, value.removeprefix("+"))
    if rest == "0":
        return 0
    total, position = 0, 0
    while position < len(rest):
        part = re.compile(_PART).match(rest, position)
        if part is None or not (part[1] or part[2]):
            break
        unit, fraction = NANOSECONDS[part[3]], part[2] or ""
        total += int(part[1] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = part.end()
    if not rest or position < len(rest):
        msg = f"{value!r} is not a duration such as 45m, 1h30m or 10s"
        raise ValueError(msg)
    return sign * total


__all__ = ["NANOSECONDS", "parse_duration"]
