"""Where the programs of servers are: on PATH, beside this Python, or in `.servers` of the checkout."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

INSTALLED = Path(__file__).parents[2] / ".servers"
"""Filled by `scripts/test-servers.sh`."""
REQUIRED = "PYKOPIA_REQUIRE_SERVERS"
"""Environment variable that makes a missing server an error."""


def find(name: str) -> Path | None:
    """Return the path of a program, or None; system folders count though PATH of a user may lack them."""
    folders = [
        str(INSTALLED / "bin"),
        str(INSTALLED / "node_modules" / ".bin"),
        str(Path(sys.executable).parent),
        os.environ.get("PATH", os.defpath),
        "/usr/sbin",
    ]
    found = shutil.which(name, path=os.pathsep.join(folders))
    return Path(found) if found else None


def require(name: str, *, install: str = "sh scripts/test-servers.sh") -> Path:
    """Return the path of a program; without it skip the test and say what installs it."""
    found = find(name)
    if found is None:
        missing(f"no {name}: install it by `{install}`")
    return found


def missing(reason: str) -> NoReturn:
    """Skip the test for `reason`, or fail it where all servers must be there."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but {reason}")
    pytest.skip(reason)
