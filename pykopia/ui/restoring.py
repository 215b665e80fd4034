"""Restoring to a folder of this machine: a form, the plan of what would change, then the restore with its progress."""

import os
import threading
from collections import Counter
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import pykopia
from pykopia.dataclass import dataclass
from pykopia.errors import NotFoundError, PykopiaError, UsageError
from pykopia.ui import text
from pykopia.ui.browsing import descend, entry_of, file_name
from pykopia.ui.failures import failure_of
from pykopia.ui.forms import Form, form_route, then
from pykopia.ui.jobs import Job
from pykopia.ui.site import Site

MOST_CHANGES: Final = 500
"""Changes of a plan that are listed; further ones are counted."""
MOST_PROBLEMS: Final = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be restored, where, and how."""

    snapshot: pykopia.SnapshotManifest
    path: str
    entry: pykopia.DirectoryEntry
    target: str
    """The folder, or the file if the entry is one."""
    options: pykopia.RestoreOptions


@dataclass(frozen=True, slots=True)
class Planned:
    """What a restore would change."""

    wanted: Wanted
    counts: dict[str, int]
    """By kind of change."""
    changes: tuple[pykopia.Change, ...]
    """The first ones."""
    unchanged: int
    bytes: int
    """Bytes of files that would be written."""

    @property
    def total(self) -> int:
        """Number of changes."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Done:
    """What a restore did."""

    wanted: Wanted
    result: pykopia.RestoreResult


def options_of(form: Form) -> pykopia.RestoreOptions:
    """Return the options of the form: by default nothing that exists is touched."""
    replace = form.get("existing") == "replace"
    return pykopia.RestoreOptions(
        mode="local",
        overwrite_files=replace,
        overwrite_directories=replace,
        overwrite_symlinks=replace,
        only_differences=replace,
        delete_extra=replace and form.get("delete") == "1",
        ignore_errors=True,
    )


def check_target(typed: str, repository_folder: str) -> str:
    """Return the folder that the user typed.

    Args:
        typed: the text.
        repository_folder: folder of the repository, whose files must not be written over; empty for none.

    Raises:
        UsageError: it is no absolute path, or the repository is in the way.
    """
    target = typed.strip()
    if not target:
        raise UsageError("no folder was given: type the folder to restore to, such as /home/ann/restored")
    if not target.startswith("/") or "\0" in target:
        raise UsageError(f"{target} is no absolute path: it must begin with a slash, such as /home/ann/restored")
    target = os.path.normpath("/" + target.lstrip("/"))
    if repository_folder:
        real, own = os.path.realpath(target), os.path.realpath(repository_folder)
        if os.path.commonpath([real, own]) in (real, own):
            raise UsageError(
                f"{target} and the repository in {repository_folder} are one in the other: a restore there could write over "
                "the repository; choose another folder"
            )
    return target


def check_place(target: str) -> None:
    """Refuse a folder that can't be made or written to, before anything is compared.

    Args:
        target: absolute.

    Raises:
        UsageError: something else is there, or the nearest folder above may not be written to.
    """
    place = Path(target)
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"can't restore to {target}: {place} is no folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"can't restore to {target}: this user may not write to {place}")


def folder_of_repository(repository: pykopia.Repository) -> str:
    """Return the folder that holds the repository on this machine; empty if it is elsewhere."""
    try:
        storage = repository.connection.storage.options()
    except PykopiaError:  # opened from an object: in memory
        return ""
    return storage.path if isinstance(storage, pykopia.storage.FilesystemOptions) else ""


def progress_text(counters: pykopia.RestoreCounters) -> tuple[str, float | None]:
    """Return how far a restore is, in words and as a share of the bytes that are known so far."""
    done = counters.restored_files + counters.skipped_files
    bytes_done = counters.restored_bytes + counters.skipped_bytes
    files = f"{text.count(done, 'file')} of {counters.enqueued_files:,}"
    words = f"{files}, {text.size(bytes_done)} of {text.size(counters.enqueued_bytes)}"
    share = min(1.0, bytes_done / counters.enqueued_bytes) if counters.enqueued_bytes else None
    return words, share


class Restoring:
    """The pages."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._folder = folder_of_repository(site.repository)
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/restore", self.ask),
            form_route("/restore/plan", self._site, self.plan),
            form_route("/restore/run", self._site, self.run),
            Route("/job", self.job),
            Route("/job/state", self.state),
            form_route("/job/cancel", self._site, self.cancel),
        ]

    def _chosen(self, snapshot_id: str, path: str) -> tuple[pykopia.SnapshotManifest, pykopia.SnapshotPath]:
        snapshot = self._site.snapshot(snapshot_id)
        return snapshot, descend(self._site.repository.snapshots.tree(snapshot), path)

    def ask(self, request: Request) -> Response:
        """Show the form."""
        given = request.query_params
        snapshot, path = self._chosen(given.get("id", ""), given.get("path", ""))
        return self._form(snapshot, path, {})

    def _form(
        self,
        snapshot: pykopia.SnapshotManifest,
        path: pykopia.SnapshotPath,
        form: Form,
        problem: str = "",
    ) -> Response:
        return self._site.page(
            "restore.html",
            400 if problem else 200,
            snapshot=snapshot,
            path=path.path,
            names=path.parts,
            row=entry_of(path),
            target=form.get("target", ""),
            existing=form.get("existing", "new"),
            delete=form.get("delete", "") == "1",
            problem=problem,
        )

    def plan(self, form: Form) -> Response:
        """Begin the dry run."""
        snapshot, path = self._chosen(form.get("id", ""), unquote(form.get("path", "")))
        try:
            target = check_target(form.get("target", ""), self._folder)
            check_place(target)
        except UsageError as error:
            return self._form(snapshot, path, form, str(error))
        if not path.is_dir():
            target = str(Path(target) / file_name(snapshot, path))
        wanted = Wanted(snapshot, path.path, path.entry, target, options_of(form))
        job: Job[Planned] = Job("Comparing the folder with the snapshot", "plan")
        self._site.jobs.start(job, lambda job: self._planned(job, wanted))
        return then(self._site.address.to("job", id=job.id))

    def _planned(self, job: Job[Planned], wanted: Wanted) -> Planned:
        plan = self._site.repository.snapshots.plan_restore(
            wanted.entry, wanted.target, options=wanted.options, cancel=job.is_canceled
        )
        counts: Counter[str] = Counter()
        changes: list[pykopia.Change] = []
        size = 0
        for change in plan:
            counts[change.kind] += 1
            if change.entry is not None and change.entry.type == "f" and change.kind in ("create", "replace"):
                size += change.entry.size
            if len(changes) < MOST_CHANGES:
                changes.append(change)
            job.report(f"{text.count(sum(counts.values()), 'change')} so far")
            job.check()
        return Planned(wanted, dict(counts), tuple(changes), plan.unchanged, size)

    def run(self, form: Form) -> Response:
        """Begin the restore that a plan has shown."""
        job = self._site.jobs.find(form.get("id", ""))
        planned = None if job is None else job.result
        if job is None or not isinstance(planned, Planned):
            raise UsageError("there is no such plan any more: begin the restore again")
        with self._lock:
            if job.used:
                raise UsageError("this plan was carried out already: begin the restore again to see what is left to do")
            self._check_alone(planned.wanted.target)
            work: Job[Done] = Job(f"Restoring to {planned.wanted.target}", "restore")
            self._site.jobs.start(work, lambda work: self._restored(work, planned.wanted))
            job.used = True
        return then(self._site.address.to("job", id=work.id))

    def _check_alone(self, target: str) -> None:
        """Refuse a restore into a folder that another one is writing to.

        Raises:
            UsageError: one is.
        """
        for each in self._site.jobs.running():
            if each.kind == "restore" and each.title == f"Restoring to {target}":
                raise UsageError(f"a restore to {target} is running already")

    def _restored(self, job: Job[Done], wanted: Wanted) -> Done:
        def tell(counters: pykopia.RestoreCounters) -> None:
            job.report(*progress_text(counters))

        result = self._site.repository.snapshots.restore(
            wanted.entry, wanted.target, options=wanted.options, progress=tell, cancel=job.is_canceled
        )
        return Done(wanted, result)

    # ------------------------------------------------------------------ progress

    def _job(self, job_id: str) -> Job[object]:
        job = self._site.jobs.find(job_id)
        if job is None:
            raise NotFoundError("there is no such task any more")
        return job

    def job(self, request: Request) -> Response:
        """Show how far a task is, or its result."""
        job = self._job(request.query_params.get("id", ""))
        failure = None if job.error is None else failure_of(job.error)
        if job.running or failure is not None:
            return self._site.page("job.html", job=job, failure=failure)
        if isinstance(job.result, Planned):
            planned = job.result
            return self._site.page("plan.html", job=job, plan=planned, wanted=planned.wanted)
        if isinstance(job.result, Done):
            problems = [str(each) for each in job.result.result.problems]
            return self._site.page(
                "restored.html",
                job=job,
                result=job.result.result,
                wanted=job.result.wanted,
                problems=problems[:MOST_PROBLEMS],
                more=max(0, len(problems) - MOST_PROBLEMS),
            )
        return then(self._site.address.to("maintenance" if job.kind == "ledger" else "growth"))

    def state(self, request: Request) -> Response:
        """Return how far a task is, for the script of the page."""
        job = self._job(request.query_params.get("id", ""))
        return JSONResponse({"running": job.running, "text": text.visible(job.text), "share": job.share})

    def cancel(self, form: Form) -> Response:
        """Ask a task to stop."""
        job = self._job(form.get("id", ""))
        job.cancel()
        return then(self._site.address.to("job", id=job.id))


__all__ = [
    "Done",
    "Planned",
    "Restoring",
    "Wanted",
    "check_place",
    "check_target",
    "folder_of_repository",
    "options_of",
    "progress_text",
]
