"""A ReplicationSource, step by step: what its run does next."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pykopia_operator.decide import copytrigger
from pykopia_operator.decide.cache import plan_cache
from pykopia_operator.decide.checks import check_objects, check_options
from pykopia_operator.decide.conditions import MAINTENANCE_HEALTHY
from pykopia_operator.decide.identity import Identity, pinned_identity, source_identity, split_identity
from pykopia_operator.decide.mover import backup_job
from pykopia_operator.decide.names import MAINTENANCE_LEASE
from pykopia_operator.decide.objects import Obj, annotations_of, is_deleting, meta, name_of, namespace_of, uid_of
from pykopia_operator.decide.ownership import Source, read_source
from pykopia_operator.decide.plan import Create, Patch, Plan
from pykopia_operator.decide.result import MoverResult
from pykopia_operator.decide.running import (
    Turn,
    between_runs,
    ensure_account,
    ensure_cache,
    finish_run,
    follow_job,
    has_changed_before_start,
    in_run,
    is_foreign,
    is_of_this_run,
    new_turn,
    record_failure,
    replace_stale,
    report_problem,
    repository_label,
    result_of,
    wait_for_volume,
    waits_after_failure,
    waits_for_others,
    watch_mover,
)
from pykopia_operator.decide.statuses import kopia_status, newest_time
from pykopia_operator.decide.times import format_time, parse_time
from pykopia_operator.decide.upkeep import (
    Upkeep,
    is_lease_free,
    lease_name,
    lease_object,
    lease_spec,
    repository_key,
    when_upkeep,
)
from pykopia_operator.decide.volumes import (
    DIRECT,
    is_bound,
    is_snapshot_usable,
    snapshot_error,
    source_copy,
    source_snapshot,
    waits_for_consumer,
)
from pykopia_operator.decide.world import World
from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.settings import Settings

SNAPSHOT_NOT_BOUND: Final = timedelta(seconds=30)


def decide_source(world: World, settings: Settings, now: datetime, *, proxies: Mapping[str, str] | None = None) -> Plan:
    """Return what is to be done for a ReplicationSource.

    Args:
        world: the object and the objects around it.
        settings: of the operator.
        now: the time.
        proxies: variables of proxies for movers.
    """
    turn = new_turn(world, settings, now)
    try:
        source = read_source(world.owner)
        check_options(source.kopia)
        if source.kopia.parallelism == 0:
            raise InvalidObjectError("kopia.parallelism must be at least 1")
        identity = source_identity(world.owner, source)
        if not in_run(turn):
            return between_runs(turn, source.spec)
        return _synchronize(turn, source, identity, proxies or {})
    except InvalidObjectError as error:
        return report_problem(turn, error)


def _synchronize(turn: Turn, source: Source, identity: Identity, proxies: Mapping[str, str]) -> Plan:
    plan = follow_job(
        turn,
        source.spec,
        ended=lambda: _ended(turn, source),
        at_work=lambda: _watch(turn, source),
    )
    return _prepare(turn, source, identity, proxies) if plan is None else plan


# ---------------------------------------------------------------------- before the Job


def _prepare(turn: Turn, source: Source, identity: Identity, proxies: Mapping[str, str]) -> Plan:
    world, kopia = turn.world, source.kopia
    again = waits_after_failure(turn, source.spec.trigger)
    if again is not None and world.job is None:
        turn.plan.wait(min(60.0, max((again - turn.now).total_seconds(), 1)))
        return turn.finish()
    volume = world.volume
    if volume is None:
        raise InvalidObjectError(
            f"PersistentVolumeClaim {namespace_of(turn.owner)}/{source.spec.source_pvc} does not exist; "
            "create it, or correct sourcePVC",
            kind="pvc",
        )
    direct = kopia.copy_method in DIRECT
    if not is_bound(volume) and not (direct and waits_for_consumer(volume, dict(world.classes))):
        return wait_for_volume(turn, volume)
    for warning in check_objects(world, kopia):
        turn.event("PolicyWarning", warning, warning=True, once=warning)
    data = volume if direct else _point_in_time(turn, source, volume)
    if data is None:
        return turn.finish()
    cache = plan_cache(turn.owner, kopia, volume, world.cache, dict(world.classes), default=turn.settings.default_cache)
    ensure_account(turn, kopia)
    ensure_cache(turn, cache)
    if waits_for_others(turn):
        return turn.finish()
    made_with = annotations_of(world.job or {}).get(MAINTENANCE_LEASE, "")
    lease = made_with if world.job is not None else _lease_for_upkeep(turn, source)
    wanted = backup_job(
        world, source, identity, cache, turn.settings, volume=data, run=turn.run, proxies=proxies, lease=lease
    )
    if world.job is not None:
        if has_changed_before_start(turn, wanted) or not is_of_this_run(turn, world.job):
            replace_stale(turn, world.job)
            return turn.finish()
        return _watch(turn, source)
    turn.plan.add(Create(obj=wanted))
    turn.event(
        "TransferStarted", f"started Job {name_of(wanted)} for the backup into Secret {kopia.repository}'s repository"
    )
    turn.synchronizing("SyncInProgress")
    turn.plan.wait(60)
    return turn.finish()


def _point_in_time(turn: Turn, source: Source, volume: Obj) -> Obj | None:
    """Return the point-in-time volume, None while it is being made."""
    world, kopia = turn.world, source.kopia
    if world.copy is not None:
        if is_foreign(turn, world.copy):
            raise InvalidObjectError(
                f"PersistentVolumeClaim {namespace_of(world.copy)}/{name_of(world.copy)} exists and belongs to another "
                "object; delete or rename it",
                kind="name",
            )
        if is_deleting(world.copy) or not is_of_this_run(turn, world.copy):
            replace_stale(turn, world.copy)
            return None
        _copied(turn, volume)
        if not is_bound(world.copy) and not waits_for_consumer(world.copy, dict(world.classes)):
            wait_for_volume(turn, world.copy)
            return None
        return world.copy
    snapshot = world.snapshot
    if snapshot is not None and (is_deleting(snapshot) or not is_of_this_run(turn, snapshot)):
        if is_foreign(turn, snapshot):
            raise InvalidObjectError(
                f"VolumeSnapshot {namespace_of(snapshot)}/{name_of(snapshot)} exists and belongs to another object; "
                "delete or rename it",
                kind="name",
            )
        replace_stale(turn, snapshot)
        return None
    if snapshot is None and not _may_copy(turn, volume):
        return None
    if kopia.copy_method == "Clone":
        return _created_copy(turn, source_copy(turn.owner, volume, None, kopia, turn.run, dict(world.classes)))
    if snapshot is None:
        wanted = source_snapshot(turn.owner, volume, kopia, turn.run)
        turn.plan.add(Create(obj=wanted))
        turn.event(
            "VolumeSnapshotCreated",
            f"created VolumeSnapshot {name_of(wanted)} of PersistentVolumeClaim {name_of(volume)}",
        )
        turn.synchronizing("SyncInProgress", f"waiting for VolumeSnapshot {name_of(wanted)}")
        turn.plan.wait(30)
        return None
    if not is_snapshot_usable(snapshot):
        _wait_for_snapshot(turn, snapshot)
        return None
    return _created_copy(turn, source_copy(turn.owner, volume, snapshot, kopia, turn.run, dict(world.classes)))


def _created_copy(turn: Turn, wanted: Obj) -> Obj | None:
    turn.plan.add(Create(obj=wanted))
    turn.event(
        "PersistentVolumeClaimCreated", f"created PersistentVolumeClaim {name_of(wanted)} as a point-in-time copy"
    )
    turn.synchronizing("SyncInProgress")
    turn.plan.wait(10)
    return None


def _wait_for_snapshot(turn: Turn, snapshot: Obj) -> None:
    created = parse_time(meta(snapshot).get("creationTimestamp")) or turn.now
    why = snapshot_error(snapshot)
    if turn.now - created >= SNAPSHOT_NOT_BOUND:
        turn.event(
            "VolumeSnapshotNotBound",
            f"VolumeSnapshot {name_of(snapshot)} is not ready{f': {why}' if why else ''}; "
            f"`kubectl describe volumesnapshot {name_of(snapshot)}` shows more",
            warning=True,
        )
    turn.synchronizing("SyncInProgress", f"waiting for VolumeSnapshot {name_of(snapshot)}{f': {why}' if why else ''}")
    turn.plan.wait(30)


def _may_copy(turn: Turn, volume: Obj) -> bool:
    if not copytrigger.is_used(volume):
        return True
    step = copytrigger.before_copy(volume, turn.now)
    if step.annotations:
        turn.plan.add(Patch(obj=volume, change=copytrigger.annotation_patch(volume, step.annotations)))
    if step.go:
        turn.event(
            "SrcPVCCopyTriggerReceived", f"PersistentVolumeClaim {name_of(volume)}: the copy trigger was received"
        )
        if step.annotations:  # the next look makes the copy, once the volume says that it is in progress
            turn.plan.wait(0)
            return False
        return True
    if step.timed_out:
        text = (
            f"PersistentVolumeClaim {name_of(volume)} waits for its annotation {copytrigger.TRIGGER} for more than 10 minutes; "
            "set it to a new value"
        )
        turn.event("SrcPVCTimeoutWaitingForCopyTrigger", text, warning=True)
        turn.status.set(latestMoverStatus={"result": "Failed", "logs": text})
    else:
        turn.event("SrcPVCWaitingForCopyTrigger", f"PersistentVolumeClaim {name_of(volume)} waits for its copy trigger")
    turn.synchronizing("SyncInProgress", f"waiting for the copy trigger of PersistentVolumeClaim {name_of(volume)}")
    turn.plan.wait(60)
    return False


def _copied(turn: Turn, volume: Obj) -> None:
    if copytrigger.is_used(volume) and (notes := copytrigger.after_copy(volume)):
        turn.plan.add(Patch(obj=volume, change=copytrigger.annotation_patch(volume, notes)))
        turn.event("SrcPVCCopyUsingCopyTriggerCompleted", f"PersistentVolumeClaim {name_of(volume)} has been copied")


# ---------------------------------------------------------------------- maintenance


def _holder(turn: Turn) -> str:
    return f"{namespace_of(turn.owner)}/{name_of(turn.owner)}/{uid_of(turn.owner)}"


def _upkeep(turn: Turn, source: Source) -> Upkeep:
    world = turn.world
    key = repository_key(turn.owner, world.secret)
    return when_upkeep(
        turn.owner, source.kopia.maintenance_interval_days, world.sources, world.maintenances, key, turn.now
    )


def _lease_for_upkeep(turn: Turn, source: Source) -> str:
    """Return the name of the Lease that the Job holds for maintenance; empty: the Job runs none."""
    upkeep = _upkeep(turn, source)
    if upkeep.overdue:
        turn.event(
            "MaintenanceOverdue",
            "maintenance of the repository is overdue: deleted data still takes space; see status.kopia.lastMaintenance",
            warning=True,
        )
    if not upkeep.due:
        return ""
    name = lease_name(repository_key(turn.owner, turn.world.secret))
    if not is_lease_free(turn.world.lease, _holder(turn), turn.now):
        turn.event("MaintenanceSkipped", "another object's mover maintains the same repository right now")
        return ""
    if turn.world.lease is None:
        turn.plan.add(Create(obj=lease_object(name, turn.settings.namespace, _holder(turn), turn.now), exclusive=True))
    else:
        version = meta(turn.world.lease).get("resourceVersion")
        change = {"metadata": {"resourceVersion": version}, "spec": lease_spec(_holder(turn), turn.now)}
        turn.plan.add(Patch(obj=turn.world.lease, change=change))
    return name


def _watch(turn: Turn, source: Source) -> Plan:
    """Look at the mover, and keep the Lease that it holds for maintenance."""
    _renew(turn)
    return watch_mover(turn, source.spec)


def _renew(turn: Turn) -> None:
    job, lease = turn.world.job, turn.world.lease
    if job is None or lease is None or annotations_of(job).get(MAINTENANCE_LEASE) != name_of(lease):
        return
    renewed = parse_time((lease.get("spec") or {}).get("renewTime"))
    if renewed is None or turn.now - renewed > timedelta(seconds=60):
        version = meta(lease).get("resourceVersion")
        change = {"metadata": {"resourceVersion": version}, "spec": lease_spec(_holder(turn), turn.now)}
        turn.plan.add(Patch(obj=lease, change=change))


def _release(turn: Turn) -> None:
    lease = turn.world.lease
    if lease is not None and (lease.get("spec") or {}).get("holderIdentity") == _holder(turn):
        version = meta(lease).get("resourceVersion")
        turn.plan.add(
            Patch(obj=lease, change={"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": None}})
        )


# ---------------------------------------------------------------------- after the Job


def _ended(turn: Turn, source: Source) -> Plan:
    result = result_of(turn)
    _release(turn)
    upkeep_failed = result.document.get("op") == "maintenance" and bool(result.part("snapshot"))
    if not result.succeeded and not upkeep_failed:
        return record_failure(turn, result, source.spec.trigger)
    _report_backup(turn, source, result)
    _report_upkeep(turn, source, result, failed=not result.succeeded)
    finish_run(turn, source.spec, result)
    measure_backup(turn, result)
    return turn.finish()


def _report_backup(turn: Turn, source: Source, result: MoverResult) -> None:
    document, kopia = result.document, kopia_status(turn.owner)
    changes: dict[str, object] = {}
    snapshot = result.part("snapshot")
    if snapshot:
        changes["lastSnapshot"] = {
            key: snapshot[key]
            for key in ("id", "start", "end", "files", "bytes", "newBytes", "errors")
            if snapshot.get(key) is not None
        }
        turn.event(
            "BackupCompleted",
            f"snapshot {snapshot.get('id')}: {snapshot.get('files')} files, {snapshot.get('bytes')} bytes, "
            f"{snapshot.get('newBytes')} bytes uploaded",
        )
    elif document.get("result") == "skipped":
        turn.event(
            "BackupSkippedEmpty",
            f"PersistentVolumeClaim {source.spec.source_pvc} is empty: no snapshot was taken; the older snapshots stay",
            warning=True,
        )
    found = str(document.get("identity") or "")
    if found and snapshot:
        changes["identity"] = found
        before = pinned_identity(turn.owner)
        if document.get("adopted"):
            changes["identityAdopted"] = True
            turn.event("IdentityAdopted", f"the snapshots of {found} are continued", once=found)
            turn.measure("identity_adopted", 1)
        if before and split_identity(before)[:2] != split_identity(found)[:2]:
            turn.event(
                "IdentityChanged",
                f"snapshots are taken as {found} from now on; those of {before} are no longer under retention",
                warning=True,
                once=found,
            )
    repository = result.part("repository")
    if repository.get("id"):
        changes["repositoryID"] = repository["id"]
        if repository.get("created"):
            turn.event("RepositoryCreated", f"created a repository (id {str(repository['id'])[:8]})")
        known = kopia.get("repositoryID")
        if known and known != repository["id"]:
            turn.event(
                "RepositoryChanged",
                f"Secret {source.kopia.repository} leads to another repository than before: id {str(repository['id'])[:8]} "
                f"instead of {str(known)[:8]}; earlier snapshots are not in it",
                warning=True,
            )
    turn.status.set_kopia(changes)


def _report_upkeep(turn: Turn, source: Source, result: MoverResult, *, failed: bool) -> None:
    kopia, upkeep = kopia_status(turn.owner), _upkeep(turn, source)
    changes: dict[str, object] = {"kopiaMaintenance": upkeep.covered_by or None}
    report = result.part("maintenance")
    if failed:
        changes["maintenanceFailures"] = int(kopia.get("maintenanceFailures") or 0) + 1
        turn.status.condition(
            MAINTENANCE_HEALTHY, true=False, reason="MaintenanceFailed", message=result.message, now=turn.now
        )
    elif report:
        changes["maintenanceFailures"] = None
        if report.get("ran"):
            changes["lastMaintenance"] = newest_time(kopia.get("lastMaintenance"), format_time(result.finished))
            turn.event("MaintenanceCompleted", f"maintenance completed: {', '.join(map(str, report['ran']))}")
        else:
            known = newest_time(kopia.get("lastMaintenance"), report.get("last"), report.get("lastFull"))
            changes["lastMaintenance"] = known
            turn.event("MaintenanceSkipped", str(report.get("skipped") or "maintenance had nothing to do"))
        turn.status.condition(
            MAINTENANCE_HEALTHY, true=True, reason="Succeeded", message="Maintenance succeeded", now=turn.now
        )
    elif last := _known_maintenance(turn):
        changes["lastMaintenance"] = newest_time(kopia.get("lastMaintenance"), last)
    turn.status.set_kopia(changes)
    with_status = {**turn.owner, "status": turn.status.fields}
    key = repository_key(with_status, turn.world.secret)
    after = when_upkeep(
        with_status, source.kopia.maintenance_interval_days, turn.world.sources, turn.world.maintenances, key, turn.now
    )
    turn.status.set_kopia({"nextScheduledMaintenance": format_time(after.next) if after.next else None})


def _known_maintenance(turn: Turn) -> str | None:
    """Return when another object of the same repository maintained it."""
    key = kopia_status(turn.owner).get("repositoryID")
    if not key:
        return None
    times = [
        kopia_status(each).get("lastMaintenance")
        for each in turn.world.sources
        if kopia_status(each).get("repositoryID") == key
    ]
    return newest_time(*times)


def measure_backup(turn: Turn, result: MoverResult) -> None:
    """Fill the metrics of a backup from its result document."""
    labels: dict[str, str] = {"operation": "backup", "repository": repository_label(turn)}
    turn.measure("operation_success_total", **labels)
    turn.measure("operation_duration_seconds", float(result.document.get("seconds") or 0), **labels)
    turn.measure("repository_connectivity", 1, **labels)
    snapshot, seconds = result.part("snapshot"), float(result.document.get("seconds") or 0)
    if snapshot:
        size, new = int(snapshot.get("bytes") or 0), int(snapshot.get("newBytes") or 0)
        turn.measure("snapshot_creation_success_total", **labels)
        turn.measure("snapshot_size_bytes", size, **labels)
        turn.measure("data_processed_bytes", size, **labels)
        if seconds > 0:
            turn.measure("data_transfer_rate_bytes_per_second", size / seconds, **labels)
        if size:
            turn.measure("deduplication_ratio", 1 - min(new / size, 1), **labels)
    retention, cache, report = result.part("retention"), result.part("cache"), result.part("maintenance")
    if "kept" in retention:
        turn.measure("snapshot_count", int(retention["kept"]), **labels)
    if "bytes" in cache:
        turn.measure("cache_size_bytes", int(cache["bytes"]), **labels)
    for kind in report.get("ran") or []:
        turn.measure("maintenance_operations_total", maintenance_type=str(kind), **labels)
        turn.measure("maintenance_last_run_timestamp_seconds", result.finished.timestamp(), **labels)
        turn.measure(
            "maintenance_duration_seconds", float(report.get("took") or 0), maintenance_type=str(kind), **labels
        )
