"""Manifests: small labelled JSON documents, all read at once and merged.

Facts: spec 04 §5. A manifest is visible to others once the writer's flush has stored the index.
"""

import secrets
import threading
from collections.abc import Mapping

from pykopia import clock
from pykopia.arguments import check_bytes
from pykopia.errors import (
    BlobNotFoundError,
    ContentNotFoundError,
    DamagedManifestError,
    ManifestNotFoundError,
    UsageError,
)
from pykopia.format import manifest
from pykopia.format.manifest import CompactionPlan, ManifestEntry
from pykopia.ids import ContentID, ManifestID
from pykopia.repository.content_writer import ContentWriter
from pykopia.repository.contents import ContentStore

COMPRESSOR = "zstd-fastest"
"""What manifest contents are packed with, whatever the policies say (spec 04 §2.2)."""
LOAD_ATTEMPTS = 3


class ManifestStore:
    """The manifests that are committed; safe for threads."""

    def __init__(self, contents: ContentStore) -> None:
        self._contents = contents
        self._lock = threading.Lock()
        self._entries: dict[ManifestID, ManifestEntry] | None = None
        self._sources: dict[ContentID, list[ManifestEntry]] = {}

    def find(self, labels: Mapping[str, str]) -> list[ManifestEntry]:
        """Return the manifests that carry all given labels, oldest first."""
        return manifest.find(self.entries().values(), labels)

    def get(self, manifest_id: str) -> ManifestEntry:
        """Return one manifest.

        Raises:
            ManifestNotFoundError: there is none, or it was deleted.
        """
        entry = self.entries().get(ManifestID(manifest_id))
        if entry is None:
            raise ManifestNotFoundError(f"manifest {manifest_id} is not in the repository; `manifest list` shows all")
        return entry

    def entries(self) -> dict[ManifestID, ManifestEntry]:
        """Return all live manifests by ID."""
        with self._lock:
            if self._entries is None:
                self._load()
            assert self._entries is not None
            return self._entries

    def compaction(self) -> CompactionPlan | None:
        """Return how to put all manifests into one content, None while there are few (spec 04 §5.3)."""
        self.entries()
        return manifest.plan_compaction(self._sources)

    def forget(self) -> None:
        """Read the manifests again when they are next asked for."""
        with self._lock:
            self._entries = None

    def _load(self) -> None:
        for attempt in range(LOAD_ATTEMPTS):
            try:
                sources = {
                    entry.content_id: self._read(entry.content_id)
                    for entry in self._contents.list(manifest.CONTENT_PREFIX, manifest.CONTENT_PREFIX + "{")
                }
            except (BlobNotFoundError, ContentNotFoundError):
                # another client has put them together in the meantime
                if attempt == LOAD_ATTEMPTS - 1:
                    raise
                self._contents.indexes.load()
            else:
                self._entries = manifest.merge(sources.values())
                self._sources = sources
                return

    def _read(self, content_id: ContentID) -> list[ManifestEntry]:
        try:
            return manifest.decode_content(self._contents.get(content_id))
        except DamagedManifestError as error:
            raise DamagedManifestError(f"manifest content {content_id} can't be read: {error}") from error


class ManifestWriter:
    """Adds and deletes manifests; what it does is committed by the next flush of its contents."""

    def __init__(self, store: ManifestStore, contents: ContentWriter) -> None:
        self._store = store
        self._contents = contents
        self._lock = threading.Lock()
        self._pending: dict[ManifestID, ManifestEntry] = {}

    def put(self, labels: Mapping[str, str], data: bytes) -> ManifestID:
        """Store a manifest under a new ID.

        Args:
            labels: ``type`` is required.
            data: JSON text.

        Raises:
            UsageError: there is no type, or the data are no bytes.
        """
        check_bytes("data", data)
        if not labels.get("type"):
            raise UsageError("can't store a manifest without a type label")
        if not data.strip():
            raise UsageError("can't store a manifest without data: it must be JSON")
        return self._put(labels, data, clock.now())

    def delete(self, manifest_id: str) -> bool:
        """Delete a manifest; return False when there is none."""
        known = ManifestID(manifest_id)
        with self._lock:
            old = self._pending.get(known) or self._store.entries().get(known)
            if old is None or old.deleted:
                return False
            self._pending[known] = manifest.tombstone(old, now_ns=clock.now())
        return True

    def replace(self, labels: Mapping[str, str], data: bytes) -> ManifestID:
        """Store a manifest instead of all that carry the same labels (spec 04 §5.4)."""
        plan = manifest.plan_replacement(self.find(labels), labels, now_ns=clock.now())
        with self._lock:
            self._pending.update({each.id: each for each in plan.tombstones})
        return self._put(labels, data, plan.modified_ns)

    def _put(self, labels: Mapping[str, str], data: bytes, modified_ns: int) -> ManifestID:
        manifest_id = ManifestID(secrets.token_hex(16))
        entry = ManifestEntry(id=manifest_id, labels=dict(labels), modified_ns=modified_ns, data=data)
        with self._lock:
            self._pending[manifest_id] = entry
        return manifest_id

    def find(self, labels: Mapping[str, str]) -> list[ManifestEntry]:
        """Return the manifests with the given labels as they will be after the flush, oldest first."""
        with self._lock:
            together = {**self._store.entries(), **self._pending}
        return manifest.find((each for each in together.values() if not each.deleted), labels)

    def get(self, manifest_id: str) -> ManifestEntry:
        """Return one manifest as it will be after the flush."""
        with self._lock:
            pending = self._pending.get(ManifestID(manifest_id))
        if pending is None:
            return self._store.get(manifest_id)
        if pending.deleted:
            raise ManifestNotFoundError(f"manifest {manifest_id} was deleted")
        return pending

    def write_pending(self) -> None:
        """Hand what is pending to the contents as one content (before their flush)."""
        with self._lock:
            pending, self._pending = self._pending, {}
        if pending:
            self._write(manifest.encode_content(list(pending.values())))

    def compact(self) -> bool:
        """Put all manifests into one content when there are many (spec 04 §5.3); return whether it was done.

        The new content and the deletion of the old ones are committed by the same flush, in one index blob.
        """
        plan = self._store.compaction()
        if plan is None:
            return False
        whole = self._write(manifest.encode_content(plan.entries, rewriting=True)) if plan.entries else None
        for content_id in plan.delete:
            if content_id != whole:
                self._contents.delete(content_id)
        return True

    def _write(self, document: bytes) -> ContentID:
        return self._contents.write(document, prefix=manifest.CONTENT_PREFIX, compressor=COMPRESSOR)


__all__ = ["ManifestStore", "ManifestWriter"]
