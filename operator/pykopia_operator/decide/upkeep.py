"""When a backup brings maintenance along, and who may run it (rules O-080 to O-085)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pykopia_operator.decide.identity import repository_name
from pykopia_operator.decide.objects import Obj, meta, name_of, namespace_of, spec_of, status_of
from pykopia_operator.decide.statuses import kopia_status
from pykopia_operator.decide.times import format_micro_time, parse_time
from pykopia_operator.decide.world import Keys

DEFAULT_DAYS: Final = 7
LEASE_SECONDS: Final = 300
OVERDUE_FACTOR: Final = 2
EARLY: Final = timedelta(hours=3)
"""How much before its time maintenance may come: a daily backup that begins a few minutes before its last one had ended would
otherwise maintain every second day at an interval of one."""


def repository_key(owner: Obj, secret: Keys | None) -> str:
    """Return what two objects of one repository share: its unique ID, until that is known the Secret in its version (O-083)."""
    found = kopia_status(owner).get("repositoryID")
    if found:
        return str(found)
    version = secret.version if secret is not None else ""
    text = f"{namespace_of(owner)}\0{repository_name(owner)}\0{version}"
    return hashlib.sha256(text.encode()).hexdigest()


def lease_name(key: str) -> str:
    """Return the name of the Lease of a repository."""
    return f"pykopia-maint-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def covering(maintenances: Sequence[Obj], owner: Obj) -> Obj | None:
    """Return the KopiaMaintenance of the same namespace and Secret, None if there is none (O-081)."""
    secret = repository_name(owner)
    found = [
        each
        for each in maintenances
        if namespace_of(each) == namespace_of(owner)
        and (spec_of(each).get("repository") or {}).get("repository") == secret
        and spec_of(each).get("enabled") is not False
    ]
    return min(found, key=name_of) if found else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Upkeep:
    """Whether maintenance is due with a backup."""

    due: bool
    next: datetime | None = None
    """When it is due; None: never by this object."""
    covered_by: str = ""
    """KopiaMaintenance that does it instead."""
    overdue: bool = False


def last_maintenance(owner: Obj, sources: Iterable[Obj], key: str) -> datetime | None:
    """Return when maintenance of the repository last succeeded, as far as any object of the repository knows."""
    found = [parse_time(kopia_status(owner).get("lastMaintenance"))]
    for each in sources:
        kopia = kopia_status(each)
        if kopia.get("repositoryID") == key:
            found.append(parse_time(kopia.get("lastMaintenance")))
    times = [each for each in found if each is not None]
    return max(times) if times else None


def when_upkeep(
    owner: Obj, interval_days: int | None, sources: Iterable[Obj], maintenances: Sequence[Obj], key: str, now: datetime
) -> Upkeep:
    """Return whether a backup that starts now brings maintenance along.

    Args:
        owner: the ReplicationSource.
        interval_days: ``maintenanceIntervalDays``; None: 7; 0: never.
        sources: all ReplicationSources, for what they know of the same repository.
        maintenances: KopiaMaintenances of the namespace.
        key: of the repository.
        now: the time.
    """
    cover = covering(maintenances, owner)
    if cover is not None:
        last = parse_time(status_of(cover).get("lastMaintenanceTime"))
        due = parse_time(status_of(cover).get("nextScheduledMaintenance"))
        late = due is not None and now - due > timedelta(days=DEFAULT_DAYS) and (last is None or last < due)
        return Upkeep(due=False, covered_by=name_of(cover), next=due, overdue=late)
    days = DEFAULT_DAYS if interval_days is None else interval_days
    if days <= 0:
        return Upkeep(due=False)
    begin = last_maintenance(owner, sources, key) or parse_time(meta(owner).get("creationTimestamp")) or now
    due = begin + timedelta(days=days)
    return Upkeep(due=now > due - EARLY, next=due, overdue=now > begin + timedelta(days=days * OVERDUE_FACTOR + 1))


def is_lease_free(lease: Obj | None, holder: str, now: datetime) -> bool:
    """Return True if a holder may take a Lease: it is free, expired, or the holder's own."""
    if lease is None:
        return True
    spec = spec_of(lease)
    if not spec.get("holderIdentity") or spec["holderIdentity"] == holder:
        return True
    renewed = parse_time(spec.get("renewTime"))
    length = timedelta(seconds=int(spec.get("leaseDurationSeconds") or LEASE_SECONDS))
    return renewed is None or now - renewed > length


def lease_object(name: str, namespace: str, holder: str, now: datetime) -> Obj:
    """Return a Lease that a holder has just taken."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "pykopia"}},
        "spec": lease_spec(holder, now),
    }


def lease_spec(holder: str, now: datetime) -> Obj:
    """Return the specification of a Lease that a holder has just taken."""
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": LEASE_SECONDS,
        "acquireTime": format_micro_time(now),
        "renewTime": format_micro_time(now),
    }
