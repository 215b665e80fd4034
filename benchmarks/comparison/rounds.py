"""The rounds: every tool runs every command on the same data, one tool after the other, in an order that turns.

A round starts with empty repositories and empty caches. Then come, for all tools in turn, the first snapshot; a second one
of the unchanged source; a third after one per cent of it changed; a restore of the last one into an empty folder; a
verification that reads all content; and the list of snapshots. Before restore and verification the caches are emptied;
the snapshots and the list find the caches as the tool itself left them. The list is so short that it runs five times and
its median counts.
"""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from . import datasets
from .bench import Bench, RepositorySize, Sample
from .ceilings import measure
from .measure import CommandFailedError, Outcome
from .tools import Tool

COMMANDS = ("first", "unchanged", "changed", "restore", "verify", "list")
LIST_REPEATS = 5
SCALING_REPEATS = 3
SPARE_BYTES = 1 << 30
"""What must stay free of disk or memory beside the data."""


class Comparison(Bench):
    """Runs all rounds with repositories in folders of this machine."""

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
        tools = [tool for tool in self._taking_part(number) if self._create(data, tool, number)]
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
                self._run(command)
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
            self._keep(sample, outcomes)
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
        tool.snapshots, tool.outputs[data.folder] = tool.snapshots + 1, outcome.stdout
        return [outcome]


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


__all__ = ["COMMANDS", "Comparison", "free_bytes"]
