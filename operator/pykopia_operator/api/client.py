"""The API server over HTTP.

lightkube brings the configuration (kubeconfig, contexts, the Pod's account), the authentication (certificates, tokens
that rotate, exec plugins) and the HTTP client; the requests are made here, because the operator needs what lightkube's own
client does not offer: deletion with a precondition, lists of metadata alone (so that no Secret's content is held in memory),
and watches with bookmarks. Objects are plain dictionaries: no model of Kubernetes' types is imported.
"""

import base64
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import msgspec
import yaml
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from pykopia_operator.api.kinds import KINDS, Kind, kind_of
from pykopia_operator.decide.world import Keys
from pykopia_operator.errors import ApiError, StartRefusedError, UnreachableError

Obj = dict[str, Any]

PAGE: Final = 500
WATCH_SECONDS: Final = 300
METADATA: Final = "application/json;as={};g=meta.k8s.io;v=v1"
MERGE_PATCH: Final = "application/merge-patch+json"


def load_config(path: str) -> SingleConfig:
    """Return the connection: of a kubeconfig file, or of the Pod's account, or of the user's default file.

    Raises:
        StartRefusedError: there is none, or it cannot be read.
    """
    try:
        config = KubeConfig.from_file(path) if path else KubeConfig.from_env()
        found = config.get()
    except (ConfigError, OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        place = path or "the Pod's service account, or a kubeconfig"
        raise StartRefusedError(
            f"no connection to a cluster can be read from {place}: {error}; run in a Pod with a service account, or set "
            "--kubeconfig"
        ) from error
    if found is None:
        raise StartRefusedError("the kubeconfig has no current context")
    return found


class HttpApi:
    """An API server over HTTP."""

    def __init__(self, config: SingleConfig, *, timeout: float = 30) -> None:
        self._client = AsyncClient(config, ConnectionParams(timeout=httpx2.Timeout(timeout)))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """Return an object, None if it does not exist."""
        found = await self.read(KINDS[kind].path(namespace, name))
        return None if found is None else slim(found)

    async def read(self, path: str) -> Obj | None:
        """Return a document of the API server by its path, None if it does not exist."""
        try:
            return await self._request("GET", path)
        except ApiError as error:
            if error.is_missing:
                return None
            raise

    async def keys(self, kind: str, namespace: str, name: str) -> Keys | None:
        """Return the keys of a Secret or ConfigMap without their values, None if it does not exist."""
        found = await self.read(KINDS[kind].path(namespace, name))
        return None if found is None else keys_of(found)

    async def list(
        self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "", metadata_only: bool = False
    ) -> tuple[list[Obj], str]:
        """Return the objects of a kind and the resource version of the list."""
        found: list[Obj] = []
        form = KINDS[kind]
        parameters = _given(labelSelector=labels, fieldSelector=fields, limit=str(PAGE))
        headers = {"Accept": METADATA.format("PartialObjectMetadataList")} if metadata_only else {}
        while True:
            page = await self._request("GET", form.path(namespace), parameters=parameters, headers=headers)
            found += [_typed(slim(each), form) for each in page.get("items") or []]
            about = page.get("metadata") or {}
            if not about.get("continue"):
                return found, str(about.get("resourceVersion") or "")
            parameters["continue"] = about["continue"]

    async def watch(
        self, kind: str, namespace: str, version: str, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Yield changes since a resource version."""
        form = KINDS[kind]
        parameters = _given(
            watch="true",
            labelSelector=labels,
            resourceVersion=version,
            allowWatchBookmarks="true",
            timeoutSeconds=str(random.randint(WATCH_SECONDS, 2 * WATCH_SECONDS)),  # noqa: S311 -- spreads reconnections
        )
        headers = {"Accept": METADATA.format("PartialObjectMetadata")} if metadata_only else {}
        timeout = httpx2.Timeout(30, read=2 * WATCH_SECONDS + 30)
        with _unreachable():
            async with self._client.stream(
                "GET", form.path(namespace), params=parameters, headers=headers, timeout=timeout
            ) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise _refusal(answer)
                async for line in answer.aiter_lines():
                    if not line:
                        continue
                    event = msgspec.json.decode(line)
                    if event["type"] == "ERROR":
                        raise _status_error(event["object"], 500)
                    yield event["type"], _typed(slim(event["object"]), form)

    async def create(self, obj: Obj) -> Obj:
        """Create an object."""
        form = kind_of(obj)
        return await self._request("POST", form.path((obj.get("metadata") or {}).get("namespace") or ""), body=obj)

    async def patch(self, obj: Obj, change: Obj, *, subresource: str = "") -> Obj:
        """Change an object by a merge patch."""
        about = obj["metadata"]
        path = kind_of(obj).path(about.get("namespace") or "", about["name"], subresource)
        return await self._request("PATCH", path, body=change, headers={"Content-Type": MERGE_PATCH})

    async def delete(self, obj: Obj) -> None:
        """Delete an object in the background, if it still has the UID that was read."""
        about = obj["metadata"]
        path = kind_of(obj).path(about.get("namespace") or "", about["name"])
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if about.get("uid"):
            options["preconditions"] = {"uid": about["uid"]}
        await self._request("DELETE", path, body=options)

    async def log(self, namespace: str, pod: str, container: str, *, tail_lines: int, most: int) -> str:
        """Return the end of a container's log."""
        parameters = {"container": container}
        if tail_lines >= 0:
            parameters["tailLines"] = str(tail_lines)
        path = KINDS["Pod"].path(namespace, pod, "log")
        tail = b""
        with _unreachable():
            async with self._client.stream("GET", path, params=parameters) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise _refusal(answer)
                async for part in answer.aiter_bytes():
                    tail = (tail + part)[-max(most, 1) :]
        return tail.decode("utf-8", "replace")

    async def _request(
        self,
        method: str,
        path: str,
        *,
        parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: Obj | None = None,
    ) -> Obj:
        sent = {"Content-Type": "application/json"} if body is not None else {}
        content = msgspec.json.encode(body) if body is not None else None
        with _unreachable():
            answer = await self._client.request(
                method, path, params=parameters or {}, headers=sent | (headers or {}), content=content
            )
        if answer.status_code >= 400:
            raise _refusal(answer)
        found: Obj = msgspec.json.decode(answer.content)
        return found


@contextlib.contextmanager
def _unreachable() -> Any:  # noqa: ANN401 -- a generator of a context manager
    try:
        yield
    except (httpx2.HTTPError, OSError) as error:
        raise UnreachableError(f"the API server does not answer: {type(error).__name__}: {error}") from error


def _refusal(answer: httpx2.Response) -> ApiError:
    try:
        document = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        document = {}
    after = answer.headers.get("Retry-After", "")
    return _status_error(
        document if isinstance(document, dict) else {}, answer.status_code, float(after) if after.isdigit() else 0
    )


def _status_error(document: Obj, status: int, retry_after: float = 0) -> ApiError:
    code = int(document.get("code") or status)
    return ApiError(
        code, str(document.get("reason") or ""), str(document.get("message") or ""), retry_after=retry_after
    )


def _given(**parameters: str) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


def _typed(obj: Obj, kind: Kind) -> Obj:
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.name
    return obj


def slim(obj: Obj) -> Obj:
    """Return an object without the parts that no decision needs and that take most of its memory."""
    about = obj.get("metadata") or {}
    about.pop("managedFields", None)
    notes = about.get("annotations")
    if notes:
        notes.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return obj


def keys_of(obj: Obj) -> Keys:
    """Return the keys of a Secret or ConfigMap; of the values only whether each one is the path of a file."""
    about = obj["metadata"]
    paths = set()
    for key, text in (obj.get("data") or {}).items():
        value = base64.b64decode(text or "").decode("utf-8", "replace") if obj.get("kind") == "Secret" else text
        if value.startswith("/") and "\n" not in value.strip():
            paths.add(key)
    return Keys(
        name=about["name"],
        version=f"{about.get('uid')}/{about.get('resourceVersion')}",
        names=frozenset([*(obj.get("data") or {}), *(obj.get("binaryData") or {})]),
        paths=frozenset(paths),
    )
