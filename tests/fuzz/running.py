"""Runs targets: each case is made from a seed number, so that its number makes it again."""

import functools
from collections.abc import Iterator
from pathlib import Path
from random import Random

from .targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
"""Inputs that once failed or that reach a place hard to reach, in a folder for each target."""


@functools.cache
def corpus(name: str) -> list[bytes]:
    """Return the kept inputs of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name.replace(" ", "-")).glob("*"))]


def cases(name: str, start: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield numbers and inputs: a seed of the target after one to three mutations."""
    chosen = TARGETS[name]
    seeds = [*chosen.seeds(), *corpus(name)]
    for number in range(start, start + count):
        yield number, case(chosen, seeds, number)


def case(chosen: Target, seeds: list[bytes], number: int) -> bytes:
    chance = Random(number)
    data = chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 2, 3))):
        data = chosen.mutate(data, chance)
    return data


def run(name: str, start: int, count: int) -> tuple[int, int]:
    """Run cases of a target; return how many were accepted and refused.

    Raises:
        AssertionError: a target failed; the message has the number of the case and its bytes.
    """
    accepted = 0
    check = TARGETS[name].check
    for number, data in cases(name, start, count):
        try:
            accepted += check(data)
        except Exception as error:
            raise AssertionError(
                f"target {name!r}, case {number}: {type(error).__name__}: {error}; input {data!r}"
            ) from error
    return accepted, count - accepted


__all__ = ["CORPUS", "cases", "corpus", "run"]
