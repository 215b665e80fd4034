"""ReplicationSource: what to back up, when, and into which repository."""

from typing import Annotated, Literal

import msgspec

from pykopia_operator.model.common import (
    CommonStatus,
    External,
    LastFailure,
    Model,
    MoverOptions,
    NonNegative,
    OpenObject,
    Time,
    Trigger,
    doc,
)


class Retain(Model):
    """How many snapshots to keep. A field that is absent inherits the repository's policy; 0 keeps none of its kind."""

    hourly: Annotated[NonNegative | None, doc("Hourly snapshots to keep.")] = None
    daily: Annotated[NonNegative | None, doc("Daily snapshots to keep.")] = None
    weekly: Annotated[NonNegative | None, doc("Weekly snapshots to keep.")] = None
    monthly: Annotated[NonNegative | None, doc("Monthly snapshots to keep.")] = None
    yearly: Annotated[NonNegative | None, doc("Yearly snapshots to keep.")] = None
    latest: Annotated[NonNegative | None, doc("Newest snapshots to keep whatever their age.")] = None


class Actions(Model):
    """Commands that run in the mover's container around the snapshot; the volume is at /data."""

    before_snapshot: Annotated[
        str | None, doc("Shell command before the snapshot. If it fails, no snapshot is taken.")
    ] = None
    after_snapshot: Annotated[str | None, doc("Shell command after the snapshot, also after a failed one.")] = None


class SourceKopia(MoverOptions, kw_only=True):
    """The kopia section of a ReplicationSource."""

    copy_method: Annotated[
        Literal["Direct", "None", "Clone", "Snapshot"],
        doc("How a point-in-time image of the volume is made. None is the old name of Direct. Default Snapshot."),
    ] = "Snapshot"
    retain: Annotated[Retain | None, doc("How many snapshots to keep.")] = None
    compression: Annotated[str | None, doc("Compression: zstd (default), gzip, s2, none, or any name of Kopia.")] = None
    parallelism: Annotated[NonNegative | None, doc("Files that are read and uploaded at once. Default 1.")] = None
    maintenance_interval_days: Annotated[
        NonNegative | None, doc("Days between maintenance runs. Default 7; 0: never.")
    ] = None
    actions: Annotated[Actions | None, doc("Commands before and after the snapshot.")] = None
    source_path_override: Annotated[
        str | None,
        doc("Absolute path that snapshots are recorded under. Default /data.", extra_json_schema={"pattern": "^/.*"}),
    ] = None


class SourceSpec(Model):
    """Specification of a ReplicationSource."""

    source_pvc: Annotated[str | None, doc("PersistentVolumeClaim to back up.")] = msgspec.field(
        name="sourcePVC", default=None
    )
    trigger: Annotated[Trigger | None, doc("When to run.")] = None
    paused: Annotated[bool, doc("No new run starts while true; a running mover is suspended.")] = False
    kopia: Annotated[SourceKopia | None, doc("Backup into a Kopia repository.")] = None
    external: Annotated[External | None, doc("Another operator that handles this object.")] = None
    rclone: Annotated[OpenObject | None, doc("Replication by rclone. Not handled by this operator.")] = None
    restic: Annotated[OpenObject | None, doc("Backup by restic. Not handled by this operator.")] = None
    rsync: Annotated[OpenObject | None, doc("Replication by rsync. Not handled by this operator.")] = None
    rsync_tls: Annotated[OpenObject | None, doc("Replication by rsync. Not handled by this operator.")] = msgspec.field(
        name="rsyncTLS", default=None
    )
    syncthing: Annotated[OpenObject | None, doc("Synchronization by Syncthing. Not handled by this operator.")] = None


class LastSnapshot(Model):
    """The newest snapshot that a run took."""

    id: Annotated[str | None, doc("Snapshot ID.")] = None
    start: Annotated[str | None, doc("When the snapshot started.")] = None
    end: Annotated[str | None, doc("When the snapshot ended.")] = None
    files: Annotated[int | None, doc("Files in the snapshot.")] = None
    bytes: Annotated[int | None, doc("Total size of the files.")] = None
    new_bytes: Annotated[int | None, doc("Bytes that were uploaded.")] = None
    errors: Annotated[int | None, doc("Entries that could not be read.")] = None


class SourceKopiaStatus(Model):
    """Status of the kopia section of a ReplicationSource."""

    last_maintenance: Annotated[Time | None, doc("Newest time at which maintenance is known to have succeeded.")] = None
    next_scheduled_maintenance: Annotated[Time | None, doc("When maintenance is due.")] = None
    maintenance_failures: Annotated[int | None, doc("Failures of maintenance in a row.")] = None
    kopia_maintenance: Annotated[str | None, doc("KopiaMaintenance that covers the repository.")] = None
    last_configured_metadata: Annotated[int | None, doc("Kept for compatibility.")] = msgspec.field(
        name="lastConfiguredMetadataCacheSizeLimitMB", default=None
    )
    last_configured_content: Annotated[int | None, doc("Kept for compatibility.")] = msgspec.field(
        name="lastConfiguredContentCacheSizeLimitMB", default=None
    )
    identity: Annotated[str | None, doc("Identity user@host:path of the snapshots, pinned by the first backup.")] = None
    identity_adopted: Annotated[bool | None, doc("The identity was continued from an earlier operator.")] = None
    repository_id: Annotated[str | None, doc("Unique ID of the repository.")] = msgspec.field(
        name="repositoryID", default=None
    )
    last_snapshot: Annotated[LastSnapshot | None, doc("The newest snapshot.")] = None
    consecutive_failures: Annotated[int | None, doc("Failed movers in a row.")] = None
    last_failure: Annotated[LastFailure | None, doc("The newest failure.")] = None


class SourceStatus(CommonStatus, kw_only=True):
    """Status of a ReplicationSource."""

    kopia: Annotated[SourceKopiaStatus | None, doc("Status of the Kopia backup.")] = None
    rclone: OpenObject | None = None
    restic: OpenObject | None = None
    rsync: OpenObject | None = None
    rsync_tls: OpenObject | None = msgspec.field(name="rsyncTLS", default=None)
    syncthing: OpenObject | None = None
