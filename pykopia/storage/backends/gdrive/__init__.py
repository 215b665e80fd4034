"""A folder of Google Drive."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="gdrive",
    command="gdrive",
    description="a Google Drive folder",
    opener=f"{__name__}.storage:GoogleDriveStorage.from_options",
    options=f"{__name__}.options:GoogleDriveOptions",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("gdrive",),
    extra="gdrive",
)

__all__ = ["BACKEND"]
