"""What tests of the format share: the generator of inputs that the vector files name."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

WORDS = (
    b"alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo "
    b"sierra tango uniform victor whiskey xray yankee zulu zero one two three four five"
).split()

InputGenerator: TypeAlias = Callable[[dict[str, Any]], bytes]


def generate(spec: dict[str, Any]) -> bytes:
    """Return the bytes that an input of tests/vectors/README.md stands for."""
    match spec["kind"]:
        case "empty":
            return b""
        case "hex":
            return bytes.fromhex(spec["hex"])
        case "stream":
            return stream(spec["seed"], spec["length"])
        case "text":
            words = (
                WORDS[byte & 31] + (b"\n" if byte >> 5 == 7 else b" ") for byte in stream(spec["seed"], spec["length"])
            )
            return b"".join(words)[: spec["length"]]
        case "byte":
            return bytes([spec["value"]]) * int(spec["length"])
        case "repeat":
            unit, length = generate(spec["unit"]), int(spec["length"])
            return (unit * (length // len(unit) + 1))[:length]
        case "concat":
            return b"".join(map(generate, spec["parts"]))
    raise AssertionError(spec)


def stream(seed: str, length: int) -> bytes:
    """Return bytes that look random and are the same everywhere."""
    key = seed.encode()
    blocks = (hashlib.sha256(key + counter.to_bytes(8, "big")).digest() for counter in range(length // 32 + 1))
    return b"".join(blocks)[:length]


@pytest.fixture(scope="session")
def vector_input() -> InputGenerator:
    """The function from an input spec of a vector file to its bytes."""
    return generate
