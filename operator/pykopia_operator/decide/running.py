"""Steps that runs of sources and destinations share: errors, waiting, a mover at work, its failure, cleaning up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pykopia_operator.decide.accounts import account_objects
from pykopia_operator.decide.backoff import inputs_digest, next_attempt
from pykopia_operator.decide.cache import Cache
from pykopia_operator.decide.conditions import HEALTHY, POLICY_APPLIED, SYNCHRONIZING, TEXTS
from pykopia_operator.decide.cron import jitter_of
from pykopia_operator.decide.job import is_same_template
from pykopia_operator.decide.mover import TEMPLATE, is_privileged, template_digest
from pykopia_operator.decide.names import CLEANUP, DO_NOT_DELETE, run_of
from pykopia_operator.decide.objects import (
    Obj,
    annotations_of,
    condition_of,
    generation_of,
    is_deleting,
    is_owned_by,
    labels_of,
    meta,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)
from pykopia_operator.decide.plan import Create, Delete, Event, Measure, Patch, Plan
from pykopia_operator.decide.result import MoverResult, has_ended, newest_failure, read_result, shown_log
from pykopia_operator.decide.statuses import Status, kopia_status
from pykopia_operator.decide.times import format_time, go_duration, parse_time
from pykopia_operator.decide.trigger import Clock, State, is_interval_missed, next_sync_time, state_of, when_due
from pykopia_operator.decide.volumes import is_bound
from pykopia_operator.decide.world import World
from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.model.common import MoverOptions, Trigger
from pykopia_operator.model.destination import DestinationSpec
from pykopia_operator.model.source import SourceSpec
from pykopia_operator.settings import Settings

RECHECK: Final = 60.0
"""Seconds after which a synchronizing object is looked at again."""
NOT_BOUND: Final = timedelta(seconds=120)
OPERATIONS: Final = {"source": "backup", "destination": "restore"}
"""The operation of an object's movers, by the object's role; a label of metrics."""
LONGEST_EVENT: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One look at an object: what is known, when, and under which settings."""

    world: World
    settings: Settings
    now: datetime
    status: Status
    plan: Plan

    @property
    def owner(self) -> Obj:
        """The object."""
        return self.world.owner

    @property
    def run(self) -> str:
        """Start time of the run, empty between runs."""
        return str(status_of(self.owner).get("lastSyncStartTime") or "")

    @property
    def clock(self) -> Clock:
        """How schedules are read for this object."""
        return Clock(
            zone=self.settings.timezone,
            jitter=jitter_of(uid_of(self.owner), self.settings.schedule_jitter),
            delay_first=self.settings.delay_first_sync,
        )

    @property
    def role(self) -> str:
        """``source`` or ``destination``."""
        return "source" if self.owner["kind"] == "ReplicationSource" else "destination"

    def event(self, reason: str, message: str, *, warning: bool = False, once: str = "") -> None:
        """Report something, once a run unless ``once`` says otherwise."""
        self.plan.add(
            Event(
                obj=self.owner,
                reason=reason,
                message=message[:LONGEST_EVENT],
                warning=warning,
                once=once or self.run,
            )
        )

    def measure(self, name: str, value: float = 1, /, **labels: str) -> None:
        """Change a metric of this object."""
        base = {"obj_name": name_of(self.owner), "obj_namespace": namespace_of(self.owner), "role": self.role}
        self.plan.add(Measure(name=name, value=value, labels=base | labels))

    def synchronizing(self, reason: str, message: str = "") -> None:
        """Set the condition Synchronizing."""
        text = TEXTS.get(reason, "")
        whole = f"{text}: {message}" if text and message else message or text
        self.status.condition(
            SYNCHRONIZING, true=reason == "SyncInProgress", reason=reason, message=whole, now=self.now
        )

    def finish(self) -> Plan:
        """Return the plan, with the status patch as its last step before what must follow it."""
        patch = self.status.patch()
        if patch is not None:
            self.plan.actions.append(patch)
        return self.plan


def new_turn(world: World, settings: Settings, now: datetime) -> Turn:
    """Return a look at an object."""
    status = Status(world.owner, has_kopia=world.has_status)
    return Turn(world=world, settings=settings, now=now, status=status, plan=Plan())


def report_problem(turn: Turn, error: InvalidObjectError) -> Plan:
    """Set the condition Error, with an event for each new problem; look again each minute if something may appear."""
    message = str(error)
    turn.synchronizing("Error", message)
    version = f"{generation_of(turn.owner)}/{message}"
    turn.event("ConfigurationInvalid", message, warning=True, once=version)
    found = condition_of(turn.owner, SYNCHRONIZING) or {}
    if found.get("message") != message:
        turn.measure("configuration_errors_total", error_type=error.kind)
    if error.kind != "spec":
        turn.plan.wait(RECHECK)
    return turn.finish()


def is_leftover_kept(obj: Obj) -> bool:
    """Return True for a VolumeSnapshot that the user wants to keep."""
    return DO_NOT_DELETE in labels_of(obj)


def clean_up(turn: Turn, *, more: Iterable[Obj] = ()) -> bool:
    """Delete what belongs to the run that has ended. Return True once nothing is left."""
    left, seen = False, set()
    for each in (*turn.world.leftovers, *more):
        if uid_of(each) in seen:
            continue
        seen.add(uid_of(each))
        if is_leftover_kept(each):
            turn.plan.add(release(each, uid_of(turn.owner)))
            continue
        left = True
        if not is_deleting(each):
            turn.plan.add(Delete(obj=each))
    return not left


def release(obj: Obj, owner_uid: str) -> Patch:
    """Return the patch that takes an object out of the operator's hands: it is not deleted, not even with its owner."""
    others = [each for each in meta(obj).get("ownerReferences") or [] if each.get("uid") != owner_uid]
    change = {
        "metadata": {
            "labels": {CLEANUP: None},
            "ownerReferences": others or None,
            "resourceVersion": meta(obj).get("resourceVersion"),
        }
    }
    return Patch(obj=obj, change=change)


def between_runs(turn: Turn, spec: SourceSpec | DestinationSpec, *, more: Iterable[Obj] = ()) -> Plan:
    """Clean up, then wait for the trigger or start the next run.

    Args:
        turn: the look at the object.
        spec: its specification.
        more: what is deleted besides the objects that are labelled for it.
    """
    clean = clean_up(turn, more=more)
    due = when_due(turn.owner, spec.trigger, turn.clock, turn.now)
    turn.status.set(nextSyncTime=format_time(due.next) if due.next else None)
    if not clean:
        turn.synchronizing("CleaningUp")
        turn.plan.wait(5)
        return turn.finish()
    if spec.paused:
        turn.synchronizing("Paused", "Paused: no synchronization starts until spec.paused is false")
        return turn.finish()
    if not due.now:
        turn.synchronizing(due.reason)
        if due.next is not None:
            missed = parse_time(status_of(turn.owner).get("lastSyncTime"))
            if missed is not None and is_interval_missed(spec.trigger, turn.clock, missed, turn.now):
                turn.measure("volume_out_of_sync", 1)
            turn.plan.wait(max((due.next - turn.now).total_seconds(), 0))
        return turn.finish()
    turn.status.set(lastSyncStartTime=format_time(turn.now))
    if turn.role == "destination":
        turn.status.set_kopia({"requestedIdentity": None})
    turn.synchronizing("SyncInProgress")
    turn.plan.wait(0)
    return turn.finish()


def is_of_this_run(turn: Turn, obj: Obj) -> bool:
    """Return True if an object belongs to the run that is going on."""
    return run_of(obj) == turn.run


def replace_stale(turn: Turn, obj: Obj) -> None:
    """Delete an object of an earlier run, or of an earlier operator, so that it can be made again."""
    if not is_deleting(obj):
        turn.plan.add(Delete(obj=obj))
    turn.synchronizing("SyncInProgress")
    turn.plan.wait(5)


def is_foreign(turn: Turn, obj: Obj) -> bool:
    """Return True if an object of the name that we need belongs to another owner: it is never changed."""
    return not is_owned_by(obj, uid_of(turn.owner))


def refuse_foreign(turn: Turn, obj: Obj) -> Plan:
    """Report that a name is taken."""
    return report_problem(
        turn,
        InvalidObjectError(
            f"{obj['kind']} {namespace_of(obj)}/{name_of(obj)} exists and belongs to another object; delete or rename it",
            kind="name",
        ),
    )


def wait_for_volume(turn: Turn, volume: Obj) -> Plan:
    """Wait until a volume is bound; report when that takes long."""
    _report_unbound(
        turn,
        volume,
        f"PersistentVolumeClaim {name_of(volume)} is not bound; `kubectl describe pvc {name_of(volume)}` shows why",
    )
    turn.synchronizing("SyncInProgress", f"waiting for PersistentVolumeClaim {name_of(volume)} to be bound")
    turn.plan.wait(30)
    return turn.finish()


def _report_unbound(turn: Turn, volume: Obj, text: str) -> None:
    """Report a volume that has not been bound for long, once a run."""
    created = parse_time(meta(volume).get("creationTimestamp")) or turn.now
    if turn.now - created >= NOT_BOUND:
        turn.event("PersistentVolumeClaimNotBound", text, warning=True, once=f"{turn.run}/{name_of(volume)}")


def ensure_account(turn: Turn, kopia: MoverOptions) -> None:
    """Create the mover's ServiceAccount, Role and RoleBinding where they are missing."""
    if kopia.mover_service_account:
        return
    world = turn.world
    privileged = is_privileged(world.namespace)
    scc = turn.settings.scc_name if world.openshift and privileged else ""
    account, role, binding = account_objects(turn.owner, scc=scc, pull_secrets=tuple(world.pull_secrets))
    for wanted, existing in ((account, world.service_account), (role, world.role), (binding, world.role_binding)):
        if existing is None:
            turn.plan.add(Create(obj=wanted))
    if world.role is not None and (world.role.get("rules") or []) != role["rules"]:
        turn.plan.add(Patch(obj=world.role, change={"rules": role["rules"]}))


def ensure_cache(turn: Turn, cache: Cache) -> None:
    """Create or enlarge the cache volume."""
    existing = turn.world.cache
    labels = {"operation": OPERATIONS[turn.role], "repository": repository_label(turn)}
    turn.measure("cache_type", int(cache.claim is not None), cache_type="pvc", **labels)
    turn.measure("cache_type", int(cache.claim is None), cache_type="emptydir", **labels)
    if cache.claim is None:
        return
    if existing is None:
        turn.plan.add(Create(obj=cache.claim))
        turn.event(
            "PersistentVolumeClaimCreated", f"created PersistentVolumeClaim {name_of(cache.claim)} for the cache"
        )
        return
    if cache.grow:
        turn.plan.add(Patch(obj=existing, change={"spec": {"resources": {"requests": {"storage": cache.size}}}}))
    if cache.cannot_grow:
        turn.event(
            "CacheResizeNotPossible",
            f"PersistentVolumeClaim {name_of(existing)} stays as it is: its StorageClass does not allow expansion; "
            f"delete the claim to get a cache of {cache.size}",
            warning=True,
            once=cache.size,
        )
    if not is_bound(existing):
        _report_unbound(
            turn,
            existing,
            f"PersistentVolumeClaim {name_of(existing)} of the cache is not bound; check cacheStorageClassName",
        )


def inputs_of(turn: Turn) -> str:
    """Return a digest of the versions of everything that a run depends on, the values of Secrets not included."""
    world = turn.world
    return inputs_digest(
        [
            f"spec/{generation_of(turn.owner)}",
            *(f"{kind}/{each.version}" for kind, each in _references(world)),
        ]
    )


def _references(world: World) -> list[tuple[str, Any]]:
    found = (("secret", world.secret), ("ca", world.ca), ("policy", world.policy))
    return [(kind, each) for kind, each in found if each is not None]


def waits_after_failure(turn: Turn, trigger: Trigger | None) -> datetime | None:
    """Return when the next mover may start, None if no mover of this run has failed or its time has come."""
    kopia = kopia_status(turn.owner)
    failure = kopia.get("lastFailure") or {}
    failed, started = parse_time(failure.get("time")), parse_time(turn.run)
    count = int(kopia.get("consecutiveFailures") or 0)
    if failed is None or started is None or failed < started or not count:
        return None
    same_inputs = failure.get("inputs") in {None, inputs_of(turn)}
    if same_inputs and failure.get("code") == AMBIGUOUS:
        return turn.now + NEVER
    again = next_attempt(
        failed=failed,
        failures=count,
        retryable=not str(failure.get("code") or "") or failure.get("code") in RETRYABLE,
        same_inputs=same_inputs,
        trigger=trigger,
        clock=turn.clock,
    )
    return again if again > turn.now else None


AMBIGUOUS: Final = "ambiguous"
"""Several snapshots' identities match: only a change of the specification helps (O-044)."""
NEVER: Final = timedelta(days=36500)

RETRYABLE: Final = frozenset(
    {
        "internal",
        "unreachable",
        "action",
        "busy",
        "interrupted",
        "terminated",
        "cache-exhausted",
        "killed",
        "oom",
        "unknown",
    }
)
"""Codes after which another attempt may succeed without a change."""


def record_failure(turn: Turn, result: MoverResult, trigger: Trigger | None) -> Plan:
    """Record that a mover has failed, once, and delete its Job; the run goes on after a pause."""
    turn_job = turn.world.job
    kopia = kopia_status(turn.owner)
    when = format_time(result.finished)
    known = kopia.get("lastFailure") or {}
    count = int(kopia.get("consecutiveFailures") or 0)
    if known.get("time") != when:
        count += 1
        turn.status.set_kopia(
            {
                "consecutiveFailures": count,
                "lastFailure": {
                    "time": when,
                    "code": result.code,
                    "message": result.message[:2000],
                    "inputs": inputs_of(turn),
                },
            }
        )
        turn.status.set(
            latestMoverStatus={
                "result": "Failed",
                "logs": shown_log(result, most=turn.settings.mover_log_max_bytes, debug=turn.settings.mover_log_debug),
            }
        )
        measure_failure(turn, result)
    again = next_attempt(
        failed=result.finished,
        failures=count,
        retryable=result.code in RETRYABLE,
        same_inputs=True,
        trigger=trigger,
        clock=turn.clock,
    )
    turn.status.condition(HEALTHY, true=False, reason="MoverFailed", message=result.message, now=turn.now)
    if result.code == AMBIGUOUS:
        hint = result.message
        turn.synchronizing("Error", hint)
    else:
        hint = f"{result.message.rstrip('.')}; next attempt at {format_time(max(again, turn.now))}"
        turn.synchronizing("SyncInProgress", hint)
    turn.event("TransferFailed", hint, warning=True, once=f"{turn.run}/{when}")
    missed(turn, trigger)
    plan = turn.finish()
    if turn_job is not None and not is_deleting(turn_job):
        plan.add(Delete(obj=turn_job))
    return plan.wait(min(RECHECK, max((again - turn.now).total_seconds(), 1)))


def measure_failure(turn: Turn, result: MoverResult) -> None:
    """Count a failed mover."""
    labels = {"operation": OPERATIONS[turn.role], "repository": repository_label(turn)}
    turn.measure("operation_failure_total", failure_reason=result.code, **labels)
    if turn.role == "source":
        turn.measure("snapshot_creation_failure_total", failure_reason=result.code, **labels)
    if result.code in {"auth", "no-repository", "unreachable"}:
        turn.measure("repository_connectivity", 0, **labels)
    turn.measure("job_retries_total", max(len(turn.world.pods) - 1, 0), retry_reason=result.code, **labels)
    turn.measure("last_failure_timestamp_seconds", result.finished.timestamp())
    turn.measure("consecutive_failures", int(kopia_status(turn.owner).get("consecutiveFailures") or 0) + 1)


def repository_label(turn: Turn) -> str:
    """Return the name of the repository's Secret, as a label of metrics."""
    spec = spec_of(turn.owner)
    kopia = spec.get("kopia") or (spec.get("external") or {}).get("parameters") or {}
    return str(kopia.get("repository") or "")


def missed(turn: Turn, trigger: Trigger | None) -> None:
    """Say by a metric when two times of the schedule have passed since the run began."""
    started = parse_time(turn.run)
    if started is not None and is_interval_missed(trigger, turn.clock, started, turn.now):
        turn.measure("missed_intervals_total", once=turn.run)
        turn.measure("volume_out_of_sync", 1)


def follow_job(
    turn: Turn,
    spec: SourceSpec | DestinationSpec,
    *,
    ended: Callable[[], Plan],
    at_work: Callable[[], Plan],
) -> Plan | None:
    """Return what is next in a run by the state of its Job; None: the Job is to be made, or to be compared with a new one.

    Args:
        turn: the look at the object, in a run.
        spec: its specification.
        ended: what is next when the Job of this run has ended.
        at_work: what is next while the mover of this run is at work.
    """
    job = turn.world.job
    if job is None:
        if not spec.paused:
            return None
        turn.synchronizing("Paused", "Paused: the run goes on when spec.paused is false")
        return turn.finish()
    if is_foreign(turn, job):
        return refuse_foreign(turn, job)
    if is_deleting(job):
        turn.plan.wait(5)
        return turn.finish()
    of_this_run = is_of_this_run(turn, job)
    if has_ended(job) and of_this_run:
        return ended()
    if has_ended(job) or (turn.world.pods and not of_this_run):
        replace_stale(turn, job)
        return turn.finish()
    return at_work() if turn.world.pods else None


def waits_for_others(turn: Turn) -> bool:
    """Report and return True when as many movers run as may run at one time, so that no further one is started."""
    if turn.world.job is not None or not 0 < turn.settings.max_concurrent_movers <= turn.world.running:
        return False
    turn.synchronizing("SyncInProgress", f"waiting: {turn.world.running} movers are running already")
    turn.plan.wait(15)
    return True


def watch_mover(turn: Turn, spec: SourceSpec | DestinationSpec) -> Plan:
    """Look at a mover Job that has not ended."""
    job = turn.world.job
    if job is None:  # pragma: no cover -- the caller has one
        return turn.finish()
    wanted = 0 if spec.paused else 1
    if spec_of(job).get("parallelism", 1) != wanted:
        turn.plan.add(Patch(obj=job, change={"spec": {"parallelism": wanted}}))
    if spec.paused:
        turn.synchronizing("Paused", "Paused: the running mover is suspended until spec.paused is false")
    else:
        failed = len([each for each in turn.world.pods if status_of(each).get("phase") == "Failed"])
        why = newest_failure(job, turn.world.pods)[:LONGEST_EVENT]
        turn.synchronizing(
            "SyncInProgress", f"attempt {failed + 1} of the mover; the last one: {why}" if failed else ""
        )
        turn.plan.wait(RECHECK)
    missed(turn, spec.trigger)
    return turn.finish()


def has_changed_before_start(turn: Turn, wanted: Obj) -> bool:
    """Return True if the Job that should run is another one than the Job that exists, which has not started a Pod."""
    job = turn.world.job
    if job is None or turn.world.pods or status_of(job).get("active") or status_of(job).get("failed"):
        return False
    digest = annotations_of(job).get(TEMPLATE)
    if digest is None:
        return not is_same_template(job, wanted)
    return digest != template_digest(wanted["spec"]["template"])


def finish_run(turn: Turn, spec: SourceSpec | DestinationSpec, result: MoverResult) -> None:
    """Set the status fields that every successful run sets."""
    started = parse_time(turn.run) or result.finished
    ended = max(result.finished, started)
    turn.status.set(
        lastSyncTime=format_time(ended),
        lastSyncDuration=go_duration(ended - started),
        lastSyncStartTime=None,
        latestMoverStatus={
            "result": "Successful",
            "logs": shown_log(result, most=turn.settings.mover_log_max_bytes, debug=turn.settings.mover_log_debug),
        },
    )
    manual = spec.trigger.manual if spec.trigger is not None else None
    if manual:
        turn.status.set(lastManualSync=manual)
    with_status = {**turn.owner, "status": turn.status.fields}
    due = next_sync_time(with_status, spec.trigger, turn.clock, turn.now)
    turn.status.set(nextSyncTime=format_time(due) if due else None)
    turn.synchronizing("CleaningUp")
    turn.status.set_kopia({"consecutiveFailures": None, "lastFailure": None})
    turn.status.condition(HEALTHY, true=True, reason="Succeeded", message="The newest mover succeeded", now=turn.now)
    policy = [each for each in result.document.get("warnings") or [] if "olicy" in str(each)]
    if policy or any(each.get("type") == POLICY_APPLIED for each in turn.status.fields.get("conditions") or []):
        turn.status.condition(
            POLICY_APPLIED,
            true=not policy,
            reason="PolicyInvalid" if policy else "PolicyApplied",
            message="; ".join(map(str, policy)) or "The policy files were applied",
            now=turn.now,
        )
        labels = {"operation": OPERATIONS[turn.role], "repository": repository_label(turn)}
        turn.measure("policy_compliance", int(not policy), policy_type="global", **labels)
    for each in policy:
        turn.event("PolicyWarning", str(each), warning=True, once=f"{turn.run}/{each}")
    for each in result.document.get("warnings") or []:
        if "legacy" in str(each).lower() or "older place" in str(each).lower():
            turn.event("LegacyLocationUsed", str(each), warning=True)
    seconds = (ended - started).total_seconds()
    turn.measure("volume_out_of_sync", 0)
    turn.measure("sync_duration_seconds", seconds)
    turn.measure("last_success_timestamp_seconds", ended.timestamp())
    turn.measure("consecutive_failures", 0)
    turn.plan.wait(0)


def result_of(turn: Turn) -> MoverResult:
    """Return the result of the Job, which has ended."""
    if turn.world.job is None:  # pragma: no cover -- the caller has one
        raise ValueError("no Job")
    return read_result(turn.world.job, turn.world.pods, turn.world.log, now=turn.now)


def in_run(turn: Turn) -> bool:
    """Return True while a run is going on."""
    return state_of(turn.owner) is State.SYNCHRONIZING
