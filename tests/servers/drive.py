"""A fake of Google Drive's HTTP API: there is no server of it to run. It knows what the driver uses, and no more.

Tokens are given for a signed assertion of a service account, or for a refresh token, as Google's token service does.
"""

import base64
import contextlib
import datetime as dt
import itertools
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pykopia.storage.backends.gdrive.options import GoogleDriveOptions
from tests.servers import process

ACCOUNT = "backup@project.iam.gserviceaccount.com"
CLIENT_SECRET = "canary-client-secret-8812"
REFRESH_TOKEN = "canary-refresh-token-5520"
ACCESS_TOKEN = "canary-access-token-6671"
_PAGE = 100
"""The most files that one answer of this server has."""


@dataclass
class File:
    """A file of the drive."""

    id: str
    name: str
    parent: str
    mime_type: str
    created: int
    modified: int
    content: bytes
    listed: bool = True
    trashed: bool = False


@dataclass
class DriveServer:
    """A running server."""

    port: int
    key: rsa.RSAPrivateKey
    files: dict[str, File] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each, with its query."""
    errors: list[tuple[int, str]] = field(default_factory=list)
    """Status and reason of the next answers."""
    quota: dict[str, str] = field(default_factory=lambda: {"limit": "1000000", "usage": "400000"})
    lists_new_files: bool = True
    """Whether listings show a file as soon as it is there."""
    tokens_given: int = 0
    scopes: list[str] = field(default_factory=list)
    """What service accounts asked for."""
    host: str = process.HOST
    numbers: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def url(self) -> str:
        """URL of the API."""
        return f"http://{self.host}:{self.port}"

    def new_folder(self) -> str:
        """Return the ID of a new folder."""
        folder = f"folder-{next(self.numbers):08d}"
        self.folders.add(folder)
        return folder

    @property
    def service_account(self) -> dict[str, str]:
        """Credentials of a service account."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "client_email": ACCOUNT,
            "private_key": pem.decode(),
            "private_key_id": "1",
            "token_uri": f"{self.url}/token",
        }

    @property
    def authorized_user(self) -> dict[str, str]:
        """Credentials of a user who has agreed."""
        return {
            "type": "authorized_user",
            "client_id": "client",
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
            "token_uri": f"{self.url}/token",
        }

    def options(self, folder: str, **changes: Any) -> GoogleDriveOptions:  # noqa: ANN401
        """Return the connection to a folder."""
        return GoogleDriveOptions(**{"folder_id": folder, "credentials": self.service_account, **changes})

    def named(self, name: str) -> list[File]:
        """Return the files of one name."""
        return [file for file in self.files.values() if file.name == name]


@contextlib.contextmanager
def fake_drive() -> Iterator[DriveServer]:
    """Run the fake."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    server = ThreadingHTTPServer((process.HOST, 0), _Handler)
    server.daemon_threads = True
    state = DriveServer(port=server.server_address[1], key=key)
    server.drive = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece
    disable_nagle_algorithm = True
    uploads: dict[str, tuple[str | None, dict[str, Any]]] = {}  # noqa: RUF012 -- shared by all requests

    @property
    def drive(self) -> DriveServer:
        return self.server.drive  # type: ignore[attr-defined, no-any-return]

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def _serve(self) -> None:
        split = urllib.parse.urlsplit(self.path)
        query = {name: values[0] for name, values in urllib.parse.parse_qs(split.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if int(self.headers.get("Content-Length") or 0) != len(body):
            self.close_connection = True
            return
        with self.drive.lock:
            self.drive.requests.append((self.command, self.path))
            if split.path == "/token":
                self._token(body)
            elif self.headers.get("Authorization") != f"Bearer {ACCESS_TOKEN}" and "upload_id" not in query:
                self._error(401, "authError", "Invalid Credentials")
            elif self.drive.errors:
                status, reason = self.drive.errors.pop(0)
                self._error(status, reason, f"planned {reason}")
            else:
                self._api(split.path, query, body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815

    def _token(self, body: bytes) -> None:
        form = {name: values[0] for name, values in urllib.parse.parse_qs(body.decode()).items()}
        if form["grant_type"] == "refresh_token":
            valid = form["refresh_token"] == REFRESH_TOKEN and form["client_secret"] == CLIENT_SECRET
        else:
            signed, _, signature = form["assertion"].rpartition(".")
            claims = json.loads(_decoded(signed.partition(".")[2]))
            self.drive.scopes.append(claims["scope"])
            valid = claims["iss"] == ACCOUNT and ("drive" in claims["scope"] or "devstorage" in claims["scope"])
            try:
                self.drive.key.public_key().verify(
                    _decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
                )
            except Exception:  # noqa: BLE001 -- whatever is wrong with it
                valid = False
        if not valid:
            self._answer(
                400, {"error": "invalid_grant", "error_description": f"bad {form.get('refresh_token', 'key')}"}
            )
            return
        self.drive.tokens_given += 1
        self._answer(200, {"access_token": ACCESS_TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    def _api(self, path: str, query: dict[str, str], body: bytes) -> None:
        drive, parts = self.drive, path.strip("/").split("/")
        if path == "/drive/v3/about":
            self._answer(200, {"storageQuota": drive.quota})
        elif parts[0] == "upload":
            self._upload(parts[4] if len(parts) > 4 else None, query, body)
        elif path == "/drive/v3/files" and self.command == "GET":
            self._list(query)
        elif len(parts) == 4 and parts[3] in drive.files:
            file = drive.files[parts[3]]
            if self.command == "DELETE":
                del drive.files[file.id]
                self._send(204, b"", "text/plain")
            elif query.get("alt") == "media":
                self._media(file)
            else:
                self._answer(200, _shown(file))
        else:
            self._error(404, "notFound", f"File not found: {parts[-1]}.")

    def _list(self, query: dict[str, str]) -> None:
        conditions = query["q"].split(" and ")
        literals = [re.sub(r"\\(.)", r"\1", match) for match in re.findall(r"'((?:[^'\\]|\\.)*)'", query["q"])]
        folder, mime_type, *names = literals
        if folder not in self.drive.folders:
            self._error(404, "notFound", "File not found: .")
            return
        assert conditions[2] == "trashed = false"
        found = [
            file
            for file in self.drive.files.values()
            if (file.parent, file.mime_type, file.trashed) == (folder, mime_type, False)
            and file.listed
            and (not names or (file.name == names[0] if "name = " in query["q"] else file.name.startswith(names[0])))
        ]
        if names and "contains" in query["q"]:
            assert len(names[0]) <= 26
        start, size = int(query.get("pageToken", 0)), min(int(query.get("pageSize", 100)), _PAGE)
        answer: dict[str, Any] = {"files": [_shown(file) for file in found[start : start + size]]}
        if start + size < len(found):
            answer["nextPageToken"] = str(start + size)
        self._answer(200, answer)

    def _upload(self, file_id: str | None, query: dict[str, str], body: bytes) -> None:
        if "upload_id" in query:
            target, fields = self.uploads.pop(query["upload_id"])
            self._store(target, fields, body)
        elif query["uploadType"] == "resumable":
            upload = f"upload-{next(self.drive.numbers)}"
            self.uploads[upload] = (file_id, json.loads(body))
            location = f"http://{self.headers['Host']}/upload/drive/v3/files?uploadType=resumable&upload_id={upload}"
            self._send(200, b"", "text/plain", Location=location)
        else:
            boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
            _, first, second, _ = body.split(b"--" + boundary)
            fields = json.loads(first.partition(b"\r\n\r\n")[2])
            self._store(file_id, fields, second.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"))

    def _store(self, file_id: str | None, fields: dict[str, Any], content: bytes) -> None:
        drive, now = self.drive, int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        modified = now
        if "modifiedTime" in fields:
            modified = round(dt.datetime.fromisoformat(fields["modifiedTime"]).timestamp() * 1000)
        if file_id is None:
            if fields["parents"][0] not in drive.folders:
                self._error(404, "notFound", "File not found: .")
                return
            file = File(
                id=f"file-{next(drive.numbers):08d}",
                name=fields["name"],
                parent=fields["parents"][0],
                mime_type=fields["mimeType"],
                created=now,
                modified=modified,
                content=content,
                listed=drive.lists_new_files,
            )
            drive.files[file.id] = file
        elif file_id in drive.files:
            file = drive.files[file_id]
            file.content, file.modified = content, modified
        else:
            self._error(404, "notFound", f"File not found: {file_id}.")
            return
        self._answer(200, _shown(file))

    def _media(self, file: File) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            self._send(200, file.content, "application/octet-stream")
            return
        start = int(match[1])
        end = min(int(match[2]) + 1 if match[2] else len(file.content), len(file.content))
        if start >= len(file.content):
            self._error(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
            return
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(file.content)}"}
        self._send(206, file.content[start:end], "application/octet-stream", **headers)

    def _error(self, status: int, reason: str, message: str) -> None:
        error = {
            "code": status,
            "message": message,
            "errors": [{"domain": "global", "reason": reason, "message": message}],
        }
        self._answer(status, {"error": error})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode(), "application/json; charset=UTF-8")

    def _send(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _shown(file: File) -> dict[str, str]:
    return {
        "id": file.id,
        "name": file.name,
        "mimeType": file.mime_type,
        "size": str(len(file.content)),
        "createdTime": _time(file.created),
        "modifiedTime": _time(file.modified),
    }


def _time(milliseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(milliseconds // 1000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
