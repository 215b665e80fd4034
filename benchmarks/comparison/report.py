"""The report of a comparison: medians over the rounds, ratios against kopia round by round; as Markdown and JSON."""

import dataclasses
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from . import ceilings
from .bench import Results, Sample
from .datasets import DataSet
from .rounds import COMMANDS

HEADING = "# Commands side by side"
MOUNTS = "# Mounts side by side"
"""Heading of the report of ``benchmarks.mounts``."""
MOVERS = "# Movers side by side"
"""Heading of the report of ``benchmarks.movers``."""
REFERENCE = "kopia"
TITLES = {
    "first": "first snapshot",
    "unchanged": "unchanged second snapshot",
    "changed": "snapshot after 1 % changed",
    "restore": "restore",
    "verify": "verification of all content",
    "list": "list of snapshots",
}

Number: TypeAlias = Callable[[Sample], float]


def machine() -> dict[str, str]:
    """Return what of the machine bears on the numbers."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    return {
        "processor": f"{os.cpu_count()} × {models[0] if models else platform.machine()}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or "unknown",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def good_samples(results: Results, data: str, tool: str, command: str) -> list[Sample]:
    """Return the samples without errors, in the order of the rounds."""
    wanted = (data, tool, command)
    return [
        sample
        for sample in results.samples
        if (sample.data, sample.tool, sample.command) == wanted and not sample.error
    ]


def ratios(results: Results, data: str, tool: str, command: str) -> list[float]:
    """Return, for each round in which both ended well, the wall-clock time divided by kopia's."""
    reference = {sample.round: sample for sample in good_samples(results, data, REFERENCE, command)}
    return [
        sample.wall_seconds / reference[sample.round].wall_seconds
        for sample in good_samples(results, data, tool, command)
        if sample.round in reference
    ]


def to_json(results: Results, facts: dict[str, str]) -> dict[str, Any]:
    """Return everything that was measured, for `json.dumps`."""
    return {
        "machine": facts,
        "versions": results.versions,
        "skipped": results.skipped,
        "data": [
            {"name": data.name, "files": data.files, "bytes": data.bytes, "about": data.about} for data in results.data
        ],
        "ceilings": {name: dataclasses.asdict(found) for name, found in results.ceilings.items()},
        "scaling": results.scaling,
        "samples": [dataclasses.asdict(sample) for sample in results.samples],
        "repository_sizes": [dataclasses.asdict(size) for size in results.sizes],
        "restores": [
            {"data": data, "tool": tool, "equal": not lines, "differences": lines}
            for (data, tool), lines in results.restores.items()
        ],
    }


def to_markdown(results: Results, facts: dict[str, str]) -> str:
    """Return the report as a Markdown text."""
    parts = [HEADING, *machine_section(results, facts)]
    parts.append(
        f"Medians of the rounds. × {REFERENCE} is wall-clock time divided by {REFERENCE}'s in the same round: "
        "the median, and in brackets the smallest and the largest."
    )
    for data in results.data:
        parts.append(data_section(data))
        parts.append(_times(results, data.name))
        parts.append(_profile(results, data))
        parts.append(_rounds(results, data.name))
        parts.append(_sizes(results, data.name))
        parts.append(restores(results, data.name))
    parts.append(_ceilings(results))
    parts.append(_scaling(results))
    parts += failures(results)
    return "\n\n".join(part for part in parts if part) + "\n"


def machine_section(results: Results, facts: dict[str, str]) -> list[str]:
    """Return the paragraphs that tell of machine and tools."""
    parts = ["\n".join(f"- {name}: {value}" for name, value in facts.items())]
    parts.append("\n".join(f"- {tool}: {version}" for tool, version in results.versions.items()))
    parts.append("\n".join(f"- left out: {name} {reason}" for name, reason in results.skipped.items()))
    return parts


def data_section(data: DataSet) -> str:
    """Return heading and size of a data set."""
    return f"## {data.name}: {data.about}\n\n{data.files:,} file{'s' * (data.files != 1)}, {data.bytes / 1e6:,.1f} MB"


def failures(results: Results) -> list[str]:
    """Return the paragraphs on commands that failed."""
    failed = [sample for sample in results.samples if sample.error]
    texts = [
        f"{sample.data}, round {sample.round + 1}, {sample.tool} {sample.command}:\n\n```\n{sample.error}\n```"
        for sample in failed
    ]
    return ["## Failures", *texts] if texts else []


def _times(results: Results, data: str) -> str:
    rows: list[tuple[str, ...]] = [("command", "tool", "wall s", f"× {REFERENCE}", "CPU s", "peak MiB", "rounds")]
    for command in COMMANDS:
        for tool in results.versions:
            samples = good_samples(results, data, tool, command)
            if not samples:
                if any((each.data, each.tool, each.command) == (data, tool, command) for each in results.samples):
                    rows.append((TITLES[command], tool, "failed", "", "", "", "0"))
                continue
            against = ratios(results, data, tool, command)
            spread = f"{statistics.median(against):.2f} ({min(against):.2f}-{max(against):.2f})" if against else ""
            rows.append(
                (
                    TITLES[command],
                    tool,
                    f"{_median(samples, lambda sample: sample.wall_seconds):.3f}",
                    spread,
                    f"{_median(samples, lambda sample: sample.cpu_seconds):.3f}",
                    f"{_median(samples, lambda sample: sample.peak_rss_bytes) / (1 << 20):.0f}",
                    str(len(samples)),
                )
            )
    return table(rows)


def _rounds(results: Results, data: str) -> str:
    """Return the ratios of each round, for the tool that is compared with the reference."""
    rows: list[tuple[str, ...]] = [
        ("pykopia's ratio in each round", *(str(n + 1) for n in range(_count(results, data))))
    ]
    for command in COMMANDS:
        against = ratios(results, data, "pykopia", command)
        if against:
            rows.append((TITLES[command], *(f"{ratio:.2f}" for ratio in against)))
    width = max(map(len, rows))
    return table([(*row, *[""] * (width - len(row))) for row in rows])


def _count(results: Results, data: str) -> int:
    return 1 + max((sample.round for sample in results.samples if sample.data == data), default=0)


def _profile(results: Results, data: DataSet) -> str:
    """Return where the processor time of each command goes, as far as the ceilings tell."""
    if data.name not in results.ceilings:
        return ""
    floors = results.ceilings[data.name].floors(data)
    parts = ("copy", "hash", "zstd", "AES-GCM")
    rows: list[tuple[str, ...]] = [
        ("pykopia's processor time, s", *parts, "start-up", "the rest", "in all", "at least on 2 processors, s")
    ]
    starting = good_samples(results, data.name, "pykopia", "list")
    start = _median(starting, lambda sample: sample.cpu_seconds) if starting else 0.0
    for command in COMMANDS:
        samples = good_samples(results, data.name, "pykopia", command)
        if not samples:
            continue
        used, floor = _median(samples, lambda sample: sample.cpu_seconds), floors[command]
        rest = used - sum(floor.values()) - (start if command != "list" else used)
        rows.append(
            (
                TITLES[command],
                *(f"{floor[part]:.2f}" if part in floor else "" for part in parts),
                f"{start:.2f}",
                f"{rest:.2f}",
                f"{used:.2f}",
                f"{sum(floor.values()) / 2:.2f}",
            )
        )
    return table(rows)


def _ceilings(results: Results) -> str:
    """Return what one thread does of each primitive."""
    if not results.ceilings:
        return ""
    rows: list[tuple[str, ...]] = [
        ("one thread, MB/s", "copy", "BLAKE2b", "zstd level 3, tuned", "zstd expanding", "AES-256-GCM", "compressed to")
    ]
    for name, found in results.ceilings.items():
        speeds = (found.copy, found.hash, found.compress, found.expand, found.encrypt)
        rows.append((name, *(f"{speed / 1e6:,.0f}" for speed in speeds), f"{found.ratio:.0%}"))
    return f"## What the hardware does\n\n{(ceilings.__doc__ or '').strip()}\n\n{table(rows)}"


def _scaling(results: Results) -> str:
    """Return how the first snapshot of one large file scales with processors."""
    if not results.scaling:
        return ""
    rows: list[tuple[str, ...]] = [("run", "1 processor, s", "2 processors, s", "times faster")]
    rows += [
        (str(number + 1), f"{one:.2f}", f"{two:.2f}", f"{one / two:.2f}")
        for number, (one, two) in enumerate(results.scaling)
    ]
    middle = statistics.median(one / two for one, two in results.scaling)
    return f"## pykopia's first snapshot of `big` with one processor and with two: {middle:.2f} times\n\n{table(rows)}"


def _median(samples: Iterable[Sample], number: Number) -> float:
    return statistics.median(map(number, samples))


def _sizes(results: Results, data: str) -> str:
    rows: list[tuple[str, ...]] = [("repository", "after the first snapshot, MB", "after the change, MB")]
    for tool in results.versions:
        cells = []
        for command in ("first", "changed"):
            wanted = (data, tool, command)
            sizes = [size.bytes for size in results.sizes if (size.data, size.tool, size.command) == wanted]
            cells.append(f"{statistics.median(sizes) / 1e6:.1f}" if sizes else "")
        if any(cells):
            rows.append((tool, cells[0], cells[1]))
    return table(rows)


def restores(results: Results, data: str) -> str:
    """Return which tools restored a data set as it was."""
    lines = []
    for tool in results.versions:
        differences = results.restores.get((data, tool))
        if differences:
            lines.append(f"- {tool}: the restored tree DIFFERS from the source:\n\n```\n{differences}\n```")
        elif differences is not None:
            lines.append(f"- {tool}: the restored tree is equal to the source")
    return "\n".join(lines)


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows, of which the first is the head, as a table of Markdown; nothing if there is only the head."""
    head, *body = rows
    if not body:
        return ""
    lines = [head, tuple("---" for _ in head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


__all__ = [
    "HEADING",
    "MOUNTS",
    "REFERENCE",
    "TITLES",
    "Number",
    "data_section",
    "failures",
    "good_samples",
    "machine",
    "machine_section",
    "ratios",
    "restores",
    "table",
    "to_json",
    "to_markdown",
]
