"""Manifests: small labelled JSON documents, all read at once and merged.

Facts: format 04 §5. A manifest is visible to others once the writer's flush has stored the index.

A content that is lost or damaged hides the manifests that only it holds. The others can be read all the same: Kopia
reads either all contents or no manifest at all.
"""

import logging
import secrets
import threading
from collections.abc import Mapping
from types import MappingProxyType

import pykopia.core
from pykopia import clock
from pykopia.arguments import check_bytes, check_texts_by_name
from pykopia.errors import (
    BlobNotFoundError,
    ContentNotFoundError,
    DamagedDataError,
    DamagedManifestError,
    InvalidRangeError,
    ManifestNotFoundError,
    PykopiaError,
    UsageError,
)
from pykopia.format import gojson, manifest
from pykopia.format.manifest import CompactionPlan, ManifestEntry
from pykopia.ids import ContentID, ManifestID
from pykopia.repository.contents import ContentStore

COMPRESSOR = "zstd-fastest"
"""Compressor of manifest contents, regardless of policies (format 04 §2.2)."""
LOAD_ATTEMPTS = 3
MISSING = (BlobNotFoundError, ContentNotFoundError)
LOST = (*MISSING, InvalidRangeError, DamagedDataError)
"""Errors that hide manifests until they are repaired. A storage that can't be reached fails the whole call instead."""
NAMED_CONTENTS = 3
"""Contents that a message names; `content verify` lists all."""
WAY_OUT = (
    "put the blob back from a copy of the repository; if there is none, `content verify` lists the contents and "
    "`content delete` gives up what they held"
)

log = logging.getLogger(__name__)


class ManifestStore:
    """The manifests that are committed; safe for threads."""

    def __init__(self, contents: ContentStore) -> None:
        self._contents = contents
        self._lock = threading.Lock()
        self._entries: dict[ManifestID, ManifestEntry] | None = None
        self._sources: dict[ContentID, list[ManifestEntry]] = {}
        self._damaged: dict[ContentID, DamagedManifestError] = {}

    @property
    def damaged(self) -> Mapping[ContentID, DamagedManifestError]:
        """Contents with manifests that are lost or can't be read, each with its error; loads the manifests.

        Snapshots, policies and deletions that only these contents record are not known. ``error.__cause__`` is what the
        storage or the format reported.
        """
        self.entries()
        return self.known_damage

    @property
    def known_damage(self) -> Mapping[ContentID, DamagedManifestError]:
        """Like ``damaged``, but never loads the manifests: reports only what earlier loads found."""
        return MappingProxyType(self._damaged)

    @property
    def are_loaded(self) -> bool:
        """Whether the manifests are in memory, so that asking for them reads nothing."""
        return self._entries is not None

    def check_complete(self, what: str) -> None:
        """Refuse what must not be done while manifests may be missing.

        Args:
            what: names what is refused, in the message.

        Raises:
            DamagedManifestError: a content with manifests can't be read; the message names it and the way out.
        """
        if not self.damaged:
            return
        self.forget()
        self._contents.indexes.load()
        if self.damaged:
            error = next(iter(self._damaged.values()))
            raise DamagedManifestError(
                f"can't {what}: {_described(self._damaged)}, and snapshots and policies that only they hold would be taken "
                f"for deleted; {WAY_OUT}"
            ) from error

    def find(self, labels: Mapping[str, str]) -> list[ManifestEntry]:
        """Return the manifests that carry all given labels, oldest first."""
        check_texts_by_name("labels", labels)
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
        """Return how to put all manifests into one content, None while there are few (format 04 §5.3).

        While a content can't be read there is no plan: the new content would replace that one too.
        """
        self.entries()
        return None if self._damaged else manifest.plan_compaction(self._sources)

    def forget(self) -> None:
        """Read the manifests again when they are next asked for."""
        with self._lock:
            self._entries = None

    def _load(self) -> None:
        for attempt in range(LOAD_ATTEMPTS):
            sources: dict[ContentID, list[ManifestEntry]] = {}
            lost: dict[ContentID, PykopiaError] = {}
            entries = self._contents.list(manifest.CONTENT_PREFIX, manifest.CONTENT_PREFIX + "{")
            for entry, content in self._contents.read_each(entries):
                try:
                    if isinstance(content, PykopiaError):
                        raise content
                    sources[entry.content_id] = manifest.decode_content(content)
                except LOST as error:
                    lost[entry.content_id] = error
            # another client may have put them together in the meantime
            if not any(isinstance(error, MISSING) for error in lost.values()) or attempt == LOAD_ATTEMPTS - 1:
                break
            self._contents.indexes.load()
        damaged = {content_id: _damage(content_id, error) for content_id, error in lost.items()}
        if damaged.keys() - self._damaged.keys():
            log.warning(
                "%s. Snapshots and policies that only they hold are not seen, and nothing expires until this is repaired: %s",
                _described(damaged),
                WAY_OUT,
            )
        self._entries = manifest.merge(sources.values())
        self._sources = sources
        self._damaged = damaged


def _damage(content_id: ContentID, cause: PykopiaError) -> DamagedManifestError:
    error = DamagedManifestError(f"manifest content {content_id} can't be read: {cause}")
    error.__cause__ = cause
    return error


def _described(damaged: Mapping[ContentID, DamagedManifestError]) -> str:
    """Return the part of a sentence that names what can't be read, and why: each lost pack once."""
    names = ", ".join(list(damaged)[:NAMED_CONTENTS]) + (", …" if len(damaged) > NAMED_CONTENTS else "")
    causes = {_reason(error.__cause__): None for error in damaged.values()}
    contents = "1 content" if len(damaged) == 1 else f"{len(damaged)} contents"
    more = f", and {len(causes) - 1} more" if len(causes) > 1 else ""
    return f"{contents} with manifests can't be read ({names}): {next(iter(causes))}{more}"


def _reason(error: BaseException | None) -> str:
    return f"pack {error.blob_id} is missing" if isinstance(error, BlobNotFoundError) else str(error)


class ManifestWriter:
    """Adds and deletes manifests; what it does is committed by the next flush of its contents."""

    def __init__(self, store: ManifestStore, contents: "pykopia.core.ContentWriter") -> None:
        self._store = store
        self._contents = contents
        self._lock = threading.Lock()
        self._pending: dict[ManifestID, ManifestEntry] = {}

    @property
    def damaged(self) -> Mapping[ContentID, DamagedManifestError]:
        """Contents with manifests that can't be read, see ``ManifestStore.damaged``."""
        return self._store.damaged

    def put(self, labels: Mapping[str, str], data: bytes) -> ManifestID:
        """Store a manifest under a new ID.

        A manifest alone keeps nothing: full maintenance deletes objects that no snapshot refers to, whatever manifests
        say of them. ``repository.snapshots.put`` makes a snapshot of stored objects, which keeps them.

        Args:
            labels: ``type`` is required.
            data: JSON text. What is stored, and given back, has no blanks between its parts.

        Raises:
            UsageError: there is no type, a label is no text, or ``data`` is not bytes of JSON; nothing was stored.
        """
        data = bytes(check_bytes("data", data))
        check_texts_by_name("labels", labels)
        self._contents.check_open()
        if not labels.get("type"):
            raise UsageError("can't store a manifest without a type label")
        if not data.strip():
            raise UsageError("can't store a manifest without data: it must be JSON")
        return self._put(labels, data, clock.now())

    def delete(self, manifest_id: str) -> bool:
        """Delete a manifest; return False when there is none."""
        self._contents.check_open()
        known = ManifestID(manifest_id)
        with self._lock:
            old = self._pending.get(known) or self._store.entries().get(known)
            if old is None or old.deleted:
                return False
            self._pending[known] = manifest.tombstone(old, now_ns=clock.now())
        return True

    def replace(self, labels: Mapping[str, str], data: bytes) -> ManifestID:
        """Store a manifest instead of all that carry the same labels (format 04 §5.4)."""
        self._contents.check_open()
        plan = manifest.plan_replacement(self.find(labels), labels, now_ns=clock.now())
        with self._lock:
            self._pending.update({each.id: each for each in plan.tombstones})
        return self._put(labels, data, plan.modified_ns)

    def _put(self, labels: Mapping[str, str], data: bytes, modified_ns: int) -> ManifestID:
        manifest_id = ManifestID(secrets.token_hex(16))
        compact = gojson.compact(data)
        entry = ManifestEntry(id=manifest_id, labels=labels, modified_ns=modified_ns, data=compact)
        with self._lock:
            self._pending[manifest_id] = entry
        return manifest_id

    def find(self, labels: Mapping[str, str]) -> list[ManifestEntry]:
        """Return the manifests with the given labels as they will be after the flush, oldest first."""
        self._contents.check_open()
        with self._lock:
            together = {**self._store.entries(), **self._pending}
        return manifest.find((each for each in together.values() if not each.deleted), labels)

    def get(self, manifest_id: str) -> ManifestEntry:
        """Return one manifest as it will be after the flush."""
        self._contents.check_open()
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
            try:
                self._write(manifest.encode_content(list(pending.values())))
            except BaseException:
                with self._lock:  # a later flush must not succeed without them
                    self._pending = pending | self._pending
                raise

    def compact(self) -> bool:
        """Put all manifests into one content when there are many (format 04 §5.3); return whether it was done.

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
