"""What all pages share: the repository and its list of snapshots, the templates, notices, and what answers an error."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import pykopia
from pykopia.errors import PykopiaError, SnapshotNotFoundError
from pykopia.ui import text
from pykopia.ui.addresses import Addresses
from pykopia.ui.failures import Failure, failure_of
from pykopia.ui.jobs import Jobs
from pykopia.ui.security import Secrets

KNOWN_NS: Final = 10_000_000_000
"""Nanoseconds for which the list of snapshots is taken as current."""
NOTICE_NS: Final = 600_000_000_000
"""Nanoseconds for which a notice is shown."""

log = logging.getLogger(__name__)


class Site:
    """One open repository, as pages show it; used by many threads."""

    def __init__(
        self,
        repository: pykopia.Repository,
        *,
        now: Callable[[], int],
        zone: tzinfo | None = None,
        keys: Secrets | None = None,
    ) -> None:
        """Begin.

        Args:
            repository: open; it is only read.
            now: returns nanoseconds since 1970.
            zone: of the times shown; None for that of this machine.
            keys: secrets of this run.
        """
        self.repository = repository
        self.now, self.zone = now, zone
        self.keys = keys or Secrets()
        self.address = Addresses(self.keys.base)
        self.jobs = Jobs()
        self._listed: Sequence[pykopia.SnapshotManifest] | None = None
        self._unreadable = 0
        self._read_ns = now()
        self._lock = threading.Lock()
        self._notices: deque[tuple[int, str]] = deque(maxlen=3)
        self._templates = Environment(
            loader=PackageLoader("pykopia.ui"),
            autoescape=True,
            finalize=_shown,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(raw=_raw, lines=_lines, quoted=quote)
        self._templates.globals.update(
            address=self.address,
            size=text.size,
            count=text.count,
            time=self.time,
            exact=self.exact,
            age=self.age,
            duration=text.duration,
            form_secret=self.keys.form,
            repository_name=repository.storage.display_name,
            read_only=repository.read_only,
        )

    # ------------------------------------------------------------------ times

    def time(self, nanoseconds: int) -> str:
        """Return a time to the minute."""
        return text.moment(nanoseconds, self.zone)

    def exact(self, nanoseconds: int) -> str:
        """Return a time to the second."""
        return text.exact(nanoseconds, self.zone)

    def age(self, nanoseconds: int) -> str:
        """Return how long ago a moment is."""
        return text.age(nanoseconds, self.now())

    def local(self, nanoseconds: int) -> datetime | None:
        """Return a moment in the zone of the page; None for one that no calendar has."""
        return text.local(nanoseconds, self.zone)

    # ------------------------------------------------------------------ snapshots

    def snapshots(self) -> Sequence[pykopia.SnapshotManifest]:
        """Return all snapshots, oldest first; what others have written is seen after ten seconds."""
        with self._lock:
            if self._listed is None or self.now() - self._read_ns > KNOWN_NS:
                if self._listed is not None:
                    self.repository.refresh()
                self._listed = tuple(self.repository.snapshots.list())
                self._unreadable = len(self.repository.snapshots.list_unreadable())
                self._read_ns = self.now()
            return self._listed

    def snapshot(self, snapshot_id: str) -> pykopia.SnapshotManifest:
        """Return a snapshot by its ID.

        Raises:
            SnapshotNotFoundError: there is none, or no longer.
        """
        for each in self.snapshots():
            if each.id == snapshot_id:
                return each
        raise SnapshotNotFoundError(f"there is no snapshot {snapshot_id} (any more)")

    def of_source(self, name: str) -> Sequence[pykopia.SnapshotManifest]:
        """Return the snapshots of a source that is named as it is printed, oldest first.

        Raises:
            SnapshotNotFoundError: there is none.
        """
        found = [each for each in self.snapshots() if str(each.source) == name]
        if not found:
            raise SnapshotNotFoundError(f"there is no snapshot of {name} (any more)")
        return found

    def damage(self) -> str:
        """Return a warning where snapshots may be missing from the list; empty if not."""
        repository = self.repository
        if repository.contents.indexes.known_damage or repository.manifests.known_damage:
            return "A part of the repository can't be read: snapshots may be missing here. “pykopia doctor” says more."
        if self._unreadable:
            snapshots = text.count(self._unreadable, "snapshot")
            return f"{snapshots} can't be read, and missing here. “pykopia snapshot list” says why."
        return ""

    # ------------------------------------------------------------------ notices

    def notify(self, words: str) -> None:
        """Show a notice on the pages of the next minutes."""
        with self._lock:
            self._notices.append((self.now(), words))

    def notices(self) -> list[str]:
        """Return the notices of the last minutes."""
        with self._lock:
            return [words for when, words in self._notices if self.now() - when < NOTICE_NS]

    # ------------------------------------------------------------------ pages

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:  # noqa: ANN401 -- what a template takes
        """Return a page."""
        shown: Mapping[str, object] = {
            "notices": self.notices(),
            "running": self.jobs.running(),
            "section": "",
            **values,
        }
        body = self._templates.get_template(template).render(shown)
        return HTMLResponse(body.encode("utf-8", "backslashreplace"), status)

    def failure(self, error: Exception) -> Response:
        """Return the page of an error; the log gets its traceback if it is one of the program."""
        if isinstance(error, PykopiaError | OSError):
            log.debug("a page could not be shown: %s", error, exc_info=error)
        else:
            log.debug("internal error in a page", exc_info=error)
            log.error("internal error in a page of `ui`: %s", type(error).__name__)
        return self.failed(failure_of(error))

    def failed(self, failure: Failure) -> Response:
        """Return a page that says what went wrong."""
        return self.page("failure.html", failure.status, failure=failure)

    def not_found(self, request: Request) -> Response:
        """Return the page for an address that is none."""
        return self.failed(Failure(404, "Not found", "There is no such page."))


def _shown(value: object) -> object:
    """Return what a template prints for a value: every character of a text can be seen."""
    if isinstance(value, Markup | int):
        return value
    return "" if value is None else text.visible(str(value))


def _raw(value: str) -> Markup:
    """Return a text as it is, for a field that is sent back."""
    return escape(value)


def _lines(value: str) -> Markup:
    """Return a text of several lines: what can't be seen is spelled, line ends and tabs stay."""
    lines = value.replace("\r\n", "\n").split("\n")
    return escape("\n" + "\n".join("\t".join(map(text.visible, line.split("\t"))) for line in lines))


__all__ = ["Site"]
