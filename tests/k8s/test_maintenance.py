"""Maintenance by interval and by KopiaMaintenance objects."""

import datetime as dt

from tests.k8s.api import Object, wait_for
from tests.k8s.chart import NAMESPACE
from tests.k8s.machine import Namespace
from tests.k8s.scenario import API_VERSION, SECRET, Scenario, condition, source

FILES = {"a": "one"}


def aged(scenario: Scenario, name: str, when: str) -> None:
    """Move the time of an object's last maintenance."""
    body = {"status": {"kopia": {"lastMaintenance": when}}}
    namespace = scenario.namespace
    namespace.api.patch("ReplicationSource", name, body, namespace.name, subresource="status")


def test_rows_109_219_o_080_o_084_an_interval_adds_maintenance_to_a_backup_when_it_is_due(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    thing = scenario.back_up(source(maintenanceIntervalDays=3))
    assert "lastMaintenance" not in thing["status"].get("kopia", {})
    aged(scenario, "app", "2020-01-01T00:00:00Z")
    thing = scenario.back_up(source(manual="second", maintenanceIntervalDays=3))
    assert [run.args for run in namespace.runs()] == [["backup"], ["backup", "maintenance"]]
    assert thing["status"]["kopia"]["lastMaintenance"] > "2026"
    scenario.back_up(source(manual="third", maintenanceIntervalDays=3))
    assert namespace.runs()[-1].args == ["backup"]


def test_an_interval_of_zero_never_maintains(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up(source(maintenanceIntervalDays=0))
    aged(scenario, "app", "2020-01-01T00:00:00Z")
    scenario.back_up(source(manual="second", maintenanceIntervalDays=0))
    assert namespace.runs()[-1].args == ["backup"]


def maintenance(**spec: object) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "KopiaMaintenance",
        "metadata": {"name": "nightly"},
        "spec": {"repository": {"repository": SECRET}, **spec},
    }


def test_o_081_a_kopia_maintenance_makes_a_cron_job_and_takes_over_from_intervals(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up(source(maintenanceIntervalDays=1))
    namespace.apply(maintenance(trigger={"schedule": "0 3 * * *"}))
    thing = namespace.wait(
        "it has a CronJob", "KopiaMaintenance", "nightly", lambda thing: thing.get("status", {}).get("activeCronJob")
    )
    cron = namespace.get("CronJob", thing["status"]["activeCronJob"])
    assert cron["spec"]["schedule"] == "0 3 * * *"
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    aged(scenario, "app", "2020-01-01T00:00:00Z")
    thing = scenario.back_up(source(manual="second", maintenanceIntervalDays=1))
    assert namespace.runs()[-1].args == ["backup"]
    assert thing["status"]["kopia"]["kopiaMaintenance"] == "nightly"
    namespace.delete("KopiaMaintenance", "nightly")
    namespace.gone("KopiaMaintenance", "nightly")
    namespace.gone("CronJob", cron["metadata"]["name"])


def test_a_manual_maintenance_runs_once(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up()
    namespace.apply(maintenance(trigger={"manual": "now"}))
    thing = namespace.wait(
        "it has run",
        "KopiaMaintenance",
        "nightly",
        lambda thing: thing.get("status", {}).get("lastManualSync") == "now",
        seconds=90,
    )
    run = namespace.runs()[-1]
    assert run.exit_code == 0
    assert "maintenance" in run.args or run.environment.get("DIRECTION") == "maintenance"
    assert thing["status"]["lastMaintenanceTime"]
    assert condition(thing, "Ready").get("status") == "True"


def test_o_082_without_any_setting_the_interval_is_seven_days(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up(source())
    for number, (days, args) in enumerate(((6, ["backup"]), (8, ["backup", "maintenance"]))):
        aged(scenario, "app", f"{dt.datetime.now(dt.UTC) - dt.timedelta(days=days):%FT%TZ}")
        scenario.back_up(source(manual=str(number)))
        assert namespace.runs()[-1].args == args


def test_o_083_o_085_of_two_sources_of_a_repository_one_maintains_it_and_the_other_does_not_wait(
    scenario: Scenario,
) -> None:
    namespace, names = scenario.namespace, ("one", "two")
    namespace.filled_claim("data", FILES)
    for name in names:
        scenario.back_up(source(name, maintenanceIntervalDays=1))
    for name in names:
        aged(scenario, name, "2020-01-01T00:00:00Z")
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        for name in names:
            namespace.apply(source(name, manual="second", maintenanceIntervalDays=1))
        jobs = [namespace.wait("the Job exists", "Job", f"volsync-src-{name}", lambda _: True) for name in names]
        holders = [lease["spec"].get("holderIdentity", "") for lease in namespace.api.objects("Lease", NAMESPACE)]
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    args = [job["spec"]["template"]["spec"]["containers"][0]["args"] for job in jobs]
    assert sorted(args) == [["backup"], ["backup", "maintenance"]]
    assert len([holder for holder in holders if holder.startswith(f"{namespace.name}/")]) == 1
    for name in names:
        scenario.synced("ReplicationSource", name)
        assert namespace.runs(name)[-1].exit_code == 0
    wait_for("the Lease is free", lambda: not [each for each in held(namespace) if each])


def held(namespace: Namespace) -> list[str]:
    """Return the holders in a namespace of the Leases of maintenance."""
    holders = (lease["spec"].get("holderIdentity") or "" for lease in namespace.api.objects("Lease", NAMESPACE))
    return [holder for holder in holders if holder.startswith(f"{namespace.name}/")]
