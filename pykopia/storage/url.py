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

import os
import re

from pykopia.errors import InvalidURLError
from pykopia.storage import registry
from pykopia.storage.connection import ConnectionInfo

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
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
        return ConnectionInfo.from_options(
            registry.load(registry.find("filesystem").url)("file", os.path.abspath(text))
        )
    scheme, rest = match[1].lower(), match[2]
    found = registry.find_scheme(scheme)
    if found is None:
        known = ", ".join(sorted(scheme for backend in registry.known().values() for scheme in backend.schemes))
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


__all__ = ["storage_from_url"]
