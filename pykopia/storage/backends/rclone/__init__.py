"""Anything that rclone reaches."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="rclone",
    command="rclone",
    description="an rclone remote",
    opener=f"{__name__}.storage:RcloneStorage.from_options",
    options=f"{__name__}.options:RcloneOptions",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("rclone",),
    extra="rclone",
)

__all__ = ["BACKEND"]
