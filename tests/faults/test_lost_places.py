"""Commands whose log folder or connection file is lost while they run: what they were asked to do, they do."""

import itertools
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from tests.cli_runner import Result, Runner
from tests.trees import assert_trees_equal

from .command_at_work import METHODS
from .harness import calls_to_fail
from .programs import change, make_source

SAMPLE = 3
"""Calls of each command before which a place is lost."""


def vanish(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()


def is_blocked(place: Path) -> None:
    """Put something else there, so that nothing can be read, made or written, not even by root."""
    vanish(place)
    if place.suffix:
        place.mkdir()
    else:
        place.write_bytes(b"a file where a folder was")


class Calls:
    """Counts the calls of all storages in folders, and lets something happen before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        self._at = 0
        self._event: Callable[[], object] = int
        for name in METHODS:
            monkeypatch.setattr(FilesystemStorage, name, self._counted(getattr(FilesystemStorage, name)))

    def before(self, call: int, event: Callable[[], object]) -> None:
        """Count anew."""
        self.made, self._at, self._event = 0, call, event

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def wrapper(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 -- passed on
            self.made += 1
            if self.made == self._at:
                self._event()
            return method(*arguments, **named)

        return wrapper


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


@pytest.fixture
def connected(tmp_path: Path) -> Runner:
    cli = Runner(tmp_path / "client")
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "storage"))
    cli.ok("snapshot", "create", str(make_source(tmp_path / "source")))
    return cli


COMMANDS: dict[str, tuple[str, ...]] = {
    "snapshot": ("snapshot", "create", "{source}", "--parallel=1"),
    "restore": ("snapshot", "restore", "{source}", "{target}"),
    "verify": ("snapshot", "verify", "--verify-files-percent=100", "--parallel=1"),
    "policy": ("policy", "set", "--global", "--keep-latest=3"),
    "maintenance": ("maintenance", "run", "--full", "--safety=none"),
}


@pytest.mark.parametrize("lose", [vanish, is_blocked])
@pytest.mark.parametrize("place", ["logs", "repository.config"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_does_its_work_though_a_place_is_lost(
    connected: Runner, calls: Calls, tmp_path: Path, name: str, place: str, lose: Callable[[Path], None]
) -> None:
    source, numbers = tmp_path / "source", itertools.count(1)

    def run() -> Result:
        number = next(numbers)
        change(source, number)
        names = {"source": str(source), "target": str(tmp_path / f"target-{number}")}
        return connected.ok(*(word.format(**names) for word in COMMANDS[name]))

    kept = connected.config.read_bytes()
    calls.before(0, lambda: None)
    run()
    for call in calls_to_fail(calls.made, SAMPLE):
        reached: list[int] = []

        def happen(call: int = call, reached: list[int] = reached) -> None:
            reached.append(call)
            lose(connected.folder / place)

        calls.before(call, happen)
        result = run()
        assert reached == [call], "the command never made the call"
        assert "Traceback" not in result.stderr
        if lose is is_blocked:
            vanish(connected.folder / place)
        connected.config.write_bytes(kept)
        connected.ok("snapshot", "verify", "--verify-files-percent=100")
        connected.ok("snapshot", "create", str(source))
        whole = tmp_path / f"whole-{call}"
        connected.ok("snapshot", "restore", str(source), str(whole))
        assert_trees_equal(source, whole)
