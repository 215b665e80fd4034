"""An imitation of an Azure container that keeps versions and immutability policies, which Azurite does not.

It does what Microsoft documents and Kopia's own tests expect of the service, and knows what the driver uses, and no more.
Credentials are not looked at.
"""

import contextlib
import datetime as dt
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import format_datetime, parsedate_to_datetime
from xml.sax.saxutils import escape

from pykopia.storage.backends.azureblob.options import AzureBlobOptions
from tests.servers import process
from tests.servers.azure import ACCOUNT, KEY
from tests.servers.imitation import Answering, serving

CONTAINER = "kept"


@dataclass(kw_only=True)
class Version:
    """One version of a blob."""

    id: str
    """The time at which it came to be."""
    content: bytes
    metadata: dict[str, str]
    changed: dt.datetime
    locked_until: dt.datetime | None = None
    mode: str = ""


@dataclass(kw_only=True)
class Blob:
    """A name with its versions, oldest first."""

    versions: list[Version] = field(default_factory=list)
    current: Version | None = None
    deleted: str = ""
    """The time at which the last current version went."""


@dataclass
class VersionedContainer:
    """A running server with one container."""

    now: dt.datetime
    """Its clock, which stands; every write makes it go on by a microsecond."""
    port: int = 0
    versioned: bool = True
    blobs: dict[str, Blob] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    """Method and query of each that may change something."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def options(self) -> AzureBlobOptions:
        """The connection to the container."""
        return AzureBlobOptions(
            container=CONTAINER,
            storage_account=ACCOUNT,
            storage_key=KEY,
            storage_domain=f"{process.HOST}:{self.port}",
            do_not_use_tls=True,
        )

    def tick(self) -> str:
        """Let time pass and return it as the ID of a version."""
        self.now += dt.timedelta(microseconds=1)
        return f"{self.now:%Y-%m-%dT%H:%M:%S.%f}0Z"

    def is_locked(self, version: Version | None) -> bool:
        """Tell whether a policy keeps a version."""
        return version is not None and version.locked_until is not None and version.locked_until > self.now


@contextlib.contextmanager
def versioned_container() -> Iterator[VersionedContainer]:
    """Run the server, whose clock stands at a time."""
    container = VersionedContainer(now=dt.datetime.now(dt.UTC).replace(microsecond=0))
    with serving(_Handler, container=container) as container.port:
        yield container


class _Handler(Answering):
    container: VersionedContainer

    def on_get(self) -> None:
        with self.container.lock:
            self._get()

    def on_head(self) -> None:
        with self.container.lock:
            self._get()

    def on_put(self) -> None:
        content = self.body()
        with self.container.lock:
            self._change(lambda blob: self._put(blob, content))

    def on_delete(self) -> None:
        with self.container.lock:
            self._change(self._delete)

    def _split(self) -> tuple[str, dict[str, str]]:
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        return urllib.parse.unquote(parts.path).removeprefix(f"/{ACCOUNT}/{CONTAINER}").removeprefix("/"), query

    def _get(self) -> None:
        name, query = self._split()
        if query.get("comp") == "list":
            self._list(query)
            return
        blob = self.container.blobs.get(name, Blob())
        wanted = query.get("versionid")
        found = next((each for each in blob.versions if each.id == wanted), None) if wanted else blob.current
        if found is None:
            self._error(404, "BlobNotFound")
            return
        content, status, more = found.content, 200, {f"x-ms-meta-{key}": text for key, text in found.metadata.items()}
        asked = self.headers.get("x-ms-range") or self.headers.get("Range")
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            if int(first) >= len(content):
                self._error(416, "InvalidRange")
                return
            end = min(int(last) + 1 if last else len(content), len(content))
            more["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            content, status = content[int(first) : end], 206
        self.send(status, content, ETag='"1"', **{"x-ms-blob-type": "BlockBlob", **self._times(found), **more})

    def _change(self, do: Callable[[Blob], None]) -> None:
        name, query = self._split()
        self.container.requests.append(
            f"{self.command} {query.get('comp') or ('version' if 'versionid' in query else 'blob')}"
        )
        blob = self.container.blobs.setdefault(name, Blob())
        do(blob)

    def _put(self, blob: Blob, content: bytes) -> None:
        _, query = self._split()
        until = self.headers.get("x-ms-immutability-policy-until-date")
        mode = self.headers.get("x-ms-immutability-policy-mode", "")
        if query.get("comp") == "immutabilityPolicies":
            self._set_policy(blob, parsedate_to_datetime(str(until)), mode)
            return
        if blob.current and self.headers.get("If-None-Match") == "*":
            self._error(409, "BlobAlreadyExists")
            return
        if not self.container.versioned:
            if self.container.is_locked(blob.current):
                self._error(409, "BlobImmutableDueToPolicy")
                return
            blob.versions.clear()
        blob.current = Version(
            id=self.container.tick(),
            content=content,
            metadata={key[10:]: text for key, text in self.headers.items() if key.lower().startswith("x-ms-meta-")},
            changed=self.container.now.replace(microsecond=0),
            locked_until=parsedate_to_datetime(until) if until else None,
            mode=mode,
        )
        blob.versions.append(blob.current)
        more = {"x-ms-version-id": blob.current.id} if self.container.versioned else {}
        self.send(201, b"", ETag='"1"', **self._times(blob.current), **more)

    def _set_policy(self, blob: Blob, until: dt.datetime, mode: str) -> None:
        version = blob.current
        if version is None:
            self._error(404, "BlobNotFound")
        elif version.mode == "Locked" and version.locked_until and until < version.locked_until:
            self._error(409, "ImmutabilityPolicyCannotBeReducedWhenLocked")
        else:
            version.locked_until, version.mode = until, mode
            self.send(200, b"", **{"x-ms-immutability-policy-until-date": format_datetime(until, usegmt=True)})

    def _delete(self, blob: Blob) -> None:
        _, query = self._split()
        wanted = query.get("versionid")
        version = next((each for each in blob.versions if each.id == wanted), None) if wanted else blob.current
        if version is None:
            self._error(404, "BlobNotFound")
        elif query.get("comp") == "immutabilityPolicies":
            if version.mode == "Locked":
                self._error(409, "ImmutabilityPolicyDeleteOnLockedPolicy")
                return
            version.locked_until, version.mode = None, ""
            self.send(200)
        elif self.container.is_locked(version):
            self._error(409, "BlobImmutableDueToPolicy")
        else:
            if wanted or not self.container.versioned:
                blob.versions.remove(version)
            if not wanted:
                blob.current, blob.deleted = None, self.container.tick()
            self.send(202)

    def _list(self, query: dict[str, str]) -> None:
        shown = query.get("include", "").split(",")
        rows: list[tuple[str, str]] = []
        for name, blob in sorted(self.container.blobs.items()):
            if not name.startswith(query.get("prefix", "")):
                continue
            for version in blob.versions:
                if version is blob.current or "versions" in shown:
                    rows.append((f"{name} {version.id}", self._row(name, version, current=version is blob.current)))
            if blob.versions and blob.current is None and "deletedwithversions" in shown:
                last = blob.versions[-1]
                rows.append((f"{name} {blob.deleted}", self._row(name, last, deleted=blob.deleted)))
        rows = [row for row in rows if row[0] >= query.get("marker", "")]
        size = int(query.get("maxresults", "5000"))
        body = "".join(row for _, row in rows[:size])
        marker = escape(rows[size][0]) if len(rows) > size else ""
        document = (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="'
            f'{CONTAINER}"><Blobs>{body}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>'
        )
        self.send(200, document.encode(), **{"Content-Type": "application/xml"})

    def _row(self, name: str, version: Version, *, current: bool = False, deleted: str = "") -> str:
        told = f"<Name>{escape(name)}</Name>"
        if self.container.versioned:
            told += f"<VersionId>{deleted or version.id}</VersionId>"
            told += "<IsCurrentVersion>true</IsCurrentVersion>" if current else ""
            told += "<HasVersionsOnly>true</HasVersionsOnly>" if deleted else ""
        metadata = "".join(f"<{key}>{escape(text)}</{key}>" for key, text in version.metadata.items())
        return (
            f"<Blob>{told}<Properties><Last-Modified>{format_datetime(version.changed, usegmt=True)}</Last-Modified>"
            f"<Etag>1</Etag><Content-Length>{len(version.content)}</Content-Length><BlobType>BlockBlob</BlobType>"
            f"</Properties><Metadata>{metadata}</Metadata></Blob>"
        )

    @staticmethod
    def _times(version: Version) -> dict[str, str]:
        return {"Last-Modified": format_datetime(version.changed, usegmt=True)}

    def _error(self, status: int, code: str) -> None:
        body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
        self.send(status, body.encode(), **{"x-ms-error-code": code, "Content-Type": "application/xml"})
