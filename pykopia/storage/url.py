"""Repository URLs: what a person types to name a storage.

======================================  ==============================================================
``/backups``, ``backups``               a folder; the only form without a scheme
``filesystem:///backups``               a folder; ``file`` means the same
``s3://bucket/folder``                  a bucket, and what every object name starts with
``gcs://bucket/folder``                 the same; ``gs`` means the same
``azure://container/folder``            the same; ``az`` means the same
``b2://bucket/folder``                  the same
``sftp://user@host:22/backups``         a folder on an SSH server; user and port may be left out
``webdav://host/backups``               ``https``; so are ``dav``, ``davs``, ``webdavs``
``webdav+http://host/backups``          without encryption
``rclone://remote:path``                what rclone calls ``remote:path``
``gdrive://folderID``                   a folder of Google Drive
``memory://name``                       in the memory of this process, for tests
======================================  ==============================================================

A URL carries no credentials and no options, and nothing in it is percent-decoded. A folder in a bucket
always ends in one slash in the connection, however many are typed.
"""

import ipaddress
import os
import re
from typing import TYPE_CHECKING

from pykopia.errors import InvalidURLError
from pykopia.storage import registry
from pykopia.storage.connection import ConnectionInfo

if TYPE_CHECKING:
    from pykopia.storage.options import StorageOptions

DEFAULT_S3_ENDPOINT = "s3.amazonaws.com"
DEFAULT_SFTP_PORT = 22

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_S3_BUCKET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_BUCKET = re.compile(r"[A-Za-z0-9$](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_HOST = re.compile(r"\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_FOLDER_ID = re.compile(r"[A-Za-z0-9_-]{10,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def storage_from_url(url: str) -> ConnectionInfo:
    """Return the connection that a repository URL names, as far as a URL can: credentials must be added.

    A folder may be relative to the current one; the connection has its absolute path.

    >>> storage_from_url("s3://backups/my/folder").config["prefix"]
    'my/folder/'
    >>> storage_from_url("file:///mnt/backups")
    ConnectionInfo(type='filesystem', config={'path': '/mnt/backups', 'dirShards': None})

    Raises:
        InvalidURLError: It names no storage; the message does not repeat what may hold a password.
    """
    text = url.strip()
    if not text:
        raise InvalidURLError("the repository URL is empty: give a folder, or something like s3://bucket/folder")
    match = _SCHEME.fullmatch(text)
    if match is None:
        scheme, colon, _ = text.partition(":")
        if "::" in text and "://" in text:
            raise InvalidURLError(
                f"a chain of filesystems ({scheme}::…) is no repository URL; make the filesystem by fsspec, and pass a "
                "pykopia.storage.fsspec_storage.FsspecStorage of it"
            )
        if colon and registry.find_scheme(scheme.lower()):
            raise InvalidURLError(f"a repository URL of scheme {scheme} must start with {scheme}://")
        return ConnectionInfo.from_options(_folder(text))
    scheme, rest = match[1].lower(), match[2]
    found = registry.find_scheme(scheme)
    if found is None:
        known = ", ".join(sorted(scheme for backend in registry.BACKENDS.values() for scheme in backend.schemes))
        raise InvalidURLError(f"unsupported repository URL scheme {scheme!r}; supported: {known}, or a path alone")
    _check_characters(scheme, rest)
    kind, backend = found
    if not backend.url:
        raise InvalidURLError(f"storage of type {kind} can't be named by a URL: use its connection file or its options")
    return ConnectionInfo.from_options(registry.load(backend.url)(scheme, rest))


def _check_characters(scheme: str, rest: str) -> None:
    for mark in "?#\\":
        if mark in rest:
            raise InvalidURLError(f"a repository URL of scheme {scheme} can't hold {mark!r}: it takes no options")
    if _CONTROL.search(rest):
        raise InvalidURLError(f"a repository URL of scheme {scheme} can't hold control characters")
    if ".." in rest.split("/"):
        raise InvalidURLError(f"a repository URL of scheme {scheme} can't hold the folder '..'")


def _bucket_and_prefix(scheme: str, rest: str, pattern: re.Pattern[str] = _BUCKET) -> tuple[str, str]:
    bucket, _, folder = rest.partition("/")
    if not pattern.fullmatch(bucket) or ".." in bucket:
        raise InvalidURLError(
            f"{scheme}://{_shown(bucket)} names no bucket: the form is {scheme}://BUCKET or {scheme}://BUCKET/FOLDER"
        )
    parts = [part for part in folder.split("/") if part]
    return bucket, "".join(f"{part}/" for part in parts)


def _shown(text: str) -> str:
    """Return a part of a URL for a message, without what stands before an ``@``: it may be a password."""
    return "***@" + text.rpartition("@")[2] if "@" in text else text


def _folder(path: str) -> "StorageOptions":
    from pykopia.storage.options import FilesystemOptions  # noqa: PLC0415 -- not for parsing alone

    return FilesystemOptions(path=os.path.abspath(path))


def filesystem(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    if not rest.startswith("/"):
        raise InvalidURLError(f"the path of {scheme}://{_shown(rest)} is not absolute: the form is {scheme}:///PATH")
    return _folder("/" + rest.lstrip("/"))


def memory(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.options import MemoryOptions  # noqa: PLC0415

    if "/" in rest:
        raise InvalidURLError(f"the form is {scheme}://NAME, and a name has no slash")
    return MemoryOptions(name=rest)


def s3(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.remote_options import S3Options  # noqa: PLC0415

    bucket, prefix = _bucket_and_prefix(scheme, rest, _S3_BUCKET)
    if not 3 <= len(bucket) <= 63:
        raise InvalidURLError(f"{scheme}://{bucket} names no bucket: a name has 3 to 63 characters")
    if _is_ip_address(bucket):
        raise InvalidURLError(
            f"{scheme}://{bucket} names no bucket but an address: that is given apart, as the endpoint"
        )
    return S3Options(bucket=bucket, prefix=prefix, endpoint=DEFAULT_S3_ENDPOINT)


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def gcs(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.remote_options import GCSOptions  # noqa: PLC0415

    bucket, prefix = _bucket_and_prefix(scheme, rest)
    return GCSOptions(bucket=bucket, prefix=prefix)


def azure(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.remote_options import AzureBlobOptions  # noqa: PLC0415

    container, prefix = _bucket_and_prefix(scheme, rest)
    return AzureBlobOptions(container=container, prefix=prefix)


def b2(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.remote_options import B2Options  # noqa: PLC0415

    bucket, prefix = _bucket_and_prefix(scheme, rest)
    return B2Options(bucket=bucket, prefix=prefix)


def sftp(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.remote_options import SFTPOptions  # noqa: PLC0415

    server, slash, path = rest.partition("/")
    user, at, address = server.rpartition("@")
    if ":" in user:
        raise InvalidURLError(f"a repository URL of scheme {scheme} can't hold a password: give it apart")
    if at and not user:
        raise InvalidURLError(f"the user in {scheme}://@{address} is empty")
    host, port = _host_and_port(scheme, address)
    if not slash or not path.strip("/"):
        raise InvalidURLError(f"{scheme}://{host} names no folder: the form is {scheme}://USER@HOST:PORT/PATH")
    return SFTPOptions(path="/" + path.strip("/"), host=host, port=port or DEFAULT_SFTP_PORT, username=user)


def _host_and_port(scheme: str, address: str) -> tuple[str, int]:
    """Return host, without the brackets of IPv6, and port, 0 where it is not given."""
    host, port = address, ""
    if not address.endswith("]"):
        head, colon, tail = address.rpartition(":")
        if colon:
            host, port = head, tail
    match = _HOST.fullmatch(host)
    if match is None:
        raise InvalidURLError(f"{_shown(host)!r} in a repository URL of scheme {scheme} is no host")
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise InvalidURLError(f"the port in a repository URL of scheme {scheme} must be 1 to 65535")
    return match[1] or match[2], int(port) if port else 0


def webdav(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.remote_options import WebDAVOptions  # noqa: PLC0415

    server, _, path = rest.partition("/")
    if "@" in server:
        raise InvalidURLError(f"a repository URL of scheme {scheme} can't hold a user: give user and password apart")
    _host_and_port(scheme, server)
    protocol = "http" if scheme == "webdav+http" else "https"
    return WebDAVOptions(url=f"{protocol}://{server}/{path.strip('/')}".rstrip("/"))


def rclone(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.remote_options import RcloneOptions  # noqa: PLC0415

    remote, colon, _ = rest.partition(":")
    if not remote or not colon or "/" in remote:
        raise InvalidURLError(f"{scheme}://{_shown(rest)} names no remote: the form is {scheme}://REMOTE:PATH")
    return RcloneOptions(remote_path=rest)


def gdrive(scheme: str, rest: str) -> "StorageOptions":
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    from pykopia.storage.remote_options import GoogleDriveOptions  # noqa: PLC0415

    if not _FOLDER_ID.fullmatch(rest.rstrip("/")):
        raise InvalidURLError(
            f"{scheme}://{_shown(rest)} names no folder: the form is {scheme}://FOLDERID with the ID from the folder's "
            "address in a browser, at least 10 letters, digits, '-' or '_'"
        )
    return GoogleDriveOptions(folder_id=rest.rstrip("/"))


__all__ = ["DEFAULT_S3_ENDPOINT", "DEFAULT_SFTP_PORT", "storage_from_url"]
