"""Giving the snapshots of a source to another one: a host got a new name, a folder another place.

Only manifests are written; all data stay where they are.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from pykopia.arguments import check_kind
from pykopia.dataclass import dataclass
from pykopia.errors import UsageError
from pykopia.format.snapshot_manifest import UNSAVED, SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.repository.writer import RepositoryWriter


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryStep:
    """Step for one snapshot."""

    snapshot: SnapshotManifest
    destination: SourceInfo
    kind: Literal["copy", "exists"]
    """``exists``: the destination has a snapshot with the same start and root already."""


def plan_history(
    snapshots: Iterable[SnapshotManifest], source: SourceInfo, destination: SourceInfo
) -> list[HistoryStep]:
    """Decide what to copy.

    Args:
        snapshots: All there are, in the order in which they are to be copied.
        source: Whose to copy; fields that are empty match any.
        destination: Its fields that are not empty replace those of the source.

    Raises:
        UsageError: The destination would put the snapshots of several users or paths into one source.
    """
    check_kind("source", source, SourceInfo)
    check_kind("destination", destination, SourceInfo)
    if destination.path and not source.path:
        raise UsageError(
            f"{destination} has a path and {source} has none: snapshots of several paths would become one's"
        )
    if destination.user_name and not source.user_name:
        raise UsageError(
            f"{destination} has a user and {source} has none: snapshots of several users would become one's"
        )
    listed = list(snapshots)
    there = {(each.source, each.start_time_ns, each.root_object_id) for each in listed}
    steps = []
    for each in listed:
        if not _matches(each.source, source):
            continue
        target = SourceInfo(
            host=destination.host or each.source.host,
            user_name=destination.user_name or each.source.user_name,
            path=destination.path or each.source.path,
        )
        if target == each.source:
            continue
        known = (target, each.start_time_ns, each.root_object_id)
        steps.append(HistoryStep(snapshot=each, destination=target, kind="exists" if known in there else "copy"))
        there.add(known)
    return steps


def apply_history(writer: RepositoryWriter, steps: Iterable[HistoryStep], *, move: bool = False) -> None:
    """Copy as planned; ``move`` deletes what is at the destination then."""
    for step in steps:
        if step.kind == "copy":
            copied = replace(step.snapshot, id=UNSAVED, source=step.destination)
            writer.manifests.put(copied.labels(), copied.to_json())
        if move:
            writer.manifests.delete(step.snapshot.id)


def _matches(source: SourceInfo, wanted: SourceInfo) -> bool:
    return all(
        not want or have == want
        for have, want in (
            (source.host, wanted.host),
            (source.user_name, wanted.user_name),
            (source.path, wanted.path),
        )
    )


__all__ = ["HistoryStep", "apply_history", "plan_history"]
