"""A container of Azure Blob Storage: the variables of the environment that name it."""

from urllib.parse import urlsplit

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.azureblob.options import AzureBlobOptions
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables


def _options(variables: Variables, url: URLConfig) -> AzureBlobOptions:
    container = variables.over(url.get("container", ""), "KOPIA_AZURE_CONTAINER")
    if not container:
        raise InvalidEnvironmentError(
            "KOPIA_AZURE_CONTAINER", "must be defined, or a URL azure://CONTAINER in KOPIA_REPOSITORY"
        )
    account = variables.required(
        "KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT", "AZURE_ACCOUNT_NAME", what="the storage account"
    )
    sas = variables.text("AZURE_STORAGE_SAS_TOKEN", "AZURE_ACCOUNT_SAS").strip().removeprefix("?")
    key = variables.text("KOPIA_AZURE_STORAGE_KEY", "AZURE_STORAGE_KEY", "AZURE_ACCOUNT_KEY").strip()
    ambient = not (sas or key)
    domain, plain = _domain(variables, account.strip())
    return AzureBlobOptions(
        container=container,
        prefix=url.get("prefix", ""),
        storage_account=account.strip(),
        storage_key="" if sas else key,
        sas_token=sas,
        tenant_id=variables.text("AZURE_TENANT_ID") if ambient else "",
        client_id=variables.text("AZURE_CLIENT_ID") if ambient else "",
        client_secret=variables.text("AZURE_CLIENT_SECRET") if ambient else "",
        client_certificate=variables.content("AZURE_CLIENT_CERTIFICATE") if ambient else "",
        azure_federated_token_file=variables.text("AZURE_FEDERATED_TOKEN_FILE") if ambient else "",
        storage_domain=domain,
        do_not_use_tls=plain,
    )


def _domain(variables: Variables, account: str) -> tuple[str, bool]:
    """Return what follows the account's name in the host, or where an emulator has the account; and whether it is plain HTTP."""
    names = ("AZURE_ENDPOINT_SUFFIX", "AZURE_STORAGE_DOMAIN")
    name, text = variables.set_name(*names), variables.text(*names).strip()
    if "://" in text:
        split = urlsplit(text)
        if split.scheme not in {"http", "https"} or not split.hostname or split.username:
            raise InvalidEnvironmentError(name, "must be a domain such as core.windows.net, or a URL of http or https")
        place = text.partition("://")[2].strip("/")
        if "/" not in place and not place.startswith(f"{account}."):
            place = f"{place}/{account}"
        return place, split.scheme == "http"
    if not text:
        return "", False
    if "/" in text or "@" in text:
        raise InvalidEnvironmentError(name, "must be a domain such as core.windows.net")
    text = text.strip(".")
    return text if text.startswith("blob.") else f"blob.{text}", False


ENVIRONMENT = EnvironmentBackend(
    rank=1,
    variables=(
        "KOPIA_AZURE_CONTAINER", "KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT", "AZURE_ACCOUNT_NAME",
        "KOPIA_AZURE_STORAGE_KEY", "AZURE_STORAGE_KEY", "AZURE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_ACCOUNT_SAS", "AZURE_ENDPOINT_SUFFIX", "AZURE_STORAGE_DOMAIN", "AZURE_TENANT_ID", "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE", "AZURE_FEDERATED_TOKEN_FILE",
    ),
    needs=(
        ("KOPIA_AZURE_CONTAINER",),
        ("KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT", "AZURE_ACCOUNT_NAME"),
    ),
    make=_options,
    ambient=frozenset(
        {
            "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE",
            "AZURE_FEDERATED_TOKEN_FILE",
        }
    ),
    legacy=lambda _: "",
)  # fmt: skip

__all__ = ["ENVIRONMENT"]
