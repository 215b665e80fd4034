"""The operator is killed, or the API server refuses, at each call of a run: the run ends as if nothing had happened."""

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pykopia_operator.errors import ApiError

from tests.operator.fake_api import Killed, refusing
from tests.operator.stage import Stage


def backup(method: str) -> Callable[[], Stage]:
    def make() -> Stage:
        stage = Stage()
        stage.ready(copyMethod=method)
        return stage

    return make


def restore() -> Stage:
    stage = Stage()
    stage.secret()
    stage.volume()
    stage.destination(capacity="2Gi", accessModes=["ReadWriteOnce"], cleanupTempPVC=True, cleanupCachePVC=True)
    return stage


def backup_with_maintenance() -> Stage:
    stage = Stage()
    stage.ready(maintenanceIntervalDays=1)
    stage.clock.move(days=2)
    return stage


WRITES = {"create", "patch", "delete"}
PROGRESS = {"VolumeSnapshotCreated", "PersistentVolumeClaimCreated", "TransferStarted"}
"""Events after a step, which a kill right after the step loses; those of results are never lost."""

SCENES = {
    "backup of a snapshot": backup("Snapshot"),
    "backup of a clone": backup("Clone"),
    "backup with maintenance": backup_with_maintenance,
    "restore into a new volume": restore,
}


def outcome(stage: Stage) -> dict[str, Any]:
    """Return everything that must be the same however the run went."""
    kinds = ("ReplicationSource", "ReplicationDestination")
    assert len({each["metadata"]["name"] for each in stage.api.events()}) == len(stage.api.events())
    status = next(each["status"] for kind in kinds for each in stage.api.of_kind(kind))
    return {
        "movers": len(stage.cluster.movers),
        "status": {key: value for key, value in status.items() if key != "latestImage"},
        "image": status.get("latestImage", {}).get("kind"),
        "objects": sorted(key for key in stage.api.objects if key[0] not in {"Pod", "Event", "VolumeSnapshot"}),
        "snapshots": len(stage.api.of_kind("VolumeSnapshot")),
        "events": Counter(each["reason"] for each in stage.api.events() if each["reason"] not in PROGRESS),
    }


@pytest.fixture(scope="module")
def clean() -> dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]]:
    found = {}
    for name, make in SCENES.items():
        stage = make()
        stage.settle()
        found[name] = outcome(stage), list(stage.api.calls)
    return found


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("answer_is_lost", [False, True])
def test_a_kill_at_each_call_changes_nothing_about_the_run(
    scene: str, answer_is_lost: bool, clean: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]]
) -> None:
    expected, calls = clean[scene]
    assert len(calls) > 20
    for at in range(len(calls)):
        if answer_is_lost and calls[at][0] not in WRITES:
            continue  # a lost answer to a read is the same as a read that was never made
        stage = SCENES[scene]()

        def kill(number: int, verb: str, kind: str, name: str, at: int = at) -> None:
            if number == at:
                raise Killed

        if answer_is_lost:
            stage.api.after = kill
        else:
            stage.api.before = kill
        stage.settle()
        assert outcome(stage) == expected, f"killed at call {at}: {stage.api.calls[at]}"


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (409, "Conflict"),
        pytest.param(429, "TooManyRequests", marks=pytest.mark.slow),
        (500, "InternalError"),
        pytest.param(0, "", marks=pytest.mark.slow),
    ],
)
def test_a_refusal_of_each_call_changes_nothing_about_the_run(
    scene: str, status: int, reason: str, clean: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]]
) -> None:
    expected, calls = clean[scene]
    for at in range(len(calls)):
        if calls[at][0] not in WRITES and at % 3:
            continue  # reads are all alike to a refusal: each third is enough
        stage = SCENES[scene]()
        stage.api.before = refusing(at, status, reason)
        stage.settle(refusals=True)
        assert outcome(stage) == expected, f"{status} at call {at}: {stage.api.calls[at]}"


def test_a_job_that_the_api_server_refuses_is_an_error_of_the_object() -> None:
    stage = Stage()
    stage.ready()

    def refuse(_number: int, verb: str, kind: str, _name: str) -> None:
        if (verb, kind) == ("create", "Job"):
            raise ApiError(422, "Invalid", "Job is invalid: spec.template: moverResources make no sense")

    stage.api.before = refuse
    for _ in range(4):
        with contextlib.suppress(ApiError):
            stage.look()
    assert stage.condition()["reason"] == "Error"
    assert "moverResources make no sense" in stage.condition()["message"]
    assert len(stage.api.events("ConfigurationInvalid")) == 1
    stage.api.before = lambda *_: None
    stage.settle()
    assert stage.status()["latestMoverStatus"]["result"] == "Successful"
