"""A folder on this machine."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="filesystem",
    command="filesystem",
    description="a folder",
    opener=f"{__name__}.storage:FilesystemStorage.from_options",
    options=f"{__name__}.options:FilesystemOptions",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("filesystem", "file"),
)

__all__ = ["BACKEND"]
