"""What all comparisons have in common: options, results, the tools that take part, and how one command is run and noted."""

import shutil
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.trees import tree_differences

from . import datasets
from .ceilings import Ceilings
from .measure import Command, CommandFailedError, Outcome, run
from .tools import TOOLS, Tool

MAIN_TOOLS = ("pykopia", "kopia")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What is to be measured."""

    rounds: int
    sets: Sequence[str]
    tools: Sequence[str]
    commands: Sequence[str]
    folder: Path
    """Where everything is written; emptied afterwards."""
    seed: str
    scale: float
    """Share of the full size of the data sets."""
    timeout_seconds: float
    other_rounds: int | None = None
    """Rounds that tools other than pykopia and kopia take part in; None: all."""
    servers: Sequence[str] = ()
    """Servers that the repositories lie on; none: folders of this machine."""
    round_trips_ms: Sequence[float] = ()
    """Latencies of the network to the servers, in milliseconds there and back."""
    details: bool = False
    """Whether the ceilings of the hardware are measured too, and how one large file scales with processors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One command of one tool in one round."""

    data: str
    """Name of the data set; of repositories on a server, that of the server and its latency."""
    tool: str
    command: str
    round: int
    wall_seconds: float = 0
    cpu_seconds: float = 0
    peak_rss_bytes: int = 0
    requests: int = 0
    """HTTP requests that the command sent, as far as they could be counted."""
    error: str = ""
    """Why it failed; then the numbers mean nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositorySize:
    """Bytes of all files of a repository after a snapshot."""

    data: str
    tool: str
    command: str
    round: int
    bytes: int


@dataclass
class Results:
    """All that was measured."""

    data: list[datasets.DataSet] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    sizes: list[RepositorySize] = field(default_factory=list)
    restores: dict[tuple[str, str], str] = field(default_factory=dict)
    """By data set and tool: empty if the restored tree was equal to the source, otherwise the first differences."""
    ceilings: dict[str, Ceilings] = field(default_factory=dict)
    """By data set."""
    scaling: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of pykopia's first snapshot of ``big`` with one processor and with two, run by run."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Data sets and tools that were left out, and why."""


class Bench(ABC):
    """Runs commands of the tools and notes what they cost."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.results = Results()
        self._say = say
        self._tools: list[Tool] = []
        for name in options.tools:
            if TOOLS[name].program() is None:
                self.results.skipped[name] = "is not on this machine"
                continue
            tool = TOOLS[name](workspace=options.folder / name)
            tool.clear()
            self._tools.append(tool)
            self.results.versions[name] = tool.version()

    @abstractmethod
    def run(self) -> None:
        """Run all rounds."""

    def _taking_part(self, number: int) -> list[Tool]:
        """Return the tools of a round, in the order in which they take turns."""
        late = self.options.other_rounds is not None and number >= self.options.other_rounds
        tools = [tool for tool in self._tools if tool.name in MAIN_TOOLS or not late]
        turn = number % max(len(tools), 1)
        return tools[turn:] + tools[:turn]

    def _run(self, command: Command) -> Outcome:
        return run(command, timeout_seconds=self.options.timeout_seconds)

    def _restore(self, data: datasets.DataSet, tool: Tool) -> Outcome:
        """Restore the last snapshot of a source with an empty cache, and compare the first one with the source."""
        target = tool.workspace / "restored"
        target.mkdir()
        tool.drop_cache()
        try:
            outcome = self._run(tool.restore(data.folder, target))
            if (data.name, tool.name) not in self.results.restores:
                lines = tree_differences(
                    data.folder, tool.restored(data.folder, target), directory_times=False, link_times=False
                )
                self.results.restores[data.name, tool.name] = "\n".join(lines[:5])
        finally:
            shutil.rmtree(target)
        return outcome

    def _keep(self, sample: Sample, outcomes: Sequence[Outcome], *, requests: int = 0) -> None:
        """Note what the runs of a command cost; ``requests`` are those of one of them."""
        sample = replace(
            sample,
            requests=requests,
            wall_seconds=statistics.median(outcome.wall_seconds for outcome in outcomes),
            cpu_seconds=statistics.median(outcome.cpu_seconds for outcome in outcomes),
            peak_rss_bytes=max(outcome.peak_rss_bytes for outcome in outcomes),
        )
        self.results.samples.append(sample)
        self._say(
            f"{sample.data} round {sample.round + 1}: {sample.tool} {sample.command}: {sample.wall_seconds:.2f} s, "
            f"CPU {sample.cpu_seconds:.2f} s, {sample.peak_rss_bytes >> 20} MiB"
        )

    def _fail(self, sample: Sample, error: CommandFailedError) -> None:
        self.results.samples.append(replace(sample, error=str(error)))
        self._say(f"{sample.data} round {sample.round + 1}: {sample.tool} {sample.command} FAILED: {error.reason}")


__all__ = ["MAIN_TOOLS", "Bench", "Options", "RepositorySize", "Results", "Sample"]
