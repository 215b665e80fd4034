"""The operation ``backup``: one snapshot of the volume, then retention.

Order: is there anything, repository, identity, policies, before action, snapshot, after action, summary.
"""

import getpass
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pykopia import (
    Policy,
    Problem,
    Repository,
    SnapshotOptions,
    SnapshotResult,
    SourceInfo,
    UploadCounters,
    __version__,
    clock,
)
from pykopia.errors import CanceledError, SourceNotFoundError
from pykopia_mover.commands import run_command
from pykopia_mover.compression import compressor
from pykopia_mover.connecting import open_repository
from pykopia_mover.failures import MoverError
from pykopia_mover.identity import Wanted, by_source, require_complete, source_to_back_up, wanted_by
from pykopia_mover.memory import fitting_streams, memory_limit, write_buffers
from pykopia_mover.output import timestamp
from pykopia_mover.policy_plan import RETENTION_FIELDS, PolicyPlan, Spec, parallel_reads, plan_policies
from pykopia_mover.report import Outcome
from pykopia_mover.run import Context

LOST_AND_FOUND: Final = "lost+found"
MOST_PATHS: Final = 20
"""Paths that are listed when entries could not be read."""
TOLD_EVERY: Final = 30
"""Seconds between two lines on progress."""
MANY_INDEXES: Final = 1000
"""Active index blobs from which on a warning says that maintenance does not run (rule M-145)."""
_VANISHED: Final = "No such file or directory"
_ORIGIN_NAMES: Final = dict(
    zip(RETENTION_FIELDS, ("latest", "hourly", "daily", "weekly", "monthly", "annual"), strict=True)
)


def backup(run: Context) -> Outcome:
    """Back the volume up.

    Raises:
        MoverError: it can't be done, or not wholly.
        PykopiaError: the repository can't be used.
    """
    output, settings = run.output, run.settings
    output.line("=== Starting backup ===")
    output.line("=== Checking directory for content ===")
    if _is_empty(run):
        output.line("== Directory is empty skipping backup ==")
        return Outcome(result="skipped", message=f"{run.data_dir} is empty")
    wanted = require_complete(wanted_by(settings, run.document, pod_user=_pod_user(), pod_host=socket.gethostname()))
    spec = Spec(
        retention=settings.retention,
        compression=compressor(settings.compression, setting="KOPIA_COMPRESSION") if settings.compression else "",
        parallelism=settings.parallelism,
    )
    output.lines(wanted.lines)
    run.notes.add(overrides=wanted.lines)
    with open_repository(run, wanted, may_create=True) as repository:
        source = _source(run, repository, wanted)
        plan = _plan(run, repository, source, spec)
        _write_policies(run, repository, source, plan)
        options = _options(run, repository, source, spec, wanted.tags)
        before = len(repository.snapshots.list(source))
        _tell_missing_maintenance(run, repository)
        result = _with_commands(run, repository, source, options)
        _finish(run, repository, source, result, before=before + result.saved)
    return Outcome(message=f"snapshot {result.manifest.id} of {source}")


def _is_empty(run: Context) -> bool:
    """Return True if there is nothing to back up (rule M-012)."""
    try:
        names = os.listdir(run.data_dir)
    except FileNotFoundError:
        raise MoverError(
            "source", f"DATA_DIR {run.data_dir} does not exist", "Check that the volume is mounted there"
        ) from None
    except OSError as error:
        raise _unreadable_root(run, error) from error
    return not [name for name in names if name != LOST_AND_FOUND]


def _unreadable_root(run: Context, error: OSError) -> MoverError:
    return MoverError("source", f"DATA_DIR {run.data_dir} can't be read: {error.strerror}", _permission_hint(run))


def _permission_hint(run: Context) -> str:
    if run.settings.privileged:
        return "The mover is privileged already; look at the volume itself"
    return (
        'Allow privileged movers for the namespace (annotation volsync.backube/privileged-movers: "true"), or give the '
        "mover the application's user by moverSecurityContext"
    )


def _pod_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


# ---------------------------------------------------------------------- whose, and how


def _source(run: Context, repository: Repository, wanted: Wanted) -> SourceInfo:
    source = wanted.source
    if wanted.legacy:
        source = source_to_back_up(wanted, by_source(repository.snapshots.list()))
    if source != wanted.source:
        run.output.line(f"Adopting existing snapshot identity {source}")
    run.notes.add(identity=str(source), adopted=source != wanted.source)
    return source


def _plan(run: Context, repository: Repository, source: SourceInfo, spec: Spec) -> PolicyPlan:
    everything = SourceInfo()
    effective = repository.policies.effective(source)
    between = {
        each.policy.compression.compressor_name
        for each in effective.sources
        if each.target not in {source, everything} and each.policy.compression.compressor_name
    }
    defined_global, defined_source = repository.policies.defined(everything), repository.policies.defined(source)
    plan = plan_policies(
        spec,
        run.files.policy,
        run.files.config,
        global_policy=defined_global.policy if defined_global else None,
        source_policy=defined_source.policy if defined_source else None,
        compressors_between=between,
    )
    additional = run.additional
    if additional.files or additional.retention:
        policy = plan.source_policy or (defined_source.policy if defined_source else None)
        policy = policy or replace(effective.policy.__class__())
        policy = replace(
            policy,
            files=replace(policy.files, **additional.files),
            retention=replace(policy.retention, **additional.retention),
        )
        if defined_source is None or policy != defined_source.policy:
            plan = replace(plan, source_policy=policy)
    return plan


def _write_policies(run: Context, repository: Repository, source: SourceInfo, plan: PolicyPlan) -> None:
    if plan.global_policy is not None:
        repository.policies.set(SourceInfo(), plan.global_policy)
        run.output.line("Global policy set")
    if plan.source_policy is not None:
        before = repository.policies.defined(source)
        repository.policies.set(source, plan.source_policy)
        run.output.line(f"Policy of {source} set")
        if before is not None and (gone := _removed(before.policy, plan.source_policy)):
            run.output.line(f"Removed from the policy of {source}, as it would win over the policy file: {gone}")
    effective = repository.policies.effective(source)
    told = []
    for name, short in _ORIGIN_NAMES.items():
        value = getattr(effective.policy.retention, name)
        origin = effective.origins.get(f"retention.{name}")
        place = _origin(run, name, source, origin)
        told.append(f"{short} {value if value is not None else 'unset'} ({place})")
    run.output.line(f"Retention policy in effect: {', '.join(told)}")
    compression = effective.policy.compression.compressor_name or "none"
    run.output.line(f"Compression policy in effect: {compression}")


def _removed(before: Policy, after: Policy) -> str:
    """Return the retention and compression that a policy had and has no longer, empty for none."""
    counts = [
        f"{short} {getattr(before.retention, name)}"
        for name, short in _ORIGIN_NAMES.items()
        if getattr(before.retention, name) is not None and getattr(after.retention, name) is None
    ]
    name = before.compression.compressor_name
    return ", ".join([*counts, *([f"compression {name}"] if name and not after.compression.compressor_name else [])])


def _origin(run: Context, name: str, source: SourceInfo, origin: SourceInfo | None) -> str:
    if origin is None:
        return "built-in"
    if origin == source:
        return "spec" if name in run.settings.retention else f"policy of {source}"
    if origin == SourceInfo():
        file = run.files.policy
        return "policy file" if file is not None and f"retention.{name}" in file.defined else "global policy"
    return f"policy of {origin}"


def _options(
    run: Context, repository: Repository, source: SourceInfo, spec: Spec, tags: Mapping[str, str]
) -> SnapshotOptions:
    effective = repository.policies.effective(source)
    additional = dict(run.additional.snapshot)
    configured = parallel_reads(spec, run.files.policy, effective.policy.upload.max_parallel_file_reads)
    wanted = additional.pop("parallel", 0) or configured
    limit = memory_limit(run.places.memory_limits)
    parallel = fitting_streams(wanted, limit)
    if parallel < wanted:
        run.output.warning(
            f"parallelism {wanted} does not fit into the memory limit of the container: {parallel} is used"
        )
    values: dict[str, Any] = {
        "source": source,
        "parallel": parallel,
        "buffers": write_buffers(parallel, limit, uploads=run.uploads),
        "action_environment": run.environment.for_commands({}),
    }
    values["tags"] = dict(tags) | additional.pop("tags", {})
    actions = effective.policy.actions
    count = sum(
        each is not None
        for each in (
            actions.before_snapshot_root,
            actions.after_snapshot_root,
            actions.before_folder,
            actions.after_folder,
        )
    )
    if count and not repository.client.enable_actions:
        run.output.line(f"{count} policy actions are defined but enableActions is not true; ignoring them")
    return SnapshotOptions(**(values | additional))


# ---------------------------------------------------------------------- taking it


def _with_commands(
    run: Context, repository: Repository, source: SourceInfo, options: SnapshotOptions
) -> SnapshotResult:
    """Take the snapshot between the two commands of the spec (rule M-110)."""
    settings = run.settings
    config = run.files.config
    off = config is not None and config.enable_actions is False
    if off and (settings.before_snapshot or settings.after_snapshot):
        run.output.line("the actions of the spec are switched off by enableActions: false in repository.config")
    if settings.before_snapshot and not off:
        _command(run, "before-snapshot", settings.before_snapshot, source, {})
    outcome, snapshot_id = "failure", ""
    try:
        result = _take(run, repository, options)
        outcome, snapshot_id = "success", str(result.manifest.id)
        return result
    finally:
        if settings.after_snapshot and not off:
            # it releases what the first one holds, so it runs whatever happened in between
            try:
                _command(
                    run,
                    "after-snapshot",
                    settings.after_snapshot,
                    source,
                    {"KOPIA_SNAPSHOT_RESULT": outcome, "KOPIA_SNAPSHOT_ID": snapshot_id},
                )
            except MoverError as error:
                run.output.warning(str(error))


def _command(run: Context, name: str, text: str, source: SourceInfo, additions: dict[str, str]) -> None:
    run.output.line(f"Running the {name} action")
    run.output.debug(text)
    environment = run.environment.for_commands(
        {
            "KOPIA_ACTION": name,
            "KOPIA_SNAPSHOT_ID": "",
            "KOPIA_SOURCE_PATH": str(run.data_dir),
            "KOPIA_VERSION": __version__,
            "KOPIA_SOURCE": str(source),
            **additions,
        },
    )
    run_command(
        text,
        name=name,
        timeout_seconds=run.settings.action_timeout,
        environment=environment,
        tell=lambda line: run.output.line(f"[{name}] {line}"),
        canceled=run.stop if name == "before-snapshot" else lambda: False,
    )


def _take(run: Context, repository: Repository, options: SnapshotOptions) -> SnapshotResult:
    last = clock.monotonic()

    def tell(counters: UploadCounters) -> None:
        nonlocal last
        if clock.monotonic() - last >= TOLD_EVERY:
            last = clock.monotonic()
            done = counters.hashed_files + counters.cached_files
            run.output.line(f"Backing up: {done} files, {counters.hashed_bytes + counters.cached_bytes} bytes so far")

    try:
        result = repository.snapshots.create(run.data_dir, options=options, progress=tell, cancel=run.stop)
    except SourceNotFoundError as error:
        raise MoverError("source", str(error)) from error
    except CanceledError as error:
        raise MoverError(run.stop.code, "the backup was told to stop before it had begun") from error
    if run.stop() and result.manifest.incomplete:
        raise MoverError(
            run.stop.code,
            "the backup was told to stop; what was uploaded is kept as a checkpoint, and the next backup goes on from there",
        )
    return result


# ---------------------------------------------------------------------- afterwards


def _finish(run: Context, repository: Repository, source: SourceInfo, result: SnapshotResult, *, before: int) -> None:
    """Report the result of a snapshot.

    Args:
        run: the run.
        repository: that it is in.
        source: whose snapshot it is.
        result: of taking it.
        before: snapshots of the source before any of them expired.
    """
    manifest, counters = result.manifest, result.counters
    root = manifest.root_entry
    summary = root.summary if root is not None else None
    failed = [each for each in result.problems if not each.ignored and not _is_harmless(each)]
    taken = {
        "id": str(manifest.id),
        "start": timestamp(manifest.start_time_ns),
        "end": timestamp(manifest.end_time_ns),
        "files": summary.files if summary is not None else counters.hashed_files + counters.cached_files,
        "dirs": summary.dirs if summary is not None else counters.directories,
        "bytes": summary.size if summary is not None else counters.hashed_bytes + counters.cached_bytes,
        "newBytes": counters.uploaded_bytes,
        "cachedFiles": counters.cached_files,
        "errors": len(failed),
    }
    run.notes.add(snapshot=taken)
    if result.saved:
        run.output.line(f"Snapshot created: snapshot {manifest.id} created for {source}")
    else:
        run.output.line(
            f"No changes: the snapshot equals the previous one and was not kept, as the policy of {source} says"
        )
    kept = len(repository.snapshots.list(source))
    run.notes.add(retention={"kept": kept, "deleted": max(0, before - kept)})
    run.output.line("=== Applying retention policy ===")
    run.output.line(f"Retention: kept {kept}, deleted {max(0, before - kept)}")
    passed_over = [each for each in result.problems if each.ignored or _is_harmless(each)]
    for each in passed_over[:MOST_PATHS]:
        run.output.warning(f"left out: {each.path}: {each.message}")
    if len(passed_over) > MOST_PATHS:
        run.output.warning(f"left out: … and {len(passed_over) - MOST_PATHS} more entries")
    _tell_special(run, counters)
    if failed:
        raise _unread(run, failed)


def _tell_special(run: Context, counters: UploadCounters) -> None:
    """Log how many sockets, pipes and devices were left out."""
    counts = {"sockets": counters.sockets, "pipes": counters.pipes, "devices": counters.devices}
    found = {kind: count for kind, count in counts.items() if count}
    if found:
        run.notes.add(snapshot={"special": found})
        told = ", ".join(f"{count} {kind}" for kind, count in found.items())
        run.output.line(f"Not in the snapshot, as they have no content: {told}")


def _is_harmless(error: Problem) -> bool:
    """Return True if an entry vanished while it was read, or is the ``lost+found`` folder of a file system."""
    return _VANISHED in error.message or error.path.strip("/") == LOST_AND_FOUND


def _unread(run: Context, failed: Sequence[Problem]) -> MoverError:
    for each in failed[:MOST_PATHS]:
        run.output.line(f"not in the snapshot: {each.path}: {each.message}")
    if len(failed) > MOST_PATHS:
        run.output.line(f"… and {len(failed) - MOST_PATHS} more")
    paths = ", ".join(each.path for each in failed[:3])
    denied = any("ermission denied" in each.message for each in failed)
    fix = _permission_hint(run) if denied else "errorHandling of the policy file can leave such entries out"
    reason = ": permission denied" if denied else ""
    return MoverError(
        "source",
        f"{len(failed)} entries of {run.data_dir} could not be read{reason} ({paths}); the snapshot has the others",
        fix,
    )


def _tell_missing_maintenance(run: Context, repository: Repository) -> None:
    count = repository.contents.indexes.active_count
    if count > MANY_INDEXES:
        run.output.warning(
            f"the repository has {count} index blobs in use, so everything is slower: maintenance is not running; let the "
            "mover do it (the operation maintenance), or see to it that its owner does"
        )


__all__ = ["backup"]
