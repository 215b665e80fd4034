"""URLs of other filesystems as sources and targets, such as ``s3://bucket/prefix``."""

import re

from pykopia.errors import UsageError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::[^/]*)?://")
"""Beginning of the name of a source on another filesystem."""
PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")


def is_url(path: str) -> bool:
    """Return whether a source or target is on a filesystem of fsspec.

    >>> is_url("s3://bucket/prefix"), is_url("zip::s3://bucket/a.zip"), is_url("/home/ann"), is_url("c:/users")
    (True, True, False, False)
    """
    return URL.match(path) is not None or path.partition("::")[2].partition("://")[1] != ""


def source_path(url: str) -> str:
    """Return the path of the source that a URL is: without query and final slash.

    Raises:
        UsageError: it has a password, which would be stored in the repository for all to read.
    """
    if PASSWORD.search(url):
        raise UsageError(
            "a URL with a password can't be a source: the repository would show it; give it as an option of the filesystem"
        )
    return url.partition("?")[0].rstrip("/")


__all__ = ["is_url", "source_path"]
