"""``pykopia-operator migrate``: objects for restic's mover, and kopiur's, rewritten for this operator.

Only the objects change. What a restic repository holds stays in it: its snapshots are restored with restic, and the first
backup after the migration goes into a new Kopia repository.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pykopia_operator.decide.objects import Obj, name_of, namespace_of, spec_of

SAME: Final = (
    "repository",
    "capacity",
    "storageClassName",
    "accessModes",
    "volumeSnapshotClassName",
    "copyMethod",
    "cacheCapacity",
    "cacheStorageClassName",
    "cacheAccessModes",
    "customCA",
    "moverSecurityContext",
    "moverServiceAccount",
    "moverPodLabels",
    "moverResources",
    "moverAffinity",
    "moverVolumes",
    "destinationPVC",
    "cleanupTempPVC",
    "cleanupCachePVC",
    "restoreAsOf",
    "previous",
    "enableFileDeletion",
)
"""Fields with the same name and meaning."""
KOPIUR_GROUP: Final = "kopiur.home-operations.com"


@dataclass(kw_only=True, slots=True)
class Migration:
    """What came of one object."""

    before: Obj
    after: list[Obj] = field(default_factory=list)
    """Empty: it is left as it is."""
    notes: list[str] = field(default_factory=list)
    """What a person must do or know."""


def migrate(objects: Sequence[Obj]) -> list[Migration]:
    """Return the migrations of the objects of other backup tools; all other objects are left out.

    Args:
        objects: all objects of the files together: kopiur's refer to each other.
    """
    found = []
    for each in objects:
        if (
            each.get("kind") in {"ReplicationSource", "ReplicationDestination"}
            and spec_of(each).get("restic") is not None
        ):
            found.append(_from_restic(each))
        elif str(each.get("apiVersion") or "").partition("/")[0] == KOPIUR_GROUP:
            found.append(_from_kopiur(each, objects))
    return found


def _from_restic(obj: Obj) -> Migration:
    found = Migration(before=obj)
    restic: Mapping[str, Any] = spec_of(obj)["restic"]
    kopia = {name: restic[name] for name in SAME if name in restic}
    for name in sorted(set(restic) - set(SAME)):
        _convert(name, restic[name], kopia, found.notes)
    spec = {name: value for name, value in spec_of(obj).items() if name != "restic"} | {"kopia": kopia}
    about = {
        name: value
        for name, value in (obj.get("metadata") or {}).items()
        if name in {"name", "namespace", "labels", "annotations"}
    }
    found.after = [{"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": about, "spec": spec}]
    secret = kopia.get("repository")
    found.notes.append(
        f"Secret {secret}: add KOPIA_REPOSITORY, such as s3://bucket/folder (another folder than restic's), and KOPIA_PASSWORD; "
        "the other keys for S3, Azure, Google and B2 are the same"
    )
    if obj["kind"] == "ReplicationDestination":
        found.notes.append(
            "restores only see backups that were made after the migration; keep restic's object for older ones"
        )
    return found


def _convert(name: str, value: Any, kopia: Obj, notes: list[str]) -> None:  # noqa: ANN401 -- what the field holds
    if name == "pruneIntervalDays":
        kopia["maintenanceIntervalDays"] = value
    elif name == "retain":
        kept = {key: part for key, part in value.items() if key in {"hourly", "daily", "weekly", "monthly", "yearly"}}
        if "last" in value:
            kept["latest"] = int(value["last"])
        if "within" in value:
            notes.append(f"retain.within: {value['within']} has no counterpart; set hourly, daily and so on")
        kopia["retain"] = kept
    elif name == "unlock":
        notes.append("unlock is left out: Kopia's repositories have no locks for backups")
    else:
        notes.append(f"restic.{name} has no counterpart and is left out")


# ---------------------------------------------------------------------- kopiur


def _from_kopiur(obj: Obj, objects: Sequence[Obj]) -> Migration:
    found = Migration(before=obj)
    if obj.get("kind") == "SnapshotPolicy":
        _policy(obj, objects, found)
    elif obj.get("kind") == "Restore":
        _restore(obj, objects, found)
    elif obj.get("kind") in {"Repository", "ClusterRepository"}:
        secret, url = _repository(obj)
        found.notes.append(
            f"Secret {secret}: add KOPIA_REPOSITORY: {url or '(the URL of the repository)'}; it must hold KOPIA_PASSWORD and "
            "the keys of the storage"
        )
    elif obj.get("kind") != "SnapshotSchedule":
        found.notes.append("has no counterpart and is left as it is")
    return found


def _of(objects: Sequence[Obj], kind: str, name: str) -> Obj | None:
    return next((each for each in objects if each.get("kind") == kind and name_of(each) == name), None)


def _repository(obj: Obj) -> tuple[str, str]:
    """Return the Secret of a repository and its URL, as far as it can be read off."""
    spec = spec_of(obj)
    backend = spec.get("backend") or {}
    kind, part = next(iter(backend.items()), ("", {}))
    part = part if isinstance(part, dict) else {}
    password = ((spec.get("encryption") or {}).get("passwordSecretRef") or {}).get("name")
    secret = (((part.get("auth") or {}).get("secretRef") or {}).get("name")) or password or "(name)"
    place, prefix = part.get("bucket") or part.get("container") or "", str(part.get("prefix") or "").strip("/")
    schemes = {"s3": "s3", "gcs": "gcs", "azure": "azure", "b2": "b2"}
    if kind in schemes and place:
        return secret, f"{schemes[kind]}://{place}" + (f"/{prefix}" if prefix else "")
    if kind == "filesystem" and part.get("path"):
        return secret, f"filesystem://{part['path']}"
    return secret, ""


def _secret_of(spec: Obj, objects: Sequence[Obj], notes: list[str]) -> str:
    reference = spec.get("repository") or {}
    kind, name = str(reference.get("kind") or "Repository"), str(reference.get("name") or "")
    repository = _of(objects, kind, name)
    if repository is None:
        notes.append(f"{kind} {name} is in none of the files: set kopia.repository to the Secret of the repository")
        return name
    secret, url = _repository(repository)
    notes.append(f"Secret {secret}: add KOPIA_REPOSITORY{f': {url}' if url else ''}")
    return secret


def _policy(obj: Obj, objects: Sequence[Obj], found: Migration) -> None:
    spec, name = spec_of(obj), name_of(obj)
    namespace = namespace_of(obj) or "default"
    volumes = [str(each["pvc"]["name"]) for each in spec.get("sources") or [] if (each.get("pvc") or {}).get("name")]
    if len(volumes) != 1 or len(spec.get("sources") or []) != 1:
        found.notes.append(
            "only a policy with one volume, by its name, has a counterpart; make a ReplicationSource for each"
        )
        return
    volume = volumes[0]
    identity = spec.get("identity") or {}
    kopia: Obj = {
        "repository": _secret_of(spec, objects, found.notes),
        "username": identity.get("username") or name,
        "hostname": identity.get("hostname") or namespace,
        "sourcePathOverride": (spec["sources"][0].get("sourcePath")) or f"/pvc/{volume}",
    }
    kept = {
        new: spec["retention"][old]
        for old, new in (
            ("keepLatest", "latest"),
            ("keepHourly", "hourly"),
            ("keepDaily", "daily"),
            ("keepWeekly", "weekly"),
            ("keepMonthly", "monthly"),
            ("keepAnnual", "yearly"),
        )
        if old in (spec.get("retention") or {})
    }
    if kept:
        kopia["retain"] = kept
    if spec.get("copyMethod") in {"Direct", "Clone", "Snapshot"}:
        kopia["copyMethod"] = spec["copyMethod"]
    body: Obj = {"sourcePVC": volume, "trigger": _trigger(name, objects, found.notes), "kopia": kopia}
    found.after = [_object("ReplicationSource", obj, body)]
    found.notes.append("username, hostname and sourcePathOverride are those of kopiur's snapshots, which are continued")


def _trigger(policy: str, objects: Sequence[Obj], notes: list[str]) -> Obj:
    for each in objects:
        spec = spec_of(each)
        if each.get("kind") != "SnapshotSchedule" or (spec.get("policyRef") or {}).get("name") != policy:
            continue
        cron = str((spec.get("schedule") or {}).get("cron") or "")
        if "H" in cron:
            minute = zlib.crc32(policy.encode()) % 60
            cron = cron.replace("H", str(minute), 1)
            notes.append(f"the schedule's H became {minute}")
        if "H" not in cron and cron:
            return {"schedule": cron}
    notes.append("no schedule was found: the object runs once; set trigger.schedule")
    return {"manual": "first"}


def _restore(obj: Obj, objects: Sequence[Obj], found: Migration) -> None:
    spec = spec_of(obj)
    identity, target = (spec.get("source") or {}).get("identity") or {}, (spec.get("target") or {}).get("pvc") or {}
    if not (identity.get("username") and identity.get("hostname") and target.get("name")):
        found.notes.append("only a restore by identity into a volume has a counterpart")
        return
    kopia: Obj = {
        "repository": _secret_of(spec, objects, found.notes),
        "username": identity["username"],
        "hostname": identity["hostname"],
        "destinationPVC": target["name"],
        "copyMethod": "Direct",
        "onMissingSnapshot": "Fail",
    }
    if identity.get("asOf"):
        kopia["restoreAsOf"] = identity["asOf"]
    if identity.get("offset"):
        kopia["previous"] = identity["offset"]
    found.after = [_object("ReplicationDestination", obj, {"trigger": {"manual": "restore-once"}, "kopia": kopia})]
    found.notes.append(f"PersistentVolumeClaim {target['name']} must exist before")


def _object(kind: str, obj: Obj, spec: Obj) -> Obj:
    about = {key: part for key, part in (obj.get("metadata") or {}).items() if key in {"name", "namespace", "labels"}}
    return {"apiVersion": "volsync.backube/v1alpha1", "kind": kind, "metadata": about, "spec": spec}
