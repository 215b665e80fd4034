"""KopiaMaintenance: maintenance of one repository by its own schedule."""

from typing import Annotated

import msgspec
from msgspec import Meta

from pykopia_operator.model.common import (
    SCHEDULE_PATTERN,
    AccessModes,
    ConditionList,
    CustomCAField,
    Model,
    MoverVolume,
    Name,
    NonNegative,
    OpenObject,
    Quantity,
    Time,
    Trigger,
    doc,
    rules,
)


class MaintenanceRepository(Model):
    """The repository to maintain."""

    repository: Annotated[Name, doc("Secret in the same namespace that holds the location and the password.")]
    custom_ca: CustomCAField = msgspec.field(name="customCA", default=None)
    repository_type: Annotated[str | None, doc("Kind of storage, for information.")] = None


class MaintenanceSpec(Model):
    """Specification of a KopiaMaintenance."""

    repository: Annotated[MaintenanceRepository, doc("The repository to maintain.")]
    trigger: Annotated[
        Trigger | None,
        doc(
            "When to run.",
            extra_json_schema=rules(("!(has(self.schedule) && has(self.manual))", "set schedule or manual, not both")),
        ),
    ] = None
    schedule: Annotated[
        str | None,
        doc("Old form of trigger.schedule. Default 0 2 * * *.", extra_json_schema={"pattern": SCHEDULE_PATTERN}),
    ] = None
    enabled: Annotated[bool | None, doc("No maintenance runs while false. Default true.")] = None
    suspend: Annotated[bool | None, doc("Suspends the CronJob.")] = None
    successful_jobs_history_limit: Annotated[NonNegative | None, doc("Successful Jobs to keep. Default 3.")] = None
    failed_jobs_history_limit: Annotated[NonNegative | None, doc("Failed Jobs to keep. Default 1.")] = None
    active_deadline_seconds: Annotated[
        Annotated[int, Meta(ge=600)] | None, doc("Seconds after which a run is stopped. Default 10800.")
    ] = None
    resources: Annotated[OpenObject | None, doc("Resource requests and limits.")] = None
    service_account_name: Annotated[Name | None, doc("Existing ServiceAccount.")] = None
    mover_pod_labels: Annotated[dict[str, str] | None, doc("Labels for the Pod.")] = None
    node_selector: Annotated[dict[str, str] | None, doc("Node selector of the Pod.")] = None
    tolerations: Annotated[list[OpenObject] | None, doc("Tolerations of the Pod.")] = None
    affinity: Annotated[OpenObject | None, doc("Affinity of the Pod.")] = None
    mover_volumes: Annotated[list[MoverVolume] | None, doc("Further volumes, mounted below /mnt.")] = None
    pod_security_context: Annotated[OpenObject | None, doc("PodSecurityContext of the Pod.")] = None
    container_security_context: Annotated[OpenObject | None, doc("SecurityContext of the container.")] = None
    cache_capacity: Annotated[Quantity | None, doc("Size of the cache volume.")] = None
    cache_storage_class_name: Annotated[str | None, doc("StorageClass of the cache.")] = None
    cache_access_modes: Annotated[AccessModes | None, doc("Access modes of the cache.")] = None
    metadata_cache_size_limit_mb: Annotated[NonNegative | None, doc("Limit of the metadata cache in MB.")] = (
        msgspec.field(name="metadataCacheSizeLimitMB", default=None)
    )
    content_cache_size_limit_mb: Annotated[NonNegative | None, doc("Limit of the content cache in MB.")] = (
        msgspec.field(name="contentCacheSizeLimitMB", default=None)
    )
    cache_pvc: Annotated[Name | None, doc("Existing PersistentVolumeClaim to use as the cache.")] = msgspec.field(
        name="cachePVC", default=None
    )


class MaintenanceStatus(Model):
    """Status of a KopiaMaintenance."""

    observed_generation: int | None = None
    active_cron_job: Annotated[str | None, doc("CronJob that runs maintenance.")] = None
    last_reconcile_time: Annotated[Time | None, doc("When the CronJob was last changed.")] = None
    last_maintenance_time: Annotated[Time | None, doc("When maintenance last succeeded.")] = None
    next_scheduled_maintenance: Annotated[Time | None, doc("When maintenance is due.")] = None
    maintenance_failures: Annotated[int | None, doc("Failures in a row.")] = None
    last_manual_sync: Annotated[str | None, doc("The value of trigger.manual of the last run that ended.")] = None
    last_job: Annotated[str | None, doc("UID of the newest Job whose result was taken over.")] = None
    conditions: ConditionList = None
