"""Commands of the command line that get a signal at a call of their storage: nothing is lost, and the next run works."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pykopia.errors import PykopiaError
from pykopia.snapshot.small_files import TEMPORARY_NAME
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.cli_runner import Runner
from tests.trees import assert_trees_equal, changing_tree, many_files

from .harness import Ground, assert_everything_whole, opened

PROJECT = Path(__file__).parents[2]
NEW_PASSWORD = "another-secret-of-the-test"
CANCELED = 130
COPY = ["repository", "sync-to", "filesystem", "--path"]
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")


@dataclass
class Scene:
    """A repository in a folder, connected, with two snapshots of a source that has changed since."""

    runner: Runner
    folder: Path
    source: Path
    snapshots: list[str]

    @property
    def location(self) -> Path:
        return self.folder / "repository"

    def signalled(self, name: str, call: int, words: list[str]) -> bool:
        """Run a command that gets a signal; return whether it was sent."""
        reached = self.folder / "reached"
        reached.unlink(missing_ok=True)
        arguments = ["--config-file", str(self.runner.config), "--log-dir", str(self.folder / "logs"), *words]
        environment = {
            "HOME": str(self.folder / "home"),
            "KOPIA_PASSWORD": self.runner.password,
            "PATH": "/usr/bin:/bin",
        }
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "tests.faults.command_at_work", name, str(call), str(reached), *arguments],
            cwd=PROJECT,
            env={**environment, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            timeout=120,
            check=False,
        )
        number = signal.Signals[name]
        errors = ended.stderr.decode()
        if reached.exists():
            assert ended.returncode in {0, CANCELED, -number, 128 + number}, (ended.returncode, errors)
        else:
            assert ended.returncode == 0, errors
        assert "Traceback" not in errors
        return reached.exists()

    def assert_whole(self, keeps: set[str]) -> None:
        ground = Ground(MemoryStorage(), self.source, keeps)
        for password in (self.runner.password, NEW_PASSWORD):
            try:
                repository = opened(FilesystemStorage(self.location), password)
            except PykopiaError:
                if password == NEW_PASSWORD:
                    raise
                continue
            with repository:
                assert_everything_whole(ground, repository)
            self.runner.password = password
            return


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    source = tmp_path / "source"
    changing_tree(source / "changing", 0)
    many_files(source / "many", count=20)
    runner = Runner(tmp_path)
    (tmp_path / "copy").mkdir()
    runner.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    snapshots = []
    for step in (1, 2):
        snapshots.append(runner.ok("snapshot", "create", str(source), "--json").json["id"])
        changing_tree(source / "changing", step)
    return Scene(runner, tmp_path, source, snapshots)


def assert_no_half_file(scene: Scene) -> None:
    """Whatever has its name in the target is a whole file."""
    target, whole = scene.folder / "target", scene.folder / "whole"
    if not whole.exists():
        scene.runner.ok("snapshot", "restore", scene.snapshots[-1], str(whole))
    for path in target.rglob("*") if target.exists() else ():
        if TEMPORARY_NAME.fullmatch(path.name) is None and path.is_file() and not path.is_symlink():
            assert path.read_bytes() == (whole / path.relative_to(target)).read_bytes()
    scene.runner.ok("snapshot", "restore", scene.snapshots[-1], str(target))
    assert_trees_equal(whole, target)


def assert_copy_whole(scene: Scene) -> None:
    """The copy becomes a whole repository by the next run."""
    scene.runner.ok(*COPY, str(scene.folder / "copy"))
    ground = Ground(MemoryStorage(), scene.source, set(scene.snapshots))
    with opened(FilesystemStorage(scene.folder / "copy"), scene.runner.password) as repository:
        assert_everything_whole(ground, repository)


def forget_lease(scene: Scene) -> None:
    """Delete the lease of a killed maintenance, which ends by itself in ten minutes."""
    for path in scene.location.rglob("_pykopia*"):
        path.unlink()


@dataclass(frozen=True)
class Command:
    """A command, and what holds after it was cut off at any call."""

    words: Callable[[Scene], list[str]]
    gone: int = 0
    """How many of the oldest snapshots it may take away."""
    after: Callable[[Scene], None] = lambda _: None
    again: bool = True
    """Whether the same command works afterwards."""


COMMANDS = {
    "snapshot": Command(lambda scene: ["snapshot", "create", str(scene.source)]),
    "restore": Command(
        lambda scene: ["snapshot", "restore", scene.snapshots[-1], str(scene.folder / "target")],
        after=assert_no_half_file,
    ),
    "verify": Command(lambda _: ["snapshot", "verify", "--verify-files-percent=100"]),
    "maintenance": Command(lambda _: ["maintenance", "run", "--full", "--safety=none"], after=forget_lease),
    "expiry": Command(lambda _: ["snapshot", "expire", "--all", "--delete"]),
    "deletion": Command(lambda scene: ["snapshot", "delete", scene.snapshots[0], "--delete"], gone=1, again=False),
    "change of the password": Command(
        lambda _: ["repository", "change-password", f"--new-password={NEW_PASSWORD}"], again=False
    ),
    "copy": Command(lambda scene: [*COPY, str(scene.folder / "copy")], after=assert_copy_whole),
    "repair": Command(
        lambda _: ["snapshot", "fix", "remove-files", "--filename=no-such-name", "--commit"],
    ),
    "recovery of the index": Command(lambda _: ["index", "recover", "--commit"]),
    "policy": Command(lambda scene: ["policy", "set", str(scene.source), "--keep-latest=50"]),
}


def cut_off(scene: Scene, name: str, signal_name: str, call: int) -> bool:
    """Run a command that gets a signal at a call, and look at what is left; return whether it got there."""
    command = COMMANDS[name]
    reached = scene.signalled(signal_name, call, command.words(scene))
    scene.assert_whole(set(scene.snapshots[command.gone :]))
    if reached:
        command.after(scene)
        if command.again:
            scene.runner.ok(*command.words(scene))
            scene.assert_whole(set(scene.snapshots[command.gone :]))
    return reached


@pytest.mark.parametrize(
    ("name", "signal_name", "call"),
    [("snapshot", "SIGTERM", 9), ("maintenance", "SIGKILL", 14), ("restore", "SIGINT", 6)],
)
def test_a_command_that_gets_a_signal_loses_nothing(scene: Scene, name: str, signal_name: str, call: int) -> None:
    assert cut_off(scene, name, signal_name, call), "the signal was never sent"


@pytest.mark.slow
@pytest.mark.parametrize("signal_name", SIGNALS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_gets_a_signal_at_any_moment_loses_nothing(scene: Scene, name: str, signal_name: str) -> None:
    calls = [1, 2, 3, 5, 8, 13, 21, 34]
    reached = [call for call in calls if cut_off(scene, name, signal_name, call)]
    assert reached, "the signal was never sent"
