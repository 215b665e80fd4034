"""Types that several custom resources share: volumes, triggers, movers, conditions."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

SCHEDULE_PATTERN: Final = (
    r"^\s*(@(annually|yearly|monthly|weekly|daily|hourly)"
    r"|((\*|[0-9]+(-[0-9]+)?)(/[0-9]+)?(,(\*|[0-9]+(-[0-9]+)?)(/[0-9]+)?)*)"
    r"(\s+(\*|[0-9]+(-[0-9]+)?)(/[0-9]+)?(,(\*|[0-9]+(-[0-9]+)?)(/[0-9]+)?)*){4})\s*$"
)
"""Five fields of numbers, lists, ranges and steps, or a name such as ``@daily``."""

AccessMode = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]

Quantity = Annotated[
    str | int,
    Meta(
        extra_json_schema={
            "x-kubernetes-int-or-string": True,
            "pattern": r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
        }
    ),
]

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

OpenObject = Annotated[dict[str, Any], Meta(extra_json_schema={"x-kubernetes-preserve-unknown-fields": True})]
"""An object whose schema is Kubernetes' own; the API server validates it when the Pod is created."""

Name = Annotated[str, Meta(max_length=253)]

NonNegative = Annotated[int, Meta(ge=0)]

AccessModes = Annotated[list[AccessMode], Meta(min_length=1)]


def doc(text: str, **more: Any) -> Meta:  # noqa: ANN401 -- what Meta takes
    """Return the description of a field, with further constraints."""
    return Meta(description=text, **more)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return CEL rules with their messages, for an object."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


class Model(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """Base of all models: unknown fields are ignored, absent fields are None."""


class Trigger(Model):
    """When to run. Without schedule and manual the next run starts as soon as the last one has ended."""

    schedule: Annotated[
        str | None,
        doc(
            "Cron schedule of five fields (numbers, lists, ranges, steps) or @hourly, @daily, @weekly, @monthly, "
            "@yearly, @annually. "
            "Evaluated in the operator's time zone, UTC by default.",
            extra_json_schema={"pattern": SCHEDULE_PATTERN},
        ),
    ] = None
    manual: Annotated[str | None, doc("Runs once for each new value. Takes precedence over schedule.")] = None


class External(Model):
    """Names another operator as the one that handles this object."""

    provider: Annotated[str | None, doc("Name of the operator that handles this object, such as pykopia.")] = None
    parameters: Annotated[
        dict[str, str] | None,
        doc("Fields of the kopia section by their dotted paths, used where the CRD has no kopia section."),
    ] = None


class CustomCA(Model):
    """Authority certificates for TLS connections to the repository."""

    secret_name: Annotated[Name | None, doc("Secret in the same namespace that holds the certificates.")] = None
    config_map_name: Annotated[Name | None, doc("ConfigMap in the same namespace that holds the certificates.")] = None
    key: Annotated[str | None, doc("Key of the Secret or ConfigMap, such as ca.crt.")] = None


CustomCAField = Annotated[
    CustomCA | None,
    doc(
        "Authority certificates to trust for TLS connections to the repository.",
        extra_json_schema=rules(
            ("!(has(self.secretName) && has(self.configMapName))", "set secretName or configMapName, not both")
        ),
    ),
]


class PolicyConfig(Model):
    """Kopia policy files for the repository."""

    config_map_name: Annotated[Name | None, doc("ConfigMap in the same namespace with the policy files.")] = None
    secret_name: Annotated[Name | None, doc("Secret in the same namespace with the policy files.")] = None
    global_policy_filename: Annotated[str, doc("Key of the global policy file. Default global-policy.json.")] = (
        "global-policy.json"
    )
    repository_config_filename: Annotated[
        str, doc("Key of the repository configuration file. Default repository.config.")
    ] = "repository.config"
    repository_config: Annotated[str | None, doc("Kopia connection document as inline JSON.")] = None


PolicyConfigField = Annotated[
    PolicyConfig | None,
    doc(
        "Kopia policy files, from a ConfigMap or a Secret.",
        extra_json_schema=rules(
            ("!(has(self.secretName) && has(self.configMapName))", "set configMapName or secretName, not both")
        ),
    ),
]


class MoverVolume(Model):
    """A further volume of the mover, mounted below /mnt."""

    mount_path: Annotated[str, doc("Where the volume is mounted, relative to /mnt/.")] = ""
    volume_source: Annotated[
        OpenObject, doc("One of persistentVolumeClaim {claimName}, secret {secretName} and nfs {server, path}.")
    ] = msgspec.field(default_factory=dict)


class MoverOptions(Model):
    """The fields that shape the mover's Pod and that ReplicationSource and ReplicationDestination share."""

    repository: Annotated[
        Name | None, doc("Secret in the same namespace that holds the location and the password of the repository.")
    ] = None
    capacity: Annotated[Quantity | None, doc("Size of the volume that is created.")] = None
    storage_class_name: Annotated[str | None, doc("StorageClass of the volume that is created.")] = None
    access_modes: Annotated[AccessModes | None, doc("Access modes of the volume that is created.")] = None
    volume_snapshot_class_name: Annotated[str | None, doc("VolumeSnapshotClass, where copyMethod is Snapshot.")] = None
    cache_capacity: Annotated[Quantity | None, doc("Size of the cache volume. Default 1Gi.")] = None
    cache_storage_class_name: Annotated[
        str | None, doc("StorageClass of the cache. Default: storageClassName, then that of the data volume.")
    ] = None
    cache_access_modes: Annotated[
        AccessModes | None,
        doc("Access modes of the cache. Default: accessModes, then those of the data volume."),
    ] = None
    metadata_cache_size_limit_mb: Annotated[
        NonNegative | None,
        doc("Limit of the metadata cache in MB. Default 70 % of the capacity; 0: unlimited."),
    ] = msgspec.field(name="metadataCacheSizeLimitMB", default=None)
    content_cache_size_limit_mb: Annotated[
        NonNegative | None,
        doc("Limit of the content cache in MB. Default 20 % of the capacity; 0: unlimited."),
    ] = msgspec.field(name="contentCacheSizeLimitMB", default=None)
    custom_ca: CustomCAField = msgspec.field(name="customCA", default=None)
    policy_config: PolicyConfigField = None
    username: Annotated[Name | None, doc("User of the snapshots. Default: the namespace.")] = None
    hostname: Annotated[Name | None, doc("Host of the snapshots. Default: the name of the object.")] = None
    additional_args: Annotated[
        Annotated[list[str], Meta(max_length=20)] | None, doc("Further flags of Kopia's commands, at most 20.")
    ] = None
    mover_security_context: Annotated[OpenObject | None, doc("PodSecurityContext of the mover.")] = None
    mover_service_account: Annotated[
        Name | None, doc("Existing ServiceAccount for the mover. Default: one without rights is created.")
    ] = None
    mover_pod_labels: Annotated[dict[str, str] | None, doc("Labels for the mover's Pod.")] = None
    mover_resources: Annotated[OpenObject | None, doc("Resource requests and limits of the mover.")] = None
    mover_affinity: Annotated[OpenObject | None, doc("Affinity of the mover's Pod.")] = None
    mover_volumes: Annotated[
        list[MoverVolume] | None,
        doc("Further volumes, mounted below /mnt. A persistent volume or NFS share can hold the repository."),
    ] = None


class Condition(Model):
    """A condition of the object."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: Time
    observed_generation: int | None = None


ConditionList = Annotated[
    list[Condition] | None,
    doc(
        "Latest observations of the object's state.",
        extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class MoverStatus(Model):
    """Result of the newest mover that ended."""

    result: Annotated[Literal["Successful", "Failed"] | None, doc("Whether the mover succeeded.")] = None
    logs: Annotated[str | None, doc("The end of the mover's log, or why it failed.")] = None


class LastFailure(Model):
    """The newest failure of a mover."""

    time: Annotated[Time | None, doc("When the mover failed.")] = None
    code: Annotated[str | None, doc("Name of the mover's exit code, such as auth or unreachable.")] = None
    message: Annotated[str | None, doc("What happened and what to do.")] = None
    inputs: Annotated[
        str | None, doc("Digest of the versions of the objects that the run used; a change allows the next attempt.")
    ] = None


class CommonStatus(Model):
    """Status fields that ReplicationSource and ReplicationDestination share."""

    last_sync_start_time: Annotated[Time | None, doc("When the running synchronization started.")] = None
    last_sync_time: Annotated[Time | None, doc("When the last successful synchronization ended.")] = None
    last_sync_duration: Annotated[str | None, doc("How long the last successful synchronization took.")] = None
    next_sync_time: Annotated[Time | None, doc("When the next scheduled synchronization is due.")] = None
    last_manual_sync: Annotated[str | None, doc("The value of trigger.manual of the last run that ended.")] = None
    latest_mover_status: Annotated[MoverStatus | None, doc("Result of the newest mover.")] = None
    conditions: ConditionList = None
    external: Annotated[dict[str, str] | None, doc("Status of external providers.")] = None
