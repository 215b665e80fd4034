"""A ReplicationDestination, step by step: what its run does next."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from pykopia_operator.decide.cache import plan_cache
from pykopia_operator.decide.checks import check_objects, check_options
from pykopia_operator.decide.conditions import HEALTHY, SYNCHRONIZING
from pykopia_operator.decide.identity import (
    Identity,
    destination_identity,
    looks_in_two_steps,
    named_source,
    repository_name,
)
from pykopia_operator.decide.mover import restore_job
from pykopia_operator.decide.names import IDENTITY, SNAPSHOT_NAME, image_name, metadata_for
from pykopia_operator.decide.objects import (
    Obj,
    annotations_of,
    condition_of,
    is_deleting,
    is_owned_by,
    meta,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)
from pykopia_operator.decide.ownership import Destination, read_destination
from pykopia_operator.decide.plan import Create, Delete, Patch, Plan
from pykopia_operator.decide.populator import is_in_use
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
    is_leftover_kept,
    is_of_this_run,
    new_turn,
    record_failure,
    release,
    replace_stale,
    report_problem,
    repository_label,
    result_of,
    wait_for_volume,
    waits_after_failure,
    waits_for_others,
    watch_mover,
)
from pykopia_operator.decide.statuses import kopia_status
from pykopia_operator.decide.times import parse_time
from pykopia_operator.decide.trigger import State, state_of
from pykopia_operator.decide.volumes import (
    DIRECT,
    destination_volume,
    image_reference,
    is_bound,
    is_snapshot_ready,
    snapshot_error,
    volume_snapshot,
    waits_for_consumer,
)
from pykopia_operator.decide.world import World
from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.settings import Settings

MOST_IDENTITIES: Final = 50
NOT_READY: Final = timedelta(seconds=30)
NOTHING_FOUND: Final = ("no-snapshot", "no-repository")


def effective(obj: Obj, destination: Destination, sources: tuple[Obj, ...]) -> Destination:
    """Return the specification with the repository of the named source, where it has none of its own (O-044)."""
    if destination.kopia.repository:
        return destination
    named = named_source(destination, namespace_of(obj), sources)
    if named is None or not repository_name(named):
        return destination
    kopia = msgspec.structs.replace(destination.kopia, repository=repository_name(named))
    return Destination(spec=destination.spec, kopia=kopia)


def decide_destination(
    world: World, settings: Settings, now: datetime, *, proxies: Mapping[str, str] | None = None
) -> Plan:
    """Return what is to be done for a ReplicationDestination.

    Args:
        world: the object and the objects around it.
        settings: of the operator.
        now: the time.
        proxies: variables of proxies for movers.
    """
    turn = new_turn(world, settings, now)
    try:
        destination = effective(world.owner, read_destination(world.owner), world.sources)
        check_options(destination.kopia)
        _check_volume(destination)
        identity = destination_identity(
            world.owner,
            destination,
            sources=world.sources,
            strict=settings.strict_identity,
            any_of_namespace=_looks_for_any(turn),
        )
        if not in_run(turn):
            return _between_runs(turn, destination)
        return _synchronize(turn, destination, identity, proxies or {})
    except InvalidObjectError as error:
        return report_problem(turn, error)


def _check_volume(destination: Destination) -> None:
    kopia = destination.kopia
    if kopia.destination_pvc:
        return
    if kopia.capacity is None:
        raise InvalidObjectError("kopia.capacity is needed without destinationPVC; set it to the size of the volume")
    if not kopia.access_modes:
        raise InvalidObjectError(
            "kopia.accessModes is needed without destinationPVC; set it to [ReadWriteOnce], for example"
        )


def _any(turn: Turn) -> str:
    return f"{namespace_of(turn.owner)}@*"


def _looks_for_any(turn: Turn) -> bool:
    return in_run(turn) and kopia_status(turn.owner).get("requestedIdentity") == _any(turn)


def on_missing(turn: Turn, destination: Destination) -> str:
    """Return what the mover does without a snapshot (O-091).

    A first step of two must fail, so that the second is tried. Where a backup is known to have existed, nothing to restore
    is never taken for a first installation.
    """
    kopia = destination.kopia
    two = looks_in_two_steps(
        destination, turn.world.sources, namespace_of(turn.owner), strict=turn.settings.strict_identity
    )
    if two and not _looks_for_any(turn):
        return "fail"
    if kopia.on_missing_snapshot != "Auto":
        return kopia.on_missing_snapshot.lower()
    same = [
        each
        for each in turn.world.sources
        if namespace_of(each) == namespace_of(turn.owner) and repository_name(each) == kopia.repository
    ]
    used = any(kopia_status(each).get("repositoryID") or status_of(each).get("lastSyncTime") for each in same)
    return "fail" if used else "auto"


def _between_runs(turn: Turn, destination: Destination) -> Plan:
    world, kopia = turn.world, destination.kopia
    more = []
    latest = (status_of(turn.owner).get("latestImage") or {}).get("name")
    for image in world.images:
        if is_leftover_kept(image):
            turn.plan.add(release(image, uid_of(turn.owner)))
        elif name_of(image) != latest and not is_in_use(image) and state_of(turn.owner) is State.CLEANING_UP:
            more.append(image)
    own = None if kopia.destination_pvc else world.volume
    if state_of(turn.owner) is State.CLEANING_UP:
        temporary = kopia.cleanup_temp_pvc and kopia.copy_method not in DIRECT
        if temporary and own is not None and is_owned_by(own, uid_of(turn.owner)):
            more.append(own)
        if kopia.cleanup_cache_pvc and world.cache is not None and is_owned_by(world.cache, uid_of(turn.owner)):
            more.append(world.cache)
    if world.volume is not None and SNAPSHOT_NAME in annotations_of(world.volume) and not is_deleting(world.volume):
        turn.plan.add(_annotate(world.volume, None))
    return between_runs(turn, destination.spec, more=more)


def _annotate(volume: Obj, name: str | None) -> Patch:
    change = {
        "metadata": {"annotations": {SNAPSHOT_NAME: name}, "resourceVersion": meta(volume).get("resourceVersion")}
    }
    return Patch(obj=volume, change=change)


def _synchronize(turn: Turn, destination: Destination, identity: Identity, proxies: Mapping[str, str]) -> Plan:
    plan = follow_job(
        turn,
        destination.spec,
        ended=lambda: _ended(turn, destination, identity),
        at_work=lambda: watch_mover(turn, destination.spec),
    )
    return _prepare(turn, destination, identity, proxies) if plan is None else plan


def _ahead(turn: Turn, destination: Destination) -> str:
    """Return the name of another destination that restores into the same volume now, or began to earlier; empty: none.

    One that waits after a failure, for an object that is missing, or because it is paused, holds no other destination up.
    """
    claim, mine = destination.kopia.destination_pvc, (turn.run, name_of(turn.owner))
    for each in turn.world.destinations:
        options = spec_of(each).get("kopia") or (spec_of(each).get("external") or {}).get("parameters") or {}
        same = namespace_of(each) == namespace_of(turn.owner) and claim and options.get("destinationPVC") == claim
        if not same or uid_of(each) == uid_of(turn.owner):
            continue
        if uid_of(each) in turn.world.active:
            return name_of(each)
        started = str(status_of(each).get("lastSyncStartTime") or "")
        goes_on = (condition_of(each, SYNCHRONIZING) or {}).get("reason") == "SyncInProgress"
        failed = parse_time((kopia_status(each).get("lastFailure") or {}).get("time"))
        has_failed = failed is not None and started and failed >= (parse_time(started) or failed)
        if started and goes_on and not has_failed and (started, name_of(each)) < mine:
            return name_of(each)
    return ""


def _prepare(turn: Turn, destination: Destination, identity: Identity, proxies: Mapping[str, str]) -> Plan:
    world, kopia = turn.world, destination.kopia
    again = waits_after_failure(turn, destination.spec.trigger)
    if again is not None and world.job is None:
        turn.plan.wait(min(60.0, max((again - turn.now).total_seconds(), 1)))
        return turn.finish()
    for warning in check_objects(world, kopia):
        turn.event("PolicyWarning", warning, warning=True, once=warning)
    volume = _volume(turn, destination)
    if volume is None:
        return turn.finish()
    if uid_of(volume) and not is_bound(volume) and not waits_for_consumer(volume, dict(world.classes)):
        return wait_for_volume(turn, volume)
    cache = plan_cache(turn.owner, kopia, volume, world.cache, dict(world.classes), default=turn.settings.default_cache)
    ensure_account(turn, kopia)
    ensure_cache(turn, cache)
    if waits_for_others(turn):
        return turn.finish()
    ahead = _ahead(turn, destination) if world.job is None else ""
    if ahead:
        turn.synchronizing(
            "SyncInProgress",
            f"waiting: ReplicationDestination {ahead} restores into PersistentVolumeClaim {name_of(volume)} now",
        )
        turn.plan.wait(15)
        return turn.finish()
    wanted = restore_job(
        world,
        destination,
        identity,
        cache,
        turn.settings,
        volume=volume,
        run=turn.run,
        on_missing=on_missing(turn, destination),
        proxies=proxies,
    )
    if world.job is not None:
        if has_changed_before_start(turn, wanted) or not is_of_this_run(turn, world.job):
            replace_stale(turn, world.job)
            return turn.finish()
        return watch_mover(turn, destination.spec)
    turn.plan.add(Create(obj=wanted))
    turn.event(
        "TransferStarted", f"started Job {name_of(wanted)} for the restore of {identity}", once=f"{turn.run}/{identity}"
    )
    turn.status.set_kopia({"requestedIdentity": str(identity)})
    turn.synchronizing("SyncInProgress")
    turn.plan.wait(60)
    return turn.finish()


def _volume(turn: Turn, destination: Destination) -> Obj | None:
    """Return the volume to restore into; None while it is being made."""
    world, kopia = turn.world, destination.kopia
    if world.volume is not None:
        if not kopia.destination_pvc and is_foreign(turn, world.volume):
            raise InvalidObjectError(
                f"PersistentVolumeClaim {namespace_of(turn.owner)}/{name_of(world.volume)} exists and belongs to another "
                "object; delete or rename it, or name it as destinationPVC",
                kind="name",
            )
        if is_deleting(world.volume):
            turn.plan.wait(5)
            return None
        return world.volume
    if kopia.destination_pvc:
        raise InvalidObjectError(
            f"PersistentVolumeClaim {namespace_of(turn.owner)}/{kopia.destination_pvc} does not exist; create it, or "
            "correct destinationPVC",
            kind="pvc",
        )
    wanted = destination_volume(turn.owner, kopia, turn.run, temporary=False)
    turn.plan.add(Create(obj=wanted))
    turn.event("PersistentVolumeClaimCreated", f"created PersistentVolumeClaim {name_of(wanted)} for the restored data")
    turn.synchronizing("SyncInProgress")
    turn.plan.wait(10)
    return None


# ---------------------------------------------------------------------- after the Job


def _ended(turn: Turn, destination: Destination, identity: Identity) -> Plan:
    result = result_of(turn)
    job = turn.world.job
    if not result.succeeded:
        two = looks_in_two_steps(
            destination, turn.world.sources, namespace_of(turn.owner), strict=turn.settings.strict_identity
        )
        tried = annotations_of(job or {}).get(IDENTITY)
        if two and result.code in NOTHING_FOUND and tried != _any(turn):
            turn.status.set_kopia({"requestedIdentity": _any(turn)})
            plan = turn.finish()
            if job is not None:
                plan.add(Delete(obj=job))
            return plan.wait(2)
        _report_identities(turn, result)
        return record_failure(turn, result, destination.spec.trigger)
    image = _image(turn, destination)
    if image is None:
        return turn.finish()
    _report_restore(turn, result)
    turn.status.set_kopia({"requestedIdentity": annotations_of(job or {}).get(IDENTITY) or str(identity)})
    turn.status.set(latestImage=image_reference(image))
    finish_run(turn, destination.spec, result)
    if result.is_without_data:
        turn.status.condition(
            HEALTHY,
            true=False,
            reason="NoDataRestored",
            message=f"No snapshot of {identity} exists; the volume was left as it is",
            now=turn.now,
        )
    measure_restore(turn, result)
    return turn.finish()


def _report_identities(turn: Turn, result: MoverResult) -> None:
    listed = [
        {
            key: value
            for key, value in (
                ("identity", str(each.get("identity"))),
                ("snapshotCount", each.get("count")),
                ("latestSnapshot", each.get("latest") if parse_time(each.get("latest")) else None),
            )
            if value is not None
        }
        for each in (result.document.get("identities") or [])[:MOST_IDENTITIES]
        if isinstance(each, dict) and each.get("identity")
    ]
    turn.status.set_kopia({"availableIdentities": listed or None})


def _report_restore(turn: Turn, result: MoverResult) -> None:
    snapshot, restored = result.part("snapshot"), result.part("restore")
    _report_identities(turn, result)
    repository = result.part("repository")
    changes: dict[str, object] = {"repositoryID": repository.get("id")}
    if result.is_without_data:
        changes |= {"result": "no-data", "restoredSnapshot": None, "snapshotsFound": 0}
        turn.status.set_kopia(changes)
        turn.event(
            "NoDataRestored",
            "no snapshot was found and nothing was restored; if a backup exists, check repository, sourceIdentity, "
            "username and hostname",
            warning=True,
        )
        turn.measure("no_data_restores_total")
        return
    found = {
        "id": snapshot.get("id"),
        "identity": result.document.get("identity"),
        "start": snapshot.get("start"),
        "files": restored.get("files"),
        "bytes": restored.get("bytes"),
    }
    changes |= {
        "result": "restored",
        "restoredSnapshot": {key: value for key, value in found.items() if value is not None} or None,
        "availableIdentities": None,
    }
    if isinstance(snapshot.get("count"), int):
        changes["snapshotsFound"] = snapshot["count"]
    turn.status.set_kopia(changes)
    turn.event(
        "RestoreCompleted",
        f"restored snapshot {found['id']} of {found['identity']}: {found['files']} files, {found['bytes']} bytes",
    )


def _image(turn: Turn, destination: Destination) -> Obj | None:
    """Return the object that holds the restored data; None while its snapshot is being made."""
    world, kopia = turn.world, destination.kopia
    volume = world.volume
    if volume is None:
        raise InvalidObjectError(
            f"the restored PersistentVolumeClaim of {namespace_of(turn.owner)}/{name_of(turn.owner)} is gone; "
            "set a new value of trigger.manual to restore again",
            kind="pvc",
        )
    if kopia.copy_method in DIRECT:
        return {**volume, "kind": "PersistentVolumeClaim"}
    name = annotations_of(volume).get(SNAPSHOT_NAME)
    if not name:
        name = image_name(name_of(volume), turn.now)
        turn.plan.add(_annotate(volume, name))
        turn.plan.wait(0)
        return None
    snapshot = world.snapshot
    if snapshot is None:
        metadata = metadata_for(turn.owner, name)
        turn.plan.add(Create(obj=volume_snapshot(metadata, volume, kopia.volume_snapshot_class_name)))
        turn.event("VolumeSnapshotCreated", f"created VolumeSnapshot {name} of PersistentVolumeClaim {name_of(volume)}")
        turn.synchronizing("SyncInProgress", f"waiting for VolumeSnapshot {name}")
        turn.plan.wait(30)
        return None
    if not is_snapshot_ready(snapshot):
        why = snapshot_error(snapshot)
        created = parse_time(meta(snapshot).get("creationTimestamp")) or turn.now
        if turn.now - created >= NOT_READY:
            turn.event(
                "VolumeSnapshotNotBound",
                f"VolumeSnapshot {name} is not ready{f': {why}' if why else ''}; `kubectl describe volumesnapshot {name}` "
                "shows more",
                warning=True,
            )
        turn.synchronizing("SyncInProgress", f"waiting for VolumeSnapshot {name}{f': {why}' if why else ''}")
        turn.plan.wait(30)
        return None
    return {**snapshot, "kind": "VolumeSnapshot"}


def measure_restore(turn: Turn, result: MoverResult) -> None:
    """Fill the metrics of a restore from its result document."""
    labels = {"operation": "restore", "repository": repository_label(turn)}
    seconds = float(result.document.get("seconds") or 0)
    size = int(result.part("restore").get("bytes") or 0)
    turn.measure("operation_success_total", **labels)
    turn.measure("operation_duration_seconds", seconds, **labels)
    turn.measure("data_processed_bytes", size, **labels)
    if seconds > 0:
        turn.measure("data_transfer_rate_bytes_per_second", size / seconds, **labels)
    turn.measure("repository_connectivity", 1, **labels)
