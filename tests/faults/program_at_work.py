"""A program that works on a repository beside others.

python -m tests.faults.program_at_work WHAT ROUNDS REPOSITORY FOLDER PASSWORD

WHAT is ``write`` (snapshots of FOLDER, which changes each time; prints their IDs) or ``delete`` (the oldest snapshots of
FOLDER, all but the newest; prints their IDs).
"""

import sys
from pathlib import Path

from pykopia.api.opening import connect

from .harness import CLIENT


def main() -> None:
    """Do what is asked for."""
    what, rounds, location, folder, password = sys.argv[1:]
    for number in range(int(rounds)):
        with connect(location, password, client=CLIENT) as repository:
            if what == "write":
                (Path(folder) / f"file {number}").write_bytes(b"%d of %s" % (number, folder.encode()) * 500)
                print(repository.snapshots.create(folder).manifest.id)
                continue
            found = [each for each in repository.snapshots.list() if each.source.path == folder]
            for each in found[:-1]:
                repository.snapshots.delete(each.id)
                print(each.id)


if __name__ == "__main__":
    main()
