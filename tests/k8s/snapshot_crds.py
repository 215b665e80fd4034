"""Definitions of the kinds of ``snapshot.storage.k8s.io/v1``, with the fields that a driver and its users need."""

from typing import Final

from tests.k8s.api import Object

GROUP: Final = "snapshot.storage.k8s.io"

_STRING: Final = {"type": "string"}
_BOOLEAN: Final = {"type": "boolean"}
_ERROR: Final = {
    "type": "object",
    "properties": {"message": _STRING, "time": {"type": "string", "format": "date-time"}},
}
_QUANTITY: Final = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
_REFERENCE: Final = {
    "type": "object",
    "properties": dict.fromkeys(
        ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"), _STRING
    ),
}


def definitions() -> list[Object]:
    """Return the CustomResourceDefinitions."""
    snapshot_spec = _object(
        source=_object(persistentVolumeClaimName=_STRING, volumeSnapshotContentName=_STRING),
        volumeSnapshotClassName=_STRING,
    )
    snapshot_status = _object(
        boundVolumeSnapshotContentName=_STRING,
        creationTime={"type": "string", "format": "date-time"},
        error=_ERROR,
        readyToUse=_BOOLEAN,
        restoreSize=_QUANTITY,
    )
    content_spec = _object(
        deletionPolicy={"type": "string", "enum": ["Delete", "Retain"]},
        driver=_STRING,
        source=_object(volumeHandle=_STRING, snapshotHandle=_STRING),
        volumeSnapshotClassName=_STRING,
        volumeSnapshotRef=_REFERENCE,
    )
    content_status = _object(readyToUse=_BOOLEAN, restoreSize={"type": "integer"}, snapshotHandle=_STRING)
    class_fields = {
        "deletionPolicy": {"type": "string", "enum": ["Delete", "Retain"]},
        "driver": _STRING,
        "parameters": {"type": "object", "additionalProperties": _STRING},
    }
    return [
        _definition(
            "VolumeSnapshot", "volumesnapshots", "Namespaced", {"spec": snapshot_spec, "status": snapshot_status}
        ),
        _definition(
            "VolumeSnapshotContent",
            "volumesnapshotcontents",
            "Cluster",
            {"spec": content_spec, "status": content_status},
        ),
        _definition("VolumeSnapshotClass", "volumesnapshotclasses", "Cluster", class_fields),
    ]


def _object(**properties: Object) -> Object:
    return {"type": "object", "properties": properties}


def _definition(kind: str, plural: str, scope: str, properties: Object) -> Object:
    version: Object = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    }
    if "status" in properties:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "annotations": {
                "api-approved.kubernetes.io": "https://github.com/kubernetes-csi/external-snapshotter/pull/814"
            },
        },
        "spec": {
            "group": GROUP,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "scope": scope,
            "versions": [version],
        },
    }


__all__ = ["GROUP", "definitions"]
