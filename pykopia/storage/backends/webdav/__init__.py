"""A collection on a WebDAV server."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="webdav",
    command="webdav",
    description="a folder on a WebDAV server",
    opener=f"{__name__}.storage:WebDAVStorage.from_options",
    options=f"{__name__}.options:WebDAVOptions",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("webdav", "webdavs", "dav", "davs", "webdav+http"),
    extra="webdav",
)

__all__ = ["BACKEND"]
