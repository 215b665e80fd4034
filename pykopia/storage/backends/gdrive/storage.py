"""Blobs as files in one folder of Google Drive (format 03 §3)."""

import contextlib
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    ReadOnlyStorageError,
    StorageError,
    StorageNotFoundError,
    UnsupportedOptionError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.gotime import format_time, parse_time
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.gdrive.client import API_ROOT, TIMEOUT_SECONDS, DriveClient, MissingFileError, RangeError
from pykopia.storage.backends.gdrive.options import GoogleDriveOptions
from pykopia.storage.base import (
    DEFAULT_PUT_OPTIONS,
    BlobStorage,
    Capacity,
    PutOption,
    PutOptions,
    check_blob_id,
    check_range,
    is_blob_id,
)
from pykopia.storage.connection import ConnectionInfo

_MIME_TYPE = "application/x-kopia"
_FILES = "/drive/v3/files"
_UPLOADS = "/upload/drive/v3/files"
_FILE_FIELDS = "id,name,size,modifiedTime"
_SMALL_UPLOAD = 5 << 20
"""Bytes up to which the service takes name and content in one request."""
_LONGEST_PREFIX = 26
"""Characters of a name up to which the service can search by its start."""
_PAGE = 1000
_RECENT = 256
"""Changes of ours that are added to listings, which may not show them yet."""
_LOOKUPS = 3
_LOOKUP_PAUSE_SECONDS = 0.1
_FIXED_NAME = 20
"""Characters up to which a name may be used again; those of packs and indexes never are, and are looked up once."""
_LOCKS = 64
_PARTIAL = 206
_MILLISECOND_NS = 1_000_000

_File = dict[str, Any]
_T = TypeVar("_T")


class GoogleDriveStorage(BlobStorage):
    """A folder of Google Drive as a storage.

    A file appears, or gets its new content, when its upload is complete: a put is atomic and, by Google's word, durable when
    it returns. Drive knows files by IDs, and lets two have one name: names are looked up once and remembered, two files of one
    name are an error. Listings may lag behind; what this process changed lately is put right in them.

    ``do_not_recreate`` is the best that can be done without help of the service: of two clients that create a blob at the same
    time, the one whose file is younger takes it back. Times are whole milliseconds. There is no object lock.

    Args:
        options: The connection.
        create: The folder must exist either way: it has no name to be made by.
        api_root: URL of the service.
        timeout: Seconds after which a connection is given up on which nothing comes or goes.
        sleep: Waits for so many seconds.

    Raises:
        StorageNotFoundError: There is no such folder, or these credentials may not see it.
        StorageAuthenticationError: Google does not take the credentials.
        UsageError: The credentials can't be used.
    """

    def __init__(
        self,
        options: GoogleDriveOptions,
        *,
        create: bool = False,
        api_root: str = API_ROOT,
        timeout: float = TIMEOUT_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.options = options
        self._sleep = sleep
        self._client = DriveClient(options, api_root=api_root, timeout=timeout)
        self._lock = threading.Lock()
        self._names = [threading.Lock() for _ in range(_LOCKS)]
        self._ids: dict[BlobID, str] = {}
        self._recent: OrderedDict[str, BlobID | None] = OrderedDict()
        try:
            self._check_folder()
        except BaseException:
            self._client.close()
            raise

    @property
    def has_slow_listings(self) -> bool:
        """Always: see ``BlobStorage.has_slow_listings``."""
        return True

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        return frozenset({"do_not_recreate", "set_mtime"})

    @classmethod
    def from_options(cls, options: GoogleDriveOptions, *, create: bool = False) -> Self:
        """Open the folder that a connection names, see the class."""
        return cls(options, create=create)

    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        """Return a range of a blob, see ``BlobStorage.get``."""
        if length == 0 or offset < 0:
            check_range(blob_id, offset, length, self.metadata(blob_id).length)
            return b""
        doing = f"read blob {blob_id} from {self.display_name}"
        headers = {}
        if offset or length >= 0:
            headers["Range"] = f"bytes={offset}-{offset + length - 1 if length >= 0 else ''}"

        def read(file_id: str) -> bytes | None:
            try:
                response = self._client.request(
                    "GET", f"{_FILES}/{file_id}", doing, params=_params(alt="media"), headers=headers
                )
            except RangeError:
                return None
            whole = response.status_code != _PARTIAL
            end = offset + length if length >= 0 else None
            return response.content[offset:end] if whole else response.content

        found = self._with_id(blob_id, doing, read)
        if found is not None and (len(found) == length or (length < 0 and (found or not offset))):
            return found
        check_range(blob_id, offset, length, self.metadata(blob_id).length)
        if length >= 0:
            raise InvalidRangeError(blob_id, offset, length)
        return b""

    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        """Return length and time of a blob, see ``BlobStorage.metadata``."""
        doing = f"look at blob {blob_id} in {self.display_name}"

        def look(file_id: str) -> _File:
            return self._client.json("GET", f"{_FILES}/{file_id}", doing, params=_params(fields=_FILE_FIELDS))

        return _metadata(blob_id, self._with_id(blob_id, doing, look))

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata:
        """Create or replace a blob, see the class."""
        check_blob_id(blob_id)
        if options.has_retention:
            raise UnsupportedOptionError(f"can't lock blob {blob_id}: Google Drive has no object lock; switch it off")
        if self.read_only:
            raise ReadOnlyStorageError(
                f"can't write blob {blob_id}: {self.display_name} is connected with reading rights only"
            )
        doing = f"write blob {blob_id} to {self.display_name}"
        fields: _File = {}
        if options.set_mtime_ns is not None:
            fields["modifiedTime"] = format_time(options.set_mtime_ns // _MILLISECOND_NS * _MILLISECOND_NS)
        with self._name_lock(blob_id):
            file_id = self._find(blob_id, doing, attempts=1 if len(blob_id) > _FIXED_NAME else _LOOKUPS)
            if file_id is not None and options.do_not_recreate:
                raise BlobExistsError(blob_id, self.display_name)
            if file_id is not None:
                with contextlib.suppress(MissingFileError):  # another client deleted it meanwhile
                    return _metadata(blob_id, self._upload("PATCH", f"{_UPLOADS}/{file_id}", fields, data, doing))
            fields |= {"name": blob_id, "parents": [self.options.folder_id], "mimeType": _MIME_TYPE}
            try:
                found = self._upload("POST", _UPLOADS, fields, data, doing)
            except MissingFileError:
                raise StorageNotFoundError(self._missing_folder()) from None
            self._remember(blob_id, found["id"])
            if options.do_not_recreate:
                self._yield_to_older(blob_id, found["id"], doing)
            return _metadata(blob_id, found)

    def delete(self, blob_id: BlobID) -> None:
        """Delete a blob; it is no error if there is none."""
        check_blob_id(blob_id)
        doing = f"delete blob {blob_id} from {self.display_name}"
        with self._name_lock(blob_id):
            file_id = self._find(blob_id, doing, attempts=1)
            if file_id is not None:
                self._delete_file(file_id, doing)
                self._forget(blob_id, file_id)

    def list(self, prefix: str = "") -> Iterator[BlobMetadata]:
        """Yield every blob whose ID starts with ``prefix``; changes of ours that Drive does not show yet are put right."""
        doing = f"list the blobs of {self.display_name}"
        query = self._query(f"name contains {_quoted(prefix[:_LONGEST_PREFIX])}" if prefix else "")
        with self._lock:
            recent = dict(self._recent)
        seen: set[BlobID] = set()
        for file in self._search(query, doing, fields=_FILE_FIELDS):
            blob_id = BlobID(str(file["name"]))
            if not is_blob_id(blob_id) or not blob_id.startswith(prefix) or blob_id in seen:
                continue
            if recent.get(file["id"], blob_id) is None:  # deleted by us, and still listed
                continue
            seen.add(blob_id)
            with self._lock:
                self._ids.setdefault(blob_id, file["id"])
            yield _metadata(blob_id, file)
        for file_id, name in recent.items():
            if name is None or name in seen or not name.startswith(prefix):
                continue
            with contextlib.suppress(MissingFileError):  # another client deleted it
                found = self._client.json("GET", f"{_FILES}/{file_id}", doing, params=_params(fields=_FILE_FIELDS))
                seen.add(name)
                yield _metadata(name, found)

    def flush_caches(self) -> None:
        """Forget which file has which name."""
        with self._lock:
            self._ids.clear()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def capacity(self) -> Capacity | None:
        """Return the quota of the account, or nothing where it has no limit."""
        doing = f"ask for the free space of {self.display_name}"
        found = self._client.json("GET", "/drive/v3/about", doing, params={"fields": "storageQuota"})
        quota = found.get("storageQuota", {})
        size = int(quota.get("limit", 0))
        return Capacity(size=size, free=max(size - int(quota.get("usage", 0)), 0)) if size else None

    def connection_info(self) -> ConnectionInfo:
        """Return what opens this storage again."""
        return ConnectionInfo.from_options(self.options)

    @property
    def display_name(self) -> str:
        """Name for messages."""
        return f"Google Drive: {self.options.folder_id}"

    @property
    def read_only(self) -> bool:
        """Whether every write is refused."""
        return self.options.read_only

    # ------------------------------------------------------------------ names and IDs

    def _with_id(self, blob_id: BlobID, doing: str, work: Callable[[str], _T]) -> _T:
        """Do something with the file of a blob; look its name up anew if the remembered file is gone."""
        check_blob_id(blob_id)
        for _ in range(2):
            known = self._ids.get(blob_id)
            file_id = known or self._find(blob_id, doing)
            if file_id is None:
                break
            try:
                return work(file_id)
            except MissingFileError:
                self._forget(blob_id, file_id)
                if known is None:
                    break
        raise BlobNotFoundError(blob_id, self.display_name)

    def _find(self, blob_id: BlobID, doing: str, *, attempts: int = _LOOKUPS) -> str | None:
        """Return the ID of a blob's file; a name that is not found is looked up again, as listings may lag behind."""
        if known := self._ids.get(blob_id):
            return known
        for attempt in range(attempts):
            if attempt:
                self._sleep(_LOOKUP_PAUSE_SECONDS)
            found = [*self._search(self._query(f"name = {_quoted(blob_id)}"), doing, fields="id,name", page=2)]
            with self._lock:
                found = [file for file in found if self._recent.get(file["id"], blob_id) is not None]
            if len(found) > 1:
                raise StorageError(
                    f"can't {doing}: there are {len(found)} files with this name in the folder; look which one is the right "
                    "one, and delete the others"
                )
            if found:
                with self._lock:
                    self._ids[blob_id] = found[0]["id"]
                return str(found[0]["id"])
        return None

    def _remember(self, blob_id: BlobID, file_id: str) -> None:
        with self._lock:
            self._ids[blob_id] = file_id
            self._note(file_id, blob_id)

    def _forget(self, blob_id: BlobID, file_id: str) -> None:
        with self._lock:
            if self._ids.get(blob_id) == file_id:
                del self._ids[blob_id]
            self._note(file_id, None)

    def _note(self, file_id: str, blob_id: BlobID | None) -> None:
        self._recent[file_id] = blob_id
        self._recent.move_to_end(file_id)
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def _name_lock(self, blob_id: BlobID) -> threading.Lock:
        """Return what keeps two threads from creating two files of one name."""
        return self._names[hash(blob_id) % _LOCKS]

    def _yield_to_older(self, blob_id: BlobID, file_id: str, doing: str) -> None:
        """Take a new file back if another client's of the same name is older.

        Raises:
            BlobExistsError: It was taken back.
        """
        query = self._query(f"name = {_quoted(blob_id)}")
        found = [*self._search(query, doing, fields="id,name,createdTime")]
        oldest = min(found, key=lambda file: (file["createdTime"], file["id"]), default=None)
        if oldest is not None and oldest["id"] != file_id:
            self._delete_file(file_id, doing)
            self._forget(blob_id, file_id)
            raise BlobExistsError(blob_id, self.display_name)

    # ------------------------------------------------------------------ requests

    def _check_folder(self) -> None:
        doing = f"open {self.display_name}"
        try:
            self._client.json("GET", _FILES, doing, params=_search_params(self._query(""), fields="id", page=1))
        except MissingFileError:
            raise StorageNotFoundError(self._missing_folder()) from None

    def _missing_folder(self) -> str:
        account = self._client.account or "the account of these credentials"
        return (
            f"there is no folder {self.options.folder_id} in Google Drive that {account} may see: check its ID "
            f"(--folder-id), and share the folder with {account} as an editor"
        )

    def _query(self, condition: str) -> str:
        query = f"{_quoted(self.options.folder_id)} in parents and mimeType = {_quoted(_MIME_TYPE)} and trashed = false"
        return f"{query} and {condition}" if condition else query

    def _search(self, query: str, doing: str, *, fields: str, page: int = _PAGE) -> Iterator[_File]:
        params = _search_params(query, fields=fields, page=page)
        while True:
            try:
                found = self._client.json("GET", _FILES, doing, params=params)
            except MissingFileError:
                raise StorageNotFoundError(self._missing_folder()) from None
            yield from found.get("files", [])
            if not (token := found.get("nextPageToken")):
                return
            params = {**params, "pageToken": token}

    def _upload(self, method: str, path: str, fields: _File, data: Buffer, doing: str) -> _File:
        """Create or replace a file with its content in one request; no reader sees a part of it."""
        content = data if isinstance(data, bytes) else bytes(data)
        params = _params(fields=_FILE_FIELDS)
        if len(content) <= _SMALL_UPLOAD:
            boundary = secrets.token_hex(16)
            head = f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(fields)}\r\n"
            head += f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
            body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
            headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
            return self._client.json(
                method, path, doing, params={**params, "uploadType": "multipart"}, data=body, headers=headers
            )
        headers = {"X-Upload-Content-Type": "application/octet-stream", "X-Upload-Content-Length": str(len(content))}
        session = self._client.request(
            method, path, doing, params={**params, "uploadType": "resumable"}, json=fields, headers=headers
        )
        return self._client.json("PUT", session.headers.get("Location", ""), doing, data=content)

    def _delete_file(self, file_id: str, doing: str) -> None:
        with contextlib.suppress(MissingFileError):
            self._client.request("DELETE", f"{_FILES}/{file_id}", doing, params=_params())


def _params(**more: str) -> dict[str, str]:
    return {"supportsAllDrives": "true", **more}


def _search_params(query: str, *, fields: str, page: int) -> dict[str, str]:
    return _params(
        q=query, fields=f"nextPageToken,files({fields})", pageSize=str(page), includeItemsFromAllDrives="true"
    )


def _quoted(text: str) -> str:
    """Return a text as queries hold it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _metadata(blob_id: BlobID, file: _File) -> BlobMetadata:
    return BlobMetadata(blob_id=blob_id, length=int(file.get("size", 0)), timestamp_ns=parse_time(file["modifiedTime"]))


__all__ = ["GoogleDriveStorage"]
