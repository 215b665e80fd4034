"""The operation ``restore``: one snapshot into the volume.

Order: repository (never made), snapshot, leftovers of a restore that was killed, then writing; what is not in the
snapshot is removed on the way, so nothing is lost before there is something to put in its place.
"""

import contextlib
import ctypes
import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from pykopia import Repository, RestoreCounters, RestoreOptions, RestoreResult, SourceInfo, clock
from pykopia.errors import CanceledError, PykopiaError, RepositoryNotFoundError, RestoreError
from pykopia_mover.connecting import open_repository
from pykopia_mover.discovery import identities, section, visible
from pykopia_mover.explain import chain_of, is_damage, target_error
from pykopia_mover.failures import MoverError
from pykopia_mover.identity import Snapshot, Wanted, by_source, source_to_restore, wanted_by
from pykopia_mover.memory import fitting_streams, memory_limit
from pykopia_mover.output import timestamp
from pykopia_mover.report import Outcome
from pykopia_mover.run import Context
from pykopia_mover.selection import EXAMPLE, end_of, nothing_to_restore, select
from pykopia_mover.settings import Settings

LOST_AND_FOUND: Final = "lost+found"
TOLD_EVERY: Final = 30
"""Seconds between two lines on progress."""
MOST_PATHS: Final = 20
_TEMPORARY: Final = re.compile(r"\.pykopia-[0-9a-f]{16}")


def restore(run: Context) -> Outcome:
    """Restore the snapshot that the settings select.

    Raises:
        MoverError: there is none, or it can't be restored, or not wholly.
        PykopiaError: the repository can't be used, or a part of its index can't be read and nothing is eligible.
    """
    output, settings = run.output, run.settings
    output.line("=== Starting restore ===")
    as_of = end_of(settings.restore_as_of) if settings.restore_as_of else None
    wanted = wanted_by(settings, run.document)
    output.lines(wanted.lines)
    run.notes.add(overrides=wanted.lines)
    _require_target(run)
    try:
        repository = open_repository(run, wanted)
    except RepositoryNotFoundError as error:
        return _no_repository(run, wanted, error)
    with repository:
        sources = by_source(repository.snapshots.list())
        source, lines = source_to_restore(wanted, sources)
        output.lines(lines)
        snapshots = sources[source] if source is not None else []
        selection = select(snapshots, as_of_ns=as_of, previous=settings.previous, shallow=settings.shallow)
        if source is None or selection.snapshot is None:
            _require_index(run, repository)
            return _nothing(run, wanted, sources, source, snapshots)
        repository.snapshots.warn_of_missing()
        run.notes.add(identity=str(source), adopted=any("Adopting" in line for line in lines))
        run.notes.add(snapshot={"count": selection.available})
        _tell_incomplete(run, selection.snapshot, snapshots)
        return _restore(run, repository, selection.snapshot, source)


def _require_target(run: Context) -> None:
    if not run.data_dir.is_dir():
        raise MoverError("target", f"DATA_DIR {run.data_dir} does not exist", "Check that the volume is mounted there")


def _require_writable(run: Context, mode: int) -> None:
    """Refuse a volume that this user may not write to, before anything is fetched.

    A volume that is read-only though the folder in the snapshot is not was made so by someone, and is left as it is.

    Args:
        run: its context.
        mode: of the folder in the snapshot that the volume is to get.

    Raises:
        MoverError: nothing can be written there.
    """
    if not mode & stat.S_IWUSR or os.access(run.data_dir, os.W_OK | os.X_OK, effective_ids=True):
        return
    number = errno.EROFS if os.statvfs(run.data_dir).f_flag & os.ST_RDONLY else errno.EACCES
    error = OSError(number, os.strerror(number))
    raise MoverError(
        "target",
        f"nothing could be restored: {run.data_dir} can't be written to: {error.strerror}",
        _target_advice(run, [error]),
    )


# ---------------------------------------------------------------------- nothing there


def _no_repository(run: Context, wanted: Wanted, error: RepositoryNotFoundError) -> Outcome:
    """Report that the place is known to be empty: the first application of a new cluster waits for this (rule M-133).

    Raises:
        MoverError: the settings require a snapshot, or ask for an older one, which an empty volume must not stand for.
    """
    if run.settings.on_missing_snapshot == "fail":
        raise MoverError("no-repository", str(error), "A repository is created by the first backup") from error
    if _outcome(run.settings, available=0) == "no-snapshot":
        raise MoverError(
            "no-snapshot",
            f"snapshot not found: {wanted} has none {_asked_for(run.settings)}; there is no repository in {run.place.name} yet",
            "Check KOPIA_REPOSITORY; for a first start without data leave restoreAsOf and previous out",
        ) from error
    run.output.warning(f"there is no repository in {run.place.name} yet: a repository is created by the first backup")
    run.output.line("No eligible snapshots found")
    return _no_data(run, f"no repository in {run.place.name} yet")


def _no_data(run: Context, message: str) -> Outcome:
    run.output.line("=== No data will be restored ===")
    return Outcome(result="no-data", message=message)


def _require_index(run: Context, repository: Repository) -> None:
    """Refuse to report no data for a repository whose index is lost or damaged: an empty volume is no restored one."""
    doing = "tell that there is nothing to restore"
    repository.contents.indexes.check_complete(doing)
    repository.manifests.check_complete(doing)
    if not repository.contents.indexes.active_count and any(
        True for prefix in ("q", "p") for _ in repository.storage.list(prefix)
    ):
        raise MoverError(
            "damaged",
            f"can't {doing}: {run.place.name} has packs and no index blob",
            "Put the index blobs back from a copy, or let `pykopia index recover` make a new index of the packs",
        )


def _nothing(
    run: Context,
    asked_for: Wanted,
    sources: Mapping[SourceInfo, Sequence[Snapshot]],
    source: SourceInfo | None,
    snapshots: Sequence[Snapshot],
) -> Outcome:
    settings = run.settings
    wanted = str(source or asked_for)
    run.output.line("No eligible snapshots found")
    if settings.discover_snapshots:
        listed = visible(settings, asked_for, sources)
        run.notes.add(identities=identities(listed))
        run.output.line(f"No snapshots found for {wanted}")
        run.output.lines(section(listed, as_json=True))
    if _outcome(settings, available=len(snapshots)) == "no-data":
        return _no_data(run, f"no eligible snapshot of {wanted}")
    there = "there is none at all"
    if snapshots:
        oldest, newest = timestamp(snapshots[0].start_time_ns), timestamp(snapshots[-1].start_time_ns)
        there = f"there are {len(snapshots)}, the oldest of {oldest}, the newest of {newest}"
    raise MoverError(
        "no-snapshot",
        f"snapshot not found: {wanted} has none {_asked_for(settings)}".rstrip() + f"; {there}",
        f"restoreAsOf is a time of RFC 3339, such as {EXAMPLE}; `pykopia-mover discover` lists all",
    )


def _outcome(settings: Settings, *, available: int) -> Literal["no-data", "no-snapshot"]:
    return nothing_to_restore(
        settings.on_missing_snapshot,
        available=available,
        as_of_given=bool(settings.restore_as_of),
        previous=settings.previous,
        shallow=settings.shallow,
    )


def _asked_for(settings: Settings) -> str:
    """Return which of the snapshots the settings ask for, in words; empty for the newest."""
    asked = []
    if settings.restore_as_of:
        asked.append(f"as of {settings.restore_as_of}")
    if settings.previous:
        asked.append(f"before the newest {settings.previous}")
    return " and ".join(asked)


# ---------------------------------------------------------------------- writing


def _tell_incomplete(
    run: Context,
    snapshot: Any,  # noqa: ANN401 -- a manifest
    snapshots: Sequence[Any],
) -> None:
    """Warn of a snapshot that lacks entries which could not be read: a backup of such a volume keeps it, with status 18."""
    if not snapshot.has_errors:
        return
    whole = [
        each.start_time_ns for each in snapshots if not each.has_errors and each.start_time_ns < snapshot.start_time_ns
    ]
    other = "no earlier one has all of its entries"
    if whole:
        shown = timestamp(max(whole))
        other = f"the newest one before it that has all of its entries is of {shown} (restoreAsOf: {shown})"
    run.output.warning(f"the snapshot lacks entries that could not be read when it was taken; {other}")


def _restore(
    run: Context,
    repository: Repository,
    snapshot: Any,  # noqa: ANN401 -- a manifest
    source: SourceInfo,
) -> Outcome:
    started = timestamp(snapshot.start_time_ns)
    run.output.line(f"Selected snapshot with id: {snapshot.id}")
    run.output.line(f"Restoring snapshot {snapshot.id} ({source}, {started}) into {run.data_dir}")
    run.notes.add(snapshot={"id": str(snapshot.id), "start": started, "end": timestamp(snapshot.end_time_ns)})
    root = repository.snapshots.resolve(str(snapshot.id))
    _require_writable(run, root.mode)
    needed = root.summary.size if root.summary is not None else root.size
    _tell_room(run, needed)
    removed = _remove_leftovers(run.data_dir)
    if removed:
        run.output.line(f"Removed {removed} unfinished files of a restore that was interrupted")
    latest = RestoreCounters()
    last = clock.monotonic()

    def tell(counters: RestoreCounters) -> None:
        nonlocal last, latest
        latest = counters
        if clock.monotonic() - last >= TOLD_EVERY:
            last = clock.monotonic()
            run.output.line(f"restoring: {counters.restored_files} files, {counters.restored_bytes} bytes so far")

    try:
        result = repository.snapshots.restore(root, run.data_dir, options=_options(run), progress=tell, cancel=run.stop)
    except CanceledError as error:
        raise MoverError(run.stop.code, "the restore was told to stop; the volume is not complete") from error
    except (PykopiaError, OSError) as error:
        raise _failed(run, error, latest, needed) from error
    finally:
        _sync(run.data_dir)
    _finish(run, result)
    return Outcome(message=f"snapshot {snapshot.id}: {result.counters.restored_files} files, {needed} bytes")


def _options(run: Context) -> RestoreOptions:
    settings, additional = run.settings, dict(run.additional.restore)
    wanted = additional.pop("parallel", 0) or settings.parallelism or 8
    parallel = fitting_streams(wanted, memory_limit(run.places.memory_limits))
    options = RestoreOptions(
        mode="local",
        delete_extra=settings.enable_file_deletion,
        keep_at_root=frozenset({LOST_AND_FOUND}),
        ignore_errors=True,
        ignore_permission_errors=True,
        parallel=parallel,
    )
    return replace(options, **additional)


def _tell_room(run: Context, needed: int) -> None:
    volume = os.statvfs(run.data_dir)
    free = volume.f_frsize * volume.f_bavail
    if needed > free:
        run.output.warning(
            f"the snapshot has {needed} bytes, the volume has {free} free: it fits only if it replaces what is there"
        )


def _remove_leftovers(folder: Path) -> int:
    """Remove the temporary files that a killed restore has left (rule M-135)."""
    removed = 0
    for root, _, names in os.walk(folder):
        for name in filter(_TEMPORARY.fullmatch, names):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(root, name))
                removed += 1
    return removed


def _failed(run: Context, error: BaseException, counters: RestoreCounters, needed: int) -> MoverError:
    of_target = target_error(error)
    if of_target is not None or isinstance(error, OSError | RestoreError):
        if is_damage(error):
            return MoverError("damaged", str(error))
        left = max(0, needed - counters.restored_bytes)
        return MoverError(
            "target",
            f"{run.data_dir}: {error} ({counters.restored_bytes} bytes were written, {left} bytes are still needed)",
            _target_advice(run, [error]),
        )
    raise error


def _finish(run: Context, result: RestoreResult) -> None:
    """Report what was restored.

    Raises:
        MoverError: entries are missing.
    """
    counters = result.counters
    done = {"files": counters.restored_files, "bytes": counters.restored_bytes}
    if counters.unset_entries:
        done["skippedMetadata"] = counters.unset_entries
    run.notes.add(restore=done)
    for line in result.warnings[:MOST_PATHS]:
        run.output.warning(line)
    if len(result.warnings) > MOST_PATHS:
        run.output.warning(f"… and {len(result.warnings) - MOST_PATHS} more files like these")
    if unset := counters.unset_attributes():
        _tell_unset(run, unset)
    if result.errors:
        for line in result.errors[:MOST_PATHS]:
            run.output.line(line)
        if len(result.errors) > MOST_PATHS:
            run.output.line(f"… and {len(result.errors) - MOST_PATHS} more")
        damaged = any(is_damage(each.error) for each in result.problems)
        raise MoverError(
            "damaged" if damaged else "target",
            _not_restored(result),
            "" if damaged else _target_advice(run, [each.error for each in result.problems]),
        )
    run.output.line("Snapshot restore completed")


def _tell_unset(run: Context, unset: str) -> None:
    """Log how many owners, modes and times were not set: for a privileged mover, none are expected (rule M-011)."""
    if run.settings.privileged:
        run.output.warning(f"{unset}, although PRIVILEGED_MOVER is set: look at the volume itself")
    else:
        run.output.line(f"{unset}: only a privileged mover may set those of other users")


def _not_restored(result: RestoreResult) -> str:
    counters, count = result.counters, len(result.errors)
    done = counters.restored_files + counters.restored_symlinks + counters.skipped_files
    more = f" and {count - 1} more" if count > 1 else ""
    if not done:
        return f"nothing could be restored: {result.errors[0]}{more}"
    return f"{count} entries could not be restored, {done} files and links were: {result.errors[0]}{more}"


def _target_advice(run: Context, causes: Sequence[BaseException]) -> str:
    """Return the advice for a volume to which not everything could be restored."""
    numbers = {number for cause in causes for number in _numbers(cause)}
    if numbers & {errno.ENOSPC, errno.EDQUOT}:
        return "Give the volume more room (capacity of the PVC)"
    if errno.EROFS in numbers:
        return "That place is mounted read-only: leave it out of the backup, or mount the volume for writing"
    if numbers & {errno.EACCES, errno.EPERM}:
        if run.settings.privileged:
            return "The mover is privileged already: look at the volume itself"
        return (
            f"User {os.geteuid()} may not write there: give the volume's group by fsGroup in moverSecurityContext, or allow "
            'privileged movers for the namespace (annotation volsync.backube/privileged-movers: "true")'
        )
    return "Look at the volume itself"


def _numbers(error: BaseException) -> Iterator[int]:
    for each in chain_of(error):
        if isinstance(each, OSError) and each.errno is not None:
            yield each.errno


def _sync(folder: Path) -> None:
    """Wait until all data is on the volume."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            library = ctypes.CDLL(None, use_errno=True)
            library.syncfs(handle)
        except AttributeError:
            os.sync()
        finally:
            os.close(handle)


__all__ = ["restore"]
