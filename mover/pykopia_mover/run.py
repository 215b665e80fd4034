"""The context of every operation of the mover, and the request to stop."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from pykopia import clock
from pykopia.dataclass import dataclass
from pykopia_mover.additional_args import Additional
from pykopia_mover.cache import CachePlace
from pykopia_mover.explain import Place
from pykopia_mover.manual import ManualConfig
from pykopia_mover.output import Output
from pykopia_mover.policy_files import PolicyFile, RepositoryConfig
from pykopia_mover.redaction import Redactor
from pykopia_mover.report import Notes
from pykopia_mover.settings import Environment, Settings

TERMINATED: Final = "terminated"
INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Fixed paths of the container; tests use others."""

    credentials: Path = Path("/credentials")
    config: Path = Path("/kopia-config")
    temporary: Path = Path("/tmp")  # noqa: S108 -- the volume that the pod has for it
    memory_limits: tuple[Path, ...] = (
        Path("/sys/fs/cgroup/memory.max"),
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    )
    """Of version 2 and version 1 of control groups."""


class Stop:
    """Whether a signal asked to stop, and which."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.code = TERMINATED
        self.give_up: Callable[[], None] = lambda: None
        """Ends the log of a run that does not end by itself; called by another thread when the grace is over."""

    def ask(self, code: str = TERMINATED) -> None:
        """Request the end of the run."""
        if not self._event.is_set():
            self.code = code
        self._event.set()

    def __call__(self) -> bool:
        """Return True if the run is to end."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for a time in seconds, or until the run is to end; return True if it is."""
        return self._event.wait(seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyFiles:
    """The files of ``policyConfig``, as far as they are there and can be used."""

    policy: PolicyFile | None = None
    config: RepositoryConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Context of an operation."""

    op: str
    environment: Environment
    settings: Settings
    manual: ManualConfig
    additional: Additional
    files: PolicyFiles
    output: Output
    redactor: Redactor
    places: Places
    stop: Stop
    cache: CachePlace
    notes: Notes
    """Collects the facts of the run."""
    direction: bool = False
    """Whether ``DIRECTION`` asked for the operation: then maintenance was configured on purpose."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """A connection document of Kopia that names the storage; empty: the variables do."""
    started: float = field(default_factory=clock.monotonic)

    @property
    def place(self) -> Place:
        """The storage, as far as it is known."""
        return self.notes.known.place

    @property
    def parallelism(self) -> int | None:
        """Streams that a flag, or else the spec, asks for; None where neither does."""
        return self.additional.snapshot.get("parallel") or self.settings.parallelism

    @property
    def uploads(self) -> int:
        """Blobs that may be on their way to the storage at one time."""
        of_file = self.files.policy.parallel_uploads if self.files.policy is not None else None
        return of_file or self.parallelism or 1

    @property
    def data_dir(self) -> Path:
        """The volume."""
        return Path(self.settings.data_dir)


__all__ = ["INTERRUPTED", "TERMINATED", "Context", "Places", "PolicyFiles", "Stop"]
