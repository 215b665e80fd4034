"""A bucket that speaks S3: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidURLError, UsageError
from pykopia.storage.flags import Flag, FlagContext, read_flag_file
from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    base64_field,
    duration_field,
    flag_field,
    retry_field,
    text_field,
    time_field,
)
from pykopia.storage.url_parts import below, bucket_and_prefix

DEFAULT_S3_ENDPOINT = "s3.amazonaws.com"
_BUCKET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class S3Options(StorageOptions):
    """A bucket that speaks S3."""

    type: ClassVar[str] = "s3"
    required: ClassVar[tuple[str, ...]] = ("bucket", "endpoint")
    holder: ClassVar[str] = "bucket"
    url_form: ClassVar[str] = (
        "s3://BUCKET or s3://BUCKET/FOLDER: a bucket has 3 to 63 lower-case letters, digits, dots and dashes"
    )
    credential_variables: ClassVar[str] = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    more_flags: ClassVar[Mapping[str, Flag]] = {
        "root-ca-pem-base64": Flag("Certificate authority, PEM in base64.", env="ROOT_CA_PEM_BASE64"),
        "root-ca-pem-path": Flag("File with the certificate authority."),
    }

    bucket: str = text_field("bucket", flag=Flag("Name of the bucket.", required=True))
    prefix: str = text_field(
        "prefix", omit=True, flag=Flag("Put before the name of each object; end it with / to use it as a folder.")
    )
    endpoint: str = text_field("endpoint", flag=Flag("Server, with its port if need be.", default=DEFAULT_S3_ENDPOINT))
    """Host, or host and port."""
    do_not_use_tls: bool = flag_field("doNotUseTLS", omit=True, flag=Flag("Use HTTP instead of HTTPS.", "disable-tls"))
    do_not_verify_tls: bool = flag_field(
        "doNotVerifyTLS", omit=True, flag=Flag("Accept any certificate.", "disable-tls-verification")
    )
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust."""
    access_key_id: str = text_field(
        "accessKeyID", flag=Flag("Access key ID.", "access-key", env="AWS_ACCESS_KEY_ID", required=True)
    )
    secret_access_key: str = text_field(
        "secretAccessKey", secret=True, flag=Flag("Secret access key.", env="AWS_SECRET_ACCESS_KEY", required=True)
    )
    session_token: str = text_field("sessionToken", secret=True, flag=Flag("Session token.", env="AWS_SESSION_TOKEN"))
    web_identity_token: str = text_field("webIdentityToken", omit=True, secret=True)
    web_identity_token_file: str = text_field("webIdentityTokenFile", omit=True)
    role_arn: str = text_field("roleARN")
    session_name: str = text_field("sessionName")
    duration: str = duration_field("duration")
    """Requested lifetime of an assumed role, as a Go duration."""
    role_endpoint: str = text_field("roleEndpoint")
    role_region: str = text_field("roleRegion")
    region: str = text_field("region", omit=True, flag=Flag("Region."))
    throttling: ThrottlingLimits = NO_LIMITS
    point_in_time: str = time_field("pointInTime")
    """RFC 3339 time of the view; empty: now."""
    addressing_style: str = text_field(
        "addressingStyle",
        omit=True,
        flag=Flag("Where requests name the bucket: path, or virtual for the host name; by the endpoint if left out."),
    )
    """Where requests name the bucket: ``path``, ``virtual`` (in the host name), or empty for the rules by endpoint that
    Kopia has too. Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"{self.type} bucket {self.bucket}{below(self.prefix)}{at}"

    @property
    def server(self) -> str:
        """See ``StorageOptions.server``."""
        return self.endpoint

    @classmethod
    def more_from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> dict[str, Any]:  # noqa: ARG003
        """Return the certificate authority."""
        text, path = given["root-ca-pem-base64"], given["root-ca-pem-path"]
        if text and path:
            raise UsageError("--root-ca-pem-base64 and --root-ca-pem-path exclude each other")
        if path:
            return {"root_ca": read_flag_file("--root-ca-pem-path", path)}
        try:
            return {"root_ca": base64.b64decode(text, validate=True)}
        except ValueError:
            raise UsageError("--root-ca-pem-base64 is not base64") from None


def of_url(scheme: str, rest: str) -> S3Options:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    bucket, prefix = bucket_and_prefix(scheme, rest, _BUCKET)
    if not 3 <= len(bucket) <= 63:
        raise InvalidURLError(f"{scheme}://{bucket} names no bucket: a name has 3 to 63 characters")
    if _is_ip_address(bucket):
        raise InvalidURLError(
            f"{scheme}://{bucket} names no bucket but an address: that is given apart, as the endpoint"
        )
    return S3Options(bucket=bucket, prefix=prefix, endpoint=DEFAULT_S3_ENDPOINT)


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


__all__ = ["DEFAULT_S3_ENDPOINT", "S3Options", "of_url"]
