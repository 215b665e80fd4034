"""What reconcilers need of an API server."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from pykopia_operator.decide.world import Keys

Obj = dict[str, Any]


class Api(Protocol):
    """An API server. Every method raises ``ApiError`` for a refusal and ``UnreachableError`` without an answer."""

    async def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """Return an object, None if it does not exist."""

    async def keys(self, kind: str, namespace: str, name: str) -> Keys | None:
        """Return the keys of a Secret or ConfigMap without their values, None if it does not exist."""

    async def list(
        self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "", metadata_only: bool = False
    ) -> tuple[list[Obj], str]:
        """Return the objects of a kind and the resource version of the list; without a namespace of all namespaces."""

    def watch(
        self, kind: str, namespace: str, version: str, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Yield changes since a resource version: ADDED, MODIFIED, DELETED or BOOKMARK, with the object."""

    async def create(self, obj: Obj) -> Obj:
        """Create an object."""

    async def patch(self, obj: Obj, change: Obj, *, subresource: str = "") -> Obj:
        """Change an object by a merge patch."""

    async def delete(self, obj: Obj) -> None:
        """Delete an object in the background, if it still has the UID that was read."""

    async def log(self, namespace: str, pod: str, container: str, *, tail_lines: int, most: int) -> str:
        """Return the end of a container's log."""

    async def read(self, path: str) -> Obj | None:
        """Return a document of the API server by its path, None if it does not exist."""
