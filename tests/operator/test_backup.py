"""A backup from the object that a user applies to its status, against an API server in memory."""

from typing import Any

import pytest

from tests.operator.stage import Stage


@pytest.mark.parametrize("method", ["Direct", "Clone", "Snapshot"])
def test_a_backup_runs_once_for_a_manual_trigger_and_cleans_up(method: str) -> None:
    stage = Stage()
    stage.ready(copyMethod=method)
    stage.settle()
    status = stage.status()
    assert status["lastManualSync"] == "one"
    assert status["latestMoverStatus"]["result"] == "Successful"
    assert "lastSyncStartTime" not in status
    assert status["kopia"]["identity"] == "prod@app:/data"
    assert stage.condition()["reason"] == "WaitingForManual"
    assert len(stage.cluster.movers) == 1
    assert stage.api.of_kind("Job") == []
    assert stage.api.of_kind("VolumeSnapshot") == []
    assert {each["metadata"]["name"] for each in stage.api.of_kind("PersistentVolumeClaim")} == {
        "data",
        "volsync-src-app-cache",
    }
    mounted = stage.cluster.movers[0]["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert mounted == ("data" if method == "Direct" else "volsync-app-src")


@pytest.mark.parametrize(
    "kopia", [{"destinationPVC": "data", "copyMethod": "Direct"}, {"capacity": "2Gi", "accessModes": ["ReadWriteOnce"]}]
)
def test_a_restore_runs_once_and_names_its_image(kopia: dict[str, Any]) -> None:
    stage = Stage()
    stage.secret()
    stage.volume()
    stage.destination(**kopia)
    stage.settle()
    status = stage.status("back", "ReplicationDestination")
    assert status["lastManualSync"] == "one"
    assert status["kopia"]["result"] == "restored"
    assert len(stage.cluster.movers) == 1
    image = status["latestImage"]
    if kopia.get("copyMethod") == "Direct":
        assert image == {"apiGroup": "", "kind": "PersistentVolumeClaim", "name": "data"}
    else:
        assert image["kind"] == "VolumeSnapshot"
        assert stage.api.must("VolumeSnapshot", image["name"])


def test_row_165_the_options_of_a_destination_shape_its_volume_and_its_image() -> None:
    stage = Stage()
    stage.secret()
    stage.api.put({"kind": "StorageClass", "metadata": {"name": "slow"}})
    stage.destination(
        capacity="2Gi", accessModes=["ReadWriteMany"], storageClassName="slow", volumeSnapshotClassName="images"
    )
    stage.settle()
    volume = stage.api.must("PersistentVolumeClaim", "volsync-back-dest")["spec"]
    assert (volume["storageClassName"], volume["accessModes"]) == ("slow", ["ReadWriteMany"])
    assert volume["resources"]["requests"]["storage"] == "2Gi"
    (image,) = stage.api.of_kind("VolumeSnapshot")
    assert image["spec"]["volumeSnapshotClassName"] == "images"


def test_row_158_a_restore_runs_once_for_each_value_of_its_trigger() -> None:
    stage = Stage()
    stage.secret()
    stage.volume()
    stage.destination(destinationPVC="data", copyMethod="Direct")
    for value in ("restore-once", "restore-once", "again"):
        stage.api.change("ReplicationDestination", "back", {"spec": {"trigger": {"manual": value}}})
        stage.settle()
        stage.clock.move(minutes=90)
        stage.settle()
        assert stage.status("back", "ReplicationDestination")["lastManualSync"] == value
    assert len(stage.cluster.movers) == 2
