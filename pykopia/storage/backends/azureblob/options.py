"""A container of Azure Blob Storage: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.storage.flags import Flag
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
from pykopia.storage.url_parts import below, bucket_and_prefix


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class AzureBlobOptions(StorageOptions):
    """A container of Azure Blob Storage."""

    type: ClassVar[str] = "azureBlob"
    required: ClassVar[tuple[str, ...]] = ("container", "storageAccount")
    holder: ClassVar[str] = "container"
    url_form: ClassVar[str] = "azure://CONTAINER or azure://CONTAINER/FOLDER"
    credential_variables: ClassVar[str] = "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY"

    container: str = text_field("container", flag=Flag("Name of the container.", required=True))
    prefix: str = text_field("prefix", omit=True, flag=Flag("Put before the name of each blob."))
    storage_account: str = text_field(
        "storageAccount", omit=True, flag=Flag("Storage account.", env="AZURE_STORAGE_ACCOUNT", required=True)
    )
    storage_key: str = text_field(
        "storageKey", omit=True, secret=True, flag=Flag("Key of the storage account.", env="AZURE_STORAGE_KEY")
    )
    sas_token: str = text_field(
        "sasToken", omit=True, secret=True, flag=Flag("Shared access signature.", env="AZURE_STORAGE_SAS_TOKEN")
    )
    tenant_id: str = text_field(
        "TenantID", omit=True, flag=Flag("Tenant of the service principal.", env="AZURE_TENANT_ID")
    )
    client_id: str = text_field(
        "ClientID", omit=True, flag=Flag("Client ID of the service principal.", env="AZURE_CLIENT_ID")
    )
    client_secret: str = text_field(
        "ClientSecret", omit=True, secret=True, flag=Flag("Secret of the service principal.", env="AZURE_CLIENT_SECRET")
    )
    client_certificate: str = text_field(
        "clientCertificate",
        omit=True,
        secret=True,
        flag=Flag("Certificate of the service principal.", "client-cert", env="AZURE_CLIENT_CERTIFICATE"),
    )
    azure_federated_token_file: str = text_field(
        "azureFederatedTokenFile",
        omit=True,
        flag=Flag("File with a federated token.", env="AZURE_FEDERATED_TOKEN_FILE"),
    )
    storage_domain: str = text_field(
        "storageDomain", omit=True, flag=Flag("Domain of the storage.", env="AZURE_STORAGE_DOMAIN")
    )
    """Empty: ``blob.core.windows.net``."""
    do_not_use_tls: bool = flag_field("doNotUseTLS", omit=True)
    throttling: ThrottlingLimits = NO_LIMITS
    point_in_time: str = time_field("pointInTime")
    """RFC 3339 time of the view; empty: now."""
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        return f"{self.type} container {self.container}{below(self.prefix)} of {self.storage_account}"

    @property
    def server(self) -> str:
        """See ``StorageOptions.server``."""
        domain = self.storage_domain or "blob.core.windows.net"
        return domain if ":" in domain else f"{self.storage_account}.{domain}"


def of_url(scheme: str, rest: str) -> AzureBlobOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    container, prefix = bucket_and_prefix(scheme, rest)
    return AzureBlobOptions(container=container, prefix=prefix)


__all__ = ["AzureBlobOptions", "of_url"]
