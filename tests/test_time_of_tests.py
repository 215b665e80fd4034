"""No test sleeps or asks for the time of the machine: its result must not depend on how fast or when it runs.

Tests give the code under test a clock (``pykopia.testing.FakeClock``) and a function in the place of ``time.sleep``; threads and
processes wait for each other by events, barriers, pipes and lines of output.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import TIME_NAMES, dotted

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests", "mover", "operator")

ASKS = {
    *TIME_NAMES,
    *(f"time.{name}{unit}" for name in ("thread_time",) for unit in ("", "_ns")),
    *(f"datetime.{name}" for name in TIME_NAMES),
    "time.sleep",
}
"""What must not even be named."""
CALLS = {
    "asyncio.sleep",
    "pykopia.clock.now",
    "pykopia.clock.now_seconds",
    "pykopia.clock.monotonic",
    "threading.Event.wait",
}
"""What must not be called; as a default that a caller replaces, it may be named."""

EXCEPTIONS = {
    "tests/fuzz/__main__.py": "a program for the night, which ends after the seconds that it is given",
    "tests/mover/image_backends.py": "a program, which prints how long each backend took",
    "tests/rounds.py": "processor time shows whether any thread of the process still works",
    "tests/interop/test_lost_states.py": "a real kopia takes part, whose clock can't be set",
    "tests/servers/azure.py": "a server's own clock: signatures are valid from now on",
    "tests/servers/azure_versions.py": "a server's own clock: versions are numbered by it",
    "tests/servers/b2.py": "a server's own clock, as the simulator's stands in 1970",
    "tests/servers/drive.py": "a server's own clock: files have times",
    "tests/servers/entra.py": "a server's own clock: tokens are valid from now on",
    "tests/servers/gcs_versions.py": "a server's own clock: versions are numbered by it",
    "tests/servers/oidc.py": "a server's own clock: tokens are valid from now on",
    "tests/servers/process.py": "a server that never answers is given up",
    "tests/servers/tls.py": "certificates are valid from now on",
    "tests/test_architecture.py": "names what others must not name",
    "tests/testing/test_storages.py": "tests the clock that takes the place of the machine's",
    "operator/pykopia_operator/main.py": "gives the operator its clock",
    "operator/pykopia_operator/control/controller.py": "the default that tests replace",
    "operator/pykopia_operator/control/http.py": "a certificate that it makes for itself is valid from now on",
    "operator/pykopia_operator/control/meters.py": "the default that tests replace",
    "operator/pykopia_operator/control/service.py": "gives the operator its clock",
}
"""Files that ask for the time, and why."""
OTHER_TIME = ("tests/k8s/", "mover/")
"""A cluster runs by the time of the machine; the mover asks ``pykopia.clock``, which tests replace."""


def names_of(tree: ast.Module) -> dict[str, str]:
    """Return what the imported names of a module are in full."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({each.asname or each.name: each.name for each in node.names})
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
    return found


def full(node: ast.AST, imported: dict[str, str]) -> str:
    """Return the full name of what an expression names, "" for what was not imported."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
        return f"{full(node.value.func, imported)}.{node.attr}"
    first, dot, rest = dotted(node).partition(".")
    return f"{imported[first]}{dot}{rest}" if first in imported else ""


def uses_of_time(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a module that sleep or ask for the time, with what they name."""
    tree = ast.parse(text)
    imported = names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := full(node, imported)) in ASKS:
            yield node.lineno, name
        elif isinstance(node, ast.Call) and (name := full(node.func, imported)) in CALLS:
            given = [*node.args, *(each.value for each in node.keywords)]
            only_yields = name == "asyncio.sleep" and ast.unparse(given[0]) == "0"
            waits_for_an_event = name == "threading.Event.wait" and not given
            if not only_yields and not waits_for_an_event:
                yield node.lineno, name


def modules() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(("tests/golden/", "tests/vectors/")):
                yield name, path.read_text()


def test_no_test_sleeps_or_asks_for_the_time_of_the_machine() -> None:
    found = {
        f"{name}:{line}: {use}"
        for name, text in modules()
        if name not in EXCEPTIONS and not name.startswith(OTHER_TIME)
        for line, use in uses_of_time(text)
    }
    assert found == set()


def test_the_mover_asks_one_clock() -> None:
    assert {
        f"{name}:{line}: {use}"
        for name, text in modules()
        if name.startswith("mover/")
        for line, use in uses_of_time(text)
        if not use.startswith("pykopia.clock.")
    } == set()


def test_each_exception_is_one() -> None:
    texts = dict(modules())
    named = EXCEPTIONS.keys() - {"tests/test_architecture.py"}
    assert {name for name in named if not any(uses_of_time(texts[name]))} == set()


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "import time as t\nt.time()",
        "from time import sleep\nsleep(1)",
        "from time import sleep as pause\nf(pause)",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\ndatetime.now()",
        "import threading\nthreading.Event().wait(0.1)",
        "from threading import Event\nEvent().wait(timeout=1)",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0.1)",
        "from pykopia import clock\nclock.now()",
    ],
)
def test_the_rule_notices(text: str) -> None:
    assert len(list(uses_of_time(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "time.sleep(1)",  # a FakeClock in a fixture of this name
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)",
        "import asyncio\nasync def f():\n    await asyncio.Event().wait()",
        "from pykopia import clock\ndef f(now=clock.now): ...",
        "from datetime import datetime\ndatetime.fromtimestamp(0)",
    ],
)
def test_the_rule_lets_pass(text: str) -> None:
    assert list(uses_of_time(text)) == []
