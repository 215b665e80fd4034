"""Prints how much of each room the tests cover, and fails where it is less than 95 % of the branches or of the lines.

python scripts/coverage_of_rooms.py COVERAGE.json [--least 95]

COVERAGE.json is what `coverage json` writes about a run that measured branches.
"""

# ruff: noqa: INP001, T201 -- a program

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOMS = ("format", "storage", "repository", "index", "maintenance")
COUNTS = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def totals(files: Mapping[str, Any], room: str) -> Counter[str]:
    """Return the sums of lines and branches over the files of a room."""
    found: Counter[str] = Counter()
    for name, file in files.items():
        if name.startswith(f"pykopia/{room}/"):
            found.update({count: file["summary"][count] for count in COUNTS})
    return found


def main(words: Sequence[str]) -> int:
    """Print a line for each room; return 1 if one is below the least."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--least", type=float, default=95)
    options = parser.parse_args(words)
    files = json.loads(options.file.read_text())["files"]
    missed = False
    for room in ROOMS:
        count = totals(files, room)
        lines = 100 * count["covered_lines"] / max(count["num_statements"], 1)
        branches = 100 * count["covered_branches"] / max(count["num_branches"], 1)
        below = min(lines, branches) < options.least
        missed = missed or below
        print(f"{room:<12} {lines:5.1f} % of the lines {branches:5.1f} % of the branches{'  TOO LITTLE' * below}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
