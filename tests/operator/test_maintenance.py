"""Maintenance by interval and by KopiaMaintenance, one at a time for each repository (rules O-080 to O-085)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pykopia_operator.decide.kopia_maintenance import MaintenanceWorld, cron_job_name, decide_maintenance
from pykopia_operator.decide.plan import Create, Patch
from pykopia_operator.decide.upkeep import lease_object, when_upkeep
from pykopia_operator.decide.world import Keys
from pykopia_operator.settings import Settings

from tests.operator.stage import Stage

NOW = datetime(2026, 3, 10, tzinfo=UTC)


def source(created: str = "2026-03-01T00:00:00Z", **kopia: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "app", "namespace": "prod", "creationTimestamp": created},
        "spec": {"kopia": {"repository": "kopia-config"}},
        "status": {"kopia": kopia},
    }


def operations(stage: Stage) -> list[list[str]]:
    return [each["spec"]["template"]["spec"]["containers"][0]["args"] for each in stage.cluster.movers]


def test_o_080_maintenance_comes_with_a_backup_when_its_interval_is_over() -> None:
    assert when_upkeep(source(), 5, [], [], "k", NOW).due
    assert not when_upkeep(source(), 20, [], [], "k", NOW).due
    assert not when_upkeep(source(lastMaintenance="2026-03-09T00:00:00Z"), 5, [], [], "k", NOW).due
    assert not when_upkeep(source(), 0, [], [], "k", NOW).due
    assert not when_upkeep(
        source("2026-03-08T00:00:00Z"), 5, [], [], "k", NOW
    ).due  # the first one only after the interval


def test_o_080_a_failure_of_maintenance_does_not_make_a_good_backup_bad() -> None:
    stage = Stage()
    stage.ready(maintenanceIntervalDays=1)
    stage.clock.move(days=2)
    document = {
        "v": 1, "op": "maintenance", "result": "failure", "code": "busy", "message": "another maintenance runs",
        "retryable": True, "identity": "prod@app:/data", "snapshot": {"id": "k1", "files": 1, "bytes": 1, "newBytes": 1},
    }  # fmt: skip
    stage.cluster.outcome = lambda _job: (21, document)
    stage.settle()
    assert operations(stage) == [["backup", "maintenance"]]
    assert stage.status()["latestMoverStatus"]["result"] == "Successful"
    assert stage.status()["kopia"]["maintenanceFailures"] == 1
    assert stage.condition(type_="MaintenanceHealthy")["status"] == "False"
    assert "lastMaintenance" not in stage.status()["kopia"]


def test_o_081_a_kopia_maintenance_takes_the_place_of_intervals() -> None:
    stage = Stage()
    stage.ready(maintenanceIntervalDays=1)
    stage.api.put(
        {
            "kind": "KopiaMaintenance",
            "metadata": {"name": "km", "namespace": "prod"},
            "spec": {"repository": {"repository": "kopia-config"}},
        }
    )
    stage.clock.move(days=9)
    stage.settle()
    assert operations(stage) == [["backup"]]
    assert stage.status()["kopia"]["kopiaMaintenance"] == "km"


def test_o_082_without_either_the_interval_is_seven_days() -> None:
    assert not when_upkeep(source(), None, [], [], "k", datetime(2026, 3, 7, tzinfo=UTC)).due
    assert when_upkeep(source(), None, [], [], "k", datetime(2026, 3, 8, 1, tzinfo=UTC)).due


def test_o_083_two_sources_of_one_repository_are_maintained_once() -> None:
    stage = Stage()
    stage.secret()
    stage.volume()
    for name in ("app", "web"):
        stage.source(name, maintenanceIntervalDays=1)
    stage.settle()
    stage.clock.move(days=2)
    for name in ("app", "web"):
        stage.api.change("ReplicationSource", name, {"spec": {"trigger": {"manual": "two"}}})
    stage.settle()
    ran = [each for each in operations(stage) if "maintenance" in each]
    assert len(ran) == 1


def test_o_084_last_maintenance_comes_from_the_movers_report_alone() -> None:
    stage = Stage()
    stage.ready(maintenanceIntervalDays=1)
    stage.settle()
    assert "lastMaintenance" not in stage.status()["kopia"]
    stage.clock.move(days=2)
    stage.api.change("ReplicationSource", "app", {"spec": {"trigger": {"manual": "two"}}})
    stage.settle()
    assert stage.status()["kopia"]["lastMaintenance"] == "2026-03-03T10:00:00Z"
    assert stage.status()["kopia"]["nextScheduledMaintenance"] == "2026-03-04T10:00:00Z"


def test_o_085_a_backup_never_waits_for_maintenance() -> None:
    stage = Stage()
    stage.ready(maintenanceIntervalDays=1)
    stage.clock.move(days=2)
    original = stage.api.get

    async def held(kind: str, namespace: str, name: str) -> Any:
        if kind == "Lease":
            spec = {"holderIdentity": "other", "renewTime": stage.clock.now().isoformat(), "leaseDurationSeconds": 300}
            return {
                "kind": "Lease",
                "metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"},
                "spec": spec,
            }
        return await original(kind, namespace, name)

    stage.api.get = held  # type: ignore[method-assign]
    stage.settle()
    assert operations(stage) == [["backup"]]
    assert len(stage.api.events("MaintenanceSkipped")) == 1


def test_o_083_of_two_that_take_the_lease_at_one_moment_one_maintains() -> None:
    stage = Stage()
    stage.ready(maintenanceIntervalDays=1)
    stage.clock.move(days=2)
    original = stage.api.get
    looked = False

    async def late(kind: str, namespace: str, name: str) -> Any:
        nonlocal looked
        if kind != "Lease" or looked:
            return await original(kind, namespace, name)
        looked = True
        stage.api.put(lease_object(name, namespace, "other", stage.clock.now()))  # right after this one has looked
        return None

    stage.api.get = late  # type: ignore[method-assign]
    stage.settle(refusals=True)
    assert operations(stage) == [["backup"]]
    assert len(stage.api.events("MaintenanceSkipped")) == 1


def km(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "volsync.backube/v1alpha1",
        "kind": "KopiaMaintenance",
        "metadata": {
            "name": "km", "namespace": "prod", "uid": "u", "generation": 1, "resourceVersion": "1",
            "finalizers": ["volsync.backube/kopiamaintenance-protection"],
        },
        "spec": {"repository": {"repository": "kopia-config"}},
        "status": status,
    }  # fmt: skip


SECRET = Keys(name="kopia-config", version="1", names=frozenset({"KOPIA_PASSWORD", "KOPIA_REPOSITORY"}))


def job(name: str, *, suspend: bool = True, ended: str = "", finished: str = "2026-03-10T02:00:00Z") -> dict[str, Any]:
    conditions = [{"type": ended, "status": "True", "lastTransitionTime": finished}] if ended else []
    return {
        "kind": "Job",
        "metadata": {"name": name, "namespace": "prod", "uid": name, "labels": {}, "resourceVersion": "1"},
        "spec": {"suspend": suspend},
        "status": {"conditions": conditions},
    }


def test_a_kopia_maintenance_makes_a_cron_job_whose_jobs_wait_for_the_lease() -> None:
    plan = decide_maintenance(MaintenanceWorld(owner=km(), namespace={}, secret=SECRET), Settings(), NOW)
    (cron,) = [each.obj for each in plan.actions if isinstance(each, Create) and each.obj["kind"] == "CronJob"]
    assert cron["metadata"]["name"] == cron_job_name(km())
    spec = cron["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("0 2 * * *", "Forbid")
    assert spec["jobTemplate"]["spec"]["suspend"] is True
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert {each["name"] for each in pod["volumes"]} >= {"tmp", "cache"}
    assert pod["containers"][0]["name"] == "kopia-maintenance"
    world = MaintenanceWorld(owner=km(), namespace={}, secret=SECRET, cron_job=cron, jobs=(job("a"), job("b")))
    released = [
        each for each in decide_maintenance(world, Settings(), NOW).actions
        if isinstance(each, Patch) and each.obj["kind"] == "Job"
    ]  # fmt: skip
    assert [each.obj["metadata"]["name"] for each in released] == ["a"]


def test_five_failures_in_a_row_slow_maintenance_down_to_once_a_day() -> None:
    status = {"maintenanceFailures": 5, "lastJob": "2026-03-10T00:00:00Z/x"}
    for hours, count in ((2, 0), (25, 1)):
        world = MaintenanceWorld(owner=km(**status), namespace={}, secret=SECRET, jobs=(job("a"),))
        plan = decide_maintenance(world, Settings(), NOW + timedelta(hours=hours))
        assert len([each for each in plan.actions if isinstance(each, Patch) and each.obj["kind"] == "Job"]) == count


def test_results_of_maintenance_jobs_are_taken_over_once() -> None:
    world = MaintenanceWorld(owner=km(), namespace={}, secret=SECRET, jobs=(job("a", suspend=False, ended="Complete"),))
    plan = decide_maintenance(world, Settings(), NOW + timedelta(hours=3))
    (patch,) = [each for each in plan.actions if isinstance(each, Patch) and each.subresource == "status"]
    status = patch.change["status"]
    assert status["lastMaintenanceTime"] == "2026-03-10T02:00:00Z"
    again = MaintenanceWorld(owner=km(**status), namespace={}, secret=SECRET, jobs=world.jobs)
    plan = decide_maintenance(again, Settings(), NOW + timedelta(hours=3))
    assert not [each for each in plan.actions if isinstance(each, Patch) and each.subresource == "status"]
