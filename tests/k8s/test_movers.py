"""Movers in special circumstances: certificates, repositories on volumes, memory, lost pods, leftovers of another operator."""

from pathlib import Path

import pytest

import pykopia
from tests.k8s.api import Object, wait_for
from tests.k8s.kubelet import IMAGE, NODE
from tests.k8s.operator_process import Operator
from tests.k8s.scenario import PASSWORD, Scenario, condition, destination, files, make_bucket, source
from tests.servers.s3 import S3Server

FILES = {"a": "one", "b/c": "two"}
CONTENT = {name: text.encode() for name, text in FILES.items()}


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_rows_128_171_181_to_183_a_certificate_authority_is_used_for_backup_and_restore(
    scenario: Scenario, versitygw_tls: S3Server, kind: str
) -> None:
    namespace = scenario.namespace
    bucket = make_bucket(versitygw_tls)
    namespace.secret("tls", bucket.secret)
    assert versitygw_tls.certificates
    text = versitygw_tls.certificates.authority.read_text()
    if kind == "Secret":
        namespace.secret("authority", {"ca.crt": text})
    else:
        namespace.config_map("authority", {"ca.crt": text})
    name = "secretName" if kind == "Secret" else "configMapName"
    authority = {name: "authority", "key": "ca.crt"}
    namespace.filled_claim("data", FILES)
    scenario.back_up(source(repository="tls", customCA=authority))
    namespace.claim("target")
    scenario.restore(destination(repository="tls", customCA=authority, destinationPVC="target"))
    assert files(namespace.volume("target")) == CONTENT
    assert [run.exit_code for run in namespace.runs()] == [0, 0]


def test_a_repository_on_a_volume_needs_no_url(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    namespace.claim("repository")
    namespace.secret("local", {"KOPIA_PASSWORD": PASSWORD})
    volume = {"mountPath": "backups", "volumeSource": {"persistentVolumeClaim": {"claimName": "repository"}}}
    scenario.back_up(source(repository="local", moverVolumes=[volume]))
    with pykopia.connect(str(namespace.volume("repository")), PASSWORD) as repository:
        assert len(repository.snapshots.list()) == 1


def test_a_mover_beyond_its_memory_limit_is_explained(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    namespace.apply(source(moverResources={"limits": {"memory": "8Mi"}}))
    thing = namespace.wait(
        "the reason is shown while the Job tries again",
        "ReplicationSource",
        "app",
        lambda thing: "8Mi" in condition(thing, "Synchronizing").get("message", ""),
    )
    assert "moverResources" in condition(thing, "Synchronizing")["message"]


def test_a_pod_that_is_lost_is_replaced_in_the_same_run(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source())
        namespace.wait("the pod exists", "Job", "volsync-src-app", lambda _: namespace.objects("Pod"))
        (pod,) = namespace.objects("Pod")
        namespace.delete("Pod", pod["metadata"]["name"])
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    scenario.synced("ReplicationSource", "app")
    assert [run.exit_code for run in namespace.runs()] == [0]


def test_the_debug_annotation_holds_the_mover(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    thing = source()
    thing["metadata"]["annotations"] = {"volsync.backube/enable-debug-mover": "true"}
    namespace.apply(thing)
    wait_for("the mover runs", lambda: namespace.runs("app"))
    assert namespace.runs("app")[0].environment["DEBUG_MOVER"] == "1"
    namespace.delete("ReplicationSource", "app")
    wait_for("the mover ends with its owner", lambda: namespace.runs("app")[0].exit_code is not None)


def test_a_direct_mover_follows_the_pod_that_uses_the_volume(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    container = {
        "name": "app",
        "image": IMAGE,
        "command": ["/bin/sh", "-c", "while :; do sleep 0.2; done"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    namespace.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "application"}, "spec": spec})
    namespace.wait("the application runs", "Pod", "application", lambda pod: pod["status"]["phase"] == "Running")
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source())
        job = namespace.wait("the Job exists", "Job", "volsync-src-app", lambda _: True)
        assert job["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/hostname": NODE}
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    scenario.synced("ReplicationSource", "app")
    namespace.delete("Pod", "application")


def test_a_copy_waits_for_its_trigger(scenario: Scenario, tmp_path: Path) -> None:
    namespace = scenario.namespace
    folder = namespace.filled_claim("data", FILES)
    notes = {"volsync.backube/use-copy-trigger": ""}
    namespace.patch("PersistentVolumeClaim", "data", {"metadata": {"annotations": notes}})
    namespace.apply(source(copyMethod="Clone"))

    def status(claim: Object) -> str:
        return str(claim["metadata"]["annotations"].get("volsync.backube/latest-copy-status", ""))

    namespace.wait("it waits", "PersistentVolumeClaim", "data", lambda claim: status(claim) == "WaitingForTrigger")
    assert namespace.objects("Job") == []
    assert namespace.events("", "SrcPVCWaitingForCopyTrigger")
    (folder / "a").write_text("consistent")
    namespace.patch(
        "PersistentVolumeClaim", "data", {"metadata": {"annotations": {"volsync.backube/copy-trigger": "now"}}}
    )
    scenario.synced("ReplicationSource", "app")
    claim = namespace.get("PersistentVolumeClaim", "data")
    assert status(claim) == "Completed"
    assert claim["metadata"]["annotations"]["volsync.backube/latest-copy-trigger"] == "now"
    assert scenario.bucket.restored(tmp_path / "restored")["a"] == b"consistent"


def test_a_spec_that_changes_during_a_run_takes_effect_at_the_next_one(scenario: Scenario, operator: Operator) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source(parallelism=1))
        job = namespace.wait(
            "the Job exists", "Job", "volsync-src-app", lambda job: job.get("status", {}).get("active")
        )
        namespace.apply(source(parallelism=4))
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    scenario.synced("ReplicationSource", "app")
    assert len({run.job for run in namespace.runs()}) == 1
    assert job["metadata"]["name"] == "volsync-src-app"
    scenario.back_up(source(parallelism=4, manual="second"))
    assert namespace.runs()[-1].environment["KOPIA_PARALLELISM"] == "4"
