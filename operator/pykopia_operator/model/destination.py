"""ReplicationDestination: which snapshot to restore, when, and into which volume."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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
    rules,
)


class SourceIdentity(Model):
    """The ReplicationSource whose snapshots are restored."""

    source_name: Annotated[str | None, doc("Name of the ReplicationSource.")] = None
    source_namespace: Annotated[str | None, doc("Its namespace. Default: the namespace of this object.")] = None
    source_pvc_name: Annotated[str | None, doc("Its volume; used only to find snapshots of older operators.")] = (
        msgspec.field(name="sourcePVCName", default=None)
    )
    source_path_override: Annotated[
        str | None, doc("Path that its snapshots are recorded under. Default: that of the ReplicationSource.")
    ] = None


class DestinationKopia(MoverOptions, kw_only=True):
    """The kopia section of a ReplicationDestination."""

    copy_method: Annotated[
        Literal["Direct", "None", "Snapshot"],
        doc(
            "Snapshot (default): a VolumeSnapshot of the restored volume is latestImage. Direct: the volume itself is."
        ),
    ] = "Snapshot"
    destination_pvc: Annotated[str | None, doc("Existing PersistentVolumeClaim to restore into.")] = msgspec.field(
        name="destinationPVC", default=None
    )
    cleanup_temp_pvc: Annotated[
        bool, doc("Delete the volume that was created for the restore once its snapshot exists.")
    ] = msgspec.field(name="cleanupTempPVC", default=False)
    cleanup_cache_pvc: Annotated[bool, doc("Delete the cache volume after each successful restore.")] = msgspec.field(
        name="cleanupCachePVC", default=False
    )
    restore_as_of: Annotated[
        str | None,
        doc(
            "Restore the newest snapshot that is not later than this RFC 3339 time.",
            extra_json_schema={"format": "date-time"},
        ),
    ] = None
    shallow: Annotated[NonNegative | None, doc("How many of the newest snapshots to consider; 0: none.")] = None
    previous: Annotated[NonNegative | None, doc("How many of the newest snapshots to skip. Default 0.")] = None
    enable_file_deletion: Annotated[bool, doc("Remove files that are not in the snapshot.")] = False
    source_identity: Annotated[SourceIdentity | None, doc("ReplicationSource whose snapshots are restored.")] = None
    on_missing_snapshot: Annotated[
        Literal["Auto", "Continue", "Fail"],
        doc(
            "What to do if the source has no snapshot. Continue: succeed without data. Fail: fail. "
            "Auto (default): succeed without data only if there provably never was a backup."
        ),
    ] = "Auto"


class DestinationSpec(Model):
    """Specification of a ReplicationDestination."""

    trigger: Annotated[Trigger | None, doc("When to run.")] = None
    paused: Annotated[bool, doc("No new run starts while true; a running mover is suspended.")] = False
    kopia: Annotated[
        DestinationKopia | None,
        doc(
            "Restore from a Kopia repository.",
            extra_json_schema=rules(
                ("has(self.username) == has(self.hostname)", "username and hostname must be given together")
            ),
        ),
    ] = None
    external: Annotated[External | None, doc("Another operator that handles this object.")] = None
    rclone: Annotated[OpenObject | None, doc("Replication by rclone. Not handled by this operator.")] = None
    restic: Annotated[OpenObject | None, doc("Restore by restic. Not handled by this operator.")] = None
    rsync: Annotated[OpenObject | None, doc("Replication by rsync. Not handled by this operator.")] = None
    rsync_tls: Annotated[OpenObject | None, doc("Replication by rsync. Not handled by this operator.")] = msgspec.field(
        name="rsyncTLS", default=None
    )


class AvailableIdentity(Model):
    """An identity that has snapshots in the repository."""

    identity: str
    snapshot_count: int | None = None
    latest_snapshot: Time | None = None


class RestoredSnapshot(Model):
    """The snapshot that was restored."""

    id: Annotated[str | None, doc("Snapshot ID.")] = None
    identity: Annotated[str | None, doc("Identity of the snapshot.")] = None
    start: Annotated[str | None, doc("When the snapshot started.")] = None
    files: Annotated[int | None, doc("Files that were written.")] = None
    bytes: Annotated[int | None, doc("Bytes that were written.")] = None


class DestinationKopiaStatus(Model):
    """Status of the kopia section of a ReplicationDestination."""

    requested_identity: Annotated[str | None, doc("Identity whose snapshots were looked for.")] = None
    snapshots_found: Annotated[int | None, doc("Snapshots that were found for it.")] = None
    available_identities: Annotated[
        Annotated[list[AvailableIdentity], Meta(max_length=50)] | None,
        doc("Identities in the repository, if none matched."),
    ] = None
    last_configured_metadata: Annotated[int | None, doc("Kept for compatibility.")] = msgspec.field(
        name="lastConfiguredMetadataCacheSizeLimitMB", default=None
    )
    last_configured_content: Annotated[int | None, doc("Kept for compatibility.")] = msgspec.field(
        name="lastConfiguredContentCacheSizeLimitMB", default=None
    )
    restored_snapshot: Annotated[RestoredSnapshot | None, doc("The snapshot that was restored.")] = None
    result: Annotated[Literal["restored", "no-data"] | None, doc("What the last run did.")] = None
    repository_id: Annotated[str | None, doc("Unique ID of the repository.")] = msgspec.field(
        name="repositoryID", default=None
    )
    consecutive_failures: Annotated[int | None, doc("Failed movers in a row.")] = None
    last_failure: Annotated[LastFailure | None, doc("The newest failure.")] = None


class ImageReference(Model, kw_only=True):
    """Reference to the VolumeSnapshot or PersistentVolumeClaim that holds the restored data."""

    api_group: str | None = None
    kind: str
    name: str


class DestinationStatus(CommonStatus, kw_only=True):
    """Status of a ReplicationDestination."""

    latest_image: Annotated[ImageReference | None, doc("Holds the data of the last restore.")] = None
    kopia: Annotated[DestinationKopiaStatus | None, doc("Status of the Kopia restore.")] = None
    rclone: OpenObject | None = None
    restic: OpenObject | None = None
    rsync: OpenObject | None = None
    rsync_tls: OpenObject | None = msgspec.field(name="rsyncTLS", default=None)
