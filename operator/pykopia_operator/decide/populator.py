"""The volume populator: volumes that are filled from the latest image of a ReplicationDestination."""

from dataclasses import dataclass
from typing import Any, Final

from pykopia_operator.decide.names import CREATED_BY, MANAGED_BY
from pykopia_operator.decide.objects import (
    Obj,
    annotations_of,
    condition_of,
    is_deleting,
    labels_of,
    meta,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)
from pykopia_operator.decide.plan import Create, Delete, Event, Patch, Plan
from pykopia_operator.decide.statuses import kopia_status
from pykopia_operator.decide.volumes import SNAPSHOT_API, access_modes, is_snapshot_ready, requested_size, storage_class

PREFIX: Final = "vs-prime-"
POPULATED_FROM: Final = "volsync.backube/populated-from"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
FOR_LABEL: Final = "volsync.backube/populator-pvc-for"
SNAPSHOT_LABEL: Final = "volsync.backube/volpop-pvc-"
GROUP: Final = "volsync.backube"
POPULATOR: Final = {
    "apiVersion": "populator.storage.k8s.io/v1beta1",
    "kind": "VolumePopulator",
    "metadata": {"name": "volsync-replicationdestination", "labels": {MANAGED_BY: "pykopia"}},
    "sourceKind": {"group": GROUP, "kind": "ReplicationDestination"},
}
RECHECK: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PopulatorWorld:
    """The objects around a volume that wants to be populated."""

    volume: Obj
    destination: Obj | None = None
    prime: Obj | None = None
    """The helper volume that is made from the image."""
    prime_volume: Obj | None = None
    """The PersistentVolume of the helper."""
    image: Obj | None = None
    """The VolumeSnapshot that is the latest image."""
    storage_class: Obj | None = None


def destination_of(volume: Obj) -> str:
    """Return the ReplicationDestination that a volume is to be filled from, empty if it is none."""
    reference = spec_of(volume).get("dataSourceRef") or {}
    if reference.get("kind") != "ReplicationDestination" or reference.get("apiGroup") != GROUP:
        return ""
    other = reference.get("namespace")
    return "" if other and other != namespace_of(volume) else str(reference.get("name") or "")


def prime_name(volume: Obj) -> str:
    """Return the name of the helper volume."""
    return PREFIX + uid_of(volume)


def decide_population(world: PopulatorWorld) -> Plan:
    """Return what is to be done for a volume whose data source is a ReplicationDestination."""
    volume, plan = world.volume, Plan()
    name = destination_of(volume)
    if not name or is_deleting(volume):
        return _drop_prime(plan, world)
    if spec_of(volume).get("volumeName"):
        return _finish(plan, world)
    if world.prime is not None and world.prime_volume is not None:
        return _rebind(plan, world, world.prime_volume)
    if world.destination is None:
        return _wait(
            plan, world, "Missing", f"ReplicationDestination {namespace_of(volume)}/{name} does not exist; create it"
        )
    why = why_not_ready(world.destination)
    if why:
        return _wait(plan, world, "NoLatestImage", why)
    if world.image is None or not is_snapshot_ready(world.image):
        return _wait(plan, world, "NoLatestImage", f"the latest image of {name} is not ready to use yet")
    late = (world.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    node = annotations_of(volume).get(SELECTED_NODE)
    if late and not node:
        return plan
    if world.prime is None:
        prime = prime_claim(volume, world.image, node=node)
        plan.add(
            Create(obj=prime),
            _event(volume, "VolSyncPopulatorPVCCreated", f"created PersistentVolumeClaim {name_of(prime)}"),
            _keep(world.image, volume),
        )
    return plan.wait(10)


def why_not_ready(destination: Obj) -> str:
    """Return why a destination's image must not be used yet; empty if it may (O-091)."""
    name, status = name_of(destination), status_of(destination)
    kopia = spec_of(destination).get("kopia") or {}
    if kopia_status(destination).get("result") == "no-data" and kopia.get("onMissingSnapshot") == "Fail":
        return f"ReplicationDestination {name} restored no data and onMissingSnapshot is Fail"
    image = status.get("latestImage") or {}
    if not image:
        failed = condition_of(destination, "Healthy") or {}
        more = f": {failed['message']}" if failed.get("status") == "False" and failed.get("message") else ""
        return f"ReplicationDestination {name} has no latestImage yet{more}"
    if image.get("kind") != "VolumeSnapshot":
        return f"the latestImage of ReplicationDestination {name} is not a VolumeSnapshot; set copyMethod: Snapshot"
    return ""


def prime_claim(volume: Obj, image: Obj, *, node: str | None) -> Obj:
    """Return the helper volume."""
    notes = {SELECTED_NODE: node} if node else {}
    spec: Obj = {
        "accessModes": access_modes(volume),
        "resources": {"requests": {"storage": requested_size(volume)}},
        "dataSource": {"apiGroup": SNAPSHOT_API, "kind": "VolumeSnapshot", "name": name_of(image)},
    }
    if storage_class(volume) is not None:
        spec["storageClassName"] = storage_class(volume)
    if spec_of(volume).get("volumeMode"):
        spec["volumeMode"] = spec_of(volume)["volumeMode"]
    metadata: dict[str, Any] = {
        "name": prime_name(volume),
        "namespace": namespace_of(volume),
        "labels": {CREATED_BY: "volsync", MANAGED_BY: "pykopia", FOR_LABEL: uid_of(volume)},
        "annotations": notes,
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": name_of(volume),
                "uid": uid_of(volume),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _keep(image: Obj, volume: Obj) -> Patch:
    """Mark the snapshot as in use, so that a newer image does not take it away."""
    return Patch(obj=image, change={"metadata": {"labels": {SNAPSHOT_LABEL + uid_of(volume): name_of(volume)[:63]}}})


def is_in_use(image: Obj) -> bool:
    """Return True while a volume is being made from an image."""
    return any(each.startswith(SNAPSHOT_LABEL) for each in labels_of(image))


def _rebind(plan: Plan, world: PopulatorWorld, persistent: Obj) -> Plan:
    """Bind the helper's PersistentVolume to the user's volume."""
    volume = world.volume
    bound = (spec_of(persistent).get("claimRef") or {}).get("uid")
    if bound != uid_of(volume):
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace_of(volume),
            "name": name_of(volume),
            "uid": uid_of(volume),
            "resourceVersion": meta(volume).get("resourceVersion"),
        }
        change = {
            "metadata": {
                "annotations": {POPULATED_FROM: destination_of(volume)},
                "resourceVersion": meta(persistent).get("resourceVersion"),
            },
            "spec": {"claimRef": reference},
        }
        plan.add(Patch(obj=persistent, change=change))
    return plan.wait(5)


def _finish(plan: Plan, world: PopulatorWorld) -> Plan:
    volume = world.volume
    if status_of(volume).get("phase") != "Bound":
        return plan.wait(5)
    if world.prime is not None or not annotations_of(volume).get(POPULATED_FROM):
        name = destination_of(volume)
        plan.add(
            Patch(obj=volume, change={"metadata": {"annotations": {POPULATED_FROM: name}}}),
            _event(volume, "VolSyncPopulatorFinished", f"populated from ReplicationDestination {name}"),
        )
    return _drop_prime(plan, world)


def _drop_prime(plan: Plan, world: PopulatorWorld) -> Plan:
    if world.image is not None and SNAPSHOT_LABEL + uid_of(world.volume) in labels_of(world.image):
        label = SNAPSHOT_LABEL + uid_of(world.volume)
        plan.add(Patch(obj=world.image, change={"metadata": {"labels": {label: None}}}))
    if world.prime is not None and not is_deleting(world.prime):
        plan.add(Delete(obj=world.prime))
    return plan


def _wait(plan: Plan, world: PopulatorWorld, kind: str, why: str) -> Plan:
    plan.add(_event(world.volume, f"VolSyncPopulatorReplicationDestination{kind}", why, warning=True, once=why))
    return plan.wait(RECHECK)


def _event(volume: Obj, reason: str, message: str, *, warning: bool = False, once: str = "") -> Event:
    return Event(obj=volume, reason=reason, message=message, warning=warning, once=once)
