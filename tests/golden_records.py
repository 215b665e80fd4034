"""What the JSON files of tests/golden say, as typed values; ``tests/golden/README.md`` explains every key."""

import base64
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

FOLDER = Path(__file__).parent / "golden"

JSONObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenEntry:
    """One file, folder or link of a snapshot, as stored, and what kopia's restore made of it."""

    path: str
    """``.`` is the root."""
    kind: Literal["f", "d", "s"]
    size: int
    mode: int
    """The 12 POSIX permission bits."""
    stored_mode: str | None
    mtime_ns: int
    restored_mtime_ns: int
    """As kopia restores it."""
    uid: int
    gid: int
    object_id: str
    sha256: str | None
    """Of a file's contents, hex."""
    target: bytes | None
    """Of a link."""
    duplicate_name: bool
    readable: bool | None
    """In damaged repositories, whether the object and the listings that lead to it can be read."""

    @classmethod
    def from_json(cls, entry: JSONObject) -> "GoldenEntry":
        """Return the entry that an item of `entries` describes."""
        target = base64.b64decode(entry["target_b64"]) if "target_b64" in entry else None
        if "target" in entry:
            target = entry["target"].encode()
        return cls(
            path=entry["path"],
            kind=entry["type"],
            size=entry["size"],
            mode=int(entry["mode"], 8),
            stored_mode=entry.get("stored_mode"),
            mtime_ns=entry["mtime_ns"],
            restored_mtime_ns=entry["restored_mtime_ns"] if "restored_mtime_ns" in entry else entry["mtime_ns"],
            uid=entry["uid"],
            gid=entry["gid"],
            object_id=entry["obj"],
            sha256=entry.get("sha256"),
            target=target,
            duplicate_name=entry.get("duplicate_name", False),
            readable=entry.get("readable"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenSnapshot:
    """One snapshot, with every entry in it."""

    index: int
    id: str
    source: str
    user: str
    host: str
    path: str
    start_time: str
    end_time: str
    description: str
    tags: Mapping[str, str]
    pins: tuple[str, ...]
    incomplete: str
    retention: tuple[str, ...]
    """The reasons why it is kept."""
    root: str
    summary: JSONObject
    manifest: JSONObject
    entries: tuple[GoldenEntry, ...]
    not_in_snapshot: tuple[str, ...]
    """Paths of the source that were left out."""

    @classmethod
    def from_json(cls, snapshot: JSONObject) -> "GoldenSnapshot":
        """Return the snapshot that an item of `snapshots` describes."""
        return cls(
            **{
                **snapshot,
                "pins": tuple(snapshot["pins"]),
                "retention": tuple(snapshot["retention"]),
                "entries": tuple(map(GoldenEntry.from_json, snapshot["entries"])),
                "not_in_snapshot": tuple(snapshot.get("not_in_snapshot", ())),
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenContent:
    """One content as kopia lists it, deleted or not."""

    id: str
    original_length: int
    packed_length: int
    compression: int
    """Header of the compressor, 0 for none."""
    pack: str
    offset: int
    time: int
    """Seconds since 1970."""
    format_version: int
    deleted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenManifest:
    """One manifest with its JSON."""

    id: str
    labels: Mapping[str, str]
    mtime: str
    length: int
    """Bytes of its JSON as stored."""
    data: JSONObject


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenBlob:
    """One blob of the storage."""

    id: str
    file: str
    """Path below the repository's folder."""
    length: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenIndexBlob:
    """One index blob, in use or superseded."""

    id: str
    length: int
    timestamp: str
    active: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenIndexEntry:
    """One line of an index blob."""

    index_blob: str
    content_id: str
    deleted: bool
    time: str
    pack: str
    offset: int
    packed_length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenIndirectObject:
    """A file object of more than one chunk."""

    object: str
    levels: int
    """Letters ``I`` in front of its identifier."""
    count: int
    length: int
    index_length: int
    index_sha256: str
    chunks: tuple[tuple[int, int, str], ...]
    """Start, length and object of each chunk; of the first and the last ones if `complete` is false."""
    complete: bool

    @classmethod
    def from_json(cls, indirect: JSONObject) -> "GoldenIndirectObject":
        """Return the object that an item of `indirect_objects` describes."""
        complete = "chunks" in indirect
        chunks = indirect["chunks"] if complete else [*indirect["first_chunks"], *indirect["last_chunks"]]
        names = ("object", "levels", "count", "length", "index_length", "index_sha256")
        return cls(
            **{name: indirect[name] for name in names},
            chunks=tuple((start, length, object_id) for start, length, object_id in chunks),
            complete=complete,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenStep:
    """One thing that was done to make the repository: a kopia command, or an action beside kopia."""

    command: str | None
    exit_code: int | None
    client: str | None
    """Which of several clients ran the command."""
    stderr: str
    stopped_by: str | None
    action: str | None
    tree: "TreeAction | None"
    """Set if the action made or changed a source tree that can be made again."""

    @classmethod
    def from_json(cls, step: JSONObject) -> "GoldenStep":
        """Return the step that an item of `steps` describes."""
        return cls(
            command=step.get("command"),
            exit_code=step.get("exit_code"),
            client=step.get("client"),
            stderr=step.get("stderr", ""),
            stopped_by=step.get("stopped_by"),
            action=step.get("action"),
            tree=TreeAction.parse(step.get("action", "")),
        )

    def flag(self, name: str) -> str:
        """Return the value of a flag of the command, which may hold spaces, or an empty text."""
        found = re.search(rf" --{name}=(.*?)(?= --[a-z]|$)", self.command or "", re.DOTALL)
        return found[1] if found else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeAction:
    """A call of tests/golden/make_tree.py."""

    tree: str
    seed: int
    step: int
    folder: str
    """Below ``$SRC``."""

    @classmethod
    def parse(cls, action: str) -> "TreeAction | None":
        """Return the call that a text such as ``tree basic, seed 12, step 0 in $SRC/basic`` speaks of, or None."""
        found = re.fullmatch(r"tree (\S+), seed (\d+), step (\d+) in \$SRC/(\S+)", action)
        if not found:
            return None
        return cls(tree=found[1], seed=int(found[2]), step=int(found[3]), folder=found[4])


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenRepository:
    """All that is known of one golden repository."""

    name: str
    about: str
    password: str
    old_passwords: tuple[str, ...]
    user: str
    host: str
    repository: JSONObject
    """`unique_id`, `format_blob`, `content_format`, `object_format`, `blob_retention`, `shards`."""
    steps: tuple[GoldenStep, ...]
    snapshots: tuple[GoldenSnapshot, ...]
    contents: tuple[GoldenContent, ...]
    manifests: tuple[GoldenManifest, ...]
    blobs: tuple[GoldenBlob, ...]
    good_blobs: tuple[GoldenBlob, ...]
    """The blobs before the damage; equal to `blobs` in a good repository."""
    index_blobs: tuple[GoldenIndexBlob, ...]
    index_entries: tuple[GoldenIndexEntry, ...]
    indirect_objects: tuple[GoldenIndirectObject, ...]
    damage: JSONObject | None
    attempts: tuple[JSONObject, ...]
    """What kopia said of a damaged repository."""
    repaired: JSONObject | None
    raw: JSONObject
    """The whole JSON: policies, maintenance, epochs, sessions, logs and more."""

    @property
    def damaged(self) -> bool:
        """Whether it is one of the damaged ones."""
        return self.damage is not None


@functools.cache
def load(name: str) -> GoldenRepository:
    """Return what the JSON file of a golden repository says."""
    raw: JSONObject = json.loads((FOLDER / f"{name}.json").read_bytes())
    blobs = tuple(GoldenBlob(**blob) for blob in raw["blobs"])
    return GoldenRepository(
        name=raw["name"],
        about=raw["about"],
        password=raw["password"],
        old_passwords=tuple(raw.get("old_passwords", ())),
        user=raw["user"],
        host=raw["host"],
        repository=raw["repository"],
        steps=tuple(map(GoldenStep.from_json, raw["steps"])),
        snapshots=tuple(map(GoldenSnapshot.from_json, raw["snapshots"])),
        contents=tuple(GoldenContent(**content) for content in raw["contents"]),
        manifests=tuple(GoldenManifest(**manifest) for manifest in raw["manifests"]),
        blobs=blobs,
        good_blobs=tuple(GoldenBlob(**blob) for blob in raw["good_blobs"]) if "good_blobs" in raw else blobs,
        index_blobs=tuple(GoldenIndexBlob(**blob) for blob in raw["index_blobs"]),
        index_entries=tuple(_index_entries(raw["index_entries"])),
        indirect_objects=tuple(map(GoldenIndirectObject.from_json, raw["indirect_objects"])),
        damage=raw.get("damage"),
        attempts=tuple(raw.get("attempts", ())),
        repaired=raw.get("repaired"),
        raw=raw,
    )


def _index_entries(blobs: Iterable[JSONObject]) -> Iterator[GoldenIndexEntry]:
    for blob in blobs:
        for content_id, state, time, pack, offset, packed_length in blob["entries"]:
            yield GoldenIndexEntry(
                index_blob=blob["blob"],
                content_id=content_id,
                deleted=state == "deleted",
                time=time,
                pack=pack,
                offset=offset,
                packed_length=packed_length,
            )


__all__ = [
    "FOLDER",
    "GoldenBlob",
    "GoldenContent",
    "GoldenEntry",
    "GoldenIndexBlob",
    "GoldenIndexEntry",
    "GoldenIndirectObject",
    "GoldenManifest",
    "GoldenRepository",
    "GoldenSnapshot",
    "GoldenStep",
    "TreeAction",
    "load",
]
