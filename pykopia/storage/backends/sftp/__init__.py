"""A folder on an SSH server."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="sftp",
    command="sftp",
    description="a folder on an SFTP server",
    opener=f"{__name__}.storage:SFTPStorage.from_options",
    options=f"{__name__}.options:SFTPOptions",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("sftp",),
    extra="sftp",
)

__all__ = ["BACKEND"]
