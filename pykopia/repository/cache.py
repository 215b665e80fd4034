"""A folder of blobs that may be lost at any time: it speeds reading up and is never needed.

Each file is ``data || HMAC-SHA256(key, data)`` (the protection Kopia's cache has, format 01 §7.3), so that a damaged or
foreign file is a miss. The limit is hard: room is made before a file is written; with several processes at work it may be
passed by a twentieth for each other one. A folder that can't be written to, or a
full disk, switches the cache off instead of failing the command.
"""

import contextlib
import hmac
import logging
import os
import secrets
import threading
from pathlib import Path

from pykopia import clock
from pykopia.dataclass import dataclass

log = logging.getLogger(__name__)

OWN_FOLDER = "pykopia"
"""Folder for all of this program inside the cache folder of a connection."""
INDEX_FOLDER = "indexes"
"""Folder in ``OWN_FOLDER`` with a folder of decrypted index files for each repository."""
FORMAT_FOLDER_PREFIX = "format-"
"""Folders in ``OWN_FOLDER`` with the copies of the format blobs; the rest of the name stands for the storage."""
MAC_LENGTH = 32
SUFFIX = ".f"
TOUCH_AFTER_NS = 10 * 60 * 1_000_000_000
"""A hit renews a file's time only when it is older: one write per file and ten minutes."""

RECOUNT_SHARE = 20
"""The folder is counted again when a twentieth of the limit was added: other processes put files there too."""

TAG_NAME = "CACHEDIR.TAG"
TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This folder is a cache of pykopia: it may be deleted at any time.\n"
    b"# See https://bford.info/cachedir/\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheUsage:
    """Number and size of the items of a cache."""

    files: int
    total_bytes: int
    limit_bytes: int


class BlobCache:
    """Blobs by name in one folder, with a hard limit; safe for threads and for several processes."""

    def __init__(self, folder: Path, *, limit_bytes: int, mac_key: bytes) -> None:
        """Use ``folder``, which is made when the first blob is put there."""
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._mac_key = mac_key
        self._lock = threading.Lock()
        self._total = 0
        self._uncounted = -1
        """Bytes added since the folder was counted; negative: it never was."""
        self._off = limit_bytes <= 0

    def _path(self, name: str) -> Path:
        # the end of a name is random, its start is often a common prefix
        return self.folder / name[-2:] / (name + SUFFIX)

    def get(self, name: str) -> bytes | None:
        """Return the blob, or None when it is not here or not what was put here."""
        path = self._path(name)
        try:
            with open(path, "rb", buffering=0) as file:
                stat = os.fstat(file.fileno())
                stored = file.read()
        except OSError:
            return None
        data = stored[:-MAC_LENGTH]
        if len(stored) < MAC_LENGTH or not hmac.compare_digest(
            hmac.digest(self._mac_key, data, "sha256"), stored[-MAC_LENGTH:]
        ):
            log.warning("cached file %s is damaged; it is read from the repository again", path)
            self.remove(name)
            return None
        if clock.now() - stat.st_mtime_ns > TOUCH_AFTER_NS:
            with contextlib.suppress(OSError):
                os.utime(path)
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep a blob, dropping those that were not used for longest; does nothing when it can't be kept."""
        size = len(data) + MAC_LENGTH
        if self._off or size > self.limit_bytes:
            return
        path = self._path(name)
        try:
            with self._lock:
                self._make_room(size)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with open(descriptor, "wb", buffering=0) as file:
                    file.write(data)
                    file.write(hmac.digest(self._mac_key, data, "sha256"))
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._off = True
            log.warning("the cache in %s is switched off: %s", self.folder, error)

    def remove(self, name: str) -> None:
        """Forget a blob."""
        with contextlib.suppress(OSError):
            self._path(name).unlink()

    def usage(self) -> CacheUsage:
        """Count what is here."""
        files = self._scan()
        return CacheUsage(files=len(files), total_bytes=sum(size for _, size, _ in files), limit_bytes=self.limit_bytes)

    def clear(self) -> None:
        """Drop everything."""
        for path, _, _ in self._scan():
            path.unlink(missing_ok=True)
        with self._lock:
            self._uncounted = -1

    def _scan(self) -> list[tuple[Path, int, int]]:
        """Return path, size and time of each file."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as shards:
            for shard in shards:
                with contextlib.suppress(OSError), os.scandir(shard.path) as files:
                    for file in files:
                        with contextlib.suppress(OSError):
                            stat = file.stat(follow_symlinks=False)
                            found.append((Path(file.path), stat.st_size, stat.st_mtime_ns))
        return found

    def _make_room(self, size: int) -> None:
        """Drop the files not used for longest until ``size`` bytes fit; needs the lock."""
        if 0 <= self._uncounted <= self.limit_bytes // RECOUNT_SHARE and self._total + size <= self.limit_bytes:
            self._total += size
            self._uncounted += size
            return
        files = sorted(self._scan(), key=lambda each: each[2])
        total = sum(each for _, each, _ in files)
        if total + size > self.limit_bytes:
            # down to nine tenths, so that the next put does not have to scan again
            target = max(0, min(self.limit_bytes - size, self.limit_bytes * 9 // 10))
            for path, each, _ in files:
                if total <= target:
                    break
                path.unlink(missing_ok=True)
                total -= each
        self._total = total + size
        self._uncounted = size


def index_is_cached(cache: Path | None) -> bool:
    """Return True if a cache folder holds any index file, of whichever repository."""
    return cache is not None and any((cache / OWN_FOLDER / INDEX_FOLDER).glob("*/*.idx"))


def tag_cache_folder(folder: Path) -> None:
    """Make a cache folder that backups pass over."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tag = folder / TAG_NAME
    if not tag.exists():
        tag.write_bytes(TAG)


__all__ = [
    "FORMAT_FOLDER_PREFIX",
    "INDEX_FOLDER",
    "OWN_FOLDER",
    "TAG_NAME",
    "BlobCache",
    "CacheUsage",
    "index_is_cached",
    "tag_cache_folder",
]
