"""Runs every program with a fault at each of its calls, and writes what was tried to docs/reliability.md.

python -m tests.faults [--most CALLS] [--write]
"""

import argparse
import logging
import re
import sys
import tempfile
import traceback
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pykopia.errors import PykopiaError
from pykopia.format import keys

from .campaign import CASES, Tried, check_all
from .harness import FATES, Fate
from .programs import PROGRAMS, make_source

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
START, END = "<!-- faults: written by make faults -->\n", "<!-- end of faults -->\n"


def table(tried: dict[tuple[str, Fate], Tried], most: int | None) -> str:
    """Return the table of what was tried in one run, and its sum."""
    lines = ["| Operation | Calls | " + " | ".join(FATES) + " |", "|---|---|" + "---|" * len(FATES)]
    for name in PROGRAMS:
        found = [tried.get((name, fate)) for fate in FATES]
        calls = max((each.calls for each in found if each is not None), default=0)
        cells = ["-" if each is None else str(each.faults) for each in found]
        lines.append(f"| {name} | {calls} | " + " | ".join(cells) + " |")
    total = sum(each.faults for each in tried.values())
    where = "at every call" if most is None else f"at no more than {most} calls of each operation, evenly spread"
    return "\n".join([*lines, "", f"{total} faults in one run, {where}; all was well after each."]) + "\n"


def written(page: str, text: str) -> str:
    """Return the page with the table in its place."""
    return re.sub(f"{START}.*?{END}", lambda _: f"{START}\n{text}\n{END}", page, flags=re.DOTALL)


def main(words: Iterable[str]) -> int:
    """Run all, also after a failure; return 1 if anything was lost, and then leave the page as it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--most", type=int, help="calls of each program and fate, evenly spread; all when not given")
    parser.add_argument("--write", action="store_true", help="write the table to docs/reliability.md")
    options = parser.parse_args(list(words))
    keys.KEY_DERIVATIONS = {name: cache(derive) for name, derive in keys.KEY_DERIVATIONS.items()}
    logging.getLogger("pykopia").addHandler(logging.NullHandler())  # hundreds of warnings about the faults
    tried: dict[tuple[str, Fate], Tried] = {}
    failed = 0
    for number, (name, fate) in enumerate(CASES):
        with tempfile.TemporaryDirectory(prefix="pykopia-faults-") as folder:
            try:
                tried[name, fate] = check_all(make_source(Path(folder) / f"source-{number}"), name, fate, options.most)
            except (AssertionError, PykopiaError):
                failed += 1
                print(f"{name}, {fate}: FAILED", traceback.format_exc(), sep="\n", flush=True)
                continue
        print(f"{name}, {fate}: {tried[name, fate].faults} of {tried[name, fate].calls} calls", flush=True)
    if failed:
        print(f"{failed} of {len(CASES)} combinations of operation and fault failed")
        return 1
    text = table(tried, options.most)
    print(text)
    if options.write:
        PAGE.write_text(written(PAGE.read_text(), text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
