"""The report of the remote mode: one table for each server and latency."""

import statistics
from collections.abc import Sequence

from .bench import Results
from .remote import TITLES
from .report import REFERENCE, Number, data_section, failures, good_samples, machine_section, ratios, restores, table

HEADING = "# Repositories on servers, over a network with latency"
_OURS = "pykopia"


def to_markdown(results: Results, facts: dict[str, str]) -> str:
    """Return the report as a Markdown text."""
    parts = [HEADING, *machine_section(results, facts)]
    parts.append(
        "Servers of this machine behind a proxy that delays all bytes by half of the latency in each direction and the first "
        "bytes of a connection by one round trip more; bandwidth is not limited. Medians of the rounds: seconds of whole "
        f"processes, processor time, HTTP requests. *Times as fast*: {REFERENCE}'s wall-clock time divided by {_OURS}'s in "
        f"the same round, the median; above 1 {_OURS} is faster."
    )
    for data in results.data:
        parts += [data_section(data), restores(results, data.name)]
    for where in dict.fromkeys(sample.data for sample in results.samples):
        parts += [f"## {where}", _steps(results, where)]
    parts += failures(results)
    return "\n\n".join(part for part in parts if part) + "\n"


def _steps(results: Results, where: str) -> str:
    tools = [
        tool for tool in results.versions if any((each.data, each.tool) == (where, tool) for each in results.samples)
    ]
    head = ["step", *(f"{tool} s" for tool in tools), "times as fast"]
    head += [*(f"{tool} CPU s" for tool in tools), f"requests {' / '.join(tools)}"]
    rows: list[tuple[str, ...]] = [tuple(head)]
    for command, title in TITLES.items():
        if not any((each.data, each.command) == (where, command) for each in results.samples):
            continue
        walls = _medians(results, where, tools, command, lambda sample: sample.wall_seconds)
        against = ratios(results, where, _OURS, command)
        faster = f"{statistics.median(1 / ratio for ratio in against):.2f}" if against else ""
        cpus = _medians(results, where, tools, command, lambda sample: sample.cpu_seconds)
        requests = " / ".join(_medians(results, where, tools, command, lambda sample: sample.requests, ".0f"))
        rows.append((title, *walls, faster, *cpus, requests))
    return table(rows)


def _medians(
    results: Results, where: str, tools: Sequence[str], command: str, number: Number, form: str = ".2f"
) -> list[str]:
    """Return the median of a figure for each tool; a dash where it has none."""
    found = [[number(sample) for sample in good_samples(results, where, tool, command)] for tool in tools]
    return [format(statistics.median(figures), form) if figures else "-" for figures in found]


__all__ = ["HEADING", "to_markdown"]
