"""Fuzzing for as long as one likes: python -m tests.fuzz [--seconds 3600] [--target NAME] [--start NUMBER] [--native].

Each round runs some cases of each target; what fails is kept in tests/fuzz/corpus, from where the test suite runs it too. With
``--native`` only targets with native code are run, for a build with sanitizers.
"""

import argparse
import hashlib
import re
import sys
import time

import pykopia

from .running import CORPUS, run
from .targets import TARGETS, missing_native

ROUND = 200
"""Cases of a target in one round."""


def main() -> int:
    """Fuzz; return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--start", type=int, default=time.time_ns() // 1_000_000 * 1000, help="number of the first case"
    )
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--native", action="store_true", help="only targets with native code")
    options = parser.parse_args()
    names = options.target or [name for name, each in TARGETS.items() if each.native or not options.native]
    missing = [name for name in names if missing_native(TARGETS[name])]
    if missing and options.native:
        print(f"no native code for: {', '.join(missing)}")
        return 1
    names = [name for name in names if name not in missing]
    print(f"pykopia from {pykopia.__file__}; first case {options.start}", flush=True)
    counts = {name: [0, 0] for name in names}
    failed = set[str]()
    end, start = time.monotonic() + options.seconds, options.start
    while time.monotonic() < end and len(failed) < len(names):
        for name in names:
            if name in failed or time.monotonic() >= end:
                continue
            try:
                accepted, refused = run(name, start, ROUND)
            except AssertionError as error:
                failed.add(name)
                print(error, flush=True)
                _keep(name, str(error))
                continue
            counts[name][0] += accepted
            counts[name][1] += refused
        start += ROUND
    for name, (accepted, refused) in counts.items():
        print(
            f"{name}: {accepted + refused} cases, {accepted} accepted, {refused} refused"
            + (" FAILED" if name in failed else "")
        )
    return 1 if failed else 0


def _keep(name: str, message: str) -> None:
    found = re.search(r"input (b['\"].*)", message, re.DOTALL)
    if found is None:
        return
    import ast

    data: bytes = ast.literal_eval(found[1])
    folder = CORPUS / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    print(f"kept as {path}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
