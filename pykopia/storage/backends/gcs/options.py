"""A bucket of Google Cloud Storage: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.storage.flags import EMBED_CREDENTIALS, Flag, FlagContext, embedded_credentials
from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    base64_field,
    flag_field,
    json_field,
    retry_field,
    text_field,
    time_field,
)
from pykopia.storage.url_parts import below, bucket_and_prefix


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class GCSOptions(StorageOptions):
    """A bucket of Google Cloud Storage."""

    type: ClassVar[str] = "gcs"
    required: ClassVar[tuple[str, ...]] = ("bucket",)
    holder: ClassVar[str] = "bucket"
    url_form: ClassVar[str] = "gcs://BUCKET or gcs://BUCKET/FOLDER"
    credential_variables: ClassVar[str] = "GOOGLE_APPLICATION_CREDENTIALS"
    more_flags: ClassVar[Mapping[str, Flag]] = {
        "embed-credentials": EMBED_CREDENTIALS,
    }

    bucket: str = text_field("bucket", flag=Flag("Name of the bucket.", required=True))
    prefix: str = text_field("prefix", omit=True, flag=Flag("Put before the name of each object."))
    credentials_file: str = text_field(
        "credentialsFile", omit=True, flag=Flag("JSON file with the credentials.", is_file=True)
    )
    credentials: object = json_field("credentials")
    """JSON of a service account."""
    read_only: bool = flag_field("readOnly", omit=True, flag=Flag("Ask for reading rights only."))
    throttling: ThrottlingLimits = NO_LIMITS
    point_in_time: str = time_field("pointInTime")
    """RFC 3339 time of the view; empty: now."""
    project_id: str = text_field("projectID", omit=True)
    """Project that requests count for; empty: that of the credentials. Kopia does not know this field."""
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        return f"{self.type} bucket {self.bucket}{below(self.prefix)}"

    @classmethod
    def more_from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> dict[str, Any]:  # noqa: ARG003
        """Return the credentials, or the file that has them."""
        return embedded_credentials(given)


def of_url(scheme: str, rest: str) -> GCSOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    bucket, prefix = bucket_and_prefix(scheme, rest)
    return GCSOptions(bucket=bucket, prefix=prefix)


__all__ = ["GCSOptions", "of_url"]
