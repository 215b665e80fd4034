"""The rounds: every tool runs every command on the same data, one tool after the other, in an order that turns.

A round starts with empty repositories and empty caches. Then come, for all tools in turn, the first snapshot; a second one
of the unchanged source; a third after one per cent of it changed; a restore of the last one into an empty folder; a
verification that reads all content; and the list of snapshots. Before restore and verification the caches are emptied;
the snapshots and the list find the caches as the tool itself left them. The list is so short that it runs five times and
its median counts.
"""

import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.trees import tree_differences

from . import datasets
from .ceilings import Ceilings, measure
from .measure import Command, CommandFailedError, Outcome, run
from .tools import TOOLS, Tool

COMMANDS = ("first", "unchanged", "changed", "restore", "verify", "list")
LIST_REPEATS = 5
SCALING_REPEATS = 3
MAIN_TOOLS = ("pykopia", "kopia")
SPARE_BYTES = 1 << 30
"""What must stay free of disk or memory beside the data."""


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
    details: bool = False
    """Whether the ceilings of the hardware are measured too, and how one large file scales with processors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One command of one tool in one round."""

    data: str
    tool: str
    command: str
    round: int
    wall_seconds: float = 0
    cpu_seconds: float = 0
    peak_rss_bytes: int = 0
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


class Comparison:
    """Runs all rounds and collects the results."""

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

    def run(self) -> None:
        """Run all rounds of all data sets."""
        for name in self.options.sets:
            needed = int(datasets.FULL_BYTES[name] * self.options.scale * (2.1 + 1.05 * len(self._tools))) + SPARE_BYTES
            free = free_bytes(self.options.folder)
            if free < needed:
                self.results.skipped[name] = f"needs {needed >> 20} MiB in {self.options.folder}, {free >> 20} are free"
                continue
            self._say(f"{name}: making the data")
            data = datasets.build(name, self.options.folder / name, seed=self.options.seed, scale=self.options.scale)
            self.results.data.append(data)
            if self.options.details:
                self.results.ceilings[name] = measure(data)
            for number in range(self.options.rounds):
                self._round(data, number)
            if self.options.details and name == "big":
                self._scale(data)
            shutil.rmtree(data.folder)

    def _round(self, data: datasets.DataSet, number: int) -> None:
        late = self.options.other_rounds is not None and number >= self.options.other_rounds
        taking_part = [tool for tool in self._tools if tool.name in MAIN_TOOLS or not late]
        turn = number % max(len(taking_part), 1)
        tools = [tool for tool in taking_part[turn:] + taking_part[:turn] if self._create(data, tool, number)]
        changes = datasets.Change()
        try:
            for command in COMMANDS:
                if command == "changed" and command in self.options.commands:
                    changes = datasets.change(data, self.options.folder / "attic", seed=f"{self.options.seed} {number}")
                for tool in list(tools):
                    if not self._measure(data, tool, command, number) and command == "first":
                        tools.remove(tool)
        finally:
            changes.undo()
            for tool in self._tools:
                tool.clear()

    def _scale(self, data: datasets.DataSet) -> None:
        """Take first snapshots of one large file by turns with one processor and with two."""
        tool = next((tool for tool in self._tools if tool.name == "pykopia"), None)
        processors = sorted(os.sched_getaffinity(0))[:2]
        if tool is None or len(processors) < 2:
            return
        for _ in range(SCALING_REPEATS):
            seconds = []
            for some in (processors[:1], processors):
                if not self._create(data, tool, 0):
                    return
                command = tool.snapshot(data.folder)
                bound = ["taskset", "-c", ",".join(map(str, some)), *command.words]
                try:
                    seconds.append(self._run(replace(command, words=bound)).wall_seconds)
                except CommandFailedError as error:
                    self._fail(Sample(data=data.name, tool=tool.name, command="scaling", round=0), error)
                    return
                finally:
                    tool.clear()
            self.results.scaling.append((seconds[0], seconds[1]))
            self._say(f"{data.name}: pykopia with 1 processor {seconds[0]:.2f} s, with 2 {seconds[1]:.2f} s")

    def _create(self, data: datasets.DataSet, tool: Tool, number: int) -> bool:
        tool.clear()
        try:
            for command in tool.create():
                run(command, timeout_seconds=self.options.timeout_seconds)
        except CommandFailedError as error:
            self._fail(Sample(data=data.name, tool=tool.name, command="create", round=number), error)
            return False
        return True

    def _measure(self, data: datasets.DataSet, tool: Tool, name: str, number: int) -> bool:
        """Run one command, keep its sample, and return whether it went well; what was not asked for is not run.

        The first snapshot is always taken: everything else needs it.
        """
        if name != "first" and name not in self.options.commands:
            return True
        sample = Sample(data=data.name, tool=tool.name, command=name, round=number)
        try:
            outcomes = self._outcomes(data, tool, name)
        except CommandFailedError as error:
            self._fail(sample, error)
            return False
        if name in {"first", "unchanged", "changed"}:
            size = sum(path.stat().st_size for path in tool.repository.rglob("*") if path.is_file())
            self.results.sizes.append(
                RepositorySize(data=data.name, tool=tool.name, command=name, round=number, bytes=size)
            )
        if name in self.options.commands:
            sample = replace(
                sample,
                wall_seconds=statistics.median(outcome.wall_seconds for outcome in outcomes),
                cpu_seconds=statistics.median(outcome.cpu_seconds for outcome in outcomes),
                peak_rss_bytes=max(outcome.peak_rss_bytes for outcome in outcomes),
            )
            self.results.samples.append(sample)
            self._say(
                f"{data.name} round {number + 1}: {tool.name} {name}: {sample.wall_seconds:.2f} s, "
                f"CPU {sample.cpu_seconds:.2f} s, {sample.peak_rss_bytes >> 20} MiB"
            )
        return True

    def _outcomes(self, data: datasets.DataSet, tool: Tool, name: str) -> list[Outcome]:
        if name == "restore":
            return [self._restore(data, tool)]
        if name == "verify":
            tool.drop_cache()
            return [self._run(tool.verify())]
        if name == "list":
            return [self._run(tool.list()) for _ in range(LIST_REPEATS)]
        outcome = self._run(tool.snapshot(data.folder))
        tool.snapshots, tool.last_output = tool.snapshots + 1, outcome.stdout
        return [outcome]

    def _restore(self, data: datasets.DataSet, tool: Tool) -> Outcome:
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

    def _run(self, command: Command) -> Outcome:
        return run(command, timeout_seconds=self.options.timeout_seconds)

    def _fail(self, sample: Sample, error: CommandFailedError) -> None:
        self.results.samples.append(replace(sample, error=str(error)))
        self._say(f"{sample.data} round {sample.round + 1}: {sample.tool} {sample.command} FAILED: {error.reason}")


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the file system of `folder`; if it lives in memory, no more than is free there."""
    free = shutil.disk_usage(folder).free
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=False)
    if kind.stdout.strip() not in {"tmpfs", "ramfs"}:
        return free
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return min(free, int(line.split()[1]) * 1024)
    return free


__all__ = ["COMMANDS", "Comparison", "Options", "RepositorySize", "Results", "Sample", "free_bytes"]
