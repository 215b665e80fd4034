"""Volumes: point-in-time copies of sources, volumes and images of destinations."""

from typing import Final

from pykopia_operator.decide.names import copy_name, metadata_for
from pykopia_operator.decide.objects import Obj, name_of, namespace_of, spec_of, status_of
from pykopia_operator.decide.quantities import parse_quantity
from pykopia_operator.model.common import MoverOptions

DIRECT: Final = ("Direct", "None")
SNAPSHOT_API: Final = "snapshot.storage.k8s.io"


def storage_class(volume: Obj | None) -> str | None:
    """Return the StorageClass of a volume, None if it has none."""
    return None if volume is None else spec_of(volume).get("storageClassName")


def access_modes(volume: Obj | None) -> list[str]:
    """Return the access modes of a volume."""
    return [] if volume is None else list(spec_of(volume).get("accessModes") or [])


def requested_size(volume: Obj | None) -> str:
    """Return the size that a volume was requested with."""
    if volume is None:
        return ""
    return str(((spec_of(volume).get("resources") or {}).get("requests") or {}).get("storage") or "")


def real_size(volume: Obj | None) -> str:
    """Return the size that a volume has, empty before it is bound."""
    return "" if volume is None else str((status_of(volume).get("capacity") or {}).get("storage") or "")


def is_bound(volume: Obj) -> bool:
    """Return True if a volume is bound."""
    return status_of(volume).get("phase") == "Bound"


def waits_for_consumer(volume: Obj, classes: dict[str, Obj]) -> bool:
    """Return True if a volume is bound only when a Pod uses it."""
    found = classes.get(storage_class(volume) or "")
    return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"


def is_read_only(volume: Obj | None) -> bool:
    """Return True if all access modes of a volume are ReadOnlyMany."""
    modes = access_modes(volume)
    return bool(modes) and set(modes) == {"ReadOnlyMany"}


def claim(metadata: Obj, *, size: str, modes: list[str], class_name: str | None, origin: Obj | None = None) -> Obj:
    """Return a PersistentVolumeClaim.

    Args:
        metadata: of the claim.
        size: that it requests.
        modes: access modes.
        class_name: StorageClass; None: the cluster's default.
        origin: what it is made from.
    """
    spec: Obj = {"accessModes": modes, "resources": {"requests": {"storage": size}}}
    if class_name is not None:
        spec["storageClassName"] = class_name
    if origin is not None:
        spec["dataSource"] = origin
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def source_snapshot(owner: Obj, volume: Obj, kopia: MoverOptions, run: str) -> Obj:
    """Return the VolumeSnapshot of a source's volume."""
    return volume_snapshot(metadata_for(owner, copy_name(owner), run=run), volume, kopia.volume_snapshot_class_name)


def volume_snapshot(metadata: Obj, volume: Obj, class_name: str | None) -> Obj:
    """Return a VolumeSnapshot of a volume."""
    spec: Obj = {"source": {"persistentVolumeClaimName": name_of(volume)}}
    if class_name:
        spec["volumeSnapshotClassName"] = class_name
    return {"apiVersion": f"{SNAPSHOT_API}/v1", "kind": "VolumeSnapshot", "metadata": metadata, "spec": spec}


def source_copy(
    owner: Obj, volume: Obj, snapshot: Obj | None, kopia: MoverOptions, run: str, classes: dict[str, Obj]
) -> Obj:
    """Return the point-in-time volume of a source: from its snapshot, or a clone when there is none.

    Size: as given, else as the snapshot needs, else as the source has, else as the source requested.
    """
    size = str(kopia.capacity) if kopia.capacity is not None else _largest(snapshot, volume)
    modes = list(kopia.access_modes or access_modes(volume))
    class_name = kopia.storage_class_name or storage_class(volume)
    if is_shallow_class(classes.get(class_name or "")):
        modes = ["ReadOnlyMany"]
    if snapshot is not None:
        origin = {"apiGroup": SNAPSHOT_API, "kind": "VolumeSnapshot", "name": name_of(snapshot)}
    else:
        origin = {"kind": "PersistentVolumeClaim", "name": name_of(volume)}
    return claim(
        metadata_for(owner, copy_name(owner), run=run), size=size, modes=modes, class_name=class_name, origin=origin
    )


def is_shallow_class(found: Obj | None) -> bool:
    """Return True for a class whose volumes from snapshots are shallow and read-only, as CephFS offers them."""
    return found is not None and (found.get("parameters") or {}).get("backingSnapshot") == "true"


def _largest(snapshot: Obj | None, volume: Obj) -> str:
    restore = str(status_of(snapshot or {}).get("restoreSize") or "")
    sizes = [each for each in (restore if restore != "0" else "", real_size(volume), requested_size(volume)) if each]
    if not sizes:
        return "1Gi"
    first = sizes[0]
    # A snapshot's size may be that of its data on some drivers; a volume must never be smaller than its source.
    known = real_size(volume) or requested_size(volume)
    return known if known and parse_quantity(known) > parse_quantity(first) else first


def is_snapshot_ready(snapshot: Obj) -> bool:
    """Return True if a VolumeSnapshot is bound and ready to use (O-092)."""
    status = status_of(snapshot)
    return bool(status.get("boundVolumeSnapshotContentName")) and status.get("readyToUse") is True


def is_snapshot_usable(snapshot: Obj) -> bool:
    """Return True if a volume can be made from a VolumeSnapshot: bound, and not known to be unready."""
    status = status_of(snapshot)
    return bool(status.get("boundVolumeSnapshotContentName")) and status.get("readyToUse") is not False


def snapshot_error(snapshot: Obj) -> str:
    """Return what the snapshot controller says is wrong, empty if nothing."""
    return str((status_of(snapshot).get("error") or {}).get("message") or "")


def destination_volume(owner: Obj, kopia: MoverOptions, run: str, *, temporary: bool) -> Obj:
    """Return the volume that a destination makes for itself."""
    metadata = metadata_for(owner, copy_name(owner), run=run if temporary else "")
    return claim(
        metadata,
        size=str(kopia.capacity),
        modes=list(kopia.access_modes or []),
        class_name=kopia.storage_class_name,
    )


def image_reference(image: Obj) -> Obj:
    """Return the reference of ``status.latestImage``."""
    if image["kind"] == "VolumeSnapshot":
        return {"apiGroup": SNAPSHOT_API, "kind": "VolumeSnapshot", "name": name_of(image)}
    return {"apiGroup": "", "kind": "PersistentVolumeClaim", "name": name_of(image)}


def same_object(first: Obj, second: Obj) -> bool:
    """Return True if both have the same kind, namespace and name."""
    return (first.get("kind"), namespace_of(first), name_of(first)) == (
        second.get("kind"),
        namespace_of(second),
        name_of(second),
    )
