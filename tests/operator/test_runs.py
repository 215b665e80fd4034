"""Failures, pauses, missing objects, images, and a day of a schedule, against an API server in memory."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pykopia_operator.decide.result import has_ended
from pykopia_operator.decide.times import format_time, parse_time

from tests.operator.fake_api import backup_succeeds, environment_of, fails
from tests.operator.stage import Stage


def test_o_060_a_paused_source_does_not_run_and_counts_as_no_success() -> None:
    stage = Stage()
    stage.ready()
    stage.api.change("ReplicationSource", "app", {"spec": {"paused": True}})
    stage.settle()
    assert stage.cluster.movers == []
    assert stage.condition()["reason"] == "Paused"
    assert not {"lastSyncTime", "lastManualSync", "lastSyncStartTime"} & stage.status().keys()
    stage.api.change("ReplicationSource", "app", {"spec": {"paused": False}})
    stage.settle()
    assert stage.status()["lastManualSync"] == "one"


def test_o_060_a_running_mover_is_suspended_and_goes_on_in_the_same_run() -> None:
    stage = Stage()
    stage.ready()
    stage.cluster.step = lambda: False  # type: ignore[method-assign]
    stage.settle(until=lambda: stage.api.find("Job", "volsync-src-app") is not None)
    started = stage.status()["lastSyncStartTime"]
    stage.api.change("ReplicationSource", "app", {"spec": {"paused": True}})
    stage.settle()
    assert stage.api.must("Job", "volsync-src-app")["spec"]["parallelism"] == 0
    stage.api.change("ReplicationSource", "app", {"spec": {"paused": False}})
    stage.settle()
    assert stage.api.must("Job", "volsync-src-app")["spec"]["parallelism"] == 1
    assert stage.status()["lastSyncStartTime"] == started


def test_o_070_attempts_come_ever_later_and_the_reason_is_in_the_status() -> None:
    stage = Stage()
    stage.ready()
    stage.cluster.outcome = fails(13, "unreachable", "s3.example.com:443 does not answer; check the endpoint")
    waits, last = [], stage.clock.now()
    for _ in range(4000):
        count = len(stage.cluster.movers)
        stage.settle()
        if len(stage.cluster.movers) > count:
            waits.append(round((stage.clock.now() - last).total_seconds() / 60))
            last = stage.clock.now()
        if len(waits) == 7:
            break
        stage.clock.move(seconds=30)
    assert waits == [0, 1, 2, 4, 8, 16, 30]
    status = stage.status()
    assert status["latestMoverStatus"]["result"] == "Failed"
    assert status["latestMoverStatus"]["logs"].startswith("s3.example.com:443 does not answer")
    assert status["kopia"]["consecutiveFailures"] == 7
    assert stage.condition()["status"] == "True"
    assert "s3.example.com:443 does not answer" in stage.condition()["message"]
    assert stage.condition(type_="Healthy")["reason"] == "MoverFailed"
    stage.cluster.outcome = backup_succeeds
    stage.clock.move(minutes=31)
    stage.settle()
    assert "lastFailure" not in stage.status()["kopia"]
    assert stage.condition(type_="Healthy")["status"] == "True"


@pytest.mark.parametrize("change", ["spec", "Secret", "time"])
def test_o_070_what_no_attempt_can_cure_waits_for_a_change_or_half_an_hour(change: str) -> None:
    stage = Stage()
    stage.ready()
    stage.cluster.outcome = fails(11, "auth", "KOPIA_PASSWORD does not open this repository")
    stage.settle()
    stage.clock.move(minutes=29)
    stage.settle()
    assert len(stage.cluster.movers) == 1
    if change == "spec":
        stage.api.change("ReplicationSource", "app", {"spec": {"kopia": {"parallelism": 2}}})
    elif change == "Secret":
        stage.secret(KOPIA_PASSWORD="another")
    else:
        stage.clock.move(minutes=2)
    stage.settle()
    assert len(stage.cluster.movers) == 2


def test_o_071_missing_objects_are_named_and_waited_for() -> None:
    stage = Stage()
    stage.source()
    expected: list[tuple[str, Callable[[], Any]]] = [
        ("PersistentVolumeClaim prod/data does not exist", stage.volume),
        ("Secret prod/kopia-config does not exist", stage.secret),
    ]
    for text, repair in expected:
        stage.settle()
        assert stage.condition()["reason"] == "Error"
        assert text in stage.condition()["message"]
        writes = len(stage.api.writes)
        assert stage.look() == 60
        assert len(stage.api.writes) == writes  # nothing is written twice
        repair()
    stage.settle()
    assert stage.status()["latestMoverStatus"]["result"] == "Successful"
    assert [each["type"] for each in stage.api.events("ConfigurationInvalid")] == ["Warning", "Warning"]


def test_o_072_another_attempt_uses_the_same_copy_and_another_run_a_new_one() -> None:
    stage = Stage()
    stage.ready(copyMethod="Snapshot")
    stage.cluster.outcome = fails(13, "unreachable")
    stage.settle()
    first = stage.api.must("PersistentVolumeClaim", "volsync-app-src")["metadata"]["uid"]
    stage.cluster.outcome = backup_succeeds
    stage.clock.move(minutes=2)
    stage.settle(until=lambda: len(stage.cluster.movers) == 2)
    assert stage.api.must("PersistentVolumeClaim", "volsync-app-src")["metadata"]["uid"] == first
    stage.settle()
    assert stage.api.find("PersistentVolumeClaim", "volsync-app-src") is None
    stage.api.change("ReplicationSource", "app", {"spec": {"trigger": {"manual": "two"}}})
    stage.settle(until=lambda: stage.api.find("PersistentVolumeClaim", "volsync-app-src") is not None)
    assert stage.api.must("PersistentVolumeClaim", "volsync-app-src")["metadata"]["uid"] != first


def test_o_092_an_image_is_recorded_only_when_it_is_ready_to_use() -> None:
    stage = Stage()
    stage.secret()
    stage.volume()
    stage.destination(destinationPVC="data")
    stage.settle(until=lambda: bool(stage.api.of_kind("VolumeSnapshot")))
    (snapshot,) = stage.api.of_kind("VolumeSnapshot")
    stage.api.put({**snapshot, "status": {"boundVolumeSnapshotContentName": "c", "readyToUse": False}})
    stage.settle()
    assert "latestImage" not in stage.status("back", "ReplicationDestination")
    stage.api.change("VolumeSnapshot", snapshot["metadata"]["name"], {"status": {"readyToUse": True}})
    stage.settle()
    assert stage.status("back", "ReplicationDestination")["latestImage"]["name"] == snapshot["metadata"]["name"]


def test_the_older_image_goes_unless_the_user_wants_to_keep_it() -> None:
    stage = Stage()
    stage.secret()
    stage.volume()
    stage.destination(destinationPVC="data")
    names = []
    for value in ("one", "two", "three"):
        stage.api.change("ReplicationDestination", "back", {"spec": {"trigger": {"manual": value}}})
        stage.settle()
        stage.clock.move(minutes=5)
        names.append(stage.status("back", "ReplicationDestination")["latestImage"]["name"])
        if value == "two":
            stage.api.change(
                "VolumeSnapshot", names[-1], {"metadata": {"labels": {"volsync.backube/do-not-delete": "x"}}}
            )
    assert {each["metadata"]["name"] for each in stage.api.of_kind("VolumeSnapshot")} == {names[1], names[2]}
    assert not stage.api.must("VolumeSnapshot", names[1])["metadata"].get("ownerReferences")


@pytest.mark.parametrize(
    ("lineage", "expected"),
    [({}, "auto"), ({"lastSyncTime": "2026-01-01T00:00:00Z"}, "fail"), ({"kopia": {"repositoryID": "x"}}, "fail")],
)
def test_o_091_where_a_backup_is_known_to_have_existed_nothing_is_no_first_installation(
    lineage: dict[str, Any], expected: str
) -> None:
    stage = Stage()
    stage.secret()
    stage.volume()
    stage.source(spec={"paused": True})
    stage.api.change("ReplicationSource", "app", {"status": lineage})
    stage.destination(capacity="1Gi", accessModes=["ReadWriteOnce"])
    stage.settle()
    assert environment_of(stage.cluster.movers[0])["KOPIA_ON_MISSING_SNAPSHOT"] == expected


def test_an_out_of_memory_mover_is_explained() -> None:
    stage = Stage()
    stage.ready(moverResources={"limits": {"memory": "64Mi"}})
    stage.cluster.outcome = lambda _job: (137, "")
    run = stage.cluster._run

    def killed(job: Any) -> None:
        run(job)
        pod = stage.api.of_kind("Pod")[-1]
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"

    stage.cluster._run = killed  # type: ignore[method-assign]
    stage.settle()
    assert "more memory than its limit of 64Mi; raise moverResources" in stage.condition(type_="Healthy")["message"]


def test_a_day_of_a_schedule_runs_at_its_times_and_writes_three_times_a_run() -> None:
    stage = Stage(schedule_jitter=600)
    stage.secret()
    stage.volume()
    stage.source(trigger={"schedule": "0 */4 * * *"})
    stage.settle()
    runs, end = [], stage.clock.now() + timedelta(days=1)
    writes = len([each for each in stage.api.writes if each[1] == "ReplicationSource"])
    while stage.clock.now() < end:
        again = stage.look()
        assert again is not None
        assert again > 0
        stage.clock.move(seconds=again)
        count = len(stage.cluster.movers)
        stage.settle()
        if len(stage.cluster.movers) > count:
            runs.append(stage.clock.now())
    assert len([each for each in runs if each <= end]) == 6
    assert len({(each.hour % 4, each.minute, each.second) for each in runs}) == 1  # the same offset each time
    assert all(timedelta() <= each - each.replace(minute=0, second=0) < timedelta(minutes=10) for each in runs)
    after = len([each for each in stage.api.writes if each[1] == "ReplicationSource"])
    assert (after - writes) / len(runs) == 3
    due = parse_time(stage.status()["nextSyncTime"])
    assert due is not None
    assert due > stage.clock.now()


def test_no_value_of_a_secret_is_in_anything_that_is_written_or_measured() -> None:
    stage = Stage()
    stage.ready()
    stage.secret(SFTP_KEY_FILE="canary-key", GOOGLE_APPLICATION_CREDENTIALS="canary-json")
    stage.settle()
    everything = str([each for key, each in stage.api.objects.items() if key[0] != "Secret"]) + str(stage.measures)
    assert "canary" not in everything


def test_a_cache_that_cannot_grow_is_kept_and_reported_once() -> None:
    stage = Stage()
    stage.api.put({"kind": "StorageClass", "metadata": {"name": "stiff"}})
    stage.ready(cacheStorageClassName="stiff")
    stage.settle()
    for value in ("two", "three"):
        stage.api.change(
            "ReplicationSource", "app", {"spec": {"trigger": {"manual": value}, "kopia": {"cacheCapacity": "3Gi"}}}
        )
        stage.settle()
    assert len(stage.api.events("CacheResizeNotPossible")) == 1
    assert environment_of(stage.cluster.movers[-1])["KOPIA_CACHE_CAPACITY_BYTES"] == str(1 << 30)


@pytest.mark.parametrize("trouble", ["none", "the first fails", "the first is paused", "the first has no Secret"])
def test_two_destinations_of_one_volume_restore_one_after_the_other(trouble: str) -> None:
    stage = Stage()
    stage.secret()
    stage.volume("target")
    wish: dict[str, Any] = {"destinationPVC": "target", "copyMethod": "Direct", "username": "u", "hostname": "h"}
    for name in ("one", "two"):
        missing = {"repository": "missing"} if (name, trouble) == ("one", "the first has no Secret") else {}
        paused = {"paused": True} if (name, trouble) == ("one", "the first is paused") else {}
        stage.destination(name, spec=paused, **(wish | missing))
    most = 0

    def outcome(job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        nonlocal most
        most = max(most, len([each for each in stage.api.of_kind("Job") if not has_ended(each)]))
        failing = trouble == "the first fails" and job["metadata"]["ownerReferences"][0]["name"] == "one"
        return fails(13, "unreachable")(job) if failing else backup_succeeds(job)

    stage.cluster.outcome = outcome
    stage.settle()
    stage.clock.move(seconds=15)
    stage.settle()
    assert most == 1
    results = [stage.status(name, "ReplicationDestination").get("latestMoverStatus", {}) for name in ("one", "two")]
    assert results[1]["result"] == "Successful"
    first = {"none": "Successful", "the first fails": "Failed"}.get(trouble)
    assert results[0].get("result") == first


@pytest.mark.parametrize(("labelled", "age", "lists"), [(True, 10, True), (False, 10, False), (False, 1, True)])
def test_leftovers_are_listed_unless_the_run_ended_long_ago_and_none_was_seen(
    labelled: bool, age: int, lists: bool
) -> None:
    """An operator that takes over hundreds of objects asks for none of them in vain."""
    stage = Stage()
    stage.ready()
    stage.settle()
    status = {"conditions": None, "lastSyncTime": format_time(stage.clock.now() - timedelta(minutes=age))}
    stage.api.change("ReplicationSource", "app", {"status": status})
    stage.around.labelled = lambda _: labelled
    stage.api.calls.clear()
    stage.look()
    assert any(verb == "list" for verb, _, _ in stage.api.calls) is lists
    assert stage.condition()["reason"] == "WaitingForManual"


def test_the_reason_of_a_failed_attempt_is_shown_while_the_job_tries_again() -> None:
    """A Job tries for twenty minutes before it has failed."""
    stage = Stage()
    stage.ready()
    stage.cluster.outcome = fails(17, "action", "the before-snapshot action failed: exit status 127")
    whole = stage.cluster.step

    def step_without_an_end() -> bool:
        moved = whole() if not stage.cluster.movers else False
        for job in stage.api.of_kind("Job"):
            job["status"] = {"active": 1, "failed": 1}
        return moved

    stage.cluster.step = step_without_an_end  # type: ignore[method-assign]
    stage.settle()
    assert stage.condition()["reason"] == "SyncInProgress"
    assert "attempt 2 of the mover; the last one: the before-snapshot action failed" in stage.condition()["message"]
    assert "lastFailure" not in stage.status().get("kopia", {})
