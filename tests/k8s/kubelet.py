"""Plays scheduler and kubelet: runs the container of every pod as a process, reports its status and serves its log."""

import contextlib
import http.server
import os
import re
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from tests.k8s.api import API, APIError, Object, follow, path_of
from tests.k8s.container import Container, termination_message
from tests.k8s.pod_spec import CannotStartError, Sources, claims_of, container_of, remove
from tests.k8s.volumes import Volumes
from tests.servers import process
from tests.servers.tls import Certificates

NODE: Final = "node-1"
IMAGE: Final = "registry.test/pykopia-mover:test"
"""The image that this node has; every other one can't be pulled."""

_POLL_SECONDS: Final = 0.05
_OOM_KILLED: Final = "OOMKilled"
_LAST_PHASES: Final = frozenset({"Succeeded", "Failed"})


@dataclass(kw_only=True)
class Run:
    """One container that ran, or runs."""

    namespace: str
    pod: str
    job: str
    owner: str
    """Name of the object that the mover works for."""
    args: list[str]
    environment: dict[str, str]
    container: Container
    log: Path
    exit_code: int | None = None
    message: str = ""
    """What it wrote to its termination log."""


@dataclass
class _Pod:
    stopped: threading.Event = field(default_factory=threading.Event)
    grace_seconds: int = 30


class Kubelet:
    """One node; its threads run from ``start`` to ``stop``.

    Args:
        api: A client that may do everything.
        volumes: The volumes of this machine.
        folder: Gets logs and the pods' own volumes.
        certificates: For the server of logs.
    """

    def __init__(self, api: API, volumes: Volumes, folder: Path, certificates: Certificates) -> None:
        self._api, self._volumes, self._folder, self._certificates = api, volumes, folder, certificates
        self._stopped = threading.Event()
        self._pods: dict[str, _Pod] = {}
        self._lock = threading.Lock()
        self._server: http.server.ThreadingHTTPServer | None = None
        self.pods_may_start = threading.Event()
        """Cleared by a test that wants pods to stay pending."""
        self.pods_may_start.set()
        self.runs: list[Run] = []
        """All containers that were started, in order."""
        self.failures: list[str] = []
        """What went wrong in the kubelet itself."""
        self.extra_environment: dict[str, str] = {}
        """Variables that each process gets besides those of its pod."""

    def start(self) -> None:
        """Register the node, serve logs and start to run pods."""
        self._folder.mkdir(parents=True)
        port = self._serve_logs()
        self._api.create(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}}
        )
        status = {
            "addresses": [{"type": "InternalIP", "address": process.HOST}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "allocatable": {"cpu": "2", "memory": "8Gi", "pods": "500"},
        }
        self._api.patch("Node", NODE, {"status": status}, subresource="status")
        threading.Thread(target=self._follow, name="kubelet", daemon=True).start()

    def stop(self) -> None:
        """End all containers and the server."""
        self._stopped.set()
        with self._lock:
            for pod in self._pods.values():
                pod.grace_seconds = 0
                pod.stopped.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def runs_of(self, namespace: str, owner: str = "") -> list[Run]:
        """Return the containers of a namespace, or of one object in it."""
        return [run for run in self.runs if run.namespace == namespace and owner in {"", run.owner}]

    # Pods

    def _follow(self) -> None:
        for event in follow(self._api, "Pod", self._stopped):
            meta = event.object["metadata"]
            with self._lock:
                known = self._pods.get(meta["uid"])
                deleted = event.type == "DELETED" or "deletionTimestamp" in meta
                if known and deleted:
                    known.grace_seconds = meta.get("deletionGracePeriodSeconds", 0)
                    known.stopped.set()
                ended = event.object.get("status", {}).get("phase") in _LAST_PHASES
                if known or ended or event.type == "DELETED":
                    continue
                pod = self._pods[meta["uid"]] = _Pod()
                if deleted:  # before it was seen here
                    pod.stopped.set()
            threading.Thread(
                target=self._guard, args=(event.object, pod), name=f"pod-{meta['name']}", daemon=True
            ).start()

    def _guard(self, pod: Object, state: _Pod) -> None:
        try:
            try:
                self._run(pod, state)
            except APIError as error:
                _raise_unless_gone(error)
                state.stopped.wait()  # it is deleted, or what it needs is gone and it will be
            while not self._confirm_deletion(pod):
                self._stopped.wait(_POLL_SECONDS)
        except (APIError, httpx.TransportError, RuntimeError) as error:
            if not self._stopped.is_set():
                self.failures.append(f"pod {pod['metadata']['name']}: {error}")
        except (OSError, KeyError, ValueError, AssertionError) as error:
            self.failures.append(f"pod {pod['metadata']['name']}: {error!r}")

    def _run(self, pod: Object, state: _Pod) -> None:
        """Carry a pod from its creation to its end."""
        meta = pod["metadata"]
        if not self._wait(state, self.pods_may_start.is_set) or not self._wait(state, lambda: self._schedulable(pod)):
            return
        if not pod["spec"].get("nodeName"):
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": meta["name"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
            }
            self._api.request("POST", f"{path_of('Pod', meta['namespace'], meta['name'])}/binding", body=binding)
        folder = self._folder / f"{meta['name']}-{meta['uid']}"
        try:
            container = self._prepare(pod, state, folder)
            if container:
                self._execute(pod, state, container, folder)
        finally:
            remove(folder)

    def _confirm_deletion(self, pod: Object) -> bool:
        """Let the API server remove a pod that is deleted and does not run any more, as kubelet and the collector of pods do.

        The server is asked, since the news of a deletion may still be under way when the container has ended by itself;
        one that is deleted after its last phase was reported goes without a confirmation.

        Returns:
            False if something else changed the pod meanwhile, and it is to be looked at again.
        """
        meta = pod["metadata"]
        present = self._api.find("Pod", meta["name"], meta["namespace"])
        if not present or present["metadata"]["uid"] != meta["uid"] or "deletionTimestamp" not in present["metadata"]:
            return True
        try:
            if present.get("status", {}).get("phase") not in _LAST_PHASES:  # Jobs wait for the phase
                body = {"status": {"phase": "Failed"}}
                self._api.patch("Pod", meta["name"], body, meta["namespace"], subresource="status")
            self._api.delete("Pod", meta["name"], meta["namespace"], body={"gracePeriodSeconds": 0})
        except APIError as error:
            _raise_unless_gone(error)
            return False
        return True

    def _wait(self, state: _Pod, test: Callable[[], bool]) -> bool:
        while not state.stopped.is_set():
            if test():
                return True
            if state.stopped.wait(_POLL_SECONDS) or self._stopped.is_set():
                return False
        return False

    def _schedulable(self, pod: Object) -> bool:
        """Return True if all volumes of a pod are bound; those that wait for their first consumer learn the node."""
        selector = pod["spec"].get("nodeSelector", {})
        if selector.get("kubernetes.io/hostname", NODE) != NODE:
            return False
        bound = True
        for name in claims_of(pod):
            claim = self._api.find("PersistentVolumeClaim", name, pod["metadata"]["namespace"])
            if claim is None or claim.get("status", {}).get("phase") != "Bound":
                bound = False
            key = "volume.kubernetes.io/selected-node"
            if claim and not bound and key not in claim["metadata"].get("annotations", {}):
                self._select_node(claim, key)
        return bound

    def _select_node(self, claim: Object, key: str) -> None:
        storage = self._api.find("StorageClass", claim["spec"].get("storageClassName", ""))
        if storage and storage.get("volumeBindingMode") == "WaitForFirstConsumer":
            meta = claim["metadata"]
            body = {"metadata": {"annotations": {key: NODE}}}
            self._api.patch("PersistentVolumeClaim", meta["name"], body, meta["namespace"])

    def _prepare(self, pod: Object, state: _Pod, folder: Path) -> Container | None:
        """Return the container of a pod as soon as everything is there that it refers to; None if it was deleted before."""
        told = ""
        sources = Sources(api=self._api, volumes=self._volumes, folder=folder / "volumes")
        while True:
            try:
                image = pod["spec"]["containers"][0]["image"]
                if image != IMAGE:
                    raise CannotStartError("ErrImagePull", f"{image} is not on this node")
                return container_of(pod, sources)
            except CannotStartError as error:
                if str(error) != told:
                    told = str(error)
                    waiting = {"waiting": {"reason": error.reason, "message": error.message}}
                    self._report(pod, "Pending", waiting)
            if state.stopped.wait(_POLL_SECONDS * 4) or self._stopped.is_set():
                return None

    def _execute(self, pod: Object, state: _Pod, container: Container, folder: Path) -> None:
        meta = pod["metadata"]
        log = self._folder / f"{meta['namespace']}_{meta['name']}_{container.name}.log"
        container.environment.update(self.extra_environment)
        run = Run(
            namespace=meta["namespace"],
            pod=meta["name"],
            job=meta.get("labels", {}).get("batch.kubernetes.io/job-name", ""),
            owner=container.environment.get("VOLSYNC_OWNER_NAME", ""),
            args=pod["spec"]["containers"][0].get("args", []),
            environment=container.environment,
            container=container,
            log=log,
        )
        started = _now()
        running = container.start(folder / "root", log)
        try:
            self.runs.append(run)
            self._report(pod, "Running", {"running": {"startedAt": started}})
            reason = _supervise(running, container, state, self._stopped)
        finally:
            _signal(
                running, signal.SIGKILL
            )  # what it left running, or all of it if its pod was deleted before it was reported
            running.wait()
        run.message = termination_message(folder / "root")
        run.exit_code = code = _exit_code(running.returncode)
        if not reason:
            reason = "Completed" if code == 0 else "Error"
        ended = {
            "exitCode": code,
            "reason": reason,
            "message": run.message,
            "startedAt": started,
            "finishedAt": _now(),
            "containerID": f"process://{running.pid}",
        }
        self._report(pod, "Succeeded" if code == 0 else "Failed", {"terminated": ended})

    def _report(self, pod: Object, phase: str, state: Object) -> None:
        container = pod["spec"]["containers"][0]
        ready = "True" if phase == "Running" else "False"
        status = {
            "phase": phase,
            "podIP": process.HOST,
            "hostIP": process.HOST,
            "startTime": _now(),
            "conditions": [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": phase == "Running",
                    "started": phase == "Running",
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        meta = pod["metadata"]
        self._api.patch("Pod", meta["name"], {"status": status}, meta["namespace"], subresource="status")

    # Logs

    def _serve_logs(self) -> int:
        folder = self._folder

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                match = re.fullmatch(r"/containerLogs/([^/]+)/([^/]+)/([^/]+)", url.path)
                log = folder / f"{'_'.join(match.groups())}.log" if match else None
                if log is None or not log.exists():
                    self.send_error(404)
                    return
                query = dict(urllib.parse.parse_qsl(url.query))
                text = log.read_bytes()
                if "tailLines" in query:
                    text = b"".join(text.splitlines(keepends=True)[-int(query["tailLines"]) :])
                if "limitBytes" in query:
                    text = text[: int(query["limitBytes"])]
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
                pass

        self._server = http.server.ThreadingHTTPServer((process.HOST, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificates.certificate, self._certificates.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, name="kubelet-logs", daemon=True).start()
        return int(self._server.server_address[1])


def _raise_unless_gone(error: APIError) -> None:
    """Raise an error of the API server, unless it says that an object is gone, or was changed or deleted meanwhile."""
    if error.code not in {404, 409} and "being terminated" not in error.text:
        raise error


def _supervise(running: subprocess.Popen[bytes], container: Container, pod: _Pod, stopped: threading.Event) -> str:
    """Wait for the end of a process; stop it when its pod is deleted, kill it when it exceeds its memory limit.

    Returns:
        The reason of the end if it was killed for its memory, else nothing.
    """
    terminated_at: float | None = None
    reason = ""
    while running.poll() is None:
        if (pod.stopped.is_set() or stopped.is_set()) and terminated_at is None:
            terminated_at = time.monotonic()
            _signal(running, signal.SIGTERM)
        if terminated_at is not None and time.monotonic() - terminated_at > pod.grace_seconds:
            _signal(running, signal.SIGKILL)
        if container.memory_limit and _resident_bytes(running.pid) > container.memory_limit:
            reason = _OOM_KILLED
            _signal(running, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(_POLL_SECONDS)
    return reason


def _signal(running: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, number)


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def _exit_code(status: int) -> int:
    return 128 - status if status < 0 else status


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["IMAGE", "NODE", "Kubelet", "Run"]
