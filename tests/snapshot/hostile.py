"""Snapshots that no client would make: written entry by entry, with whatever lies a test asks for."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from pykopia.api.repository import Repository
from pykopia.format.content_id import key_of
from pykopia.ids import ContentID
from pykopia.repository.writer import RepositoryWriter

TIME = "2024-01-01T00:00:00Z"
Make = Callable[[RepositoryWriter], list[dict[str, Any]]]


def entry(name: str, object_id: str, kind: str = "f", size: int = 5, mode: str = "0755") -> dict[str, Any]:
    return {"name": name, "type": kind, "mode": mode, "mtime": TIME, "obj": object_id, "size": size}


def listing(entries: Sequence[dict[str, Any]]) -> bytes:
    """Return the bytes of a folder; its summary is wrong, as nothing depends on that."""
    summary = {"size": 1, "files": 1, "symlinks": 0, "dirs": 1, "maxTime": TIME, "numFailed": 0}
    return json.dumps({"stream": "kopia:directory", "entries": entries, "summary": summary}).encode()


def folder(writer: RepositoryWriter, entries: Sequence[dict[str, Any]]) -> str:
    return writer.objects.write(listing(entries), prefix="k")


def forged(writer: RepositoryWriter, content_id: str, data: bytes) -> str:
    """Store bytes under an ID that is not their hash, as whoever has the password can."""
    return writer.contents.write_hashed([data], [key_of(ContentID(content_id))], [""])[0]


def chunked(writer: RepositoryWriter, pieces: Sequence[tuple[str, int]]) -> str:
    """Store the list of chunks of an object; the lengths of its pieces are taken as they are."""
    entries, start = [], 0
    for object_id, length in pieces:
        entries.append({"s": start, "l": length, "o": object_id})
        start += length
    index = json.dumps({"stream": "kopia:indirect", "entries": entries}).encode()
    return "I" + writer.contents.write(index, prefix="x")


def snapshot_of(repository: Repository, make: Make) -> str:
    """Store a snapshot of a folder with the entries that ``make`` returns; return its ID."""
    with repository.writer() as writer:
        return snapshot_with_root(writer, folder(writer, make(writer)))


def snapshot_with_root(writer: RepositoryWriter, root_id: str) -> str:
    source = {"host": "h", "userName": "u", "path": "/source"}
    root = entry("source", root_id, "d", 0)
    manifest = {"source": source, "startTime": TIME, "endTime": TIME, "rootEntry": root}
    labels = {"type": "snapshot", "hostname": "h", "username": "u", "path": "/source"}
    return writer.manifests.put(labels, json.dumps(manifest).encode())
