"""A container of Azure Blob Storage."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="azureBlob",
    command="azure",
    description="an Azure container",
    opener=f"{__name__}.storage:AzureStorage.from_options",
    options=f"{__name__}.options:AzureBlobOptions",
    url=f"{__name__}.options:of_url",
    environment=f"{__name__}.environment:ENVIRONMENT",
    schemes=("azure", "az"),
    extra="azure",
)

__all__ = ["BACKEND"]
