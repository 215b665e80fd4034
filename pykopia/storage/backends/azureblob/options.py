"""A container of Azure Blob Storage: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    base64_field,
    flag_field,
    retry_field,
    text_field,
    time_field,
)
from pykopia.storage.url_parts import bucket_and_prefix


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


def of_url(scheme: str, rest: str) -> AzureBlobOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    container, prefix = bucket_and_prefix(scheme, rest)
    return AzureBlobOptions(container=container, prefix=prefix)


__all__ = ["AzureBlobOptions", "of_url"]
