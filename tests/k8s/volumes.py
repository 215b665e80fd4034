"""Plays the CSI driver and the snapshot controller: volumes are folders, clones and snapshots are copies of folders.

The controllers of Kubernetes decide which claims need a volume, and bind; this module makes the folders and PersistentVolumes.
"""

import contextlib
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from tests.k8s.api import API, APIError, Event, Object, follow

PROVISIONER: Final = "folders.pykopia.test"
IMMEDIATE: Final = "folders"
"""The default StorageClass."""
WAITING: Final = "folders-waiting"
"""A StorageClass that waits for the first consumer, and whose volumes can't be enlarged."""
SNAPSHOT_CLASS: Final = "folder-snapshots"
"""The default VolumeSnapshotClass."""
OTHER_SNAPSHOT_CLASS: Final = "other-snapshots"

_PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
_STORAGE_PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
_PROTECTION: Final = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
_AGAIN_SECONDS: Final = 0.1
_SNAPSHOT_API: Final = "snapshot.storage.k8s.io/v1"


def classes() -> list[Object]:
    """Return the StorageClasses and VolumeSnapshotClasses of the driver."""

    def storage(name: str, mode: str, *, default: bool, expansion: bool) -> Object:
        notes = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
        return {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name, "annotations": notes},
            "provisioner": PROVISIONER,
            "volumeBindingMode": mode,
            "allowVolumeExpansion": expansion,
            "reclaimPolicy": "Delete",
        }

    def snapshot(name: str, *, default: bool) -> Object:
        notes = {"snapshot.storage.kubernetes.io/is-default-class": "true"} if default else {}
        return {
            "apiVersion": _SNAPSHOT_API,
            "kind": "VolumeSnapshotClass",
            "metadata": {"name": name, "annotations": notes},
            "driver": PROVISIONER,
            "deletionPolicy": "Delete",
        }

    return [
        storage(IMMEDIATE, "Immediate", default=True, expansion=True),
        storage(WAITING, "WaitForFirstConsumer", default=False, expansion=False),
        snapshot(SNAPSHOT_CLASS, default=True),
        snapshot(OTHER_SNAPSHOT_CLASS, default=False),
    ]


class Volumes:
    """The driver; its threads run from ``start`` to ``stop``.

    Args:
        api: A client that may do everything.
        folder: Gets the folders of the volumes.
    """

    def __init__(self, api: API, folder: Path) -> None:
        self._api = api
        self._folder = folder
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.snapshots_become_ready = threading.Event()
        """Cleared by a test that wants snapshots that are bound, but not yet ready to use."""
        self.snapshots_become_ready.set()
        self.failures: list[str] = []
        """What went wrong in the driver itself."""

    def start(self) -> None:
        """Start the threads."""
        for name in ("volumes", "snapshots"):
            (self._folder / name).mkdir(parents=True)
        work: dict[str, Callable[[Object], None]] = {
            "PersistentVolumeClaim": self._claim,
            "PersistentVolume": self._volume,
            "VolumeSnapshot": self._snapshot,
        }
        for kind, handle in work.items():
            thread = threading.Thread(target=self._follow, args=(kind, handle), name=f"csi-{kind}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop the threads; one that waits for the server ends with the client."""
        self._stopped.set()

    def folder_of(self, claim: str, namespace: str) -> Path:
        """Return the folder of a bound claim."""
        return self._source(self._api.get("PersistentVolumeClaim", claim, namespace))

    def _follow(self, kind: str, handle: Callable[[Object], None]) -> None:
        for event in follow(self._api, kind, self._stopped):
            if event.type != "DELETED":
                self._guard(event, handle)

    def _guard(self, event: Event, handle: Callable[[Object], None]) -> None:
        try:
            handle(event.object)
        except APIError as error:
            going = "being terminated" in error.text
            if error.code not in {404, 409} and not going:  # it changed or went: another event comes, or none is needed
                self.failures.append(str(error))
        except (
            OSError,
            KeyError,
            ValueError,
            RuntimeError,
            httpx.TransportError,
            subprocess.CalledProcessError,
        ) as error:
            if not self._stopped.is_set():
                self.failures.append(f"{event.object['kind']} {event.object['metadata']['name']}: {error!r}")

    def _soon(self, thing: Object, handle: Callable[[Object], None]) -> None:
        """Handle an object again after a moment: what it waits for sends no event of this object."""
        meta = thing["metadata"]

        def again() -> None:
            fresh = None if self._stopped.is_set() else self._api.find(thing["kind"], meta["name"], meta["namespace"])
            if fresh:
                self._guard(Event(type="MODIFIED", object=fresh), handle)

        timer = threading.Timer(_AGAIN_SECONDS, again)
        timer.daemon = True
        timer.start()

    # Volumes

    def _claim(self, claim: Object) -> None:
        """Make the volume of a claim that waits for one, and enlarge one that is asked to be larger."""
        meta, spec = claim["metadata"], claim["spec"]
        if meta.get("annotations", {}).get(_STORAGE_PROVISIONER) != PROVISIONER or "deletionTimestamp" in meta:
            return
        if spec.get("volumeName"):
            self._expand(claim)
            return
        name = f"pvc-{meta['uid']}"
        if self._api.find("PersistentVolume", name):
            return
        source = spec.get("dataSource") or spec.get("dataSourceRef")
        origin = self._origin(source, meta["namespace"]) if source else None
        if source and origin is None:
            if source["kind"] in {"PersistentVolumeClaim", "VolumeSnapshot"}:  # others are a populator's business
                self._soon(claim, self._claim)
            return
        folder = self._folder / "volumes" / name
        if origin and not copy(origin, folder):
            self._soon(claim, self._claim)
            return
        if not origin:
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
        self._api.create(_persistent_volume(name, claim, folder))

    def _origin(self, source: Object, namespace: str) -> Path | None:
        """Return the folder that a new volume is a copy of."""
        if source["kind"] == "PersistentVolumeClaim":
            claim = self._api.find("PersistentVolumeClaim", source["name"], namespace)
            bound = claim is not None and claim["spec"].get("volumeName")
            return self._source(claim) if claim and bound else None
        if source["kind"] == "VolumeSnapshot":
            snapshot = self._api.find("VolumeSnapshot", source["name"], namespace)
            if snapshot and snapshot.get("status", {}).get("readyToUse"):
                return self._copy_of(snapshot)
        return None

    def _source(self, claim: Object) -> Path:
        volume = self._api.get("PersistentVolume", claim["spec"]["volumeName"])
        return Path(volume["spec"]["csi"]["volumeAttributes"]["folder"])

    def _expand(self, claim: Object) -> None:
        meta, wish = claim["metadata"], claim["spec"]["resources"]["requests"]["storage"]
        status = claim.get("status", {})
        if status.get("phase") != "Bound" or status.get("capacity", {}).get("storage") == wish:
            return
        volume = self._api.get("PersistentVolume", claim["spec"]["volumeName"])
        if volume["spec"]["capacity"]["storage"] != wish:
            self._api.patch("PersistentVolume", volume["metadata"]["name"], {"spec": {"capacity": {"storage": wish}}})
        self._api.patch(
            "PersistentVolumeClaim",
            meta["name"],
            {"status": {"capacity": {"storage": wish}}},
            meta["namespace"],
            subresource="status",
        )

    def _volume(self, volume: Object) -> None:
        """Remove a volume whose claim is gone."""
        if (
            volume["spec"].get("csi", {}).get("driver") != PROVISIONER
            or volume.get("status", {}).get("phase") != "Released"
        ):
            return
        if volume["spec"]["persistentVolumeReclaimPolicy"] != "Delete" or "deletionTimestamp" in volume["metadata"]:
            return
        shutil.rmtree(volume["spec"]["csi"]["volumeAttributes"]["folder"], ignore_errors=True)
        self._api.delete("PersistentVolume", volume["metadata"]["name"])

    # Snapshots

    def _copy_of(self, snapshot: Object) -> Path:
        return self._folder / "snapshots" / str(snapshot["metadata"]["uid"])

    def _snapshot(self, snapshot: Object) -> None:
        """Carry a snapshot one step further: content bound, then ready to use; or remove it."""
        meta = snapshot["metadata"]
        content = f"snapcontent-{meta['uid']}"
        if "deletionTimestamp" in meta:
            self._remove_snapshot(snapshot, content)
            return
        status = snapshot.get("status", {})
        if status.get("readyToUse"):
            return
        if not status.get("boundVolumeSnapshotContentName"):
            self._take_snapshot(snapshot, content)
            return
        if self.snapshots_become_ready.is_set():
            self._set_status(snapshot, {"readyToUse": True})
        else:
            self._soon(snapshot, self._snapshot)

    def _take_snapshot(self, snapshot: Object, content: str) -> None:
        meta = snapshot["metadata"]
        claim_name = snapshot["spec"]["source"]["persistentVolumeClaimName"]
        claim = self._api.find("PersistentVolumeClaim", claim_name, meta["namespace"])
        if not claim or not claim["spec"].get("volumeName"):
            self._soon(snapshot, self._snapshot)
            return
        if not copy(self._source(claim), self._copy_of(snapshot)):
            self._soon(snapshot, self._snapshot)
            return
        class_name = snapshot["spec"].get("volumeSnapshotClassName") or SNAPSHOT_CLASS
        reference = {"kind": "VolumeSnapshot", **{key: meta[key] for key in ("name", "namespace", "uid")}}
        with contextlib.suppress(APIError):  # it is there after a second look
            self._api.create(
                {
                    "apiVersion": _SNAPSHOT_API,
                    "kind": "VolumeSnapshotContent",
                    "metadata": {"name": content},
                    "spec": {
                        "deletionPolicy": "Delete",
                        "driver": PROVISIONER,
                        "source": {"volumeHandle": claim["spec"]["volumeName"]},
                        "volumeSnapshotClassName": class_name,
                        "volumeSnapshotRef": reference,
                    },
                }
            )
        body = {"metadata": {"finalizers": sorted({*meta.get("finalizers", []), _PROTECTION})}}
        self._api.patch("VolumeSnapshot", meta["name"], body, meta["namespace"])
        size = claim["status"]["capacity"]["storage"]
        bound = {"boundVolumeSnapshotContentName": content, "readyToUse": False, "restoreSize": size}
        self._set_status(snapshot, bound)

    def _remove_snapshot(self, snapshot: Object, content: str) -> None:
        meta = snapshot["metadata"]
        shutil.rmtree(self._copy_of(snapshot), ignore_errors=True)
        self._api.delete("VolumeSnapshotContent", content)
        rest = [finalizer for finalizer in meta.get("finalizers", []) if finalizer != _PROTECTION]
        if len(rest) < len(meta.get("finalizers", [])):
            self._api.patch("VolumeSnapshot", meta["name"], {"metadata": {"finalizers": rest}}, meta["namespace"])

    def _set_status(self, snapshot: Object, status: Object) -> None:
        meta = snapshot["metadata"]
        self._api.patch("VolumeSnapshot", meta["name"], {"status": status}, meta["namespace"], subresource="status")


def _persistent_volume(name: str, claim: Object, folder: Path) -> Object:
    meta, spec = claim["metadata"], claim["spec"]
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {**reference, **{key: meta[key] for key in ("name", "namespace", "uid")}},
            "csi": {"driver": PROVISIONER, "volumeHandle": name, "volumeAttributes": {"folder": str(folder)}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
        },
    }


def copy(source: Path, target: Path) -> bool:
    """Make a folder a copy of another one, with owners, modes and times; a half copy is never visible.

    Returns:
        False if the source was removed before it was copied.
    """
    if target.exists():
        return True
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
    try:
        subprocess.run(["cp", "--archive", "--reflink=auto", source, partial], check=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(partial, ignore_errors=True)
        if source.exists():
            raise
        return False
    partial.rename(target)
    return True


__all__ = [
    "IMMEDIATE",
    "OTHER_SNAPSHOT_CLASS",
    "PROVISIONER",
    "SNAPSHOT_CLASS",
    "WAITING",
    "Volumes",
    "classes",
    "copy",
]
