"""The command line of the comparison."""

import argparse
import json
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from . import remote, remote_report, report, rounds
from .bench import Bench, Options
from .datasets import BUILDERS
from .places import SERVERS
from .tools import TOOLS

REMOTE_TIMEOUT = 300


def names_of(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """Return the type of an argument: names of `allowed`, divided by commas."""

    def names(text: str) -> list[str]:
        given = text.split(",")
        unknown = [name for name in given if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(allowed)}")
        return given

    return names


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed arguments."""
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description=__doc__,
        epilog=f"{rounds.__doc__}\n{remote.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds for each data set (default 3)")
    parser.add_argument("--sets", type=names_of([*BUILDERS]), default=[*BUILDERS], help="big,small,tree")
    parser.add_argument("--tools", type=names_of([*TOOLS]), default=[*TOOLS], help="pykopia,kopia,restic,borg")
    commands = [*rounds.COMMANDS, *(name for name in remote.TITLES if name not in rounds.COMMANDS)]
    parser.add_argument(
        "--commands",
        type=names_of(commands),
        default=commands,
        help=f"{','.join(rounds.COMMANDS)}; of the remote mode {','.join(remote.TITLES)}",
    )
    parser.add_argument(
        "--servers", type=names_of([*SERVERS]), default=[], help=f"the remote mode, with {','.join(SERVERS)}"
    )
    parser.add_argument(
        "--round-trips",
        type=lambda text: [float(number) for number in text.split(",")],
        default=[5.0, 50.0, 150.0],
        help="latencies of the remote mode in milliseconds (default 5,50,150)",
    )
    parser.add_argument("--dir", type=Path, default=Path("/dev/shm"), help="folder to work in (default /dev/shm)")
    parser.add_argument("--seed", default="1", help="of the data; the same seed gives the same data")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size of the data (default 1)")
    parser.add_argument(
        "--timeout", type=float, help=f"seconds for one command (default 1800, of the remote mode {REMOTE_TIMEOUT})"
    )
    parser.add_argument("--json", type=Path, help="file for all samples")
    parser.add_argument("--markdown", type=Path, help="file for the report, which is also printed")
    parser.add_argument("--other-rounds", type=int, help="rounds for tools other than pykopia and kopia (default: all)")
    parser.add_argument("--details", action="store_true", help="also the ceilings of the hardware and the scaling")
    parser.add_argument(
        "--results",
        type=Path,
        help="file with the reports of both modes, in which the one of this run is replaced; implies --details",
    )
    given = parser.parse_args(arguments)
    given.details = given.details or given.results is not None
    given.timeout = given.timeout or (REMOTE_TIMEOUT if given.servers else 1800)
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report and clean up; ^C ends the measuring, and what was measured is still reported."""
    given = parse(arguments)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="pykopia-compare-", dir=given.dir))
    interrupted = False
    try:
        kind: type[Bench] = remote.RemoteComparison if given.servers else rounds.Comparison
        comparison = kind(
            Options(
                rounds=given.rounds,
                sets=given.sets,
                tools=given.tools,
                commands=given.commands,
                folder=folder,
                seed=given.seed,
                scale=given.scale,
                timeout_seconds=given.timeout,
                other_rounds=given.other_rounds,
                servers=given.servers,
                round_trips_ms=given.round_trips,
                details=given.details,
            ),
            lambda text: print(text, file=sys.stderr, flush=True),
        )
        try:
            comparison.run()
        except KeyboardInterrupt:
            interrupted = True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, previous)
    facts = report.machine()
    if given.json:
        given.json.write_text(json.dumps(report.to_json(comparison.results, facts), indent=1) + "\n")
    text = (remote_report if given.servers else report).to_markdown(comparison.results, facts)
    if given.markdown:
        given.markdown.write_text(text)
    if given.results:
        known = given.results.read_text() if given.results.exists() else ""
        given.results.write_text(with_report(known, text))
    print(text)
    if interrupted:
        return 130
    failed = any(sample.error for sample in comparison.results.samples) or any(comparison.results.restores.values())
    return 1 if failed else 0


def with_report(known: str, text: str) -> str:
    """Return the text of a file of results in which a report takes the place of the one with its heading."""
    parts = {part.partition("\n")[0]: part for part in re.split(r"^(?=# )", known, flags=re.MULTILINE) if part.strip()}
    parts[text.partition("\n")[0]] = text
    order = (report.HEADING, remote_report.HEADING, report.MOUNTS, report.MOVERS)
    return "\n".join(f"{parts[heading].rstrip()}\n" for heading in order if heading in parts)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


__all__ = ["main", "parse", "with_report"]
