"""Work in parts, by any ``concurrent.futures.Executor``: threads, processes, dask.distributed's, Ray's."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import fields, replace
from pathlib import Path
from typing import Generic, TypeVar

import pykopia
from pykopia.arguments import check_number
from pykopia.dataclass import dataclass
from pykopia.errors import CanceledError, PykopiaError, RestoreError, UsageError
from pykopia.format.directory import DIRECTORY, FILE, DirectoryEntry
from pykopia.maintenance.blobs import Check, no_check
from pykopia.maintenance.marking import MarkPart, MarkRoot, PartMarks, mark_part
from pykopia.repository.content_parts import (
    ContentVerifyOptions,
    ContentVerifyPart,
    ContentVerifyResult,
    plan_verify_contents,
    verify_contents,
)
from pykopia.repository.content_parts import joined as contents_joined
from pykopia.snapshot.dividing import pieces_of, shared_out
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore import describe
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.verify import Root, Verifier, VerifyCounters, VerifyOptions, VerifyResult
from pykopia.snapshot.verify_parts import VerifyPart, divide, joined

log = logging.getLogger(__name__)

Part = TypeVar("Part")
Result = TypeVar("Result")

PARTS = 32
"""Parts that work is divided into when the caller names no number."""
ATTEMPTS = 3
"""How often a part is handed out before this process does it itself."""
LOOK_SECONDS = 0.5
"""Seconds between two looks at whether the caller wants to stop."""


@dataclass(frozen=True, slots=True)
class Handing(Generic[Part, Result]):
    """Hands parts to an executor until each is done."""

    executor: Executor
    work: "Callable[[pykopia.Connection, Part], Result]"
    """A function at the top of its module: it may run in another process."""
    connection: "pykopia.Connection"
    canceled: Callable[[], bool]
    alone: "Callable[[Part], Result] | None" = None
    """Does a part in this process, in the repository that is open here; None: ``work`` does, which opens it again."""

    def results(self, parts: Sequence[Part]) -> Iterator[Result]:
        """Yield the result of each part as it comes, in no order.

        A part whose worker is lost, or whose storage can't be reached, is handed out again, and done here in the end.

        Raises:
            CanceledError: the caller asked to stop.
            PykopiaError: a part can't be done here either.
        """
        left: dict[Future[Result], tuple[Part, int]] = {}
        here: list[Part] = []

        def hand_out(part: Part, attempt: int) -> None:
            try:
                left[self.executor.submit(self.work, self.connection, part)] = part, attempt
            except RuntimeError as error:  # the pool is broken or closed
                log.warning("the executor takes no more parts (%s): this process does one itself", error)
                here.append(part)

        try:
            for part in parts:
                hand_out(part, 1)
            while left or here:
                if self.canceled():
                    raise CanceledError("canceled: the work that was handed out is not finished")
                if not left:
                    part = here.pop()
                    yield self.work(self.connection, part) if self.alone is None else self.alone(part)
                    continue
                for future in wait(left, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).done:
                    part, attempt = left.pop(future)
                    try:
                        result = future.result()
                    except PykopiaError as error:
                        if not error.temporary:
                            raise
                        self._again(part, attempt, error, hand_out, here)
                    except BaseException as error:
                        if isinstance(error, KeyboardInterrupt):
                            raise
                        self._again(part, attempt, error, hand_out, here)
                    else:
                        yield result
        finally:
            for future in left:
                future.cancel()

    @staticmethod
    def _again(
        part: Part,
        attempt: int,
        error: BaseException,
        hand_out: Callable[[Part, int], None],
        here: list[Part],
    ) -> None:
        log.warning("a part was not done (%s: %s): it is done again", type(error).__name__, error)
        if attempt < ATTEMPTS:
            hand_out(part, attempt + 1)
        else:
            here.append(part)


# ---------------------------------------------------------------------- verifying


def plan_verify(
    repository: "pykopia.Repository", roots: Sequence[Root], parts: int, options: VerifyOptions
) -> list[VerifyPart]:
    """Return a verification in parts; see ``Snapshots.plan_verify``."""
    check_number("parts", parts, least=1)
    return divide(repository.objects, roots, parts, options)


def verify_part(connection: "pykopia.Connection", part: VerifyPart) -> VerifyResult:
    """Open the repository and verify a part."""
    with connection.open() as repository:
        return verify_here(repository, part, Progress(VerifyCounters()))


def verify_here(repository: "pykopia.Repository", part: VerifyPart, progress: Progress[VerifyCounters]) -> VerifyResult:
    """Verify a part in an open repository."""
    return Verifier(repository, part.options, progress).run(part.roots)


def verify_by(
    repository: "pykopia.Repository",
    executor: Executor,
    roots: Sequence[Root],
    parts: int | None,
    options: VerifyOptions,
    progress: Callable[[VerifyCounters], None] | None,
    cancel: pykopia.Cancel | None,
) -> VerifyResult:
    """Verify in parts; see ``Snapshots.verify``."""
    plan = plan_verify(repository, roots, parts or PARTS, options)
    handing = Handing(executor, verify_part, repository.connection, cancel or (lambda: False))
    results: list[VerifyResult] = []
    together = joined(results, roots)
    for result in handing.results(plan):
        results.append(result)
        together = joined(results, roots)
        if progress is not None:
            progress(together.counters)
        if 0 < (options.max_errors or 1) <= len(together.problems):
            return replace(together, stopped_early=True)
    return together


# ---------------------------------------------------------------------- verifying contents


def verify_contents_part(connection: "pykopia.Connection", part: ContentVerifyPart) -> ContentVerifyResult:
    """Open the repository and verify the contents of a part."""
    with connection.open() as repository:
        return verify_contents(repository.contents, part)


def verify_contents_by(
    repository: "pykopia.Repository",
    executor: Executor,
    parts: int | None,
    options: ContentVerifyOptions,
    progress: Callable[[ContentVerifyResult], None] | None,
    cancel: pykopia.Cancel | None,
) -> ContentVerifyResult:
    """Verify contents in parts; see ``Repository.verify_contents``."""
    plan = plan_verify_contents(parts or PARTS, options)
    handing = Handing(executor, verify_contents_part, repository.connection, cancel or (lambda: False))
    together = ContentVerifyResult()
    for result in handing.results(plan):
        together = contents_joined([together, result])
        if progress is not None:
            progress(together)
    return together


# ---------------------------------------------------------------------- following snapshots


def follow_part(connection: "pykopia.Connection", part: MarkPart) -> PartMarks:
    """Open the repository and find all contents that a part needs."""
    with connection.open() as repository:
        return mark_part(repository, part, no_check)


class FollowingBy:
    """Follows snapshots in parts, for maintenance; see ``Maintenance.run``."""

    def __init__(self, repository: "pykopia.Repository", executor: Executor, parts: int | None) -> None:
        """Prepare.

        Raises:
            UsageError: the number of parts is out of range.
            UnsupportedOptionError: no other process can open the repository.
        """
        self._repository, self._connection = repository, repository.connection
        self._executor, self._parts = executor, PARTS if parts is None else parts
        check_number("parts", self._parts, least=1)

    def plan(self, roots: Sequence[MarkRoot]) -> Sequence[MarkPart]:
        """Return parts that together follow all roots, numbered from 0."""
        pieces = pieces_of(self._repository.objects, [root.entry for root in roots], self._parts, distinct=True)
        groups = shared_out(pieces, [root.source for root in roots], self._parts)
        return [
            MarkPart(
                roots=tuple(
                    replace(roots[piece.root], entry=piece.entry, path=piece.path, shallow=piece.shallow)
                    for piece in group
                ),
                number=number,
            )
            for number, group in enumerate(groups)
        ]

    def results(self, parts: Sequence[MarkPart], check: Check) -> Iterator[PartMarks]:
        """Yield the result of each part as it comes, in no order."""

        def stopped() -> bool:
            check()
            return False

        def alone(part: MarkPart) -> PartMarks:
            return mark_part(self._repository, part, check)

        yield from Handing(self._executor, follow_part, self._connection, stopped, alone).results(parts)


# ---------------------------------------------------------------------- restoring


@dataclass(frozen=True, kw_only=True, slots=True)
class RestorePart:
    """A part of a restore: folders and files with their places below the target."""

    target: Path
    entries: tuple[tuple[str, DirectoryEntry], ...]
    """Paths below the target, with a slash before each name."""
    options: RestoreOptions


def restore_part(connection: "pykopia.Connection", part: RestorePart) -> RestoreCounters:
    """Open the repository and restore a part; what can't be restored is left to the pass over the whole."""
    counters = RestoreCounters()
    with connection.open() as repository:
        for path, entry in part.entries:
            place = part.target / path.lstrip("/")
            if _is_blocked(part.target, path):  # by now, or where this part is carried out
                continue
            try:
                result = repository.snapshots.restore(entry, place, options=part.options)
            except PykopiaError as error:
                log.warning("%s is left to the last pass: %s", place, error)
            else:
                counters = _sum(counters, result.counters)
    return counters


def restore_by(
    repository: "pykopia.Repository",
    executor: Executor,
    entry: DirectoryEntry,
    target: Path,
    parts: int | None,
    options: RestoreOptions,
    progress: Callable[[RestoreCounters], None] | None,
    cancel: pykopia.Cancel | None,
) -> RestoreResult:
    """Restore in parts, then look at the whole; see ``Snapshots.restore``."""
    _check(options)
    parts = parts or PARTS
    check_number("parts", parts, least=1)
    pieces = [
        piece
        for piece in pieces_of(repository.objects, [entry], parts, distinct=False)
        if piece.path
        and not piece.shallow
        and piece.entry.type in (DIRECTORY, FILE)
        and _is_plain(piece.path)
        and not _is_blocked(target, piece.path)
    ]
    here = replace(options, delete_extra=False, ignore_errors=True)
    plan = [
        RestorePart(target=target, entries=tuple((piece.path, piece.entry) for piece in group), options=here)
        for group in shared_out(pieces, [""], parts)
    ]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RestoreError(describe(str(target), error)) from error
    handing = Handing(executor, restore_part, repository.connection, cancel or (lambda: False))
    done = RestoreCounters()
    for counters in handing.results(plan):
        done = _sum(done, counters)
        if progress is not None:
            progress(done)
    # what a lost worker left, links and files beside folders, and last of all the times and modes of folders
    last = replace(options, skip_existing=True, only_differences=False)
    result = repository.snapshots.restore(entry, target, options=last, cancel=cancel)
    found = result.counters
    return replace(
        result,
        counters=replace(
            found,
            restored_files=done.restored_files + found.restored_files,
            restored_bytes=done.restored_bytes + found.restored_bytes,
            restored_symlinks=done.restored_symlinks + found.restored_symlinks,
            skipped_files=max(0, found.skipped_files - done.restored_files),
            skipped_bytes=max(0, found.skipped_bytes - done.restored_bytes),
        ),
    )


def _check(options: RestoreOptions) -> None:
    """Refuse options that mean something else for a part than for the whole.

    Raises:
        UsageError: the message names the option.
    """
    for name, usual in {
        "include": (),
        "exclude": (),
        "shallow_depth": None,
        "overwrite_files": True,
        "overwrite_directories": True,
        "overwrite_symlinks": True,
        "skip_times": False,
        "extended_attributes": False,
    }.items():
        if getattr(options, name) != usual:
            raise UsageError(f"{name} can't be used with an executor: a part does not see the whole target")


def _is_plain(path: str) -> bool:
    """Return whether a path stays where it seems to lead; the last pass reports those that do not."""
    return all(part not in ("", ".", "..") and "\0" not in part for part in path[1:].split("/"))


def _is_blocked(target: Path, path: str) -> bool:
    """Return whether a link is on the way from the target to a path; the last pass, which follows none, reports it."""
    place = target
    for part in path[1:].split("/"):
        place /= part
        if place.is_symlink():
            return True
    return False


def _sum(one: RestoreCounters, other: RestoreCounters) -> RestoreCounters:
    return RestoreCounters(
        **{each.name: getattr(one, each.name) + getattr(other, each.name) for each in fields(RestoreCounters)}
    )


__all__ = [
    "FollowingBy",
    "RestorePart",
    "follow_part",
    "plan_verify",
    "restore_by",
    "restore_part",
    "verify_by",
    "verify_contents_by",
    "verify_contents_part",
    "verify_here",
    "verify_part",
]
