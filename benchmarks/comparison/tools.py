"""The tools: how each makes a repository, takes, restores, verifies and lists snapshots, with equal settings.

kopia and pykopia get the same flags: BLAKE2B-256-128, AES256-GCM-HMAC-SHA256, DYNAMIC-4M-BUZHASH, zstd for all files by
the global policy. restic compresses with ``auto`` (zstd), borg with ``zstd``; borg 1 encrypts with ``repokey-blake2``,
borg 2 with ``repokey-aes-ocb``. All encrypt; all have a cache of their own, which is emptied before a restore and before a
verification, so that neither can be answered from it.
"""

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from .measure import Command
from .places import Place, folder

PASSWORD = "benchmark-password"
PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Tool(ABC):
    """One tool with a repository, a cache and a home folder below `workspace`."""

    name: ClassVar[str]

    workspace: Path
    place: Place | None = None
    """Where the repository lies; None: in a folder of the workspace."""
    snapshots: int = 0
    """How many were taken into the present repository."""
    outputs: dict[Path, str] = field(default_factory=dict)
    """What the last snapshot command of each source printed."""

    @classmethod
    @abstractmethod
    def program(cls) -> Sequence[str] | None:
        """Return the words that start the tool, or None if it is not on this machine."""

    @property
    def words(self) -> Sequence[str]:
        """The words that start the tool."""
        program = self.program()
        assert program is not None, f"{self.name} is not on this machine"
        return program

    @property
    def repository(self) -> Path:
        """The folder of the repository."""
        return self.workspace / "repository"

    @property
    def where(self) -> Place:
        """The place of the repository."""
        return self.place or folder(self.repository)

    @property
    def cache(self) -> Path:
        """The folder of the cache."""
        return self.workspace / "cache"

    def version(self) -> str:
        """Return what the tool says of its version; this also loads the program into memory before it is measured."""
        words = [*self.words, "--version" if self.name != "restic" else "version"]
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment(), cwd=PROJECT, check=False)
        return next(iter((done.stdout or done.stderr).strip().splitlines()), "unknown")

    def environment(self) -> dict[str, str]:
        """Return the environment of every command: as the caller's, but with a home folder of its own."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("KOPIA_", "RESTIC_", "BORG_", "XDG_"))
        }
        own = {"HOME": str(self.workspace / "home"), "TZ": "UTC"}
        return {**kept, **own, **self.where.environment, **self.settings()}

    @abstractmethod
    def settings(self) -> Mapping[str, str]:
        """Return what of the tool's settings stands in the environment."""

    def command(self, *words: str | Path, folder: Path | None = None) -> Command:
        """Return a command of the tool."""
        return Command(
            words=[*self.words, *map(str, words)], environment=self.environment(), folder=folder or self.workspace
        )

    def clear(self) -> None:
        """Remove repository, cache and settings."""
        shutil.rmtree(self.workspace, ignore_errors=True)
        (self.workspace / "home").mkdir(parents=True)
        self.snapshots, self.outputs = 0, {}

    def drop_cache(self) -> None:
        """Empty the cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def forget(self) -> None:
        """Remove everything but the repository: what a machine that never saw it has."""
        self.drop_cache()

    def supports(self, place: Place) -> bool:
        """Return whether this comparison runs the tool with a repository at ``place``."""
        return False

    def connect(self) -> Command | None:
        """Return the command that connects to the repository, None if the tool knows none."""
        return None

    def maintain(self) -> Command | None:
        """Return the command that does all maintenance, None if the tool knows none."""
        return None

    @abstractmethod
    def create(self) -> list[Command]:
        """Return the commands that make an empty repository."""

    @abstractmethod
    def snapshot(self, source: Path) -> Command:
        """Return the command that takes a snapshot."""

    @abstractmethod
    def restore(self, source: Path, target: Path) -> Command:
        """Return the command that restores the last snapshot of `source` below `target`."""

    def restored(self, source: Path, target: Path) -> Path:
        """Return where `restore` puts what `source` holds."""
        return target / source.relative_to("/")

    @abstractmethod
    def verify(self) -> Command:
        """Return the command that reads and checks all content."""

    @abstractmethod
    def list(self) -> Command:
        """Return the command that lists the snapshots."""


class Kopia(Tool):
    """The real kopia."""

    name = "kopia"

    @classmethod
    def program(cls) -> Sequence[str] | None:
        """Return the executable that KOPIA_EXE names or PATH has."""
        found = os.environ.get("KOPIA_EXE") or shutil.which("kopia")
        return [found] if found else None

    def settings(self) -> Mapping[str, str]:
        """Return password and no look for updates."""
        return {"KOPIA_PASSWORD": PASSWORD, "KOPIA_CHECK_FOR_UPDATES": "false"}

    def command(self, *words: str | Path, folder: Path | None = None) -> Command:
        """Return a command with connection file and logs of its own."""
        own = [f"--config-file={self.workspace / 'repository.config'}", f"--log-dir={self.workspace / 'logs'}"]
        return super().command(*own, "--no-use-keyring", *words, folder=folder)

    def create(self) -> list[Command]:
        """Return the creation and the change of the global policy."""
        create = self.command(
            "repository",
            "create",
            *self.where.kopia,
            f"--cache-directory={self.cache}",
            "--block-hash=BLAKE2B-256-128",
            "--encryption=AES256-GCM-HMAC-SHA256",
            "--object-splitter=DYNAMIC-4M-BUZHASH",
        )
        return [create, self.command("policy", "set", "--global", "--compression=zstd")]

    def forget(self) -> None:
        """Remove the connection too."""
        super().forget()
        for path in self.workspace.glob("repository.config*"):
            path.unlink()

    def supports(self, place: Place) -> bool:
        """Return True: all places are those that kopia knows."""
        return True

    def connect(self) -> Command:
        """Return ``repository connect``."""
        return self.command("repository", "connect", *self.where.kopia, f"--cache-directory={self.cache}")

    def maintain(self) -> Command:
        """Return full maintenance, with its usual delays."""
        return self.command("maintenance", "run", "--full")

    def snapshot(self, source: Path) -> Command:
        """Return ``snapshot create``."""
        return self.command("snapshot", "create", source, "--json")

    def restore(self, source: Path, target: Path) -> Command:
        """Return ``snapshot restore`` of the snapshot that the last command of this source printed."""
        return self.command("snapshot", "restore", json.loads(self.outputs[source])["id"], target)

    def restored(self, source: Path, target: Path) -> Path:
        """Return the target itself."""
        del source
        return target

    def verify(self) -> Command:
        """Return ``snapshot verify`` of every byte of every file."""
        return self.command("snapshot", "verify", "--verify-files-percent=100")

    def list(self) -> Command:
        """Return ``snapshot list``."""
        return self.command("snapshot", "list", "--json")


class Pykopia(Kopia):
    """This project, called as kopia is."""

    name = "pykopia"

    @classmethod
    def program(cls) -> Sequence[str] | None:
        """Return what PYKOPIA_EXE names, the script beside this Python, or ``python -m pykopia`` in the project's folder."""
        if named := os.environ.get("PYKOPIA_EXE"):
            return [named]
        script = Path(sys.executable).with_name("pykopia")
        return [str(script)] if script.exists() else [sys.executable, "-m", "pykopia"]

    def settings(self) -> Mapping[str, str]:
        """Return kopia's settings and, where pykopia is not installed, where to find it."""
        installed = len(self.words) == 1
        return {**super().settings(), **({} if installed else {"PYTHONPATH": str(PROJECT)})}


class Restic(Tool):
    """restic, from version 0.14 on."""

    name = "restic"

    @classmethod
    def program(cls) -> Sequence[str] | None:
        """Return the executable on PATH."""
        found = shutil.which("restic")
        return [found] if found else None

    def settings(self) -> Mapping[str, str]:
        """Return password, repository and cache."""
        return {
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_REPOSITORY": self.where.restic,
            "RESTIC_CACHE_DIR": str(self.cache),
            "RESTIC_COMPRESSION": "auto",
        }

    def supports(self, place: Place) -> bool:
        """Return whether the place has a name for restic."""
        return bool(place.restic)

    def maintain(self) -> Command:
        """Return ``prune``."""
        return self.command("prune")

    def create(self) -> list[Command]:
        """Return ``init`` of a repository that can compress."""
        return [self.command("init", "--repository-version=2")]

    def snapshot(self, source: Path) -> Command:
        """Return ``backup``."""
        return self.command("backup", source)

    def restore(self, source: Path, target: Path) -> Command:
        """Return ``restore latest`` of this source."""
        return self.command("restore", "latest", f"--path={source}", f"--target={target}")

    def verify(self) -> Command:
        """Return ``check`` of all data."""
        return self.command("check", "--read-data")

    def list(self) -> Command:
        """Return ``snapshots``."""
        return self.command("snapshots", "--json")


@dataclass
class Borg(Tool):
    """borg 1.2 and later."""

    name = "borg"
    second: bool = field(init=False, default=False)
    """Whether it is borg 2, whose commands are spelled otherwise."""

    def __post_init__(self) -> None:
        self.second = self.version().startswith("borg 2")

    @classmethod
    def program(cls) -> Sequence[str] | None:
        """Return the executable on PATH."""
        found = shutil.which("borg")
        return [found] if found else None

    def settings(self) -> Mapping[str, str]:
        """Return passphrase, repository, folders and no questions."""
        return {
            "BORG_PASSPHRASE": PASSWORD,
            "BORG_REPO": str(self.repository),
            "BORG_BASE_DIR": str(self.workspace / "home"),
            "BORG_CACHE_DIR": str(self.cache),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }

    def _archive(self, number: int) -> str:
        return f"number-{number}" if self.second else f"::number-{number}"

    def create(self) -> list[Command]:
        """Return the creation of an encrypted repository."""
        if self.second:
            return [self.command("repo-create", "--encryption=repokey-aes-ocb")]
        return [self.command("init", "--encryption=repokey-blake2")]

    def snapshot(self, source: Path) -> Command:
        """Return ``create``."""
        return self.command("create", "--compression=zstd", self._archive(self.snapshots + 1), source)

    def restore(self, source: Path, target: Path) -> Command:
        """Return ``extract``, which writes to the folder it runs in."""
        del source
        return self.command("extract", self._archive(self.snapshots), folder=target)

    def verify(self) -> Command:
        """Return ``check`` of all data."""
        return self.command("check", "--verify-data")

    def list(self) -> Command:
        """Return the list of archives."""
        return self.command("repo-list" if self.second else "list", "--json")


TOOLS: Mapping[str, type[Tool]] = {tool.name: tool for tool in (Pykopia, Kopia, Restic, Borg)}

__all__ = ["TOOLS", "Borg", "Kopia", "Pykopia", "Restic", "Tool"]
