"""Dividing trees into parts of about equal work, for several machines.

The uppermost folders are read until there are enough folders below them to share out. Versions of one path, in the snapshots
of one source, go to the same part, so that what they share is looked at once.
"""

import heapq
from collections.abc import Iterable, Sequence

from pykopia.dataclass import dataclass
from pykopia.errors import PykopiaError
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.repository.objects import ObjectStore

PIECES_PER_PART = 4
"""Pieces that each part has at the least, so that parts can be made equal."""
FILE_COST = 64 << 10
"""Bytes that can be read in the time that one more file takes."""
MOST_DIVIDED = 10_000
"""Folders that are read at the most: what folders say of their size may be wrong, and lead on and on."""
SHARED = 10
"""Of further versions of a path, one part in so many is estimated to be new."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a tree."""

    root: int
    """Which of the trees, counted from 0."""
    path: str
    """From its root, with a slash before each name; empty for the root."""
    entry: DirectoryEntry
    shallow: bool = False
    """Whether it is the folder itself alone, what is in it being pieces of their own."""

    @property
    def cost(self) -> int:
        """An estimate of the work, in bytes that are read."""
        return FILE_COST if self.shallow else cost(self.entry)


def cost(entry: DirectoryEntry) -> int:
    """Return an estimate of the work that an entry is with all below it, in bytes that are read."""
    summary = entry.summary
    if entry.type != DIRECTORY or summary is None:
        return entry.size + FILE_COST
    return summary.size + FILE_COST * (summary.files + summary.dirs + summary.symlinks)


def pieces_of(objects: ObjectStore, roots: Sequence[DirectoryEntry], parts: int, *, distinct: bool) -> list[Piece]:
    """Return pieces that together are the trees.

    Args:
        objects: of the repository.
        roots: of the trees.
        parts: into how many parts the pieces will be put.
        distinct: leave out what is an equal object as another piece.
    """
    found: list[Piece] = []
    seen: set[tuple[str, bool]] = set()
    queue: list[tuple[int, int, Piece]] = []
    total = number = looked_into = 0

    def add(piece: Piece) -> None:
        nonlocal number
        is_folder = piece.entry.type == DIRECTORY  # a file may be the same bytes as a folder
        if distinct and (piece.entry.object_id, is_folder) in seen:
            return
        seen.add((piece.entry.object_id, is_folder))
        number += 1
        if is_folder:
            heapq.heappush(queue, (-piece.cost, number, piece))
        else:
            found.append(piece)

    for index, entry in enumerate(roots):
        add(Piece(index, "", entry))
        total += cost(entry)
    enough = PIECES_PER_PART * parts
    while queue and parts > 1:
        largest = queue[0][2]
        if len(queue) + len(found) >= enough and largest.cost * enough <= total:
            break
        heapq.heappop(queue)
        looked_into += 1
        if looked_into > MOST_DIVIDED:
            found.append(largest)
            break
        try:
            entries = objects.directory(largest.entry.object_id).entries
        except PykopiaError:
            found.append(largest)  # whoever gets it reports the error
            continue
        found.append(Piece(largest.root, largest.path, largest.entry, shallow=True))
        for each in entries:
            add(Piece(largest.root, f"{largest.path}/{each.name}", each))
    return found + [piece for *_, piece in queue]


def shared_out(pieces: Iterable[Piece], labels: Sequence[str], parts: int) -> list[list[Piece]]:
    """Return pieces in at most ``parts`` groups of about equal work; no group is empty.

    Args:
        pieces: of trees.
        labels: name of each tree; versions of a path in trees of one name come into one group.
        parts: how many groups.
    """
    versions: dict[tuple[str, str], list[Piece]] = {}
    for piece in pieces:
        versions.setdefault((labels[piece.root], piece.path), []).append(piece)
    work = []
    for same in versions.values():
        costs = [piece.cost for piece in same]
        work.append((max(costs) + (sum(costs) - max(costs)) // SHARED, same))
    work.sort(key=lambda each: -each[0])
    groups: list[list[Piece]] = [[] for _ in range(parts)]
    loads = [(0, number) for number in range(parts)]
    for amount, same in work:
        load, number = heapq.heappop(loads)
        groups[number] += same
        heapq.heappush(loads, (load + amount, number))
    return [group for group in groups if group]


__all__ = ["Piece", "cost", "pieces_of", "shared_out"]
