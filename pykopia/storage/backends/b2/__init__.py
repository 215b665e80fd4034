"""A bucket of Backblaze B2 by its own protocol."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="b2",
    command="b2",
    description="a Backblaze B2 bucket",
    opener=f"{__name__}.storage:B2Storage.from_options",
    options=f"{__name__}.options:B2Options",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("b2",),
    extra="b2",
)

__all__ = ["BACKEND"]
