"""A bucket that speaks S3."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="s3",
    command="s3",
    description="an S3 bucket",
    opener=f"{__name__}.storage:S3Storage.from_options",
    options=f"{__name__}.options:S3Options",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("s3",),
    extra="s3",
)

__all__ = ["BACKEND"]
