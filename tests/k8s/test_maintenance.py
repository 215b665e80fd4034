"""Maintenance by interval and by KopiaMaintenance objects."""

from tests.k8s.api import Object
from tests.k8s.scenario import API_VERSION, SECRET, Scenario, condition, source

FILES = {"a": "one"}


def aged(scenario: Scenario, name: str, when: str) -> None:
    """Move the time of an object's last maintenance."""
    body = {"status": {"kopia": {"lastMaintenance": when}}}
    namespace = scenario.namespace
    namespace.api.patch("ReplicationSource", name, body, namespace.name, subresource="status")


def test_rows_109_219_o_080_an_interval_adds_maintenance_to_a_backup_when_it_is_due(scenario: Scenario) -> None:
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
