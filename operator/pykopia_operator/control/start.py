"""Looking around before work begins: other controllers, fields that the CRDs lack, the kind of cluster (rules O-003, O-004)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pykopia_operator.api.base import Api
from pykopia_operator.api.kinds import KINDS
from pykopia_operator.control.leader import is_renewed_by_another
from pykopia_operator.decide.objects import Obj, name_of, namespace_of, spec_of
from pykopia_operator.errors import ApiError, StartRefusedError
from pykopia_operator.model.crds import crds
from pykopia_operator.settings import Settings

log: Final = logging.getLogger(__name__)

VOLSYNC_LEASE: Final = "b95b3104.backube"
CHECKED: Final = ("ReplicationSource", "ReplicationDestination")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """What was found."""

    openshift: bool
    status_fields: frozenset[str]
    """Kinds whose CRD has ``status.kopia``."""
    warnings: tuple[str, ...] = ()


async def look_around(api: Api, settings: Settings, identity: str, now: Callable[[], datetime]) -> Cluster:
    """Return what kind of cluster this is.

    Raises:
        StartRefusedError: another controller is in charge of the same objects, or our CRDs are missing.
    """
    warnings: list[str] = []
    leases = await _list(api, "Lease", fields=f"metadata.name={VOLSYNC_LEASE}")
    held = [each for each in leases if is_renewed_by_another(each, identity, now())]
    if held and settings.coexistence == "none":
        lease = held[0]
        raise StartRefusedError(
            f"another VolSync controller ({spec_of(lease)['holderIdentity']}) holds the Lease {namespace_of(lease)}/"
            f"{name_of(lease)}; stop it, or start with --coexistence upstream, fork or replace"
        )
    if not held and settings.coexistence in {"upstream", "fork"}:
        warnings.append(
            f"--coexistence {settings.coexistence}, but no VolSync controller holds the Lease {VOLSYNC_LEASE}: objects "
            "that it would handle are left alone"
        )
    populators = await _list(api, "VolumePopulator")
    others = [each for each in populators if (each.get("sourceKind") or {}).get("kind") == "ReplicationDestination"]
    if others and settings.coexistence == "none" and name_of(others[0]) != "volsync-replicationdestination":
        warnings.append(f"VolumePopulator {name_of(others[0])} serves ReplicationDestinations too")
    status_fields = set()
    for kind in CHECKED:
        served = await _served_schema(api, kind)
        if served is None:
            raise StartRefusedError(
                f"the CustomResourceDefinition of {kind} is missing; install the chart with manageCRDs=true"
            )
        missing = sorted(missing_fields(_own_schema(kind), served))
        if missing and settings.coexistence in {"none", "replace"}:
            shown = ", ".join(missing[:20]) + (f" and {len(missing) - 20} more" if len(missing) > 20 else "")
            warnings.append(
                f"the CRD of {kind} lacks fields that the API server therefore drops: {shown}; upgrade the chart with "
                "manageCRDs=true"
            )
        if "kopia" in (served.get("properties") or {}).get("status", {}).get("properties", {}):
            status_fields.add(kind)
    for each in warnings:
        log.warning("%s", each)
    groups = await api.read("/apis") or {}
    openshift = any(each.get("name") == "security.openshift.io" for each in groups.get("groups") or [])
    return Cluster(openshift=openshift, status_fields=frozenset(status_fields), warnings=tuple(warnings))


async def _list(api: Api, kind: str, fields: str = "") -> list[Obj]:
    try:
        found, _ = await api.list(kind, fields=fields)
    except ApiError as error:
        if error.status in {403, 404}:
            log.debug("%s: %s", kind, error)
            return []
        raise
    return found


def _own_schema(kind: str) -> dict[str, Any]:
    return next(_schema(each) for each in crds().values() if each["spec"]["names"]["kind"] == kind)


def _schema(crd: Obj) -> dict[str, Any]:
    version = next(each for each in crd["spec"]["versions"] if each["name"] == "v1alpha1")
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


async def _served_schema(api: Api, kind: str) -> dict[str, Any] | None:
    crd = await api.get("CustomResourceDefinition", "", f"{KINDS[kind].plural}.volsync.backube")
    return None if crd is None else _schema(crd)


def missing_fields(own: dict[str, Any], served: dict[str, Any], path: str = "") -> list[str]:
    """Return the paths of fields that our schema has and that the served one would drop."""
    if served.get("x-kubernetes-preserve-unknown-fields"):
        return []
    found = []
    there = served.get("properties") or {}
    for name, schema in (own.get("properties") or {}).items():
        where = f"{path}.{name}".lstrip(".")
        if name not in there:
            if not path and name in {"apiVersion", "kind", "metadata"}:
                continue
            found.append(where)
        else:
            found += missing_fields(schema, there[name], where)
    return found
