"""Counting what a snapshot would take (format 04 §15.6)."""

import os
import stat
from dataclasses import field

from pykopia.dataclass import dataclass
from pykopia.errors import CanceledError, PykopiaError
from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy_tree import PolicyTree
from pykopia.format.source import SourceInfo
from pykopia.repository.core import Core
from pykopia.snapshot import walk
from pykopia.snapshot.listing import list_folders
from pykopia.snapshot.policies import Policies
from pykopia.snapshot.problem import Problem
from pykopia.snapshot.progress import Cancel
from pykopia.snapshot.source_path import local_source, source_root

SIZE_CLASSES = (*(10**power for power in range(3, 16)), 10**18)
"""Upper bounds of the classes that files are counted in, in bytes; a file of that size is in the next class."""


@dataclass(slots=True)
class SizeClass:
    """Files up to a size."""

    count: int = 0
    total_bytes: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Estimate:
    """Files and bytes that a snapshot would take."""

    files: int = 0
    total_bytes: int = 0
    directories: int = 0
    symlinks: int = 0
    excluded_files: int = 0
    excluded_bytes: int = 0
    excluded_directories: int = 0
    problems: list[Problem] = field(default_factory=list)
    """Entries that can't be read; their paths are those of this machine."""
    size_classes: dict[int, SizeClass] = field(default_factory=dict)
    """By upper bound in bytes."""

    @property
    def errors(self) -> list[str]:
        """One line for each of ``problems``."""
        return list(map(str, self.problems))


def estimate(repository: Core, path: str, cancel: Cancel | None) -> Estimate:
    """Walk a folder with the rules of its policies; nothing but ignore files is read.

    Raises:
        SourceNotFoundError: there is nothing at ``path``.
        CanceledError: the caller asked to stop.
    """
    source: SourceInfo = local_source(repository, path)
    root, status = source_root(path)
    counted = Estimate()
    if not stat.S_ISDIR(status.st_mode):
        _count_file(counted, root, status.st_size)
        return counted
    count_source(counted, root, status, Policies(repository).tree(source), cancel)
    return counted


def count_source(
    counted: Estimate, root: str, status: os.stat_result, policies: PolicyTree, cancel: Cancel | None
) -> None:
    """Add to ``counted`` what a snapshot of a folder would take.

    Raises:
        CanceledError: the caller asked to stop.
    """
    pending: list[tuple[str, str, os.stat_result, IgnoreContext, PolicyTree]] = [
        (root, "", status, IgnoreContext.empty(), policies)
    ]
    while pending:
        if cancel is not None and cancel():
            raise CanceledError("the estimate was canceled")
        here, relative, status, context, policies = pending.pop()
        counted.directories += 1
        try:
            (listing,) = list_folders([os.fsencode(here)])
            entries, found, context = walk.look(here, relative, status.st_dev, context, policies, listing)
        except (OSError, PykopiaError) as error:
            counted.problems.append(Problem(path=here, error=error))
            continue
        found.take(entries)
        counted.symlinks += len(found.links)
        counted.excluded_files += found.excluded_files
        counted.excluded_bytes += found.excluded_bytes
        counted.excluded_directories += found.excluded_folders
        counted.problems += [Problem(path=f"{here}/{name}", error=error) for name, _, error in found.failed]
        for name, each in found.files:
            _count_file(counted, f"{here}/{name}", each.st_size)
        pending += [
            (f"{here}/{name}", f"{relative}/{name}", each, context, policies.child(name))
            for name, each in found.folders
        ]


def _count_file(counted: Estimate, path: str, size: int) -> None:
    counted.files += 1
    counted.total_bytes += size
    bound = next((each for each in SIZE_CLASSES if size < each), SIZE_CLASSES[-1])
    group = counted.size_classes.setdefault(bound, SizeClass())
    group.count += 1
    group.total_bytes += size
    if len(group.examples) < 10:
        group.examples.append(path)


__all__ = ["Estimate", "SizeClass", "count_source", "estimate"]
