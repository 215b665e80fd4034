"""Pages to look around in: sources, the snapshots of one, folders and files."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import pykopia
from pykopia.dataclass import dataclass
from pykopia.errors import NotFoundError, PathNotInSnapshotError, PykopiaError, UsageError
from pykopia.ui import plots
from pykopia.ui.archives import ZipStream
from pykopia.ui.months import WEEKDAYS, months
from pykopia.ui.preview import TEXT_BYTES, picture_type, preview
from pykopia.ui.security import FILE_POLICY
from pykopia.ui.site import Site

READ_BYTES: Final = 1 << 20
"""Bytes of a file that are read at a time."""
PAGE_ENTRIES: Final = 1000
"""Entries of a folder on one page."""
MOST_LISTED: Final = 200
"""Snapshots in the list of a source; the calendar leads to the others."""

Kind = Literal["folder", "file", "link", "other"]
ROWS: Final = (
    ("latest", "first"),
    ("hourly", "first"),
    ("daily", "first"),
    ("weekly", "first"),
    ("monthly", "first"),
    ("annual", "first"),
    ("pinned", "second"),
    ("other", "second"),
    ("goes", "gone"),
)
"""Rows of the plot of retention, with their styles."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the list of sources."""

    name: str
    count: int
    """Snapshots."""
    latest: pykopia.SnapshotManifest
    """The latest complete one; where there is none, the latest."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a folder."""

    name: str
    kind: Kind
    path: str
    """Inside of the snapshot; empty where the name can't be opened."""
    size: int
    files: int | None
    """Files in a folder."""
    mtime_ns: int
    mode: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot and what retention does with it."""

    snapshot: pykopia.SnapshotManifest
    reasons: tuple[str, ...]
    goes: bool

    @property
    def state(self) -> str:
        """The reasons in words."""
        if self.goes:
            return "goes at the next run"
        return ", ".join((*(f"pin {pin}" for pin in self.snapshot.pins), *self.reasons)) or "stays"

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows of the plot of retention that the snapshot is in."""
        if self.goes:
            return ("goes",)
        known = {name for name, _ in ROWS}
        kinds = dict.fromkeys(reason.partition("-")[0] for reason in self.reasons)
        found = [kind if kind in known else "other" for kind in kinds]
        return tuple(dict.fromkeys([*found, *(["pinned"] if self.snapshot.pins else [])])) or ("other",)


def kind_of(path: pykopia.SnapshotPath) -> Kind:
    """Return what a path is."""
    return "folder" if path.is_dir() else "file" if path.is_file() else "link" if path.is_symlink() else "other"


def can_be_opened(name: str) -> bool:
    """Return True for a name that an address can hold; others could mean another entry."""
    return name not in ("", ".", "..") and "/" not in name


def entry_of(path: pykopia.SnapshotPath) -> Entry:
    """Return the row of a path."""
    entry = path.entry
    summary = entry.summary
    return Entry(
        name=path.name,
        kind=kind_of(path),
        path=path.path if all(map(can_be_opened, path.parts)) else "",
        size=summary.size if summary is not None else entry.size,
        files=None if summary is None else summary.files,
        mtime_ns=entry.mtime_ns,
        mode=f"{entry.mode:04o}",
    )


def in_order(entries: Sequence[Entry], order: str, *, down: bool) -> list[Entry]:
    """Return rows sorted, folders first.

    Args:
        entries: of one folder.
        order: ``name``, ``size`` or ``time``.
        down: the greatest first.
    """
    if order == "size":
        found = sorted(entries, key=lambda each: each.size, reverse=down)
    elif order == "time":
        found = sorted(entries, key=lambda each: each.mtime_ns, reverse=down)
    else:
        found = sorted(entries, key=lambda each: (each.name.casefold(), each.name), reverse=down)
    return sorted(found, key=lambda each: each.kind != "folder")


def descend(root: pykopia.SnapshotPath, path: str) -> pykopia.SnapshotPath:
    """Return a path below the root of a snapshot, which is there.

    Raises:
        PathNotInSnapshotError: it is not; a path with ``..`` never is.
    """
    if not path:
        return root
    if not all(map(can_be_opened, path.split("/"))):
        raise PathNotInSnapshotError(f"{path} is not in this snapshot")
    found = root / path
    _ = found.entry
    return found


def opened(path: pykopia.SnapshotPath) -> tuple[int, Iterator[bytes]]:
    """Return the length of a file, as it is stored and not as its entry says, and its bytes."""

    def read() -> Iterator[bytes]:
        with stream:
            stream.seek(0)
            while data := stream.read(READ_BYTES):
                yield data

    stream = path.open("rb")
    return stream.seek(0, os.SEEK_END), read()


def file_name(snapshot: pykopia.SnapshotManifest, path: pykopia.SnapshotPath) -> str:
    """Return the name of a file for a download of a folder: its own, or that of the source."""
    if path.parts:
        return path.name
    return snapshot.source.path.rstrip("/").rpartition("/")[2] or "snapshot"


def attachment(name: str, *, inline: bool = False) -> str:
    r"""Return the header that gives a download its name, whatever is in it.

    >>> attachment('a"b\nc.txt')
    "attachment; filename*=UTF-8''a%22b%0Ac.txt"
    """
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


class Browsing:
    """The pages."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/", self.overview),
            Route("/source", self.source),
            Route("/snapshot", self.folder_or_file),
            Route("/file", self.download),
            Route("/picture", self.picture),
            Route("/zip", self.zip),
        ]

    # ------------------------------------------------------------------ sources and snapshots

    def overview(self, request: Request) -> Response:
        """Show all sources with their latest snapshots."""
        of_source: dict[str, list[pykopia.SnapshotManifest]] = {}
        for each in self._site.snapshots():
            of_source.setdefault(str(each.source), []).append(each)
        sources = [
            SourceRow(name, len(snapshots), ([each for each in snapshots if not each.incomplete] or snapshots)[-1])
            for name, snapshots in sorted(of_source.items())
        ]
        sources.sort(key=lambda each: each.latest.start_time_ns, reverse=True)
        return self._site.page(
            "overview.html",
            sources=sources,
            total=len(self._site.snapshots()),
            damage=self._site.damage(),
            maintenance=self._maintenance_warnings(),
            section="home",
        )

    def _maintenance_warnings(self) -> Sequence[str]:
        with contextlib.suppress(PykopiaError, OSError):  # its own page says why
            return self._site.repository.maintenance.info().warnings
        return ()

    def source(self, request: Request) -> Response:
        """Show the calendar and the snapshots of a source."""
        site, name = self._site, request.query_params.get("name", "")
        snapshots = site.of_source(name)
        kept, problem = self._retention(snapshots)
        days = {each.id: moment.date() for each in snapshots if (moment := site.local(each.start_time_ns))}
        years = sorted({day.year for day in days.values()}, reverse=True)
        day = request.query_params.get("day", "")
        given = request.query_params.get("year", "") or day[:4]
        year = int(given) if given.isascii() and given.isdigit() and int(given) in years else max(years, default=1970)
        shown = [each for each in reversed(kept) if not day or str(days.get(each.snapshot.id)) == day]
        return site.page(
            "source.html",
            source=snapshots[0].source,
            name=name,
            total=len(snapshots),
            shown=shown[:MOST_LISTED],
            more=max(0, len(shown) - MOST_LISTED),
            day=day,
            year=year,
            years=years,
            months=months([(days[each.snapshot.id], not each.goes) for each in kept if each.snapshot.id in days], year),
            weekdays=WEEKDAYS,
            problem=problem,
            going=sum(each.goes for each in kept),
            plot=self._retention_plot(kept),
            sizes=self._size_plot(snapshots),
        )

    def _retention(self, snapshots: Sequence[pykopia.SnapshotManifest]) -> tuple[list[Kept], str]:
        """Return what the policy does with each snapshot, oldest first, and why that is not known if it is not."""
        try:
            [expiration] = self._site.repository.snapshots.expire(snapshots[0].source)
        except (PykopiaError, ValueError) as error:  # ValueError: the last snapshot has just gone
            return [Kept(each, (), goes=False) for each in snapshots], str(error)
        reasons = {each.id: why for each, why in expiration.plan.kept}
        gone = {each.id for each in expiration.plan.expired}
        return [Kept(each, tuple(reasons.get(each.id, ())), each.id in gone) for each in snapshots], ""

    def _retention_plot(self, kept: Sequence[Kept]) -> str:
        marks = [
            plots.Mark(moment, each.rows, f"{self._site.time(each.snapshot.start_time_ns)}: {each.state}")
            for each in kept
            if (moment := self._site.local(each.snapshot.start_time_ns)) is not None
        ]
        return plots.row_plot("What retention keeps of the snapshots", ROWS, marks)

    def _size_plot(self, snapshots: Sequence[pykopia.SnapshotManifest]) -> str:
        points: list[tuple[datetime, float]] = [
            (moment, each.size)
            for each in snapshots
            if not each.incomplete and (moment := self._site.local(each.start_time_ns)) is not None
        ]
        return plots.line_plot("Size of the source in each snapshot", [plots.Line("size", "first", tuple(points))])

    # ------------------------------------------------------------------ folders and files

    def _path(self, request: Request) -> tuple[pykopia.SnapshotManifest, pykopia.SnapshotPath]:
        snapshot = self._site.snapshot(request.query_params.get("id", ""))
        root = self._site.repository.snapshots.tree(snapshot)
        return snapshot, descend(root, request.query_params.get("path", ""))

    def folder_or_file(self, request: Request) -> Response:
        """Show a folder or a file of a snapshot."""
        snapshot, path = self._path(request)
        values: dict[str, Any] = {"snapshot": snapshot, "path": path.path, "names": path.parts, "row": entry_of(path)}
        neighbors: dict[str, Any] = self._neighbors(snapshot, path.path)
        if path.is_dir():
            return self._folder(request, path, {**values, **neighbors})
        link = path.readlink() if path.is_symlink() else ""
        shown = None
        if path.is_file():
            with path.open("rb") as stream:
                shown = preview(stream.read(TEXT_BYTES), stream.seek(0, os.SEEK_END))
        return self._site.page("file.html", **values, **neighbors, link=link, preview=shown)

    def _neighbors(self, snapshot: pykopia.SnapshotManifest, path: str) -> dict[str, Any]:
        """Return the snapshots of the same source before and after one, as far as they have its path."""
        listed = [each for each in self._site.snapshots() if each.source == snapshot.source]
        ids = [each.id for each in listed]
        here = ids.index(snapshot.id) if snapshot.id in ids else 0
        before, after = listed[here - 1 : here] if here else (), listed[here + 1 : here + 2]
        return {
            "before": next((each for each in before if self._has(each, path)), None),
            "after": next((each for each in after if self._has(each, path)), None),
        }

    def _has(self, snapshot: pykopia.SnapshotManifest, path: str) -> bool:
        try:
            descend(self._site.repository.snapshots.tree(snapshot), path)
        except NotFoundError:
            return False
        except PykopiaError:  # its own page says why
            return True
        return True

    def _folder(self, request: Request, path: pykopia.SnapshotPath, values: dict[str, Any]) -> Response:
        entries = [entry_of(each) for each in path.iterdir()]
        order, down = request.query_params.get("sort", "name"), request.query_params.get("down", "") == "1"
        number = request.query_params.get("page", "1")
        pages = max(1, -(-len(entries) // PAGE_ENTRIES))
        page = min(max(int(number), 1), pages) if number.isascii() and number.isdigit() else 1
        listed = in_order(entries, order, down=down)
        summary = path.entry.summary
        return self._site.page(
            "folder.html",
            **values,
            entries=listed[(page - 1) * PAGE_ENTRIES : page * PAGE_ENTRIES],
            total=len(entries),
            page=page,
            pages=pages,
            order=order if order in ("size", "time") else "name",
            down=down,
            missing=() if summary is None else summary.errors[:20],
            missing_count=0 if summary is None else summary.num_failed + summary.num_ignored_errors,
        )

    # ------------------------------------------------------------------ bytes

    def download(self, request: Request) -> Response:
        """Send a file."""
        _, path = self._path(request)
        if not path.is_file():
            raise UsageError(f"{path.path or path.name} is no file; a folder can be downloaded as a zip archive")
        length, chunks = opened(path)
        first = next(chunks, b"")  # what can't be read is an error page as long as nothing was sent
        headers = {
            "Content-Disposition": attachment(path.name),
            "Content-Length": str(length),
            "Content-Security-Policy": FILE_POLICY,
        }
        return StreamingResponse(
            self._watched(first, chunks, path.name), headers=headers, media_type="application/octet-stream"
        )

    def _watched(self, first: bytes, chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
        """Yield the bytes of a download; one that breaks off is reported on the next pages."""
        try:
            yield first
            yield from chunks
        except (PykopiaError, OSError) as error:
            self._site.notify(f"The download of {name} broke off: {error}")
            raise

    def picture(self, request: Request) -> Response:
        """Send a picture to be shown in a page."""
        _, path = self._path(request)
        if not path.is_file():
            raise UsageError(f"{path.path or path.name} is no file")
        length, chunks = opened(path)
        first = next(chunks, b"")
        media_type = picture_type(first)
        if not media_type:
            raise UsageError(f"{path.path or path.name} is no picture that can be shown")
        headers = {
            "Content-Disposition": attachment(path.name, inline=True),
            "Content-Length": str(length),
            "Content-Security-Policy": FILE_POLICY,
        }
        return StreamingResponse(self._watched(first, chunks, path.name), headers=headers, media_type=media_type)

    def zip(self, request: Request) -> Response:
        """Send a folder as a zip archive, made while it is sent."""
        snapshot, path = self._path(request)
        name = file_name(snapshot, path)
        stream = ZipStream(self._site.repository, path.entry)
        chunks = iter(stream)
        first = next(chunks, b"")
        moment = self._site.local(snapshot.start_time_ns)
        day = "" if moment is None else f"-{moment:%Y-%m-%d}"
        headers = {"Content-Disposition": attachment(f"{name}{day}.zip"), "Content-Security-Policy": FILE_POLICY}
        return StreamingResponse(
            self._watched(first, chunks, f"{name}.zip"), headers=headers, media_type="application/zip"
        )


__all__ = ["Browsing", "Entry", "Kept", "attachment", "can_be_opened", "descend", "entry_of", "file_name", "in_order"]
