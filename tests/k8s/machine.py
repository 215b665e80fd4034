"""A whole cluster of one machine: API server, controllers, volumes and a node, as the tests use it."""

import base64
import compileall
import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.k8s import snapshot_crds
from tests.k8s.api import API, Object, path_of, wait_for
from tests.k8s.cluster import Cluster, start_cluster
from tests.k8s.kubelet import Kubelet, Run
from tests.k8s.volumes import IMMEDIATE, Volumes, classes

_CRD_PATIENCE_SECONDS: Final = 30
_PROJECT: Final = Path(__file__).parents[2]
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The cluster with everything that its pods need."""

    cluster: Cluster
    volumes: Volumes
    kubelet: Kubelet

    @property
    def api(self) -> API:
        """A client that may do everything."""
        return self.cluster.admin

    def install(self, definitions: list[Object]) -> None:
        """Install CustomResourceDefinitions and wait until their kinds are served."""
        for definition in definitions:
            self.api.apply(definition, manager="installer")
        for definition in definitions:
            self._wait_established(definition["metadata"]["name"])

    def replace_definition(self, definition: Object) -> None:
        """Put a CustomResourceDefinition in the place of the one that is served."""
        path = path_of("CustomResourceDefinition", None, definition["metadata"]["name"])
        version = self.api.request("GET", path)["metadata"]["resourceVersion"]
        metadata = {**definition["metadata"], "resourceVersion": version}
        self.api.request("PUT", path, body={**definition, "metadata": metadata})

    def _wait_established(self, name: str) -> None:
        wait_for(f"{name} is established", lambda: self._established(name), seconds=_CRD_PATIENCE_SECONDS)

    def _established(self, name: str) -> bool:
        conditions = self.api.get("CustomResourceDefinition", name).get("status", {}).get("conditions") or []
        return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)

    def namespace(self, prefix: str = "test", **metadata: object) -> "Namespace":
        """Create a namespace for a test."""
        return self.named_namespace(f"{prefix}-{next(_numbers)}", **metadata)

    def named_namespace(self, name: str, **metadata: object) -> "Namespace":
        """Create a namespace of a name that a test depends on."""
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}})
        wait_for(f"{name} has its service account", lambda: self.api.find("ServiceAccount", "default", name))
        return self.at(name)

    def at(self, name: str) -> "Namespace":
        """Return an existing namespace."""
        return Namespace(machine=self, name=name)

    def failures(self) -> list[str]:
        """Return what went wrong in the parts that the tests play themselves."""
        return [*self.volumes.failures, *self.kubelet.failures]


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """One test's part of the cluster."""

    machine: Machine
    name: str

    @property
    def api(self) -> API:
        """A client that may do everything."""
        return self.machine.api

    def create(self, thing: Object) -> Object:
        """Create an object here."""
        return self.api.create(thing, self.name)

    def apply(self, thing: Object) -> Object:
        """Apply an object here, with unknown fields refused."""
        return self.api.apply(thing, self.name)

    def get(self, kind: str, name: str) -> Object:
        """Return an object."""
        return self.api.get(kind, name, self.name)

    def find(self, kind: str, name: str) -> Object | None:
        """Return an object, or None if there is none."""
        return self.api.find(kind, name, self.name)

    def objects(self, kind: str, labels: str = "") -> list[Object]:
        """Return all objects of a kind."""
        return self.api.objects(kind, self.name, labels=labels)

    def patch(self, kind: str, name: str, body: Object) -> Object:
        """Change an object by a merge patch."""
        return self.api.patch(kind, name, body, self.name)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        self.api.delete(kind, name, self.name)

    def secret(self, name: str, values: Mapping[str, str]) -> Object:
        """Create a Secret."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        return self.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})

    def config_map(self, name: str, values: Mapping[str, str]) -> Object:
        """Create a ConfigMap."""
        return self.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(values)})

    def claim(
        self, name: str, *, storage: str = "1Gi", storage_class: str | None = IMMEDIATE, **spec: object
    ) -> Object:
        """Create a PersistentVolumeClaim."""
        body: Object = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": storage}},
            **({"storageClassName": storage_class} if storage_class else {}),
            **spec,
        }
        return self.create(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": body}
        )

    def volume(self, claim: str) -> Path:
        """Return the folder of a claim, as soon as it is bound."""
        self.wait(
            f"{claim} is bound", "PersistentVolumeClaim", claim, lambda thing: thing["status"]["phase"] == "Bound"
        )
        return self.machine.volumes.folder_of(claim, self.name)

    def filled_claim(
        self,
        name: str,
        files: Mapping[str, str | bytes],
        *,
        storage: str = "1Gi",
        storage_class: str | None = IMMEDIATE,
    ) -> Path:
        """Create a claim, put files into its volume that every user may read, and return the folder."""
        self.claim(name, storage=storage, storage_class=storage_class)
        folder = self.volume(name)
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    def wait(self, what: str, kind: str, name: str, test: Callable[[Object], object], *, seconds: float = 60) -> Object:
        """Wait until an object is there and a test of it is true, and return the object."""

        def state() -> Object | None:
            thing = self.find(kind, name)
            return thing if thing and test(thing) else None

        return wait_for(what, state, seconds=seconds, describe=lambda: self.describe(kind, name))

    def gone(self, kind: str, name: str, *, seconds: float = 30) -> None:
        """Wait until there is no such object."""
        wait_for(
            f"{kind} {name} is gone",
            lambda: self.find(kind, name) is None,
            seconds=seconds,
            describe=lambda: self.describe(kind, name),
        )

    def events(self, name: str = "", reason: str = "") -> list[Object]:
        """Return the events about an object."""
        return [
            event
            for event in self.objects("Event")
            if name in {"", event["involvedObject"]["name"]} and reason in {"", event["reason"]}
        ]

    def runs(self, owner: str = "") -> list[Run]:
        """Return the containers that ran here."""
        return self.machine.kubelet.runs_of(self.name, owner)

    def describe(self, kind: str, name: str) -> str:
        """Return what a person would look at: the object's status, events, pods and failures of the tests' own parts."""
        thing = self.find(kind, name)
        lines = [f"\n{kind} {self.name}/{name}: {'missing' if thing is None else thing.get('status')}"]
        lines += [f"event {event['reason']}: {event.get('message')}" for event in self.events()]
        lines += [f"job {job['metadata']['name']}: {job.get('status')}" for job in self.objects("Job")]
        for pod in self.objects("Pod"):
            lines.append(f"pod {pod['metadata']['name']}: {pod['status'].get('containerStatuses') or pod['status']}")
        lines += [f"claim {c['metadata']['name']}: {c['status']}" for c in self.objects("PersistentVolumeClaim")]
        lines += [f"run of {run.pod}: {run.exit_code} {run.log.read_text()[-1500:]}" for run in self.runs()]
        lines += [f"FAILURE of the tests' own parts: {failure}" for failure in self.machine.failures()]
        return "\n".join(lines)


def _compile() -> None:
    """Compile what containers run, as the build of an image does: they can't, and would do it again at each start."""
    for name in ("pykopia", "mover/pykopia_mover", "operator/pykopia_operator"):
        compileall.compile_dir(_PROJECT / name, quiet=2)


@contextlib.contextmanager
def start_machine(folder: Path) -> Iterator[Machine]:
    """Run a cluster with one node for the time of a block."""
    (folder / "cluster").mkdir()
    folder.chmod(0o755)
    _compile()
    with start_cluster(folder / "cluster") as cluster:
        volumes = Volumes(cluster.admin, folder / "storage")
        kubelet = Kubelet(cluster.admin, volumes, folder / "node", cluster.certificates)
        machine = Machine(cluster=cluster, volumes=volumes, kubelet=kubelet)
        machine.install(snapshot_crds.definitions())
        for thing in classes():
            cluster.admin.create(thing)
        volumes.start()
        kubelet.start()
        try:
            yield machine
        finally:
            kubelet.stop()
            volumes.stop()


__all__ = ["Machine", "Namespace", "start_machine"]
