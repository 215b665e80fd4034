"""Names, labels and annotations of the objects that the operator makes; they are those of VolSync."""

import zlib
from datetime import datetime
from typing import Final

from pykopia_operator.decide.objects import Obj, annotations_of, meta, name_of, namespace_of, uid_of

CREATED_BY: Final = "app.kubernetes.io/created-by"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
CLEANUP: Final = "volsync.backube/cleanup"
DO_NOT_DELETE: Final = "volsync.backube/do-not-delete"
PRIVILEGED_MOVERS: Final = "volsync.backube/privileged-movers"
DEBUG_MOVER: Final = "volsync.backube/enable-debug-mover"
SNAPSHOT_NAME: Final = "volsync.backube/snapname"
RUN: Final = "pykopia.volsync.backube/run"
"""On a Job and on point-in-time copies: ``lastSyncStartTime`` of the run that they belong to."""
MAINTENANCE_LEASE: Final = "pykopia.volsync.backube/maintenance-lease"
"""On a Job: the Lease that it must hold, or holds, for its maintenance."""
IDENTITY: Final = "pykopia.volsync.backube/identity"
"""On a restore Job: the identity that it looks for."""

KIND_PREFIX: Final = {"ReplicationSource": "src", "ReplicationDestination": "dst"}
LONGEST_NAME: Final = 63


def prefix_of(owner: Obj) -> str:
    """Return ``volsync-src-`` or ``volsync-dst-``."""
    return f"volsync-{KIND_PREFIX[owner['kind']]}-"


def shortened(prefix: str, name: str) -> str:
    """Return prefix and name; of a name that is too long its CRC-32, in eight hexadecimal digits.

    >>> shortened("volsync-src-", "app")
    'volsync-src-app'
    >>> shortened("volsync-src-", "a" * 60)
    'volsync-src-1f98bd29'
    """
    whole = prefix + name
    return whole if len(whole) <= LONGEST_NAME else f"{prefix}{zlib.crc32(name.encode()):08x}"


def job_name(owner: Obj) -> str:
    """Return the name of the mover Job, ServiceAccount, Role and RoleBinding."""
    return shortened(prefix_of(owner), name_of(owner))


def copy_name(owner: Obj) -> str:
    """Return the name of a source's point-in-time volume and snapshot, or of a destination's volume."""
    return f"volsync-{name_of(owner)}-{'src' if owner['kind'] == 'ReplicationSource' else 'dest'}"


def cache_name(owner: Obj) -> str:
    """Return the name of the cache volume."""
    return f"{prefix_of(owner)}{name_of(owner)}-cache"


def image_name(volume: str, now: datetime) -> str:
    """Return the name of a destination's VolumeSnapshot."""
    return f"{volume}-{now.strftime('%Y%m%d%H%M%S')}"


def owner_reference(owner: Obj) -> Obj:
    """Return the reference that makes an object go with its owner."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata_for(owner: Obj, name: str, *, run: str = "", annotations: dict[str, str] | None = None) -> Obj:
    """Return the metadata of an object that the operator makes.

    Args:
        owner: ReplicationSource or ReplicationDestination that it belongs to.
        name: of the new object.
        run: start time of the run at whose end the object is deleted; empty: it stays.
        annotations: further annotations.
    """
    labels = {CREATED_BY: "volsync", MANAGED_BY: "pykopia"}
    notes = dict(annotations or {})
    if run:
        labels[CLEANUP] = uid_of(owner)
        notes[RUN] = run
    found: Obj = {
        "name": name,
        "namespace": namespace_of(owner),
        "labels": labels,
        "ownerReferences": [owner_reference(owner)],
    }
    return found | ({"annotations": notes} if notes else {})


def run_of(obj: Obj) -> str:
    """Return the run that an object belongs to, empty if it is not marked."""
    return annotations_of(obj).get(RUN, "")


def version_of(obj: Obj | None) -> str:
    """Return UID and resource version of an object, as part of a digest."""
    return "" if obj is None else f"{uid_of(obj)}/{meta(obj).get('resourceVersion', '')}"
