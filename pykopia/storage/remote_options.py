"""The configuration of the storages that lie on other machines, with Kopia's field names (format 03 §4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    base64_field,
    duration_field,
    flag_field,
    int_field,
    json_field,
    retry_field,
    shards_field,
    text_field,
    texts_field,
    time_field,
)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class S3Options(StorageOptions):
    """A bucket that speaks S3."""

    type: ClassVar[str] = "s3"
    required: ClassVar[tuple[str, ...]] = ("bucket", "endpoint")

    bucket: str = text_field("bucket")
    prefix: str = text_field("prefix", omit=True)
    endpoint: str = text_field("endpoint")
    """Host, or host and port."""
    do_not_use_tls: bool = flag_field("doNotUseTLS", omit=True)
    do_not_verify_tls: bool = flag_field("doNotVerifyTLS", omit=True)
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust."""
    access_key_id: str = text_field("accessKeyID")
    secret_access_key: str = text_field("secretAccessKey", secret=True)
    session_token: str = text_field("sessionToken", secret=True)
    web_identity_token: str = text_field("webIdentityToken", omit=True, secret=True)
    web_identity_token_file: str = text_field("webIdentityTokenFile", omit=True)
    role_arn: str = text_field("roleARN")
    session_name: str = text_field("sessionName")
    duration: str = duration_field("duration")
    """How long an assumed role is asked for, as Go writes durations."""
    role_endpoint: str = text_field("roleEndpoint")
    role_region: str = text_field("roleRegion")
    region: str = text_field("region", omit=True)
    throttling: ThrottlingLimits = NO_LIMITS
    point_in_time: str = time_field("pointInTime")
    """RFC 3339 time of the view; empty: now."""
    addressing_style: str = text_field("addressingStyle", omit=True)
    """Where the bucket stands in requests: ``path``, ``virtual`` (in the host name), or empty for the rules by endpoint that
    Kopia has too. Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class GCSOptions(StorageOptions):
    """A bucket of Google Cloud Storage."""

    type: ClassVar[str] = "gcs"
    required: ClassVar[tuple[str, ...]] = ("bucket",)

    bucket: str = text_field("bucket")
    prefix: str = text_field("prefix", omit=True)
    credentials_file: str = text_field("credentialsFile", omit=True)
    credentials: object = json_field("credentials")
    """JSON of a service account."""
    read_only: bool = flag_field("readOnly", omit=True)
    throttling: ThrottlingLimits = NO_LIMITS
    point_in_time: str = time_field("pointInTime")
    """RFC 3339 time of the view; empty: now."""
    project_id: str = text_field("projectID", omit=True)
    """Project that requests count for; empty: that of the credentials. Kopia does not know this field."""
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class AzureBlobOptions(StorageOptions):
    """A container of Azure Blob Storage."""

    type: ClassVar[str] = "azureBlob"
    required: ClassVar[tuple[str, ...]] = ("container", "storageAccount")

    container: str = text_field("container")
    prefix: str = text_field("prefix", omit=True)
    storage_account: str = text_field("storageAccount", omit=True)
    storage_key: str = text_field("storageKey", omit=True, secret=True)
    sas_token: str = text_field("sasToken", omit=True, secret=True)
    tenant_id: str = text_field("TenantID", omit=True)
    client_id: str = text_field("ClientID", omit=True)
    client_secret: str = text_field("ClientSecret", omit=True, secret=True)
    client_certificate: str = text_field("clientCertificate", omit=True, secret=True)
    azure_federated_token_file: str = text_field("azureFederatedTokenFile", omit=True)
    storage_domain: str = text_field("storageDomain", omit=True)
    """Empty: ``blob.core.windows.net``."""
    do_not_use_tls: bool = flag_field("doNotUseTLS", omit=True)
    throttling: ThrottlingLimits = NO_LIMITS
    point_in_time: str = time_field("pointInTime")
    """RFC 3339 time of the view; empty: now."""
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class B2Options(StorageOptions):
    """A bucket of Backblaze B2 by its own protocol."""

    type: ClassVar[str] = "b2"
    required: ClassVar[tuple[str, ...]] = ("bucket", "keyID", "key")

    bucket: str = text_field("bucket")
    prefix: str = text_field("prefix", omit=True)
    key_id: str = text_field("keyID")
    key: str = text_field("key", secret=True)
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class GoogleDriveOptions(StorageOptions):
    """A folder of Google Drive."""

    type: ClassVar[str] = "gdrive"
    required: ClassVar[tuple[str, ...]] = ("folderID",)

    folder_id: str = text_field("folderID")
    credentials_file: str = text_field("credentialsFile", omit=True)
    credentials: object = json_field("credentials")
    """JSON of a service account."""
    read_only: bool = flag_field("readOnly", omit=True)
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class SFTPOptions(StorageOptions):
    """A folder on an SSH server."""

    type: ClassVar[str] = "sftp"
    required: ClassVar[tuple[str, ...]] = ("path", "host", "port", "username")

    path: str = text_field("path")
    host: str = text_field("host")
    port: int = int_field("port", omit=False)
    username: str = text_field("username")
    password: str = text_field("password", secret=True)
    keyfile: str = text_field("keyfile", omit=True)
    key_data: str = text_field("keyData", omit=True, secret=True)
    known_hosts_file: str = text_field("knownHostsFile", omit=True)
    known_hosts_data: str = text_field("knownHostsData", omit=True)
    external_ssh: bool = flag_field("externalSSH")
    ssh_command: str = text_field("sshCommand", omit=True)
    ssh_arguments: str = text_field("sshArguments", omit=True)
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism")
    throttling: ThrottlingLimits = NO_LIMITS
    host_key_policy: str = text_field("hostKeyPolicy", omit=True)
    """``accept-new``: the key of a host that ``known_hosts_file`` does not name is accepted and added to it; empty: no
    unknown host is talked to. Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class WebDAVOptions(StorageOptions):
    """A collection on a WebDAV server."""

    type: ClassVar[str] = "webdav"
    required: ClassVar[tuple[str, ...]] = ("url",)

    url: str = text_field("url")
    username: str = text_field("username", omit=True)
    password: str = text_field("password", omit=True, secret=True)
    trusted_server_certificate_fingerprint: str = text_field("trustedServerCertificateFingerprint", omit=True)
    """SHA-256 of the server's certificate in hex."""
    atomic_writes: bool = flag_field("atomicWrites")
    """Whether the server replaces a file at once, so that no temporary name is needed."""
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism")
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RcloneOptions(StorageOptions):
    """Anything that rclone reaches."""

    type: ClassVar[str] = "rclone"
    required: ClassVar[tuple[str, ...]] = ("remotePath",)

    remote_path: str = text_field("remotePath")
    """``remote:path`` as rclone takes it."""
    rclone_exe: str = text_field("rcloneExe", omit=True)
    rclone_args: tuple[str, ...] = texts_field("rcloneArgs")
    rclone_env: tuple[str, ...] = texts_field("rcloneEnv")
    startup_timeout: str = duration_field("startupTimeout")
    """How long to wait for rclone to listen, as Go writes durations."""
    debug: bool = flag_field("debug", omit=True)
    no_wait_for_transfers: bool = flag_field("noWaitForTransfers", omit=True)
    embedded_config: str = text_field("embeddedConfig", omit=True, hidden=True)
    """Content of an rclone configuration file."""
    atomic_writes: bool = flag_field("atomicWrites")
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism")
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)


__all__ = [
    "AzureBlobOptions",
    "B2Options",
    "GCSOptions",
    "GoogleDriveOptions",
    "RcloneOptions",
    "S3Options",
    "SFTPOptions",
    "WebDAVOptions",
]
