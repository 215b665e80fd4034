"""The cache volume: its class, modes and size, and how it grows."""

from dataclasses import dataclass

from pykopia_operator.decide.names import cache_name, metadata_for
from pykopia_operator.decide.objects import Obj
from pykopia_operator.decide.quantities import parse_quantity
from pykopia_operator.decide.volumes import access_modes, claim, real_size, requested_size, storage_class
from pykopia_operator.model.common import MoverOptions

DEFAULT_CAPACITY = "1Gi"
EMPTY_DIR_CAPACITY = "8Gi"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """How a mover's cache is made."""

    claim: Obj | None
    """The PersistentVolumeClaim that must exist; None: an emptyDir."""
    size: str
    """What it is asked to hold."""
    grow: bool = False
    """The existing claim must be enlarged."""
    cannot_grow: bool = False
    """It should be larger, but its class does not allow that."""


def plan_cache(
    owner: Obj, kopia: MoverOptions, volume: Obj | None, existing: Obj | None, classes: dict[str, Obj], *, default: str
) -> Cache:
    """Return the cache of a mover.

    Args:
        owner: ReplicationSource or ReplicationDestination.
        kopia: its options.
        volume: data volume, the last in the order of fallbacks.
        existing: the cache volume, if there is one already; it is always used.
        classes: StorageClasses by name.
        default: ``pvc``, or ``emptydir`` for a cache without class and modes.
    """
    size = str(kopia.cache_capacity) if kopia.cache_capacity is not None else DEFAULT_CAPACITY
    if existing is not None:
        wanted = parse_quantity(size) if kopia.cache_capacity is not None else 0
        larger = wanted > parse_quantity(requested_size(existing) or "0")
        found = classes.get(storage_class(existing) or "") or {}
        expandable = found.get("allowVolumeExpansion") is True
        return Cache(claim=existing, size=size, grow=larger and expandable, cannot_grow=larger and not expandable)
    explicit = kopia.cache_storage_class_name or kopia.cache_access_modes
    if default == "emptydir" and not explicit:
        return Cache(claim=None, size=size if kopia.cache_capacity is not None else EMPTY_DIR_CAPACITY)
    metadata = metadata_for(owner, cache_name(owner))
    class_name = kopia.cache_storage_class_name or kopia.storage_class_name or storage_class(volume)
    modes = list(kopia.cache_access_modes or kopia.access_modes or access_modes(volume) or ["ReadWriteOnce"])
    if set(modes) == {"ReadOnlyMany"}:
        modes = ["ReadWriteOnce"]
    return Cache(claim=claim(metadata, size=size, modes=modes, class_name=class_name), size=size)


def cache_environment(cache: Cache, existing: Obj | None, kopia: MoverOptions) -> dict[str, str]:
    """Return the variables that bound the cache: the smaller of what was asked for and what the volume holds."""
    capacity = parse_quantity(cache.size)
    if cache.claim is not None and existing is not None and (real := real_size(existing)):
        capacity = min(capacity, parse_quantity(real)) if kopia.cache_capacity is not None else parse_quantity(real)
    found = {"KOPIA_CACHE_CAPACITY_BYTES": str(capacity)}
    if kopia.metadata_cache_size_limit_mb is not None:
        found["KOPIA_METADATA_CACHE_SIZE_LIMIT_MB"] = str(kopia.metadata_cache_size_limit_mb)
    if kopia.content_cache_size_limit_mb is not None:
        found["KOPIA_CONTENT_CACHE_SIZE_LIMIT_MB"] = str(kopia.content_cache_size_limit_mb)
    return found
