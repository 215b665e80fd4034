"""A volume whose ``dataSourceRef`` is a ReplicationDestination is filled with what was restored."""

import pytest

from tests.k8s.api import Object
from tests.k8s.kubelet import IMAGE
from tests.k8s.scenario import Scenario, destination, files, source
from tests.k8s.volumes import IMMEDIATE, WAITING

FILES = {"a": "one", "b/c": "two"}
CONTENT = {name: text.encode() for name, text in FILES.items()}
REFERENCE: Object = {"apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": "app"}
IMAGE_OPTIONS: Object = {"copyMethod": "Snapshot", "capacity": "1Gi", "accessModes": ["ReadWriteOnce"]}


@pytest.fixture
def restored(scenario: Scenario) -> Scenario:
    """Have a destination with an image."""
    scenario.namespace.filled_claim("data", FILES)
    scenario.back_up()
    scenario.restore(destination(**IMAGE_OPTIONS))
    return scenario


def test_a_volume_is_populated_from_the_latest_image(restored: Scenario) -> None:
    namespace = restored.namespace
    namespace.claim("fresh", storage_class=IMMEDIATE, dataSourceRef=REFERENCE)
    assert files(namespace.volume("fresh")) == CONTENT
    claim = namespace.get("PersistentVolumeClaim", "fresh")
    prime = f"vs-prime-{claim['metadata']['uid']}"
    namespace.gone("PersistentVolumeClaim", prime)
    assert "volsync.backube/populated-from" in str(namespace.get("PersistentVolumeClaim", "fresh")["metadata"])
    assert namespace.events("fresh", "VolSyncPopulatorFinished")
    assert files(namespace.volume("fresh")) == CONTENT


def test_a_volume_that_waits_for_its_consumer_is_populated_when_a_pod_comes(restored: Scenario) -> None:
    namespace = restored.namespace
    namespace.claim("fresh", storage_class=WAITING, dataSourceRef=REFERENCE)
    container = {
        "name": "app",
        "image": IMAGE,
        "command": ["/bin/sh", "-c", "cat /data/b/c > /dev/termination-log"],
        "volumeMounts": [{"name": "fresh", "mountPath": "/data"}],
    }
    volume = {"name": "fresh", "persistentVolumeClaim": {"claimName": "fresh"}}
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    namespace.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": spec})
    namespace.wait("the application ran", "Pod", "app", lambda pod: pod["status"]["phase"] == "Succeeded")
    assert namespace.runs()[-1].message == "two"


def test_o_091_a_volume_waits_for_a_destination_and_says_so(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.claim("fresh", dataSourceRef=REFERENCE)
    namespace.wait(
        "the missing destination is reported",
        "PersistentVolumeClaim",
        "fresh",
        lambda _: namespace.events("fresh", "VolSyncPopulatorReplicationDestinationMissing"),
    )
    namespace.filled_claim("data", FILES)
    scenario.back_up(source())
    namespace.apply(destination(**IMAGE_OPTIONS))
    assert files(namespace.volume("fresh")) == CONTENT
