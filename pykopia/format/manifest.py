"""Manifests: small JSON documents with labels, many of them in one content (format 04 §5).

A content with prefix ``m`` is gzip of ``{"entries":[{"id","labels","modified","deleted","data"}, …]}``. Of several
entries with one ID the latest counts; an entry that is ``deleted`` takes the ID away. One content that can't be read
makes the whole repository unusable for Kopia, so what is written here is checked first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from types import MappingProxyType
from typing import Final

import msgspec

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedDataError, DamagedManifestError, DecompressionError, UsageError
from pykopia.format import gojson
from pykopia.format.deflate import GZIP, decode_gzip, encoder
from pykopia.format.gotime import moment
from pykopia.ids import Buffer, ContentID, ManifestID

CONTENT_PREFIX: Final = "m"
"""Prefix of the contents that hold manifests."""

TYPE_LABEL: Final = "type"
"""The label that every manifest has."""

COMPACTION_THRESHOLD: Final = 16
"""Number of contents from which on a writing client puts all entries into one (format 04 §5.3)."""

_compress: Final = encoder(6, wrapper=GZIP)

_LEAST_LIMIT: Final = 16 << 20
_MOST_EXPANSION: Final = 100
"""A manifest content may expand to this many times its length, and to ``_LEAST_LIMIT`` bytes in any case. JSON of real
manifests expands 5 to 30 times."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestEntry:
    """One manifest, or the note that one was deleted (a tombstone)."""

    id: ManifestID
    labels: Mapping[str, str] = field(default_factory=dict)
    """Empty in a tombstone; a copy of what was given, that can't be changed."""
    modified_ns: int
    """Time of the writing client: nanoseconds since 1970."""
    deleted: bool = False
    data: bytes = b"null"
    """The document: JSON text exactly as in the content; empty when the entry has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))

    @property
    def modified(self) -> datetime | None:
        """Time of the writing client, in UTC."""
        return moment(self.modified_ns)

    @property
    def type(self) -> str:
        """The kind of manifest, such as ``snapshot``; empty when there is no such label."""
        return self.labels.get(TYPE_LABEL, "")

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the entry has all these labels."""
        return all(self.labels.get(key) == value for key, value in labels.items())


class _StoredEntry(msgspec.Struct, forbid_unknown_fields=True):
    id: str = ""
    labels: dict[str, str] | None = None
    modified: str | None = None
    deleted: bool = False
    data: msgspec.Raw = msgspec.Raw(b"")


class _StoredContent(msgspec.Struct, forbid_unknown_fields=True):
    entries: list[_StoredEntry] = msgspec.field(default_factory=list)


class _LooseEntry(msgspec.Struct):
    id: str = ""
    labels: dict[str, str] | None = None
    modified: str | None = None
    deleted: bool = False


def encode_content(entries: Sequence[ManifestEntry], *, rewriting: bool = False) -> bytes:
    """Return the bytes of a manifest content.

    Args:
        entries: At least one entry.
        rewriting: The entries were read from the repository and are put together: one without a type, or with a time
            that 64 bits can't hold, is then kept as it is.

    Raises:
        UsageError: An entry has no ID or type, a label is not text, a time can't be written, or data is not JSON.
    """
    if not entries:
        raise UsageError("a manifest content can't be written: there is no entry to put into it")
    text = b",".join([_encode_entry(entry, rewriting=rewriting) for entry in entries])
    return _compress(b'{"entries":[' + text + b"]}\n")


def _encode_entry(entry: ManifestEntry, *, rewriting: bool) -> bytes:
    try:
        _check(entry, rewriting=rewriting)
        head: dict[str, object] = {
            "id": entry.id,
            "labels": gojson.sorted_map(entry.labels) or None,
            "modified": gojson.format_time(entry.modified_ns),
        }
        if entry.deleted:
            head["deleted"] = True
        return gojson.dumps({**head, "data": gojson.Raw(entry.data or b"null", parsed=rewriting)})
    except UsageError as error:
        raise UsageError(f"manifest {entry.id!r} can't be written: {error}") from error


def _check(entry: ManifestEntry, *, rewriting: bool) -> None:
    if not entry.id or not isinstance(entry.id, str):
        raise UsageError("it has no ID")
    for key, value in entry.labels.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise UsageError(f"its label {key!r} is not text: {value!r}")
    if rewriting:
        return
    if not entry.deleted and not entry.type:
        raise UsageError(f"it has no label {TYPE_LABEL!r}")
    if entry.modified_ns != gojson.wrap_int64(entry.modified_ns):
        raise UsageError(f"its time, {entry.modified_ns} ns from 1970, does not fit into 64 bits")


def decode_content(data: Buffer, *, tolerant: bool = False) -> list[ManifestEntry]:
    """Return the entries of a manifest content.

    Args:
        data: The bytes of the content.
        tolerant: Leave out entries and keys that can't be read instead of failing, to save what can be saved. The
            result may lack manifests: never collect garbage, compact or write with it.

    Raises:
        DamagedManifestError: The content, or unless ``tolerant`` an entry, is not what Kopia can read.
    """
    try:
        text = decode_gzip(memoryview(data), _LEAST_LIMIT + _MOST_EXPANSION * len(data))
    except DecompressionError as error:
        raise DamagedManifestError(f"a manifest content can't be read: {error}") from error
    try:
        if text.count(b'"entries"') == 1:  # a second one may be a repeated key, which Kopia refuses
            return [
                _entry(stored, bytes(stored.data)) for stored in msgspec.json.decode(text, type=_StoredContent).entries
            ]
    except (msgspec.MsgspecError, ValueError, RecursionError, DamagedDataError):
        pass
    return _decode_unusual(text, tolerant=tolerant)


def _entry(stored: _StoredEntry | _LooseEntry, data: bytes) -> ManifestEntry:
    modified = gojson.ZERO_TIME_NS if stored.modified is None else gojson.parse_time(stored.modified)
    return ManifestEntry(
        id=ManifestID(stored.id),
        labels=stored.labels or {},
        modified_ns=modified,
        deleted=stored.deleted,
        data=data,
    )


def _decode_unusual(text: bytes, *, tolerant: bool) -> list[ManifestEntry]:
    entries: list[ManifestEntry] = []
    try:
        for item in _items_of_content(text, tolerant=tolerant):
            try:
                raw = {gojson.fold(key): value for key, value in gojson.members(item)}
                entries.append(_entry(gojson.decode(item, _LooseEntry), raw.get("data", b"")))
            except DamagedDataError:
                if not tolerant:
                    raise
    except DamagedDataError as error:
        raise DamagedManifestError(
            f"a manifest content can't be read: {error}; as long as it is there, any manifest may be missing"
        ) from error
    return entries


def _items_of_content(text: bytes, *, tolerant: bool) -> list[bytes]:
    """Return the texts of the entries; keys beside them stop Kopia, unless their values are strings (format 04 §5.2)."""
    items: list[bytes] | None = None
    for key, value in gojson.members(text, first_only=True):
        if gojson.fold(key) == "entries":
            if items is not None and not tolerant:
                raise DamagedDataError("the key 'entries' is repeated")
            items = (items or []) + gojson.elements(value)
        elif not tolerant and (value[:1] != b'"' or gojson.fold(str(gojson.loads(value))) == "entries"):
            raise DamagedDataError(f"there is a key {key!r} beside 'entries'")
    return items or []


def merge(contents: Iterable[Iterable[ManifestEntry]]) -> dict[ManifestID, ManifestEntry]:
    """Return the manifests that all contents together hold, by ID: the latest entry of each, without deleted ones.

    Where times are equal Kopia takes any; here a tombstone goes before an entry, and no order changes the result.
    """
    newest: dict[ManifestID, ManifestEntry] = {}
    for entries in contents:
        for entry in entries:
            known = newest.setdefault(entry.id, entry)
            if known is not entry and _rank(entry) > _rank(known):
                newest[entry.id] = entry
    return {manifest_id: entry for manifest_id, entry in newest.items() if not entry.deleted}


def _rank(entry: ManifestEntry) -> tuple[int, bool, bytes, list[tuple[str, str]]]:
    return entry.modified_ns, entry.deleted, entry.data, sorted(entry.labels.items())


def find(entries: Iterable[ManifestEntry], labels: Mapping[str, str]) -> list[ManifestEntry]:
    """Return the entries that have all these labels: oldest first, by ID where times are equal."""
    wanted = {gojson.stored_form(key): gojson.stored_form(value) for key, value in labels.items()}
    found = [entry for entry in entries if entry.matches(wanted)]
    return sorted(found, key=lambda entry: (entry.modified_ns, entry.id))


def latest(entries: Iterable[ManifestEntry]) -> ManifestEntry | None:
    """Return the entry that counts where there should be one only: the latest, with the greatest ID of equal times."""
    return max(entries, key=lambda entry: (entry.modified_ns, entry.id), default=None)


def latest_by_label(entries: Iterable[ManifestEntry], label: str) -> list[ManifestEntry]:
    """Return the entry that counts for each value of a label, oldest first; entries without the label count as one."""
    groups: dict[str, list[ManifestEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.labels.get(label, ""), []).append(entry)
    return find((max(group, key=lambda entry: (entry.modified_ns, entry.id)) for group in groups.values()), {})


def tombstone(entry: ManifestEntry, *, now_ns: int) -> ManifestEntry:
    """Return the entry that deletes ``entry``.

    It is at least a nanosecond younger, so it works even when the clock of the other client was ahead of ``now_ns``.
    """
    return ManifestEntry(id=entry.id, modified_ns=max(now_ns, entry.modified_ns + 1), deleted=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplacementPlan:
    """Entries that replace several manifests with the same labels by one (format 04 §5.4)."""

    tombstones: tuple[ManifestEntry, ...]
    modified_ns: int
    """Time for the new entry: later than all it replaces."""


def plan_replacement(entries: Iterable[ManifestEntry], labels: Mapping[str, str], *, now_ns: int) -> ReplacementPlan:
    """Return how to replace all manifests with these labels by a new one.

    Kopia waits until the replaced entries are 100 ms old; here the new times are chosen later instead.
    """
    tombstones = tuple(tombstone(entry, now_ns=now_ns) for entry in find(entries, labels))
    return ReplacementPlan(
        tombstones=tombstones, modified_ns=max([now_ns, *(entry.modified_ns for entry in tombstones)])
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactionPlan:
    """Writes and deletions that bring all manifests into one content (format 04 §5.3).

    The new content and the deletions must reach the index together. A content that turns out to have the ID of the new
    one must not be deleted.
    """

    entries: tuple[ManifestEntry, ...]
    """For one new content, with ``encode_content(…, rewriting=True)``; empty when nothing lives: then write none."""
    delete: tuple[ContentID, ...]


def plan_compaction(
    contents: Mapping[ContentID, Sequence[ManifestEntry]], *, threshold: int = COMPACTION_THRESHOLD
) -> CompactionPlan | None:
    """Return how to put all manifests into one content, or None when there are too few contents to care.

    Args:
        contents: All ``m`` contents of the repository, each read without ``tolerant``.
        threshold: Fewest contents that are compacted; at least 2, which an explicit compaction uses.
    """
    if len(contents) < max(threshold, 2):
        return None
    entries = sorted(merge(contents.values()).values(), key=lambda entry: (entry.modified_ns, entry.id))
    return CompactionPlan(entries=tuple(entries), delete=tuple(sorted(contents)))


__all__ = [
    "COMPACTION_THRESHOLD",
    "CONTENT_PREFIX",
    "TYPE_LABEL",
    "CompactionPlan",
    "ManifestEntry",
    "ReplacementPlan",
    "decode_content",
    "encode_content",
    "find",
    "latest",
    "latest_by_label",
    "merge",
    "plan_compaction",
    "plan_replacement",
    "tombstone",
]
