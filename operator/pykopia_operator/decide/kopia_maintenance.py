"""A KopiaMaintenance: a CronJob whose Jobs start suspended and run one at a time for each repository (rule O-083)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from pykopia_operator.decide.checks import check_secret
from pykopia_operator.decide.cron import check_schedule, next_time
from pykopia_operator.decide.environment import credential_files
from pykopia_operator.decide.identity import repository_name
from pykopia_operator.decide.job import (
    PodOptions,
    PodParts,
    Security,
    add_secret,
    check_more,
    failure_policy,
    mount_ca,
    mount_cache,
    mount_more,
    mount_tmp,
    pod_template,
    repository_in_volume,
    security_of,
)
from pykopia_operator.decide.mover import TEMPLATE, is_privileged, template_digest
from pykopia_operator.decide.names import CREATED_BY, MANAGED_BY, metadata_for
from pykopia_operator.decide.objects import (
    Obj,
    annotations_of,
    condition_of,
    generation_of,
    is_deleting,
    is_true,
    labels_of,
    meta,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)
from pykopia_operator.decide.ownership import in_words
from pykopia_operator.decide.plan import Create, Delete, Event, Measure, Patch, Plan
from pykopia_operator.decide.result import CODES, has_ended, read_document, terminated_state
from pykopia_operator.decide.statuses import Status
from pykopia_operator.decide.times import format_time, parse_time
from pykopia_operator.decide.upkeep import is_lease_free, lease_name, lease_object, lease_spec
from pykopia_operator.decide.volumes import claim
from pykopia_operator.decide.world import Keys
from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.model.maintenance import MaintenanceSpec
from pykopia_operator.settings import Settings

FINALIZER: Final = "volsync.backube/kopiamaintenance-protection"
RESET: Final = "volsync.backube/reset-failures"
LABEL: Final = "volsync.backube/kopia-maintenance"
NAME_LABEL: Final = "volsync.backube/maintenance-name"
TYPE_LABEL: Final = "volsync.backube/maintenance-type"
CONTAINER: Final = "kopia-maintenance"
DEFAULT_SCHEDULE: Final = "0 2 * * *"
DEADLINE: Final = 10800
BACKOFF_LIMIT: Final = 5
MANY_FAILURES: Final = 5
SLOW: Final = timedelta(days=1)
LONGEST_LABEL: Final = 63
CACHE_SIZE: Final = "8Gi"


@dataclass(frozen=True, kw_only=True, slots=True)
class MaintenanceWorld:
    """The objects around a KopiaMaintenance."""

    owner: Obj
    namespace: Obj
    cron_job: Obj | None = None
    jobs: tuple[Obj, ...] = ()
    """Its Jobs, scheduled and manual."""
    pods: tuple[Obj, ...] = ()
    secret: Keys | None = None
    ca: Keys | None = None
    cache: Obj | None = None
    account: Obj | None = None
    sources: tuple[Obj, ...] = ()
    """ReplicationSources that are ours."""
    lease: Obj | None = None
    repository_id: str = ""
    openshift: bool = False


def read_maintenance(obj: Obj) -> MaintenanceSpec:
    """Return the specification of a KopiaMaintenance.

    Raises:
        InvalidObjectError: a field is missing or has a value that is not allowed.
    """
    try:
        spec = msgspec.convert(spec_of(obj), MaintenanceSpec)
    except msgspec.ValidationError as error:
        raise InvalidObjectError(in_words(error, "spec")) from None
    if spec.trigger is not None and spec.trigger.schedule and spec.trigger.manual:
        raise InvalidObjectError("trigger: set schedule or manual, not both")
    check_schedule(schedule_of(spec))
    check_more(spec.mover_volumes)
    ca = spec.repository.custom_ca
    if ca is not None and (ca.secret_name or ca.config_map_name) and not ca.key:
        raise InvalidObjectError("repository.customCA.key must name the key that holds the certificate")
    return spec


def schedule_of(spec: MaintenanceSpec) -> str:
    """Return the schedule."""
    given = spec.trigger.schedule if spec.trigger is not None else None
    return given or spec.schedule or DEFAULT_SCHEDULE


def manual_of(spec: MaintenanceSpec) -> str:
    """Return the manual trigger, empty if there is none."""
    return (spec.trigger.manual if spec.trigger is not None else None) or ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def cron_job_name(owner: Obj) -> str:
    """Return the name of the CronJob, at most the 52 characters that a CronJob may have.

    >>> len(cron_job_name({"metadata": {"name": "x" * 60, "namespace": "n"}}))
    52
    """
    short = name_of(owner)[:23].rstrip("-.")
    return f"kopia-maint-{short}-{_digest(namespace_of(owner), name_of(owner))}"


def manual_job_name(owner: Obj, manual: str) -> str:
    """Return the name of the Job of a manual trigger."""
    return f"kopia-maint-manual-{_digest(uid_of(owner), manual)}"


def maintenance_cache_name(owner: Obj) -> str:
    """Return the name of the cache volume."""
    return f"volsync-kopia-maintenance-{name_of(owner)}-cache"


def lease_of(owner: Obj, secret: Keys | None, repository_id: str) -> str:
    """Return the name of the Lease of the repository."""
    if repository_id:
        return lease_name(repository_id)
    version = secret.version if secret is not None else ""
    name = str((spec_of(owner).get("repository") or {}).get("repository") or "")
    return lease_name(hashlib.sha256(f"{namespace_of(owner)}\0{name}\0{version}".encode()).hexdigest())


def decide_maintenance(world: MaintenanceWorld, settings: Settings, now: datetime) -> Plan:
    """Return what is to be done for a KopiaMaintenance.

    Args:
        world: the object and the objects around it.
        settings: of the operator.
        now: the time.
    """
    turn = _Turn(world, settings, now)
    owner = world.owner
    if is_deleting(owner):
        return turn.delete()
    if FINALIZER not in (meta(owner).get("finalizers") or []):
        change = {
            "metadata": {
                "finalizers": [*(meta(owner).get("finalizers") or []), FINALIZER],
                "resourceVersion": meta(owner).get("resourceVersion"),
            }
        }
        return turn.plan.add(Patch(obj=owner, change=change)).wait(0)
    try:
        spec = read_maintenance(owner)
        turn.take_results(spec)
        turn.check(spec)
        turn.apply(spec)
    except InvalidObjectError as error:
        turn.condition("Ready", true=False, reason="ConfigurationInvalid", message=str(error))
        turn.event("ValidationFailed", str(error), warning=True, once=str(error))
        turn.plan.wait(60)
    turn.status.set(observedGeneration=generation_of(owner))
    patch = turn.status.patch()
    if patch is not None:
        turn.plan.add(patch)
    return turn.plan


class _Turn:
    """One look at a KopiaMaintenance."""

    def __init__(self, world: MaintenanceWorld, settings: Settings, now: datetime) -> None:
        self.world, self.settings, self.now = world, settings, now
        self.plan = Plan()
        self.status = Status(world.owner, has_kopia=True)

    def event(self, reason: str, message: str, *, warning: bool = False, once: str) -> None:
        self.plan.add(Event(obj=self.world.owner, reason=reason, message=message[:1000], warning=warning, once=once))

    def condition(self, kind: str, *, true: bool, reason: str, message: str) -> None:
        self.status.condition(kind, true=true, reason=reason, message=message, now=self.now)

    def measure(self, name: str, value: float = 1, /, **labels: str) -> None:
        owner = self.world.owner
        base = {"obj_name": name_of(owner), "obj_namespace": namespace_of(owner), "role": "source"}
        repository = str((spec_of(owner).get("repository") or {}).get("repository") or "")
        self.plan.add(
            Measure(
                name=name, value=value, labels=base | {"operation": "maintenance", "repository": repository} | labels
            )
        )

    # ---- deletion

    def delete(self) -> Plan:
        owner = self.world.owner
        if FINALIZER not in (meta(owner).get("finalizers") or []):
            return self.plan
        rest = [each for each in (self.world.cron_job, *self.world.jobs) if each is not None]
        for each in rest:
            if not is_deleting(each):
                self.plan.add(Delete(obj=each))
        if self.world.cron_job is not None and not is_deleting(self.world.cron_job):
            self.measure("maintenance_cronjob_deleted_total")
        if rest:
            return self.plan.wait(2)
        self.release()
        left = [each for each in meta(owner)["finalizers"] if each != FINALIZER]
        change = {"metadata": {"finalizers": left or None, "resourceVersion": meta(owner).get("resourceVersion")}}
        return self.plan.add(Patch(obj=owner, change=change))

    # ---- results

    def take_results(self, spec: MaintenanceSpec) -> None:
        owner, known = self.world.owner, status_of(self.world.owner)
        if annotations_of(owner).get(RESET) == "true":
            self.status.set(maintenanceFailures=None)
            version = meta(owner).get("resourceVersion")
            self.event("FailuresReset", "the counter of failures was reset", once=str(version))
            self.plan.add(
                Patch(obj=owner, change={"metadata": {"annotations": {RESET: None}, "resourceVersion": version}})
            )
            # The status patch would conflict with the version that this change makes.
            self.plan.wait(0)
        ended = [each for each in self.world.jobs if has_ended(each)]
        new = sorted((each for each in ended if _moment(each) > _last(known)), key=_moment)
        for job in new:
            self._take(job, spec)
        if new:
            self.status.set(lastJob=f"{format_time(_moment(new[-1]))}/{uid_of(new[-1])}")
            self.release()

    def _take(self, job: Obj, spec: MaintenanceSpec) -> None:
        moment = _moment(job)
        manual = labels_of(job).get(TYPE_LABEL) == "manual"
        message = self._message(job)
        if is_true(job, "Complete"):
            self.status.set(lastMaintenanceTime=format_time(moment), maintenanceFailures=None)
            self.condition("MaintenanceHealthy", true=True, reason="Succeeded", message="Maintenance succeeded")
            reason = "ManualMaintenanceCompleted" if manual else "MaintenanceCompleted"
            self.event(reason, f"maintenance completed{f': {message}' if message else ''}", once=uid_of(job))
            self.measure("maintenance_operations_total", maintenance_type="manual" if manual else "scheduled")
            self.measure("maintenance_last_run_timestamp_seconds", moment.timestamp())
            begun = parse_time(status_of(job).get("startTime"))
            if begun is not None:
                self.measure("maintenance_job_duration_seconds", (moment - begun).total_seconds())
        else:
            failures = int(self.status.fields.get("maintenanceFailures") or 0) + 1
            self.status.set(maintenanceFailures=failures)
            self.condition(
                "MaintenanceHealthy", true=False, reason="MaintenanceFailed", message=message or "the Job failed"
            )
            reason = "ManualMaintenanceFailed" if manual else "CronJobFailed"
            self.event(reason, message or "the Job failed", warning=True, once=uid_of(job))
            self.measure("maintenance_cronjob_failures_total", failure_reason=self._code(job) or "unknown")
            if failures >= MANY_FAILURES:
                self.event(
                    "ExcessiveScheduledFailures",
                    f"maintenance failed {failures} times in a row and is tried once a day from now on; correct the cause, "
                    f'then annotate the object with {RESET}="true"',
                    warning=True,
                    once=str(failures),
                )
        if manual and manual_job_name(self.world.owner, manual_of(spec)) == name_of(job):
            self.status.set(lastManualSync=manual_of(spec))

    def _ended(self, job: Obj) -> Obj:
        pods = [
            each
            for each in self.world.pods
            if any(owner.get("uid") == uid_of(job) for owner in meta(each).get("ownerReferences") or [])
        ]
        newest = max(pods, key=lambda pod: str(meta(pod).get("creationTimestamp") or ""), default=None)
        return terminated_state(newest) if newest is not None else {}

    def _message(self, job: Obj) -> str:
        ended = self._ended(job)
        document = read_document(str(ended.get("message") or ""))
        failed = condition_of(job, "Failed") or {}
        return str(document.get("message") or ("" if is_true(job, "Complete") else failed.get("message") or ""))

    def _code(self, job: Obj) -> str:
        ended = self._ended(job)
        document = read_document(str(ended.get("message") or ""))
        return str(document.get("code") or CODES.get(int(ended.get("exitCode") or 0), ""))

    # ---- the CronJob

    def check(self, spec: MaintenanceSpec) -> None:
        world = self.world
        has_volume = bool(repository_in_volume(spec.mover_volumes, Keys(name="", version="")))
        check_secret(spec.repository.repository, namespace_of(world.owner), world.secret, has_volume=has_volume)
        ca = spec.repository.custom_ca
        if ca is not None and (ca.secret_name or ca.config_map_name):
            name = ca.secret_name or ca.config_map_name
            if world.ca is None or ca.key not in world.ca.names:
                raise InvalidObjectError(
                    f"customCA: {namespace_of(world.owner)}/{name} with key {ca.key} does not exist", kind="ca"
                )

    def apply(self, spec: MaintenanceSpec) -> None:
        world = self.world
        manual = manual_of(spec)
        wanted_cron = not manual and spec.enabled is not False
        if wanted_cron or manual:
            self._prerequisites(spec)
        existing = world.cron_job
        if not wanted_cron:
            if existing is not None and not is_deleting(existing):
                self.plan.add(Delete(obj=existing))
                self.measure("maintenance_cronjob_deleted_total")
            self.status.set(activeCronJob=None, nextScheduledMaintenance=None)
        else:
            self._cron_job(spec)
        if manual and spec.enabled is not False:
            self._manual(spec, manual)
        self._release_suspended(spec)
        active = [each for each in world.jobs if not has_ended(each)]
        running = [each for each in active if not spec_of(each).get("suspend")]
        self.condition(
            "Progressing",
            true=bool(running),
            reason="MaintenanceRunning" if running else "Idle",
            message=f"Job {name_of(running[0])} runs" if running else "No maintenance runs",
        )
        if spec.enabled is False:
            self.condition("Ready", true=False, reason="Disabled", message="spec.enabled is false")
        else:
            self.condition("Ready", true=True, reason="Ready", message="Maintenance is set up")
        if active:
            self.plan.wait(60)

    def _cron_job(self, spec: MaintenanceSpec) -> None:
        existing, wanted = self.world.cron_job, self.cron_job(spec)
        name = name_of(wanted)
        if existing is None:
            self.plan.add(Create(obj=wanted))
            self.event("CronJobCreated", f"created CronJob {name}", once=str(generation_of(self.world.owner)))
            self.measure("maintenance_cronjob_created_total")
            self.status.set(lastReconcileTime=format_time(self.now))
        elif not is_deleting(existing):
            same = annotations_of(existing).get(TEMPLATE) == annotations_of(wanted)[TEMPLATE]
            if not same:
                change = {
                    "metadata": {
                        "annotations": {TEMPLATE: annotations_of(wanted)[TEMPLATE]},
                        "resourceVersion": meta(existing).get("resourceVersion"),
                    },
                    "spec": wanted["spec"],
                }
                self.plan.add(Patch(obj=existing, change=change))
                self.measure("maintenance_cronjob_updated_total")
                self.status.set(lastReconcileTime=format_time(self.now))
            if spec.suspend:
                self.event(
                    "CronJobSuspended", f"CronJob {name} is suspended", once=str(generation_of(self.world.owner))
                )
        due = None
        if not spec.suspend:
            due = next_time(schedule_of(spec), self.now, zone=self.settings.timezone)
            self.plan.wait(max((due - self.now).total_seconds() + 1, 1))
        self.status.set(activeCronJob=name, nextScheduledMaintenance=format_time(due) if due else None)

    def _manual(self, spec: MaintenanceSpec, manual: str) -> None:
        if self.status.fields.get("lastManualSync") == manual:
            return
        name = manual_job_name(self.world.owner, manual)
        if any(name_of(each) == name for each in self.world.jobs):
            return
        template = self.pod(spec, "manual")
        metadata = self._metadata(name, "manual")
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": self._job_spec(spec, template)}
        self.plan.add(Create(obj=body))
        self.plan.wait(5)

    def _release_suspended(self, spec: MaintenanceSpec) -> None:
        """Start the oldest Job that waits, if its repository is not being maintained by another mover."""
        world = self.world
        waiting = [each for each in world.jobs if not has_ended(each) and spec_of(each).get("suspend")]
        running = [each for each in world.jobs if not has_ended(each) and not spec_of(each).get("suspend")]
        holder = f"{namespace_of(world.owner)}/{name_of(world.owner)}/{uid_of(world.owner)}"
        lease, name = world.lease, lease_of(world.owner, world.secret, world.repository_id)
        if running and lease is not None and (spec_of(lease).get("holderIdentity") == holder):
            version = meta(lease).get("resourceVersion")
            change = {"metadata": {"resourceVersion": version}, "spec": lease_spec(holder, self.now)}
            self.plan.add(Patch(obj=lease, change=change))
        if not waiting or running:
            return
        job = min(waiting, key=lambda each: str(meta(each).get("creationTimestamp") or ""))
        failures = int(self.status.fields.get("maintenanceFailures") or 0)
        is_manual = labels_of(job).get(TYPE_LABEL) == "manual"
        if failures >= MANY_FAILURES and not is_manual and self.now - _last(self.status.fields) < SLOW:
            self.plan.wait(600)
            return
        if not is_lease_free(lease, holder, self.now):
            self.event(
                "MaintenanceBlocked",
                "another mover maintains the same repository; this Job starts when that one has ended",
                once=uid_of(job),
            )
            self.plan.wait(15)
            return
        if lease is None:
            self.plan.add(Create(obj=lease_object(name, self.settings.namespace, holder, self.now), exclusive=True))
        else:
            version = meta(lease).get("resourceVersion")
            change = {"metadata": {"resourceVersion": version}, "spec": lease_spec(holder, self.now)}
            self.plan.add(Patch(obj=lease, change=change))
        version = meta(job).get("resourceVersion")
        self.plan.add(Patch(obj=job, change={"metadata": {"resourceVersion": version}, "spec": {"suspend": False}}))
        self.plan.wait(30)

    def release(self) -> None:
        """Give the Lease of the repository up, if this object holds it."""
        lease, owner = self.world.lease, self.world.owner
        holder = f"{namespace_of(owner)}/{name_of(owner)}/{uid_of(owner)}"
        if lease is not None and spec_of(lease).get("holderIdentity") == holder:
            version = meta(lease).get("resourceVersion")
            self.plan.add(
                Patch(obj=lease, change={"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": None}})
            )

    # ---- objects

    def _prerequisites(self, spec: MaintenanceSpec) -> None:
        owner = self.world.owner
        if not spec.service_account_name and self.world.account is None:
            self.plan.add(
                Create(
                    obj={
                        "apiVersion": "v1",
                        "kind": "ServiceAccount",
                        "metadata": metadata_for(owner, cron_job_name(owner)),
                        "automountServiceAccountToken": False,
                    }
                )
            )
        if _has_own_cache(spec) and self.world.cache is None:
            metadata = metadata_for(owner, maintenance_cache_name(owner))
            self.plan.add(
                Create(
                    obj=claim(
                        metadata,
                        size=str(spec.cache_capacity or "1Gi"),
                        modes=list(spec.cache_access_modes or ["ReadWriteOnce"]),
                        class_name=spec.cache_storage_class_name,
                    )
                )
            )

    def _metadata(self, name: str, kind: str) -> Obj:
        found = metadata_for(self.world.owner, name)
        found["labels"] |= self._labels(kind)
        return found

    def _labels(self, kind: str) -> dict[str, str]:
        return {LABEL: "true", NAME_LABEL: name_of(self.world.owner)[:LONGEST_LABEL], TYPE_LABEL: kind}

    def _job_spec(self, spec: MaintenanceSpec, template: Obj) -> Obj:
        return {
            "suspend": True,
            "backoffLimit": BACKOFF_LIMIT,
            "activeDeadlineSeconds": spec.active_deadline_seconds or DEADLINE,
            "podFailurePolicy": failure_policy(CONTAINER),
            "template": template,
        }

    def cron_job(self, spec: MaintenanceSpec) -> Obj:
        """Return the CronJob."""
        settings = self.settings
        kept, failed = spec.successful_jobs_history_limit, spec.failed_jobs_history_limit
        body: Obj = {
            "schedule": schedule_of(spec).strip(),
            "timeZone": settings.timezone,
            "concurrencyPolicy": "Forbid",
            "suspend": bool(spec.suspend),
            "successfulJobsHistoryLimit": kept if kept is not None else settings.kopia_successful_jobs_history_limit,
            "failedJobsHistoryLimit": failed if failed is not None else settings.kopia_failed_jobs_history_limit,
            "jobTemplate": {
                "metadata": {"labels": {CREATED_BY: "volsync", MANAGED_BY: "pykopia", **self._labels("scheduled")}},
                "spec": self._job_spec(spec, self.pod(spec, "scheduled")),
            },
        }
        metadata = self._metadata(cron_job_name(self.world.owner), "scheduled")
        metadata["annotations"] = {TEMPLATE: template_digest(body)}
        return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": body}

    def pod(self, spec: MaintenanceSpec, kind: str) -> Obj:
        """Return the Pod template."""
        world, owner = self.world, self.world.owner
        security = maintenance_security(world, spec, self.settings)
        parts = PodParts()
        variables = {
            "DIRECTION": "maintenance",
            "KOPIA_CACHE_DIR": "/cache",
            "PRIVILEGED_MOVER": "1" if security.privileged else "0",
        }
        if spec.metadata_cache_size_limit_mb is not None:
            variables["KOPIA_METADATA_CACHE_SIZE_LIMIT_MB"] = str(spec.metadata_cache_size_limit_mb)
        if spec.content_cache_size_limit_mb is not None:
            variables["KOPIA_CONTENT_CACHE_SIZE_LIMIT_MB"] = str(spec.content_cache_size_limit_mb)
        ca = spec.repository.custom_ca
        if ca is not None and (ca.secret_name or ca.config_map_name):
            variables["KOPIA_CUSTOM_CA"] = "/customCA/ca.crt"
        parts.set(variables)
        cache = spec.cache_pvc or (maintenance_cache_name(owner) if _has_own_cache(spec) else "")
        mount_cache(parts, cache, CACHE_SIZE)
        mount_tmp(parts)
        mount_ca(parts, ca)
        mount_more(parts, spec.mover_volumes)
        repository = repository_in_volume(spec.mover_volumes, world.secret)
        files = credential_files(world.secret, readable=security.reads_secret_files)
        add_secret(
            parts, spec.repository.repository, world.secret, files=files, security=security, repository=repository
        )
        options = PodOptions(
            image=self.settings.kopia_container_image,
            pull_policy=self.settings.mover_image_pull_policy,
            operations=(),
            security=security,
            service_account=spec.service_account_name or cron_job_name(owner),
            own_account=bool(spec.service_account_name),
            labels={**(spec.mover_pod_labels or {}), **self._labels(kind)},
            resources=spec.resources,
            affinity=spec.affinity,
            node_selector=spec.node_selector or {},
            tolerations=tuple(spec.tolerations or ()),
            container=CONTAINER,
        )
        return pod_template(parts, options)


def _has_own_cache(spec: MaintenanceSpec) -> bool:
    return not spec.cache_pvc and bool(
        spec.cache_capacity is not None or spec.cache_storage_class_name or spec.cache_access_modes
    )


def maintenance_security(world: MaintenanceWorld, spec: MaintenanceSpec, settings: Settings) -> Security:
    """Return the security contexts: as given, else those of the movers that write to the same repository."""
    secret = spec.repository.repository
    same = [
        each
        for each in world.sources
        if namespace_of(each) == namespace_of(world.owner) and repository_name(each) == secret
    ]
    given = spec.pod_security_context
    if given is None:
        given = _context_of(same)
    found = security_of(
        given,
        privileged=spec.pod_security_context is None and is_privileged(world.namespace),
        default_user=settings.mover_user,
        restricted=labels_of(world.namespace).get("pod-security.kubernetes.io/enforce") == "restricted",
        openshift=world.openshift,
    )
    if spec.container_security_context is None:
        return found
    return Security(
        pod=found.pod, container=found.container | spec.container_security_context, privileged=found.privileged
    )


def _context_of(sources: Sequence[Obj]) -> Obj | None:
    """Return the moverSecurityContext that all sources share, of several the newest one's."""
    if not sources:
        return None
    newest = max(sources, key=lambda each: str(meta(each).get("creationTimestamp") or ""))
    found: Obj | None = (spec_of(newest).get("kopia") or {}).get("moverSecurityContext")
    return found


def _moment(job: Obj) -> datetime:
    for kind in ("Complete", "Failed"):
        found = condition_of(job, kind)
        if found is not None and found.get("status") == "True":
            moment = parse_time(found.get("lastTransitionTime"))
            if moment is not None:
                return moment
    return EPOCH


EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _last(status: Obj) -> datetime:
    """Return when the newest Job ended whose result was taken over."""
    return parse_time(str(status.get("lastJob") or "").partition("/")[0]) or EPOCH
