"""A bucket of Backblaze B2 by its own protocol: the variables of the environment that name it."""

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.b2.options import B2Options
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables


def _options(variables: Variables, url: URLConfig) -> B2Options:
    bucket = variables.over(url.get("bucket", ""), "KOPIA_B2_BUCKET")
    if not bucket:
        raise InvalidEnvironmentError("KOPIA_B2_BUCKET", "must be defined, or a URL b2://BUCKET in KOPIA_REPOSITORY")
    return B2Options(
        bucket=bucket,
        prefix=url.get("prefix", ""),
        key_id=variables.required("B2_ACCOUNT_ID", "B2_KEY_ID", what="the key ID").strip(),
        key=variables.required("B2_APPLICATION_KEY", "B2_KEY", what="the application key").strip(),
    )


ENVIRONMENT = EnvironmentBackend(
    rank=4,
    variables=("KOPIA_B2_BUCKET", "B2_ACCOUNT_ID", "B2_KEY_ID", "B2_APPLICATION_KEY", "B2_KEY"),
    needs=(("KOPIA_B2_BUCKET",),),
    make=_options,
    legacy=lambda _: "",
)  # fmt: skip

__all__ = ["ENVIRONMENT"]
