"""`repository throttle get`, `repository throttle set`."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pykopia.cli import formatting
from pykopia.cli.connection_file import change_connection
from pykopia.cli.flags.repository_throttle import ThrottleGetOptions, ThrottleSetOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.repository.connection_file import read_config
from pykopia.storage.options import ThrottlingLimits

if TYPE_CHECKING:
    from pykopia.api.repository import Repository

_WITHOUT_LIMIT = frozenset({"unlimited", "-"})


def get(session: Session, options: ThrottleGetOptions) -> None:
    """Show the limits."""
    with session.open() as repository:
        limits = _limits(session, repository)
    if options.json:
        options.write_json(session, limits.to_config())
        return
    _line(session, "Max Download Speed:", limits.download_bytes_per_second, as_speed=True)
    _line(session, "Max Upload Speed:", limits.upload_bytes_per_second, as_speed=True)
    _line(session, "Max Read Requests Per Second:", limits.reads_per_second)
    _line(session, "Max Write Requests Per Second:", limits.writes_per_second)
    _line(session, "Max List Requests Per Second:", limits.lists_per_second)
    _line(session, "Max Concurrent Reads:", limits.concurrent_reads)
    _line(session, "Max Concurrent Writes:", limits.concurrent_writes)


def set_limits(session: Session, options: ThrottleSetOptions) -> None:
    """Change limits; they are kept in the connection file."""
    with session.open() as repository:
        before = _limits(session, repository)
    limits = _changed(session, before, options)
    if limits == before:
        session.log.info("No changes made.")
        return
    change_connection(session.config_path, throttling=limits.to_config())


def _limits(session: Session, repository: "Repository") -> ThrottlingLimits:
    """Return the limits of the connection: its own, where it has some, before those of its storage."""
    own = read_config(session.config_path).throttling
    return (
        repository.storage.connection_info().options().throttling if own is None else ThrottlingLimits.from_config(own)
    )


def _changed(session: Session, limits: ThrottlingLimits, options: ThrottleSetOptions) -> ThrottlingLimits:
    rates = (
        ("download_bytes_per_second", "max download speed", options.download_bytes_per_second),
        ("upload_bytes_per_second", "max upload speed", options.upload_bytes_per_second),
        ("reads_per_second", "reads per second", options.read_requests_per_second),
        ("writes_per_second", "writes per second", options.write_requests_per_second),
        ("lists_per_second", "lists per second", options.list_requests_per_second),
        ("concurrent_reads", "concurrent reads", options.concurrent_reads),
        ("concurrent_writes", "concurrent writes", options.concurrent_writes),
    )
    changes: dict[str, float] = {}
    for field, label, text in rates:
        if not text:
            continue
        whole = field.startswith("concurrent")
        value = 0 if text in _WITHOUT_LIMIT else _number(label, text, whole=whole)
        changes[field] = value
        if not value:
            session.log.info("Setting %s to a unlimited.", label)
        elif field.endswith("bytes_per_second"):
            session.log.info("Setting %s to %s.", label, formatting.speed(value))
        else:
            session.log.info("Setting %s to %g.", label, value)
    return replace(limits, **changes)  # type: ignore[arg-type]


def _number(label: str, text: str, *, whole: bool) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = -1
    if value < 0:
        message = f"can't parse the {label} {text!r}: a number or `unlimited` is wanted"
        raise CommandLineError(message)
    return value


def _line(session: Session, label: str, value: float, *, as_speed: bool = False) -> None:
    text = "(unlimited)" if not value else formatting.speed(value) if as_speed else f"{value:.0f}"
    session.write(f"{label:<30} {text}")


__all__ = ["get", "set_limits"]
