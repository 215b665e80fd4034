"""A bucket of Backblaze B2 by its own protocol: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.storage.flags import Flag
from pykopia.storage.options import NO_LIMITS, StorageOptions, ThrottlingLimits, base64_field, retry_field, text_field
from pykopia.storage.url_parts import below, bucket_and_prefix


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class B2Options(StorageOptions):
    """A bucket of Backblaze B2 by its own protocol."""

    type: ClassVar[str] = "b2"
    required: ClassVar[tuple[str, ...]] = ("bucket", "keyID", "key")
    holder: ClassVar[str] = "bucket"
    url_form: ClassVar[str] = "b2://BUCKET or b2://BUCKET/FOLDER"
    credential_variables: ClassVar[str] = "B2_ACCOUNT_ID and B2_APPLICATION_KEY"

    bucket: str = text_field("bucket", flag=Flag("Name of the bucket.", required=True))
    prefix: str = text_field("prefix", omit=True, flag=Flag("Put before the name of each file."))
    key_id: str = text_field("keyID", flag=Flag("Key ID.", env="B2_KEY_ID", required=True))
    key: str = text_field("key", secret=True, flag=Flag("Secret key.", env="B2_KEY", required=True))
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        return f"{self.type} bucket {self.bucket}{below(self.prefix)}"


def of_url(scheme: str, rest: str) -> B2Options:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    bucket, prefix = bucket_and_prefix(scheme, rest)
    return B2Options(bucket=bucket, prefix=prefix)


__all__ = ["B2Options", "of_url"]
