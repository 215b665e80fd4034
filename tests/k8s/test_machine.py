"""The parts that the tests play themselves do what a real cluster does, as far as the operator depends on them."""

import json
import os

import pytest

import pykopia
from tests.k8s.api import Object, wait_for
from tests.k8s.kubelet import IMAGE
from tests.k8s.machine import Machine, Namespace
from tests.k8s.volumes import WAITING

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="users of containers need root")


def job(name: str, container: Object, *, backoff_limit: int = 0, **pod: object) -> Object:
    """Return a Job with one container."""
    spec = {"restartPolicy": "Never", "containers": [{"name": "kopia", "image": IMAGE, **container}], **pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": backoff_limit, "template": {"spec": spec}},
    }


def condition(thing: Object, kind: str) -> bool:
    """Return True if a condition of an object is true."""
    conditions = thing.get("status", {}).get("conditions", [])
    return any(item["type"] == kind and item["status"] == "True" for item in conditions)


def claim_volume(claim: str) -> Object:
    return {"name": claim, "persistentVolumeClaim": {"claimName": claim}}


def test_a_job_runs_the_mover_which_backs_up_a_claim(namespace: Namespace) -> None:
    folder = namespace.filled_claim("data", {"a/file": "content"})
    namespace.claim("repository")
    namespace.claim("cache", storage_class=WAITING)
    namespace.secret("kopia", {"KOPIA_PASSWORD": "canary", "KOPIA_REPOSITORY": "filesystem:///mnt/repository"})
    container = {
        "command": ["/mover-kopia/entry.sh"],
        "args": ["backup"],
        "envFrom": [{"secretRef": {"name": "kopia"}}],
        "env": [
            {"name": "VOLSYNC_OWNER_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "VOLSYNC_OWNER_NAME", "value": "app"},
            {"name": "KOPIA_CACHE_DIR", "value": "/cache"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "repository", "mountPath": "/mnt/repository"},
            {"name": "cache", "mountPath": "/cache"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    volumes = [
        *(claim_volume(name) for name in ("data", "repository", "cache")),
        {"name": "tmp", "emptyDir": {"medium": "Memory"}},
    ]
    namespace.create(job("backup", container, volumes=volumes, securityContext={"runAsUser": 1000, "fsGroup": 1000}))
    namespace.wait("the backup is complete", "Job", "backup", lambda thing: condition(thing, "Complete"))

    (run,) = namespace.runs("app")
    assert json.loads(run.message)["identity"] == f"{namespace.name}@app:/data"
    (pod,) = namespace.objects("Pod")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == run.message
    log = namespace.api.text(f"/api/v1/namespaces/{namespace.name}/pods/{pod['metadata']['name']}/log?tailLines=1")
    assert log.startswith("Kopia completed in")
    assert folder.stat().st_gid == 1000
    with pykopia.connect(str(namespace.volume("repository")), "canary") as repository:
        (snapshot,) = repository.snapshots.list()
    assert snapshot.source.path == "/data"


def test_a_missing_secret_keeps_a_pod_waiting_until_it_is_there(namespace: Namespace) -> None:
    environment = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "late", "key": "x"}}}]
    namespace.create(job("late", {"command": ["/bin/sh", "-c", 'test "$X" = y'], "env": environment}))

    def waits(pod: Object) -> bool:
        states = pod["status"].get("containerStatuses", [])
        return bool(states) and states[0]["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError"

    namespace.wait("the pod exists", "Job", "late", lambda thing: thing.get("status", {}).get("active"))
    (pod,) = namespace.objects("Pod")
    namespace.wait("the pod waits for its Secret", "Pod", pod["metadata"]["name"], waits)
    namespace.secret("late", {"x": "y"})
    namespace.wait("the job is complete", "Job", "late", lambda thing: condition(thing, "Complete"))


def test_a_failed_container_fails_its_job_with_status_and_message(namespace: Namespace) -> None:
    script = "echo broken > /dev/termination-log; exit 11"
    namespace.create(job("bad", {"command": ["/bin/sh", "-c", script]}))
    namespace.wait("the job failed", "Job", "bad", lambda thing: condition(thing, "Failed"))
    (pod,) = namespace.objects("Pod")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (11, "Error", "broken\n")


def test_a_container_beyond_its_memory_limit_is_killed(namespace: Namespace) -> None:
    script = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    limits = {"resources": {"limits": {"memory": "32Mi"}}}
    namespace.create(job("greedy", {"command": ["/bin/sh", "-c", script], **limits}))
    namespace.wait("the job failed", "Job", "greedy", lambda thing: condition(thing, "Failed"))
    (pod,) = namespace.objects("Pod")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_deleting_a_job_terminates_its_container(namespace: Namespace) -> None:
    folder = namespace.filled_claim("data", {})
    folder.chmod(0o777)
    script = "trap 'touch /data/terminated; exit 143' TERM; touch /data/started; while :; do sleep 0.1; done"
    mounts = [{"name": "data", "mountPath": "/data"}]
    namespace.create(
        job("long", {"command": ["/bin/sh", "-c", script], "volumeMounts": mounts}, volumes=[claim_volume("data")])
    )
    namespace.wait("the container runs", "Job", "long", lambda _: (folder / "started").exists())
    namespace.delete("Job", "long")
    namespace.gone("Job", "long")
    (run,) = namespace.runs()
    wait_for("the pods are gone", lambda: not namespace.objects("Pod"))
    assert run.exit_code == 143
    assert (folder / "terminated").exists()


def test_a_clone_and_a_snapshot_have_the_files_of_their_moment(namespace: Namespace) -> None:
    folder = namespace.filled_claim("data", {"file": "first"})
    snapshot = {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": "moment"},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
    }
    namespace.create(snapshot)
    ready = namespace.wait(
        "the snapshot is ready", "VolumeSnapshot", "moment", lambda thing: thing.get("status", {}).get("readyToUse")
    )
    assert ready["status"]["restoreSize"] == "1Gi"
    (folder / "file").write_text("second")
    namespace.claim("clone", dataSource={"kind": "PersistentVolumeClaim", "name": "data"})
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "moment"}
    namespace.claim("restored", dataSource=source)
    assert (namespace.volume("clone") / "file").read_text() == "second"
    assert (namespace.volume("restored") / "file").read_text() == "first"

    content = ready["status"]["boundVolumeSnapshotContentName"]
    namespace.delete("VolumeSnapshot", "moment")
    namespace.gone("VolumeSnapshot", "moment")
    assert namespace.api.find("VolumeSnapshotContent", content) is None
    volume = namespace.get("PersistentVolumeClaim", "clone")["spec"]["volumeName"]
    clone = namespace.volume("clone")
    namespace.delete("PersistentVolumeClaim", "clone")
    namespace.gone("PersistentVolume", volume)
    wait_for("its folder is gone", lambda: not clone.exists())


def test_a_claim_grows_where_its_class_allows_it(namespace: Namespace) -> None:
    namespace.filled_claim("data", {})
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    namespace.patch("PersistentVolumeClaim", "data", larger)
    namespace.wait(
        "it has grown", "PersistentVolumeClaim", "data", lambda thing: thing["status"]["capacity"]["storage"] == "2Gi"
    )


def test_a_new_process_of_the_api_server_has_all_objects(machine: Machine, namespace: Namespace) -> None:
    namespace.config_map("kept", {"a": "b"})
    with machine.cluster.without_api_server():
        pass
    assert namespace.get("ConfigMap", "kept")["data"] == {"a": "b"}
    namespace.create(job("after", {"command": ["/bin/true"]}))
    namespace.wait("jobs run", "Job", "after", lambda thing: condition(thing, "Complete"))
