"""Starts and modes of the operator beside other controllers: each test has operators of its own, and no other one runs."""

import datetime as dt
from pathlib import Path

import pytest

from tests.k8s.api import Object, wait_for
from tests.k8s.chart import NAMESPACE, Chart
from tests.k8s.machine import Machine
from tests.k8s.operator_process import Operator, running_operator
from tests.k8s.scenario import SECRET, Scenario, destination, documented, make_bucket, source
from tests.servers.s3 import S3Server

FILES = {"a": "one", "b/c": "two"}
SNAPSHOTS = "snapshot.storage.k8s.io"


def test_o_003_an_operator_does_not_start_while_another_controller_holds_its_lease(
    machine: Machine, chart: Chart, tmp_path: Path
) -> None:
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    machine.named_namespace("volsync-system")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "b95b3104.backube", "namespace": "volsync-system"},
        "spec": {"holderIdentity": "volsync-0_1", "leaseDurationSeconds": 3600, "renewTime": now, "acquireTime": now},
    }
    machine.api.create(lease)
    operator = Operator(machine=machine, chart=chart, folder=tmp_path)
    operator.start(wait=False)
    try:
        assert operator.process
        status = operator.process.wait(30)
        assert status != 0
        assert "b95b3104.backube" in operator.log.read_text()
    finally:
        operator.kill()
        machine.api.delete("Lease", "b95b3104.backube", "volsync-system")
        machine.api.delete("Namespace", "volsync-system")


def test_o_004_fields_that_the_served_definition_lacks_are_logged(
    machine: Machine, chart: Chart, tmp_path: Path
) -> None:
    name = "replicationsources.volsync.backube"
    whole = machine.api.get("CustomResourceDefinition", name)
    reduced = machine.api.get("CustomResourceDefinition", name)
    properties = reduced["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del properties["kopia"]["properties"]["maintenanceIntervalDays"]
    machine.replace_definition(reduced)
    try:
        with running_operator(machine, chart, tmp_path) as operator:
            wait_for("the missing field is logged", lambda: "maintenanceIntervalDays" in operator.log.read_text())
    finally:
        machine.replace_definition(whole)


def test_mode_upstream_warns_once_about_a_kopia_section_alone(machine: Machine, chart: Chart, tmp_path: Path) -> None:
    namespace = machine.namespace("upstream")
    thing = namespace.create(documented("first-backup")[0])
    flags = [f"--watch-namespace={namespace.name}", "--coexistence=upstream"]
    with running_operator(machine, chart, tmp_path, flags=flags):
        namespace.wait("there is a warning", "ReplicationSource", "mydata-backup", lambda _: namespace.events())
    now = namespace.get("ReplicationSource", "mydata-backup")
    assert now["metadata"]["resourceVersion"] == thing["metadata"]["resourceVersion"]
    (event,) = namespace.events()
    assert event["type"] == "Warning"
    assert "external" in event["message"]
    machine.api.delete("Namespace", namespace.name)


def test_o_100_leftovers_of_the_replaced_operator_are_taken_over(
    machine: Machine, chart: Chart, versitygw: S3Server, tmp_path: Path
) -> None:
    namespace = machine.namespace("adopt")
    bucket = make_bucket(versitygw)
    namespace.secret(SECRET, bucket.secret)
    namespace.filled_claim("data", FILES)
    thing = namespace.create(source())
    owner = {
        "apiVersion": thing["apiVersion"],
        "kind": thing["kind"],
        "name": "app",
        "uid": thing["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {"app.kubernetes.io/created-by": "volsync", "volsync.backube/cleanup": thing["metadata"]["uid"]}
    container = {
        "name": "kopia",
        "image": "quay.io/fork/volsync:old",
        "command": ["/mover-kopia/entry.sh"],
        "args": ["backup"],
    }
    old = namespace.create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "volsync-src-app", "labels": labels, "ownerReferences": [owner]},
            "spec": {
                "backoffLimit": 2,
                "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
            },
        }
    )
    cache = "volsync-src-app-cache"
    namespace.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": cache, "ownerReferences": [owner]},
            "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "8Gi"}}},
        }
    )
    started = {"status": {"lastSyncStartTime": "2026-11-01T00:00:00Z"}}
    namespace.api.patch("ReplicationSource", "app", started, namespace.name, subresource="status")
    flags = [f"--watch-namespace={namespace.name}", "--coexistence=replace"]
    with running_operator(machine, chart, tmp_path, flags=flags):
        Scenario(namespace=namespace, bucket=bucket).synced("ReplicationSource", "app", seconds=120)
    assert [run.exit_code for run in namespace.runs()] == [0]
    now = namespace.find("Job", "volsync-src-app")
    assert now is None or now["metadata"]["uid"] != old["metadata"]["uid"]
    assert namespace.get("PersistentVolumeClaim", cache)["spec"]["resources"]["requests"]["storage"] == "8Gi"
    machine.api.delete("Namespace", namespace.name)
    machine.api.delete("Lease", "b95b3104.backube", NAMESPACE)  # a killed holder keeps other modes from starting


def by_parameters(**kopia: object) -> Object:
    """Return a source that selects this operator by its provider."""
    thing = source()
    del thing["spec"]["kopia"]
    parameters = {"repository": SECRET, "copyMethod": "Direct"}
    thing["spec"] |= {"external": {"provider": "pykopia", "parameters": parameters}, **kopia}
    return thing


@pytest.mark.parametrize("mode", ["upstream", "fork"])
def test_o_002_o_090_beside_another_controller_only_what_names_this_one_is_handled(
    machine: Machine, chart: Chart, versitygw: S3Server, tmp_path: Path, mode: str
) -> None:
    namespace = machine.namespace(mode)
    bucket = make_bucket(versitygw)
    namespace.secret(SECRET, bucket.secret)
    namespace.filled_claim("data", FILES)
    theirs = namespace.create(source("theirs"))
    restored = namespace.create(destination("theirs", destinationPVC="data"))
    image = {"status": {"latestImage": {"kind": "VolumeSnapshot", "apiGroup": SNAPSHOTS, "name": "image"}}}
    restored = namespace.api.patch("ReplicationDestination", "theirs", image, namespace.name, subresource="status")
    reference: Object = {"apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": "theirs"}
    namespace.claim("fresh", dataSourceRef=reference)
    flags = [f"--watch-namespace={namespace.name}", f"--coexistence={mode}"]
    with running_operator(machine, chart, tmp_path, flags=flags):
        thing = Scenario(namespace=namespace, bucket=bucket).back_up(by_parameters())
    assert thing["status"]["latestMoverStatus"]["result"] == "Successful"
    assert bucket.sources() == [f"{namespace.name}@app:/data"]
    for each in (theirs, restored):
        now = namespace.get(each["kind"], "theirs")
        assert now["metadata"]["resourceVersion"] == each["metadata"]["resourceVersion"]
    assert {event["reason"] for event in namespace.events("theirs")} == (
        {"NotHandled"} if mode == "upstream" else set()
    )
    names = {claim["metadata"]["name"] for claim in namespace.objects("PersistentVolumeClaim")}
    assert names == {"data", "fresh", "volsync-src-app-cache"}  # no helper of a populator
    assert namespace.events("fresh", "VolSyncPopulatorPVCCreated") == []
    machine.api.delete("Namespace", namespace.name)
