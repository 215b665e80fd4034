"""Pages over several snapshots: compare two, find a name in all, the versions of one path."""

from collections.abc import Iterator
from itertools import groupby, islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import pykopia
from pykopia.dataclass import dataclass
from pykopia.errors import SnapshotNotFoundError
from pykopia.ui.browsing import can_be_opened, descend
from pykopia.ui.site import Site

MOST_ROWS: Final = 1000
"""Rows of one page; further ones are counted."""
MOST_COUNTED: Final = 100_000
"""Differences after which a comparison stops."""
MOST_FOUND: Final = 500
"""Paths after which a search stops."""
WILDCARDS: Final = frozenset("*?[/")

ADDED: Final = "added"
REMOVED: Final = "removed"
CHANGED: Final = "changed"
ATTRIBUTES: Final = "attributes"
_OF_ATTRIBUTES: Final = {"modes": "mode", "times": "time", "owners": "owner", "groups": "group", "sizes": "size"}


@dataclass(frozen=True, slots=True)
class Row:
    """What differs at one path."""

    kind: str
    """``added``, ``removed``, ``changed``, or ``attributes`` where the contents are equal."""
    path: str
    """Inside of the compared folders; empty for these themselves."""
    before: pykopia.DirectoryEntry | None
    after: pykopia.DirectoryEntry | None
    attributes: tuple[str, ...] = ()
    """Those that differ."""

    @property
    def opens(self) -> bool:
        """Whether an address can name the path."""
        return all(map(can_be_opened, self.path.split("/")))


def rows(differences: Iterator[pykopia.Difference]) -> Iterator[Row]:
    """Yield one row for each path; totals and times of folders that differ only because of what is in them are left out.

    Args:
        differences: one after the other for a path, as a comparison yields them.
    """
    for path, group in groupby(differences, key=lambda each: each.path):
        found = list(group)
        before, after = found[0].before, found[0].after
        kinds = {each.kind for each in found}
        attributes = tuple(name for kind, name in _OF_ATTRIBUTES.items() if kind in kinds)
        folder = "d" in {each.type for each in (before, after) if each is not None}
        kind = next((each for each in (ADDED, REMOVED, CHANGED) if each in kinds), ATTRIBUTES)
        if kind == ATTRIBUTES:
            if folder:
                attributes = tuple(name for name in attributes if name not in ("size", "time"))
            if not attributes:
                continue
        yield Row(kind, path.removeprefix(".").removeprefix("/"), before, after, attributes)


@dataclass(frozen=True, slots=True)
class Hit:
    """A path that a search found, in all its states."""

    source: pykopia.SourceInfo
    path: str
    states: tuple[pykopia.Found, ...]
    """Oldest first, as far as they begin at different times."""

    @property
    def latest(self) -> pykopia.Found:
        """The state of the latest snapshot that has the path."""
        return max(self.states, key=lambda each: each.snapshots[-1].start_time_ns)

    @property
    def first(self) -> pykopia.SnapshotManifest:
        """The first snapshot that has the path."""
        return min((each.snapshots[0] for each in self.states), key=lambda each: each.start_time_ns)

    @property
    def snapshots(self) -> int:
        """Number of snapshots that have the path."""
        return len({each.id for state in self.states for each in state.snapshots})

    @property
    def opens(self) -> bool:
        """Whether an address can name the path."""
        return not self.path or all(map(can_be_opened, self.path.split("/")))


def hits(found: Iterator[pykopia.Found]) -> Iterator[Hit]:
    """Yield what was found by path: the states of one path come one after the other."""
    for (source, path), states in groupby(found, key=lambda each: (each.source, each.path)):
        yield Hit(source, path, tuple(states))


def search_pattern(text: str) -> str:
    """Return the pattern for what the user typed: a text without wildcards is looked for anywhere in a name.

    >>> search_pattern("report"), search_pattern("*.csv"), search_pattern(" docs/a ")
    ('*report*', '*.csv', 'docs/a')
    """
    text = text.strip()
    return text if not text or WILDCARDS.intersection(text) else f"*{text}*"


class Searching:
    """The pages."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/compare", self.compare),
            Route("/find", self.find),
            Route("/history", self.history),
        ]

    def compare(self, request: Request) -> Response:
        """Show what differs between two snapshots, or a folder of both."""
        site, given = self._site, request.query_params
        two = [site.snapshot(given.get("before", "")), site.snapshot(given.get("after", ""))]
        before, after = sorted(two, key=lambda each: each.start_time_ns)
        path, kind = given.get("path", ""), given.get("kind", "")
        trees = [descend(site.repository.snapshots.tree(each), path) for each in (before, after)]
        comparison = site.repository.snapshots.diff(trees[0].entry, trees[1].entry)
        counts = dict.fromkeys((ADDED, REMOVED, CHANGED, ATTRIBUTES), 0)
        shown: list[Row] = []
        for row in islice(rows(iter(comparison)), MOST_COUNTED):
            counts[row.kind] += 1
            if kind in ("", row.kind) and len(shown) < MOST_ROWS:
                shown.append(row)
        return site.page(
            "compare.html",
            before=before,
            after=after,
            path=path,
            kind=kind,
            counts=counts,
            rows=shown,
            more=(sum(counts.values()) if not kind else counts.get(kind, 0)) - len(shown),
            stopped=sum(counts.values()) >= MOST_COUNTED,
        )

    def find(self, request: Request) -> Response:
        """Look for names in all snapshots."""
        site, given = self._site, request.query_params
        typed, kind = given.get("name", ""), given.get("kind", "")
        pattern, source = search_pattern(typed), given.get("source", "")
        sources = sorted({str(each.source) for each in site.snapshots()})
        found: list[Hit] = []
        problems: list[str] = []
        if pattern:
            wanted = None if source not in sources else site.of_source(source)[0].source
            search = site.repository.snapshots.find(
                pattern, source=wanted, kind=kind if kind in ("f", "d", "s") else "", ignore_case=not given.get("case")
            )
            found = list(islice(hits(iter(search)), MOST_FOUND + 1))
            problems = search.errors
        return site.page(
            "find.html",
            typed=typed,
            pattern=pattern,
            kind=kind,
            case=bool(given.get("case")),
            source=source,
            sources=sources,
            hits=found[:MOST_FOUND],
            more=len(found) > MOST_FOUND,
            problems=problems,
            section="find",
        )

    def history(self, request: Request) -> Response:
        """Show the versions of one path."""
        site, given = self._site, request.query_params
        path = given.get("path", "")
        source = site.of_source(given.get("source", ""))[0].source
        whole = f"{source.path.rstrip('/')}/{path}" if path else source.path
        asked = pykopia.SourceInfo(user_name=source.user_name, host=source.host, path=whole)
        history = site.repository.snapshots.history(asked)
        versions = list(history)
        if not versions and not history.problems:
            raise SnapshotNotFoundError(f"no snapshot of {source} has {path}")
        return site.page(
            "history.html",
            source=source,
            name=str(source),
            path=path,
            versions=list(reversed(versions)),
            problems=history.errors,
        )


__all__ = ["Hit", "Row", "Searching", "hits", "rows", "search_pattern"]
