"""Volumes that are filled from a ReplicationDestination."""

from typing import Any

import pytest
from pykopia_operator.control.populator import is_on
from pykopia_operator.decide.plan import Create, Delete, Event, Patch
from pykopia_operator.decide.populator import POPULATED_FROM, PopulatorWorld, decide_population, prime_name
from pykopia_operator.settings import Settings

READY = {"boundVolumeSnapshotContentName": "c", "readyToUse": True}
IMAGE = {"kind": "VolumeSnapshot", "metadata": {"name": "image", "namespace": "prod"}, "status": READY}


def volume(**spec: Any) -> dict[str, Any]:
    reference = {"apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": "back"}
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "prod", "uid": "u1", "resourceVersion": "5"},
        "spec": {
            "dataSourceRef": reference,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **spec,
        },
        "status": {"phase": "Bound" if spec.get("volumeName") else "Pending"},
    }


def destination(result: str = "restored", image: dict[str, Any] | None = None, **kopia: Any) -> dict[str, Any]:
    reference = (
        {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "image"} if image is None else image
    )
    return {
        "metadata": {"name": "back"},
        "spec": {"kopia": kopia},
        "status": {"latestImage": reference, "kopia": {"result": result}},
    }


def reasons(world: PopulatorWorld) -> list[str]:
    return [each.reason for each in decide_population(world).actions if isinstance(each, Event)]


@pytest.mark.parametrize(("mode", "on"), [("none", True), ("replace", True), ("upstream", False), ("fork", False)])
def test_o_090_volumes_are_populated_only_where_no_other_controller_does(mode: Any, on: bool) -> None:
    assert is_on(Settings(coexistence=mode)) is on


def test_a_volume_gets_the_helpers_persistent_volume_and_the_helper_goes() -> None:
    world = PopulatorWorld(volume=volume(), destination=destination(), image=IMAGE)
    (prime,) = [each.obj for each in decide_population(world).actions if isinstance(each, Create)]
    assert prime["metadata"]["name"] == prime_name(volume()) == "vs-prime-u1"
    assert prime["spec"]["dataSource"]["name"] == "image"
    persistent = {"kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": "prime"}}}
    world = PopulatorWorld(
        volume=volume(), destination=destination(), image=IMAGE, prime=prime, prime_volume=persistent
    )
    (patch,) = [each for each in decide_population(world).actions if isinstance(each, Patch)]
    assert patch.change["spec"]["claimRef"]["uid"] == "u1"
    assert patch.change["metadata"]["annotations"] == {POPULATED_FROM: "back"}
    world = PopulatorWorld(volume=volume(volumeName="pv"), destination=destination(), image=IMAGE, prime=prime)
    plan = decide_population(world)
    assert [each.obj["metadata"]["name"] for each in plan.actions if isinstance(each, Delete)] == ["vs-prime-u1"]
    assert "VolSyncPopulatorFinished" in reasons(world)


def test_a_volume_that_waits_for_its_consumer_is_made_on_the_consumers_node() -> None:
    late = {"volumeBindingMode": "WaitForFirstConsumer"}
    world = PopulatorWorld(volume=volume(), destination=destination(), image=IMAGE, storage_class=late)
    assert decide_population(world).actions == []
    placed = volume()
    placed["metadata"]["annotations"] = {"volume.kubernetes.io/selected-node": "n1"}
    world = PopulatorWorld(volume=placed, destination=destination(), image=IMAGE, storage_class=late)
    (prime,) = [each.obj for each in decide_population(world).actions if isinstance(each, Create)]
    assert prime["metadata"]["annotations"] == {"volume.kubernetes.io/selected-node": "n1"}


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (None, "VolSyncPopulatorReplicationDestinationMissing"),
        (destination(image={}), "VolSyncPopulatorReplicationDestinationNoLatestImage"),
        (destination("no-data", onMissingSnapshot="Fail"), "VolSyncPopulatorReplicationDestinationNoLatestImage"),
        (
            destination(image={"kind": "PersistentVolumeClaim", "name": "x"}),
            "VolSyncPopulatorReplicationDestinationNoLatestImage",
        ),
    ],
)
def test_o_091_a_volume_waits_and_says_for_what(there: dict[str, Any] | None, reason: str) -> None:
    world = PopulatorWorld(volume=volume(), destination=there, image=IMAGE)
    assert reasons(world) == [reason]
    assert not [each for each in decide_population(world).actions if isinstance(each, Create)]


def test_o_092_a_snapshot_that_is_not_ready_is_not_used() -> None:
    unready = {**IMAGE, "status": {"boundVolumeSnapshotContentName": "c", "readyToUse": False}}
    world = PopulatorWorld(volume=volume(), destination=destination(), image=unready)
    assert not [each for each in decide_population(world).actions if isinstance(each, Create)]
