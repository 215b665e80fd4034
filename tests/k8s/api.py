"""A client of the Kubernetes API without models: objects are the JSON that the server sent, so nothing gets lost."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

Object = dict[str, Any]
Value = TypeVar("Value")

_CORE: Final = "api/v1"
_SNAPSHOTS: Final = "apis/snapshot.storage.k8s.io/v1"
_VOLSYNC: Final = "apis/volsync.backube/v1alpha1"

KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "ConfigMap": (_CORE, "configmaps"),
    "CronJob": ("apis/batch/v1", "cronjobs"),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "Event": (_CORE, "events"),
    "Job": ("apis/batch/v1", "jobs"),
    "KopiaMaintenance": (_VOLSYNC, "kopiamaintenances"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "Namespace": (_CORE, "namespaces"),
    "Node": (_CORE, "nodes"),
    "PersistentVolume": (_CORE, "persistentvolumes"),
    "PersistentVolumeClaim": (_CORE, "persistentvolumeclaims"),
    "Pod": (_CORE, "pods"),
    "ReplicationDestination": (_VOLSYNC, "replicationdestinations"),
    "ReplicationSource": (_VOLSYNC, "replicationsources"),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "Secret": (_CORE, "secrets"),
    "Service": (_CORE, "services"),
    "ServiceAccount": (_CORE, "serviceaccounts"),
    "StorageClass": ("apis/storage.k8s.io/v1", "storageclasses"),
    "VolumePopulator": ("apis/populator.storage.k8s.io/v1beta1", "volumepopulators"),
    "VolumeSnapshot": (_SNAPSHOTS, "volumesnapshots"),
    "VolumeSnapshotClass": (_SNAPSHOTS, "volumesnapshotclasses"),
    "VolumeSnapshotContent": (_SNAPSHOTS, "volumesnapshotcontents"),
}
"""Group and version, and the name in URLs, by kind."""

MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"
_POLL_SECONDS: Final = 0.1


class APIError(Exception):
    """The API server refused a request."""

    def __init__(self, method: str, path: str, code: int, status: Object) -> None:
        self.code = code
        self.status = status
        self.reason = str(status.get("reason", ""))
        self.text = str(status.get("message", ""))
        super().__init__(f"{method} {path}: {code} {self.reason}: {self.text}")


class WatchExpiredError(Exception):
    """A watch can't be continued at its resourceVersion: list again."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of a watch."""

    type: str
    """``ADDED``, ``MODIFIED`` or ``DELETED``."""
    object: Object


class API:
    """One identity's view of an API server.

    Args:
        server: URL.
        token: Bearer token, or None.
        authority: PEM file of the server's certificate authority; None for plain HTTP.
        patience: Seconds for which a request is repeated while the server can't be reached.
    """

    def __init__(self, server: str, *, token: str | None, authority: str | None, patience: float = 0) -> None:
        import ssl

        verify: Any = ssl.create_default_context(cafile=authority) if authority else False
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self.server, self.token, self.authority = server, token, authority
        self._patience = patience
        self._client = httpx.Client(
            base_url=server, headers=headers, verify=verify, limits=limits, timeout=httpx.Timeout(60)
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = _JSON,
    ) -> Object:
        """Send one request and return the object of the answer.

        Raises:
            APIError: The server answered with a status of 400 or above.
            httpx.TransportError: The server can't be reached.
        """
        response = self._send(method, path, body, params, content_type)
        if response.status_code >= 400:
            try:
                status = response.json()
            except ValueError:
                status = {"message": response.text}
            raise APIError(method, path, response.status_code, status)
        answer: Object = response.json() if response.content else {}
        return answer

    def text(self, path: str) -> str:
        """Return the text at a path, such as a pod's log."""
        response = self._send("GET", path, None, None, _JSON)
        if response.status_code >= 400:
            raise APIError("GET", path, response.status_code, {"message": response.text})
        return response.text

    def _send(
        self, method: str, path: str, body: Object | None, params: Mapping[str, str] | None, content_type: str
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return self._client.request(
                    method, path, content=content, params=params, headers={"Content-Type": content_type}
                )
            except httpx.TransportError:
                if time.monotonic() >= deadline:
                    raise
                threading.Event().wait(_POLL_SECONDS)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """Return one object."""
        return self.request("GET", path_of(kind, namespace, name))

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, or None if there is none."""
        try:
            return self.get(kind, name, namespace)
        except APIError as error:
            if error.code == 404:
                return None
            raise

    def objects(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """Return the objects of a kind, of one namespace or of all."""
        params = {"labelSelector": labels} if labels else None
        return _items(kind, self.request("GET", path_of(kind, namespace), params=params))

    def create(self, thing: Object, namespace: str | None = None) -> Object:
        """Create an object, in its own namespace or in the given one."""
        space = thing["metadata"].get("namespace", namespace)
        return self.request("POST", path_of(thing["kind"], space), body=thing)

    def apply(self, thing: Object, namespace: str | None = None, *, manager: str = "user") -> Object:
        """Apply an object on the server's side, as ``kubectl apply --server-side`` does."""
        space = thing["metadata"].get("namespace", namespace)
        path = path_of(thing["kind"], space, thing["metadata"]["name"])
        params = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        return self.request("PATCH", path, body=thing, params=params, content_type=APPLY)

    def patch(
        self, kind: str, name: str, body: Object, namespace: str | None = None, *, subresource: str = ""
    ) -> Object:
        """Change an object by a merge patch."""
        path = path_of(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", path, body=body, content_type=MERGE)

    def delete(self, kind: str, name: str, namespace: str | None = None, *, body: Object | None = None) -> None:
        """Delete an object in the background; it is no error if there is none."""
        options = {"propagationPolicy": "Background", **(body or {})}
        try:
            self.request("DELETE", path_of(kind, namespace, name), body=options)
        except APIError as error:
            if error.code != 404:
                raise

    def watch(self, kind: str, version: str, namespace: str | None = None) -> Iterator[Event]:
        """Yield what happens to the objects of a kind after a resourceVersion, until the server ends the watch.

        Raises:
            WatchExpiredError: The server doesn't have that version any more.
        """
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "300"}
        timeout = httpx.Timeout(60, read=None)
        with self._client.stream("GET", path_of(kind, namespace), params=params, timeout=timeout) as response:
            if response.status_code == 410:
                raise WatchExpiredError
            if response.status_code >= 400:
                response.read()
                raise APIError("WATCH", kind, response.status_code, {"message": response.text})
            for line in response.iter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise WatchExpiredError
                yield Event(type=event["type"], object=event["object"])


def path_of(kind: str, namespace: str | None = None, name: str = "") -> str:
    """Return the path of an object, or of all objects of a kind."""
    group, plural = KINDS[kind]
    space = f"/namespaces/{namespace}" if namespace else ""
    return f"/{group}{space}/{plural}" + (f"/{name}" if name else "")


def _items(kind: str, listing: Object) -> list[Object]:
    """Return the objects of a list; those of built-in kinds lack the kind."""
    return [{"kind": kind, "apiVersion": listing["apiVersion"], **item} for item in listing["items"] or []]


def follow(api: API, kind: str, stopped: threading.Event) -> Iterator[Event]:
    """Yield each object of a kind and then its changes, through all breaks, until ``stopped`` is set.

    An object may be yielded more than once in one state. An object that vanished during a break is not yielded as deleted.
    """
    while not stopped.is_set():
        try:
            listing = api.request("GET", path_of(kind))
            for item in _items(kind, listing):
                yield Event(type="ADDED", object=item)
            version = listing["metadata"]["resourceVersion"]
            while not stopped.is_set():
                for event in api.watch(kind, version):
                    version = event.object["metadata"]["resourceVersion"]
                    if stopped.is_set():
                        return
                    yield event
        except (httpx.TransportError, WatchExpiredError, APIError):
            stopped.wait(_POLL_SECONDS)
        except RuntimeError:  # the client was closed
            if not stopped.is_set():
                raise


def wait_for(
    what: str, test: Callable[[], Value | None], *, seconds: float = 60, describe: Callable[[], object] | None = None
) -> Value:
    """Wait until a test gives a value that is true, such as a list with members, and return the value.

    Raises:
        AssertionError: It did not in time; the message has ``what`` and the description of the state.
    """
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > deadline:
            state = f"; the state: {describe()}" if describe else ""
            raise AssertionError(f"not within {seconds} s: {what}{state}")
        pause.wait(_POLL_SECONDS)


__all__ = ["API", "APPLY", "KINDS", "APIError", "Event", "Object", "WatchExpiredError", "follow", "path_of", "wait_for"]
