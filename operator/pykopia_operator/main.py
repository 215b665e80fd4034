"""The command ``pykopia-operator``."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import yaml

from pykopia_operator.decide.objects import name_of, namespace_of
from pykopia_operator.errors import OperatorError
from pykopia_operator.migrate import migrate
from pykopia_operator.render import load, render
from pykopia_operator.settings import Settings, add_flags, settings_from

log: Final = logging.getLogger(__name__)

USAGE_STATUS: Final = 2
LOST_LEASE_STATUS: Final = 3


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="pykopia-operator", description=__doc__)
    commands = found.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the operator")
    add_flags(run)
    render = commands.add_parser("render", help="print the Jobs, volumes and so on that objects would lead to")
    render.add_argument("files", nargs="+", type=Path, metavar="FILE")
    add_flags(render)
    migrate = commands.add_parser(
        "migrate", help="rewrite objects for restic's mover, and kopiur's, for this operator; prints what it would do"
    )
    migrate.add_argument("files", nargs="+", type=Path, metavar="FILE")
    migrate.add_argument("--write", type=Path, metavar="FOLDER", help="write the new objects into this folder")
    return found


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command with the arguments of the process and end it."""
    sys.exit(run_command(sys.argv[1:] if words is None else words, os.environ))


def run_command(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command and return its exit status."""
    given = parser().parse_args(words)
    try:
        if given.command == "render":
            return _render(given.files, vars(given), environment)
        if given.command == "migrate":
            return _migrate(given.files, given.write)
        return _run_operator(vars(given), environment)
    except msgspec.ValidationError as error:
        print(f"pykopia-operator: {error}", file=sys.stderr)
        return USAGE_STATUS
    except OperatorError as error:
        print(f"pykopia-operator: {error}", file=sys.stderr)
        return 1


def _run_operator(given: Mapping[str, str | None], environment: Mapping[str, str]) -> int:
    settings = settings_from(given, environment)
    configure_log(settings)
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(serve(settings, environment))
    return 0


def _render(files: Sequence[Path], given: Mapping[str, str | None], environment: Mapping[str, str]) -> int:
    found = render(load(files), settings_from(given, environment), now())
    print(yaml.safe_dump_all(found, sort_keys=False, width=120), end="")
    return 0


def _migrate(files: Sequence[Path], folder: Path | None) -> int:
    """Print the new objects and what a person must do; write them only where a folder is given."""
    migrations = migrate(load(files))
    for each in migrations:
        print(f"# {each.before['kind']} {name_of(each.before)}")
        for note in each.notes:
            print(f"#   {note}")
        if each.after:
            print(yaml.safe_dump_all(each.after, sort_keys=False, width=120, explicit_start=True), end="")
    if not migrations:
        print("pykopia-operator: none of the objects is one of restic's mover or of kopiur", file=sys.stderr)
        return 1
    if folder is None:
        print("# nothing was written; --write FOLDER writes the objects above into files")
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    for each in migrations:
        for obj in each.after:
            path = folder / f"{namespace_of(obj) or 'default'}-{obj['kind'].lower()}-{name_of(obj)}.yaml"
            if path.exists():
                raise OperatorError(f"{path} exists already; give an empty folder")
            path.write_text(yaml.safe_dump(obj, sort_keys=False, width=120))
    return 0


def configure_log(settings: Settings) -> None:
    """Send log lines to standard error."""
    form = (
        '{"time":"%(asctime)s","level":"%(levelname)s","logger":"%(name)s","msg":%(quoted)s}'
        if settings.log_format == "json"
        else "%(asctime)s %(levelname)s %(message)s"
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = _JsonFormatter(form) if settings.log_format == "json" else logging.Formatter(form)
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger("pykopia_operator")
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    root.propagate = False


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        record.quoted = msgspec.json.encode(record.getMessage()).decode()
        return super().format(record)


async def serve(settings: Settings, environment: Mapping[str, str]) -> int:
    """Run the operator until a signal stops it or it loses its Lease; return the exit status."""
    from pykopia_operator.control.service import Service  # noqa: PLC0415 -- only where it runs

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    service = Service(settings, environment, identity=identity, now=now)
    kept = await service.run(stop)
    return 0 if kept else LOST_LEASE_STATUS
