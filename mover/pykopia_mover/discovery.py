"""Lists the sources of a repository: for the operation ``discover``, and for a restore that finds no snapshot."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pykopia import SourceInfo
from pykopia_mover.connecting import open_repository
from pykopia_mover.identity import Snapshot, Wanted, by_source, wanted_by
from pykopia_mover.output import timestamp
from pykopia_mover.report import Outcome
from pykopia_mover.run import Context
from pykopia_mover.settings import Settings

LAST_BYTES: Final = 600
"""Bytes of the list that are written last: older operators see the end of the log only."""


def discover(context: Context) -> Outcome:
    """List the sources of the repository; change nothing.

    Raises:
        PykopiaError: it can't be read.
    """
    context.output.line("=== Starting discovery ===")
    wanted = wanted_by(context.settings, context.document)
    with open_repository(context, wanted) as repository:
        sources = by_source(repository.snapshots.list())
        listed = visible(context.settings, wanted, sources)
        context.notes.add(identities=identities(listed))
        context.output.lines(section(listed, as_json=True))
    return Outcome(message=f"{len(listed)} sources with snapshots")


def visible(
    settings: Settings, wanted: Wanted, sources: Mapping[SourceInfo, Sequence[Snapshot]]
) -> dict[SourceInfo, Sequence[Snapshot]]:
    """Return the sources that this run may see, newest snapshot first (rule M-071)."""
    namespace = settings.owner_namespace or wanted.user
    limited = settings.discover_scope == "namespace"
    found = {
        source: snapshots
        for source, snapshots in sources.items()
        if not limited or namespace in {source.user_name, source.host}
    }
    return dict(sorted(found.items(), key=lambda item: item[1][-1].start_time_ns, reverse=True))


def identities(sources: Mapping[SourceInfo, Sequence[Snapshot]]) -> list[dict[str, Any]]:
    """Return sources for the termination message."""
    return [
        {
            "identity": f"{source.user_name}@{source.host}",
            "path": source.path,
            "count": len(snapshots),
            "latest": timestamp(snapshots[-1].start_time_ns),
        }
        for source, snapshots in sources.items()
    ]


def section(sources: Mapping[SourceInfo, Sequence[Snapshot]], *, as_json: bool) -> Iterable[str]:
    """Return the lines of the list: the newest snapshot of each source as JSON, then a summary of each."""
    lines = [_json_line(snapshots[-1]) for snapshots in sources.values()] if as_json else []
    size = sum(len(line) + 1 for line in lines)
    while lines and size > LAST_BYTES:
        size -= len(lines.pop()) + 1
    if as_json:
        lines += _earlier(sources, LAST_BYTES - size)
    yield "=== Discovery Mode: Available Snapshots ==="
    yield from lines
    yield "Available identities (username@hostname combinations):"
    for source, snapshots in sources.items():
        yield f"{source} - {len(snapshots)} snapshots, latest {timestamp(snapshots[-1].start_time_ns)}"
    yield "=== End Discovery Mode ==="


def _earlier(sources: Mapping[SourceInfo, Sequence[Snapshot]], room: int) -> list[str]:
    """Return a line for each snapshot but the newest of each source, as far as there is room.

    Operators count snapshots by such lines: one of JSON or one of this form for each.
    """
    found: list[str] = []
    for source, snapshots in sources.items():
        for each in reversed(snapshots[:-1]):
            line = f"{source} {timestamp(each.start_time_ns).replace('T', ' ').rstrip('Z')}"
            room -= len(line.encode()) + 1
            if room < 0:
                return found
            found.append(line)
    return found


def _json_line(snapshot: Any) -> str:  # noqa: ANN401 -- a snapshot manifest
    source = snapshot.source
    return json.dumps(
        {
            "id": str(snapshot.id),
            "userName": source.user_name,
            "hostName": source.host,
            "path": source.path,
            "startTime": timestamp(snapshot.start_time_ns),
            "endTime": timestamp(snapshot.end_time_ns),
        },
        ensure_ascii=False,
    )


__all__ = ["discover", "identities", "section", "visible"]
