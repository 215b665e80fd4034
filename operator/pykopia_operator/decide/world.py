"""What a decision on one object knows: the objects around it, as they were read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pykopia_operator.decide.objects import Obj


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """A Secret or ConfigMap without its values: what decisions may know of it."""

    name: str
    version: str
    """UID and resource version."""
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    """Keys whose value is the path of a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The objects around a ReplicationSource or ReplicationDestination. None: does not exist, or is not needed."""

    owner: Obj
    namespace: Obj
    volume: Obj | None = None
    """The source's volume, or the destination's existing or created volume."""
    snapshot: Obj | None = None
    """The source's point-in-time VolumeSnapshot, or the destination's new image."""
    copy: Obj | None = None
    """The source's point-in-time volume."""
    cache: Obj | None = None
    job: Obj | None = None
    pods: tuple[Obj, ...] = ()
    """Pods of the mover Job."""
    log: str = ""
    """Log of the Pod that decides; empty unless the Job has ended."""
    secret: Keys | None = None
    ca: Keys | None = None
    policy: Keys | None = None
    secret_volumes: Mapping[str, bool] = field(default_factory=dict)
    """Whether each Secret and PersistentVolumeClaim of ``moverVolumes`` exists, by ``kind/name``."""
    service_account: Obj | None = None
    role: Obj | None = None
    role_binding: Obj | None = None
    users: tuple[Obj, ...] = ()
    """Running Pods that use the volume."""
    sources: tuple[Obj, ...] = ()
    """All ReplicationSources that are ours."""
    destinations: tuple[Obj, ...] = ()
    """All ReplicationDestinations that are ours."""
    active: frozenset[str] = frozenset()
    """UIDs of the objects whose movers run."""
    maintenances: tuple[Obj, ...] = ()
    """KopiaMaintenances of the namespace."""
    lease: Obj | None = None
    """The maintenance Lease of the repository."""
    classes: Mapping[str, Obj] = field(default_factory=dict)
    """StorageClasses by name, as far as they are needed."""
    snapshot_class: Obj | None = None
    leftovers: tuple[Obj, ...] = ()
    """Everything that carries the cleanup label of the owner."""
    images: tuple[Obj, ...] = ()
    """VolumeSnapshots that the destination owns."""
    pull_secrets: Mapping[str, bool] = field(default_factory=dict)
    """Names of copied pull secrets, and whether each exists already."""
    running: int = 0
    """Movers that run in the cluster, this one not counted."""
    openshift: bool = False
    has_status: bool = True
    """Whether the CRD has ``status.kopia``."""
