"""Runs the mover inside the test's process, with folders, environment and streams of its own."""

import functools
import io
import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pykopia_mover import main
from pykopia_mover.run import Places, Stop

import pykopia
from pykopia import Repository

PASSWORD = "canary-of-the-repository"

EXAMPLES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "examples.json").read_text())
"""The examples of VolSync's documentation: Secrets, policy files, specs."""


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    status: int
    log: str
    termination: dict[str, Any]

    @property
    def lines(self) -> list[str]:
        return self.log.splitlines()

    @property
    def last(self) -> str:
        return self.lines[-1]

    @property
    def code(self) -> str:
        return str(self.termination["code"])


@dataclass(frozen=True, kw_only=True)
class Mover:
    """One object's mover."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def below(cls, folder: Path) -> "Mover":
        for name in ("data", "target", "cache", "credentials", "tmp"):
            (folder / name).mkdir(parents=True)
        return cls(
            folder=folder,
            environment={
                "KOPIA_REPOSITORY": f"filesystem://{folder}/repository",
                "KOPIA_PASSWORD": PASSWORD,
                "KOPIA_CACHE_DIR": str(folder / "cache"),
                "VOLSYNC_OWNER_NAMESPACE": "ns",
                "VOLSYNC_OWNER_NAME": "app",
                "KOPIA_SOURCE_PATH_OVERRIDE": "/data",
                "TERMINATION_LOG": str(folder / "termination.json"),
            },
        )

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def target(self) -> Path:
        return self.folder / "target"

    @property
    def repository_folder(self) -> Path:
        return self.folder / "repository"

    @property
    def places(self) -> Places:
        return Places(
            credentials=self.folder / "credentials",
            config=self.folder / "kopia-config",
            temporary=self.folder / "tmp",
            memory_limits=(self.folder / "memory.max", self.folder / "memory.limit_in_bytes"),
        )

    def with_environment(self, **environment: str) -> "Mover":
        """Return the same mover with more variables; an empty one is not set."""
        return replace(self, environment=self.environment | environment)

    def policy_files(self, files: Mapping[str, str]) -> None:
        """Put files where ``policyConfig`` is mounted."""
        folder = self.folder / "kopia-config"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Put files into the volume."""
        for name, content in files.items():
            path = self.data / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def __call__(self, *operations: str, **environment: str) -> Result:
        """Run operations; a backup reads ``data``, a restore writes to ``target``."""
        return self.run(operations, environment)

    def run(self, operations: tuple[str, ...], environment: Mapping[str, str], stop: Stop | None = None) -> Result:
        """Run operations, and let them be told to stop."""
        restores = "restore" in operations or environment.get("DIRECTION") == "destination"
        folder = self.target if restores else self.data
        whole = {"DATA_DIR": str(folder), **self.environment, **environment}
        stream = io.StringIO()
        termination = Path(whole["TERMINATION_LOG"])
        termination.unlink(missing_ok=True)
        status = main.run(operations, whole, stdout=stream, stop=stop, places=self.places)
        document = json.loads(termination.read_bytes()) if termination.exists() else {}
        return Result(status, stream.getvalue(), document)

    def ok(self, *operations: str, **environment: str) -> Result:
        result = self(*operations, **environment)
        assert result.status == 0, result.log
        return result

    def fails(self, code: str, *operations: str, **environment: str) -> Result:
        result = self(*operations, **environment)
        assert result.status != 0, result.log
        assert result.code == code, result.log
        assert result.termination["result"] == "failure"
        assert result.last.startswith("ERROR: ")
        assert "Traceback" not in result.log
        return result

    def open(self) -> Repository:
        """Open the repository as the library does."""
        return pykopia.connect(str(self.repository_folder), PASSWORD)

    def sources(self) -> list[str]:
        """Return the sources of all snapshots, oldest first."""
        with self.open() as repository:
            return [str(each.source) for each in repository.snapshots.list()]


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by their relative paths."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def there_and_back(mover: Mover, **environment: str) -> Mover:
    """Back up twice, restore, maintain; return the mover with that environment."""
    connected = mover.with_environment(**environment)
    mover.write({"a.txt": "one", "d/big": os.urandom(300_000)})
    first = connected.ok("backup", "maintenance")
    assert first.termination["op"] == "maintenance"
    second = connected.ok("backup").termination["snapshot"]
    assert second["cachedFiles"] == 2
    connected.ok("restore")
    assert tree(mover.target) == tree(mover.data)
    return connected


def create_at_once(folder: Path, environment: dict[str, str]) -> None:
    """Let three movers create one repository at the same time, and look at what came of it."""
    movers = [Mover.below(folder / str(number)) for number in range(3)]
    results = {}

    def work(number: int) -> None:
        mover = movers[number].with_environment(VOLSYNC_OWNER_NAME=f"app-{number}", **environment)
        movers[number] = mover
        mover.write({"who": str(number), "blob": os.urandom(50_000)})
        results[number] = mover("backup")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.status for result in results.values()] == [0, 0, 0], [each.last for each in results.values()]
    made = [result.termination["repository"] for result in results.values()]
    assert len({each["id"] for each in made}) == 1
    assert sorted(each["created"] for each in made) == [False, False, True]
    for number, mover in enumerate(movers):
        mover.ok("restore", KOPIA_CACHE_DIR=str(mover.folder / "another-cache"))
        assert (mover.target / "who").read_text() == str(number)


CONNECTIONS: list[tuple[object, ...]] = []
"""Addresses that this process has connected to since the hook was set, which no call can take away."""


@functools.cache
def record_connections() -> None:
    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
            if isinstance(address, tuple):
                CONNECTIONS.append(address)

    sys.addaudithook(hook)
