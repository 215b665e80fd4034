"""Reading parts of Kubernetes objects, which are plain dictionaries here."""

from collections.abc import Mapping
from typing import Any

Obj = dict[str, Any]


def meta(obj: Mapping[str, Any]) -> Obj:
    """Return the metadata of an object."""
    found: Obj = obj.get("metadata") or {}
    return found


def name_of(obj: Mapping[str, Any]) -> str:
    """Return the name of an object."""
    return str(meta(obj).get("name") or "")


def namespace_of(obj: Mapping[str, Any]) -> str:
    """Return the namespace of an object."""
    return str(meta(obj).get("namespace") or "")


def uid_of(obj: Mapping[str, Any]) -> str:
    """Return the UID of an object."""
    return str(meta(obj).get("uid") or "")


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an object."""
    return meta(obj).get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations of an object."""
    return meta(obj).get("annotations") or {}


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Return True if the object waits for its finalizers."""
    return bool(meta(obj).get("deletionTimestamp"))


def generation_of(obj: Mapping[str, Any]) -> int:
    """Return the generation of an object's specification."""
    return int(meta(obj).get("generation") or 0)


def spec_of(obj: Mapping[str, Any]) -> Obj:
    """Return the specification of an object."""
    return obj.get("spec") or {}


def status_of(obj: Mapping[str, Any]) -> Obj:
    """Return the status of an object."""
    return obj.get("status") or {}


def condition_of(obj: Mapping[str, Any], kind: str) -> Obj | None:
    """Return a condition of an object, None if it has none of that type."""
    return next((each for each in status_of(obj).get("conditions") or [] if each.get("type") == kind), None)


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Return True if the object has a condition of that type which is true."""
    found = condition_of(obj, kind)
    return found is not None and found.get("status") == "True"


def is_owned_by(obj: Mapping[str, Any], uid: str) -> bool:
    """Return True if the object has an owner of that UID."""
    return any(each.get("uid") == uid for each in meta(obj).get("ownerReferences") or [])
