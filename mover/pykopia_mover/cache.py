"""The cache volume: limits that fit its capacity, removal of the caches of older movers, runs without a cache."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pykopia import CachingOptions
from pykopia.dataclass import dataclass
from pykopia_mover.policy_files import RepositoryConfig
from pykopia_mover.settings import Settings

OWN: Final = "pykopia"
MOST: Final = 8 << 30
"""Bytes of a cache whose volume is larger."""
IN_MEMORY: Final = 16 << 20
"""Bytes of a cache on a volume in memory, which counts against the limit of the container."""
RESERVE: Final = 0.05
"""Share of the capacity that stays free."""
METADATA_SHARE: Final = 0.7
CONTENT_SHARE: Final = 0.2
FULL: Final = 0.9
"""Share of the capacity from which on the cache counts as exhausted."""
OWN_WRITES: Final = "own-writes"
OWN_WRITES_AGE_NS: Final = 24 * 3600 * 1_000_000_000

KOPIA_LEFTOVERS: Final = (
    "kopia.config",
    "contents",
    "metadata",
    "indexes",
    "index-blobs",
    "blob-list",
    OWN_WRITES,
    "server-contents",
)
"""Folders that a real kopia leaves on a cache volume, in the order in which they are removed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CachePlace:
    """The cache folder of a run."""

    folder: Path | None
    """None: there is no cache."""
    capacity: int
    """Bytes that it may reach."""
    warning: str = ""
    temporary: bool = False
    """Whether the folder is removed at the end of the run."""


def find_place(settings: Settings, *, temporary_root: Path | None = None) -> CachePlace:
    """Return the cache folder, made if need be; another one, or none, where it can't be written to (rule M-053)."""
    folder = Path(settings.cache_dir)
    reason = _unwritable(folder)
    if reason is None:
        capacity = settings.cache_capacity_bytes
        return CachePlace(folder=folder, capacity=_capacity(folder) if capacity is None else capacity)
    warning = f"cache directory {folder} is not writable ({reason})"
    try:
        fallback = Path(tempfile.mkdtemp(prefix="pykopia-cache-", dir=temporary_root))
    except OSError:
        return CachePlace(folder=None, capacity=0, warning=f"{warning}: this run does without a cache")
    return CachePlace(
        folder=fallback,
        capacity=IN_MEMORY,
        warning=f"{warning}: this run uses {IN_MEMORY >> 20} MiB in {fallback}",
        temporary=True,
    )


def _unwritable(folder: Path) -> str | None:
    """Return why a folder can't be written to, None if it can."""
    probe = folder / f".pykopia-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink()
        return error.strerror or str(error)
    return None


def _capacity(folder: Path) -> int:
    volume = os.statvfs(folder)
    size = volume.f_frsize * volume.f_blocks
    return min(size, IN_MEMORY if is_in_memory(folder) else MOST)


def is_in_memory(folder: Path) -> bool:
    """Return True if a folder is on a file system in memory."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[2] == wanted:
                return fields[fields.index("-") + 1] in {"tmpfs", "ramfs"}
    return False


def caching_options(
    place: CachePlace, unique_id: str, settings: Settings, config: RepositoryConfig | None, manual_size: int | None
) -> CachingOptions | None:
    """Return folder and limits for one repository (rule M-051).

    Args:
        place: the cache folder.
        unique_id: of the repository, in hex: what is cached of another is never met.
        settings: of the run.
        config: ``repository.config``, whose limits come behind those of the settings.
        manual_size: bytes that ``KOPIA_MANUAL_CONFIG`` or a connection document gives the cache, the last resort.
    """
    if place.folder is None:
        return None
    usable = int(place.capacity * (1 - RESERVE))
    whole = config.max_cache_size if config is not None and config.max_cache_size else manual_size
    base = min(usable, whole) if whole else usable
    metadata = _limit(
        settings.metadata_cache_mb, config.metadata_cache_size if config else None, int(base * METADATA_SHARE), usable
    )
    content = _limit(
        settings.content_cache_mb, config.content_cache_size if config else None, int(base * CONTENT_SHARE), usable
    )
    if metadata + content > usable:
        content = max(0, usable - metadata)
    return CachingOptions(
        cache_directory=str(place.folder / OWN / unique_id),
        # a size of 0 would mean the default of a new connection, which is larger than most volumes
        content_cache_size_bytes=max(1, content),
        content_cache_size_limit_bytes=max(1, content),
        metadata_cache_size_bytes=max(1, metadata),
        metadata_cache_size_limit_bytes=max(1, metadata),
        max_list_cache_duration_seconds=(config.max_list_cache_seconds or 0) if config else 0,
    )


def cache_size(document: Mapping[str, Any]) -> int | None:
    """Return the bytes that a connection document of Kopia gives its caches together, None where it gives none."""
    caching = document.get("caching")
    if not isinstance(caching, dict):
        return None
    sizes = [caching.get(name) for name in ("maxCacheSize", "maxMetadataCacheSize")]
    return sum(size for size in sizes if isinstance(size, int) and size > 0) or None


def _limit(megabytes: int | None, of_config: int | None, share: int, usable: int) -> int:
    if megabytes is not None:
        return min(megabytes << 20, usable) if megabytes else usable
    if of_config is not None:
        return min(of_config, usable) if of_config else usable
    return share


# ---------------------------------------------------------------------- room


def used_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder, without following links."""
    return sum(size for _, size in _files(folder))


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            with contextlib.suppress(OSError):
                yield path, path.lstat().st_size


def is_short(place: CachePlace) -> bool:
    """Return True if the cache has reached its limit or its volume is full."""
    if place.folder is None:
        return False
    try:
        volume = os.statvfs(place.folder)
    except OSError:
        return False
    nearly_full = volume.f_bavail < volume.f_blocks * RESERVE
    return nearly_full or used_bytes(place.folder) >= place.capacity * FULL


def make_room(place: CachePlace, *, now_ns: int) -> list[str]:
    """Remove folders that a real kopia left, one by one, while space is short; return the names (rule M-050)."""
    removed: list[str] = []
    if place.folder is None:
        return removed
    for name in KOPIA_LEFTOVERS:
        path = place.folder / name
        if not (path.is_symlink() or path.exists()) or not is_short(place):
            continue
        if name == OWN_WRITES and now_ns - path.lstat().st_mtime_ns < OWN_WRITES_AGE_NS:
            continue
        _remove(path)
        removed.append(name)
    return removed


def rebuild(place: CachePlace) -> None:
    """Remove everything from the cache; it can be fetched again (rule M-054)."""
    if place.folder is not None:
        for name in (OWN, *(each for each in KOPIA_LEFTOVERS if each != OWN_WRITES)):
            _remove(place.folder / name)


def forget(place: CachePlace) -> None:
    """Remove a temporary cache."""
    if place.temporary and place.folder is not None:
        _remove(place.folder)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


__all__ = [
    "FULL",
    "IN_MEMORY",
    "KOPIA_LEFTOVERS",
    "MOST",
    "CachePlace",
    "cache_size",
    "caching_options",
    "find_place",
    "forget",
    "is_in_memory",
    "is_short",
    "make_room",
    "rebuild",
    "used_bytes",
]
