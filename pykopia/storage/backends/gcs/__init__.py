"""A bucket of Google Cloud Storage."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="gcs",
    command="gcs",
    description="a Google Cloud Storage bucket",
    opener=f"{__name__}.storage:GCSStorage.from_options",
    options=f"{__name__}.options:GCSOptions",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("gcs", "gs"),
    extra="gcs",
)

__all__ = ["BACKEND"]
