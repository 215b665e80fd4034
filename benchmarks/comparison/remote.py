"""The remote mode: repositories lie on servers that the comparison starts itself, behind a proxy with latency.

Each round makes new repositories. Then come, for all tools in turn, the steps of the table: snapshots of some small files and
of one file of 64 MiB, lists, a connection by a machine that never saw the repository, restores, a verification that reads all
content, and full maintenance. Before a step that is called cold the cache is emptied; before ``connect`` the connection is
forgotten too. The proxy counts the HTTP requests of each command.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from . import datasets
from .bench import Bench, Sample
from .latency import LatencyProxy
from .measure import Command, CommandFailedError, Outcome
from .places import SERVERS, NewPlace
from .tools import Tool

SMALL_SHARE = 1_500 / datasets.SMALL_FILES
LARGE_SHARE = 64 * datasets.MIB / datasets.BIG_BYTES
SHORT_REPEATS = 3

Data: TypeAlias = Mapping[str, datasets.DataSet]
"""The sources by name: ``small`` and ``big``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One row of the table."""

    title: str
    command: Callable[[Tool], Command | None] | None = None
    """Returns the command; it may return None for a tool that has no such command."""
    snapshot: str = ""
    """Source to take a snapshot of."""
    restore: str = ""
    """Source whose last snapshot is restored."""
    cold: bool = False
    """Whether the cache is emptied before each run."""
    repeats: int = 1
    needed: bool = False
    """Whether a tool that fails here leaves the round."""


def _connect_anew(tool: Tool) -> Command | None:
    command = tool.connect()
    if command is not None:
        tool.forget()
    return command


STEPS: Mapping[str, Step] = {
    "first-small": Step(title="first snapshot, small files", snapshot="small", needed=True),
    "first-large": Step(title="first snapshot, 64 MiB", snapshot="big", needed=True),
    "unchanged": Step(title="unchanged, warm cache", snapshot="small"),
    "unchanged-cold": Step(title="unchanged, cold cache", snapshot="small", cold=True),
    "list": Step(title="list, warm cache", command=lambda tool: tool.list(), repeats=SHORT_REPEATS),
    "list-cold": Step(title="list, cold cache", command=lambda tool: tool.list(), cold=True, repeats=SHORT_REPEATS),
    "connect-cold": Step(title="connect, cold cache", command=_connect_anew, needed=True),
    "restore-small": Step(title="restore small files, cold cache", restore="small"),
    "restore-large": Step(title="restore 64 MiB, cold cache", restore="big"),
    "verify-cold": Step(title="verify all content, cold cache", command=lambda tool: tool.verify(), cold=True),
    "maintenance-cold": Step(title="full maintenance, cold cache", command=lambda tool: tool.maintain(), cold=True),
}
"""By name, in the order in which they run; ``create`` comes before all of them."""
CREATE = "create"
TITLES: Mapping[str, str] = {CREATE: "repository create", **{name: step.title for name, step in STEPS.items()}}


class RemoteComparison(Bench):
    """Runs the steps against each server, with each latency."""

    def run(self) -> None:
        """Run all rounds."""
        with contextlib.ExitStack() as stack:
            data = self._make_data()
            proxy = stack.enter_context(LatencyProxy().running())
            for name in self.options.servers:
                if not SERVERS[name].is_here:
                    self.results.skipped[name] = f"needs {' or '.join(SERVERS[name].program)}"
                    continue
                path = self.options.folder / f"server-{name}"
                path.mkdir()
                proxy.round_trip_seconds = 0
                with SERVERS[name].start(path, proxy) as new_place:
                    for milliseconds in self.options.round_trips_ms:
                        for number in range(self.options.rounds):
                            self._round(section(name, milliseconds), data, proxy, new_place, milliseconds, number)

    def _make_data(self) -> Data:
        self._say("making the data")
        shares = {"small": SMALL_SHARE, "big": LARGE_SHARE}
        options = self.options
        data = {
            name: datasets.build(name, options.folder / name, seed=options.seed, scale=options.scale * share)
            for name, share in shares.items()
        }
        self.results.data += data.values()
        return data

    def _round(
        self, where: str, data: Data, proxy: LatencyProxy, new_place: NewPlace, milliseconds: float, number: int
    ) -> None:
        tools = []
        for tool in self._taking_part(number):
            proxy.round_trip_seconds = 0
            place = new_place()  # the comparison's own requests need not wait
            proxy.round_trip_seconds = milliseconds / 1000
            if not tool.supports(place):
                continue
            tool.clear()
            tool.place = place
            if self._create(tool, Sample(data=where, tool=tool.name, command=CREATE, round=number), proxy):
                tools.append(tool)
        try:
            for name, step in STEPS.items():
                if name in self.options.commands or step.needed:
                    for tool in list(tools):
                        sample = Sample(data=where, tool=tool.name, command=name, round=number)
                        if not self._step(tool, step, sample, data, proxy) and step.needed:
                            tools.remove(tool)
        finally:
            for tool in self._tools:
                tool.clear()

    def _create(self, tool: Tool, sample: Sample, proxy: LatencyProxy) -> bool:
        """Make a repository, by the first command, and set its policies, by the others."""
        first, *others = tool.create()
        try:
            before = proxy.requests
            outcome = self._run(first)
            self._keep(sample, [outcome], requests=proxy.requests - before)
            for command in others:
                self._run(command)
        except CommandFailedError as error:
            self._fail(sample, error)
            return False
        return True

    def _step(self, tool: Tool, step: Step, sample: Sample, data: Data, proxy: LatencyProxy) -> bool:
        """Run one step of one tool and return whether it went well."""
        outcomes: list[Outcome] = []
        requests = 0
        try:
            for _ in range(step.repeats):
                if step.cold:
                    tool.drop_cache()
                before = proxy.requests
                outcome = self._outcome(tool, step, data)
                if outcome is None:
                    return True
                outcomes.append(outcome)
                requests = proxy.requests - before
        except CommandFailedError as error:
            self._fail(sample, error)
            return False
        self._keep(sample, outcomes, requests=requests)
        return True

    def _outcome(self, tool: Tool, step: Step, data: Data) -> Outcome | None:
        if step.snapshot:
            source = data[step.snapshot].folder
            outcome = self._run(tool.snapshot(source))
            tool.snapshots, tool.outputs[source] = tool.snapshots + 1, outcome.stdout
            return outcome
        if step.restore:
            return self._restore(data[step.restore], tool)
        command = step.command(tool) if step.command else None
        return None if command is None else self._run(command)


def section(server: str, milliseconds: float) -> str:
    """Return the name of the results of one server with one latency."""
    return f"{server}, {milliseconds:g} ms"


__all__ = ["CREATE", "STEPS", "TITLES", "RemoteComparison", "section"]
