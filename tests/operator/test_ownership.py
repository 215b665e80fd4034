"""Whose objects are handled, in each mode, and what is never written (rules O-001 to O-005)."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pykopia_operator.control.start import VOLSYNC_LEASE, look_around, missing_fields
from pykopia_operator.decide.ownership import is_ours
from pykopia_operator.errors import StartRefusedError
from pykopia_operator.main import run_command
from pykopia_operator.model.crds import crds
from pykopia_operator.settings import Settings

from tests.operator.fake_api import Clock, FakeApi
from tests.operator.stage import Stage

OURS = {"provider": "pykopia"}
SPECS: dict[str, dict[str, Any]] = {
    "kopia alone": {"kopia": {"repository": "r"}},
    "kopia and our provider": {"kopia": {"repository": "r"}, "external": OURS},
    "our provider alone": {"external": {**OURS, "parameters": {"repository": "r"}}},
    "another provider": {"external": {"provider": "other"}},
    "another provider and kopia": {"kopia": {}, "external": {"provider": "other"}},
    "restic": {"restic": {}},
    "restic and kopia": {"restic": {}, "kopia": {}},
    "nothing": {},
}
HANDLED = {
    "none": {"kopia alone", "kopia and our provider", "our provider alone"},
    "replace": {"kopia alone", "kopia and our provider", "our provider alone"},
    "upstream": {"kopia and our provider", "our provider alone"},
    "fork": {"our provider alone"},
}


@pytest.mark.parametrize("mode", HANDLED)
def test_o_001_o_002_each_mode_handles_these_objects_and_no_others(mode: str) -> None:
    found = {name for name, spec in SPECS.items() if is_ours({"spec": spec}, mode=mode, provider="pykopia")}
    assert found == HANDLED[mode]


@pytest.mark.parametrize("mode", HANDLED)
@pytest.mark.parametrize("what", sorted(SPECS))
def test_o_001_an_object_that_is_not_ours_is_never_written(mode: str, what: str) -> None:
    if what in HANDLED[mode]:
        pytest.skip("ours")
    stage = Stage(coexistence=mode)
    stage.api.put(
        {
            "kind": "ReplicationSource",
            "metadata": {"name": "app", "namespace": "prod"},
            "spec": {"sourcePVC": "x", **SPECS[what]},
        }
    )
    stage.settle()
    told = [each for each in stage.api.writes if each[1] != "Event"]
    assert told == []
    assert len(stage.api.events("NotHandled")) == (
        mode == "upstream" and what in {"kopia alone", "another provider and kopia"}
    )


def test_parameters_are_the_same_fields_and_the_status_goes_where_the_crd_has_room() -> None:
    stage = Stage(coexistence="fork")
    stage.around.status_fields = frozenset()
    stage.secret()
    stage.volume()
    parameters = {"repository": "kopia-config", "copyMethod": "Direct", "retain.daily": "3", "moverVolumes": "[]"}
    stage.api.put(
        {
            "kind": "ReplicationSource",
            "metadata": {"name": "app", "namespace": "prod"},
            "spec": {"sourcePVC": "data", "trigger": {"manual": "x"}, "external": {**OURS, "parameters": parameters}},
        }
    )
    stage.settle()
    assert "kopia" not in stage.status()
    assert stage.status()["external"]["pykopia.identity"] == "prod@app:/data"
    stage.api.change("ReplicationSource", "app", {"spec": {"external": {"parameters": {"retain.dayly": "3"}}}})
    stage.settle()
    assert stage.condition()["message"] == (
        "external.parameters.retain.dayly is not a field of the kopia section; did you mean retain.daily?"
    )


def test_o_005_a_status_patch_holds_only_what_has_changed_and_the_version_that_was_read() -> None:
    stage = Stage()
    stage.ready()
    stage.api.change(
        "ReplicationSource",
        "app",
        {"status": {"restic": {"theirs": "x"}, "conditions": [{"type": "Theirs", "status": "True"}]}},
    )
    patches: list[Any] = []
    original = stage.api.patch

    async def patch(obj: Any, change: Any, *, subresource: str = "") -> Any:
        if obj["kind"] == "ReplicationSource":
            patches.append((change, subresource))
        return await original(obj, change, subresource=subresource)

    stage.api.patch = patch  # type: ignore[method-assign]
    stage.settle()
    assert patches
    for change, subresource in patches:
        assert subresource == "status"
        assert change["metadata"].keys() == {"resourceVersion"}
        assert "restic" not in change["status"]
    assert stage.status()["restic"] == {"theirs": "x"}
    assert {"type": "Theirs", "status": "True"} in stage.status()["conditions"]
    assert len(patches) == 3  # started, finished, waiting


def cluster(clock: Clock) -> FakeApi:
    api = FakeApi(clock)
    for crd in crds().values():
        api.put(crd)
    return api


def start(api: FakeApi, **settings: Any) -> Any:
    return asyncio.run(look_around(api, Settings(**settings), "us", api.clock.now))


def lease(clock: Clock, holder: str = "volsync-0", age: int = 10) -> dict[str, Any]:
    renewed = datetime.fromtimestamp(clock.now().timestamp() - age, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 137, "renewTime": renewed}
    return {"kind": "Lease", "metadata": {"name": VOLSYNC_LEASE, "namespace": "volsync-system"}, "spec": spec}


def test_o_003_mode_none_does_not_start_beside_another_controller() -> None:
    clock = Clock()
    api = cluster(clock)
    api.put(lease(clock))
    with pytest.raises(StartRefusedError, match="volsync-0"):
        start(api)
    assert start(api, coexistence="upstream").warnings == ()
    assert any("no VolSync controller" in each for each in start(cluster(clock), coexistence="fork").warnings)
    api.put(lease(clock, age=1000))
    start(api)
    api.put(lease(clock, holder="us"))
    start(api)


def test_o_004_fields_that_the_served_crd_would_drop_are_listed() -> None:
    clock = Clock()
    api = cluster(clock)
    crd = api.must("CustomResourceDefinition", "replicationsources.volsync.backube")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["kopia"]["properties"]["maintenanceIntervalDays"]
    found = start(api)
    assert any("spec.kopia.maintenanceIntervalDays" in each for each in found.warnings)
    assert found.status_fields == {"ReplicationSource", "ReplicationDestination"}
    assert missing_fields({"properties": {"a": {}}}, {"x-kubernetes-preserve-unknown-fields": True}) == []


def test_without_our_crds_the_operator_says_what_to_apply() -> None:
    with pytest.raises(StartRefusedError, match="manageCRDs"):
        start(FakeApi(Clock()))


def test_o_100_leftovers_of_the_fork_are_taken_over() -> None:
    stage = Stage(coexistence="replace")
    stage.ready()
    owner = stage.api.must("ReplicationSource", "app")
    stage.api.change("ReplicationSource", "app", {"status": {"lastSyncStartTime": "2026-03-01T09:00:00Z"}})
    reference = {"kind": "ReplicationSource", "name": "app", "uid": owner["metadata"]["uid"], "controller": True}
    about = {
        "namespace": "prod",
        "ownerReferences": [reference],
        "labels": {"volsync.backube/cleanup": owner["metadata"]["uid"]},
    }
    template = {
        "metadata": {"labels": {}},
        "spec": {"containers": [{"name": "kopia", "image": "fork:1", "env": []}], "volumes": []},
    }
    stage.api.put(
        {
            "kind": "Job",
            "metadata": {**about, "name": "volsync-src-app"},
            "spec": {"parallelism": 0, "template": template},
        }
    )
    stage.api.put(
        {
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": "prod", "name": "volsync-src-app-cache", "ownerReferences": [reference]},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "slow",
                "resources": {"requests": {"storage": "8Gi"}},
            },
            "status": {"phase": "Bound", "capacity": {"storage": "8Gi"}},
        }
    )
    stage.settle()
    (job,) = stage.cluster.movers
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "mover:1"
    assert stage.api.must("PersistentVolumeClaim", "volsync-src-app-cache")["spec"]["storageClassName"] == "slow"
    assert stage.status()["lastSyncDuration"] == "1h0m0s"


def test_an_object_of_another_owner_under_our_name_is_never_touched() -> None:
    stage = Stage()
    stage.ready()
    stage.api.put(
        {"kind": "Job", "metadata": {"name": "volsync-src-app", "namespace": "prod"}, "spec": {"parallelism": 0}}
    )
    before = stage.api.must("Job", "volsync-src-app")
    stage.settle()
    assert stage.api.must("Job", "volsync-src-app") == before
    assert "belongs to another object" in stage.condition()["message"]


@pytest.mark.parametrize("text", [None, "", "nothing: of the kind", "{", "[]", "current-context: lost", "clusters: 5"])
def test_a_connection_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    assert run_command(["run", f"--kubeconfig={path}"], {}) == 1
    told = capsys.readouterr().err
    assert told.startswith("pykopia-operator: ")
    assert "Traceback" not in told
    assert "kubeconfig" in told


def test_without_a_cluster_the_operator_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert run_command(["run"], {}) == 1
    assert "--kubeconfig" in capsys.readouterr().err
