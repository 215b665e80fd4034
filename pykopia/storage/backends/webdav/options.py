"""A collection on a WebDAV server: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidURLError
from pykopia.storage.flags import PARALLELISM, Flag, FlagContext
from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    base64_field,
    flag_field,
    int_field,
    retry_field,
    shards_field,
    text_field,
)
from pykopia.storage.url_parts import host_and_port


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class WebDAVOptions(StorageOptions):
    """A collection on a WebDAV server."""

    type: ClassVar[str] = "webdav"
    required: ClassVar[tuple[str, ...]] = ("url",)
    url_form: ClassVar[str] = "webdav://HOST/PATH, and WEBDAV_URL says where the repository is"
    credential_variables: ClassVar[str] = "WEBDAV_USERNAME and WEBDAV_PASSWORD"

    url: str = text_field("url", flag=Flag("URL of the folder.", required=True))
    username: str = text_field(
        "username", omit=True, flag=Flag("User on the server.", "webdav-username", env="KOPIA_WEBDAV_USERNAME")
    )
    password: str = text_field(
        "password",
        omit=True,
        secret=True,
        flag=Flag("Password of the user.", "webdav-password", env="KOPIA_WEBDAV_PASSWORD"),
    )
    trusted_server_certificate_fingerprint: str = text_field("trustedServerCertificateFingerprint", omit=True)
    """SHA-256 of the server's certificate in hex."""
    atomic_writes: bool = flag_field("atomicWrites", flag=Flag("Trust the server to write files whole or not at all."))
    """Whether the server replaces a file at once, so that no temporary name is needed."""
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism", flag=PARALLELISM)
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        return f"{self.type} {self.url}"

    @property
    def server(self) -> str:
        """See ``StorageOptions.server``."""
        return self.url

    @classmethod
    def more_from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> dict[str, Any]:
        """Return the password, which is asked for when there is only a name."""
        if given["webdav-username"] and not given["webdav-password"]:
            return {"password": context.ask("Enter WebDAV password: ")}
        return {}


def of_url(scheme: str, rest: str) -> WebDAVOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    server, _, path = rest.partition("/")
    if "@" in server:
        raise InvalidURLError(f"a repository URL of scheme {scheme} can't hold a user: give user and password apart")
    host_and_port(scheme, server)
    protocol = "http" if scheme == "webdav+http" else "https"
    return WebDAVOptions(url=f"{protocol}://{server}/{path.strip('/')}".rstrip("/"))


__all__ = ["WebDAVOptions", "of_url"]
