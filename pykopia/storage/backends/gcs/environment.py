"""A bucket of Google Cloud Storage: the variables of the environment that name it."""

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables


def _options(variables: Variables, url: URLConfig) -> GCSOptions:
    bucket = variables.over(url.get("bucket", ""), "KOPIA_GCS_BUCKET", "GCS_BUCKET")
    if not bucket:
        raise InvalidEnvironmentError("KOPIA_GCS_BUCKET", "must be defined, or a URL gcs://BUCKET in KOPIA_REPOSITORY")
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    return GCSOptions(
        bucket=bucket,
        prefix=url.get("prefix", ""),
        credentials=variables.json_object(name) if variables.text(name) else None,
        project_id=variables.text("GOOGLE_PROJECT_ID"),
    )


ENVIRONMENT = EnvironmentBackend(
    rank=2,
    variables=(
        "KOPIA_GCS_BUCKET", "GCS_BUCKET", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_PROJECT_ID",
        "STORAGE_EMULATOR_HOST",
    ),
    needs=(("KOPIA_GCS_BUCKET", "GCS_BUCKET"),),
    make=_options,
    ambient=frozenset({"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_PROJECT_ID", "STORAGE_EMULATOR_HOST"}),
    legacy=lambda _: "",
)  # fmt: skip

__all__ = ["ENVIRONMENT"]
