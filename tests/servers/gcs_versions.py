"""An imitation of a bucket of Google Cloud Storage that keeps versions and retentions, which the emulator does not.

It does what Google documents of its JSON API, and knows what the driver uses, and no more. Credentials are not looked at.
"""

import contextlib
import datetime as dt
import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.servers import process
from tests.servers.imitation import Answering, serving
from tests.servers.tls import Certificates

BUCKET = "kept"
_API = f"/storage/v1/b/{BUCKET}"
_UPLOAD = f"/upload/storage/v1/b/{BUCKET}/o"


@dataclass(kw_only=True)
class Version:
    """One version of an object."""

    told: dict[str, Any]
    """What the service tells of it."""
    content: bytes


@dataclass
class VersionedBucket:
    """A running server with one bucket, which keeps versions."""

    now: dt.datetime
    """Its clock, which stands; every write makes it go on by a millisecond."""
    port: int = 0
    objects: dict[str, list[Version]] = field(default_factory=dict)
    """Versions by name, oldest first."""
    logins: set[str] = field(default_factory=set)
    """How requests said who they come from; empty: not at all."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        """What STORAGE_EMULATOR_HOST is to be."""
        return f"http://{process.HOST}:{self.port}"

    def tick(self) -> str:
        """Let time pass, and return it."""
        self.now += dt.timedelta(milliseconds=1)
        return _text(self.now)

    def live(self, name: str) -> Version | None:
        """Return the version that is current."""
        found = self.objects.get(name, [])
        return found[-1] if found and "timeDeleted" not in found[-1].told else None

    def is_retained(self, version: Version) -> bool:
        """Tell whether a retention keeps a version."""
        until = version.told.get("retention", {}).get("retainUntilTime")
        return until is not None and dt.datetime.fromisoformat(until) > self.now


@contextlib.contextmanager
def versioned_bucket(certificates: Certificates | None = None) -> Iterator[VersionedBucket]:
    """Run the server, whose clock stands at a time; with certificates it speaks TLS."""
    bucket = VersionedBucket(now=dt.datetime.now(dt.UTC).replace(microsecond=0))
    with serving(_Handler, certificates, bucket=bucket) as bucket.port:
        yield bucket


class _Handler(Answering):
    bucket: VersionedBucket

    def on_get(self) -> None:
        path, query = self._split()
        with self.bucket.lock:
            if path == _API:
                self._answer({"versioning": {"enabled": True}})
            elif path == f"{_API}/o":
                self._list(query)
            else:
                self._get(self._name(path), query)

    def on_post(self) -> None:
        path, query = self._split()
        body = self.body()
        with self.bucket.lock:
            if path == _UPLOAD:
                self._put(body, query)
            else:
                self._refuse(404, "notFound")

    def on_patch(self) -> None:
        path, _ = self._split()
        change = json.loads(self.body())
        with self.bucket.lock:
            version = self.bucket.live(self._name(path))
            if version is None:
                self._refuse(404, "notFound")
            elif self._shortens(version.told.get("retention"), change["retention"]):
                self._refuse(403, "retentionPolicyNotMet")
            else:
                version.told |= change
                self._answer(version.told)

    def on_delete(self) -> None:
        """A delete without a generation makes a version noncurrent, which a retention allows."""
        path, query = self._split()
        assert "generation" not in query
        with self.bucket.lock:
            version = self.bucket.live(self._name(path))
            if version is None:
                self._refuse(404, "notFound")
                return
            version.told["timeDeleted"] = self.bucket.tick()
            self.send(204)

    def _put(self, body: bytes, query: dict[str, str]) -> None:
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        _, head, data, _ = body.split(b"--" + boundary)
        told = json.loads(head.partition(b"\r\n\r\n")[2])
        content = data.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        live = self.bucket.live(told["name"])
        if live and query.get("ifGenerationMatch") == "0":
            self._refuse(412, "conditionNotMet")
            return
        created = self.bucket.tick()
        if live:
            live.told["timeDeleted"] = created
        generation = str(int(self.bucket.now.timestamp() * 1_000_000))
        told |= {"size": str(len(content)), "timeCreated": created, "generation": generation}
        self.bucket.objects.setdefault(told["name"], []).append(Version(told=told, content=content))
        self._answer(told)

    def _get(self, name: str, query: dict[str, str]) -> None:
        wanted = query.get("generation")
        every = self.bucket.objects.get(name, [])
        found = next((each for each in every if each.told["generation"] == wanted), None)
        found = found if wanted else self.bucket.live(name)
        if found is None:
            self._refuse(404, "notFound")
        elif query.get("alt") != "media":
            self._answer(found.told)
        elif asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            if int(first) >= len(found.content):
                self._refuse(416, "requestedRangeNotSatisfiable")
                return
            self.send(206, found.content[int(first) : int(last) + 1 if last else None])
        else:
            self.send(200, found.content)

    def _list(self, query: dict[str, str]) -> None:
        rows = [
            (f"{name} {version.told['generation']}", version.told)
            for name, versions in sorted(self.bucket.objects.items())
            if name.startswith(query["prefix"])
            for version in versions
            if "timeDeleted" not in version.told or query.get("versions") == "true"
        ]
        rows = [row for row in rows if row[0] >= query.get("pageToken", "")]
        size = int(query["maxResults"])
        answer: dict[str, Any] = {"items": [told for _, told in rows[:size]]}
        if len(rows) > size:
            answer["nextPageToken"] = rows[size][0]
        self._answer(answer)

    @staticmethod
    def _shortens(before: dict[str, str] | None, after: dict[str, str]) -> bool:
        """Tell whether a change of a locked retention is one that the service refuses."""
        if not before or before["mode"] != "Locked":
            return False
        ends = [dt.datetime.fromisoformat(each["retainUntilTime"]) for each in (before, after)]
        return after["mode"] != "Locked" or ends[1] < ends[0]

    def _split(self) -> tuple[str, dict[str, str]]:
        parts = urllib.parse.urlsplit(self.path)
        self.bucket.logins.add(self.headers.get("Authorization", ""))
        return parts.path, dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))

    @staticmethod
    def _name(path: str) -> str:
        return urllib.parse.unquote(path.removeprefix(f"{_API}/o/"))

    def _answer(self, document: dict[str, Any]) -> None:
        self.send(200, json.dumps(document).encode(), **{"Content-Type": "application/json"})

    def _refuse(self, status: int, reason: str) -> None:
        error = {"code": status, "message": reason, "errors": [{"reason": reason, "message": reason}]}
        self.send(status, json.dumps({"error": error}).encode(), **{"Content-Type": "application/json"})


def _text(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
