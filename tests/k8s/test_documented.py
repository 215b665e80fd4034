"""The examples of VolSync's documentation, applied unchanged, lead to snapshots that the library restores, and to restores."""

import datetime as dt
from pathlib import Path

import pytest

from tests.k8s.api import Object
from tests.k8s.machine import Machine
from tests.k8s.operator_process import Operator
from tests.k8s.scenario import Scenario, condition, documented, files, make_bucket
from tests.servers.s3 import S3Server

FILES = {"readme.txt": "hello", "deep/er/file": "x" * 5000, "empty": ""}
CONTENT = {name: text.encode() for name, text in FILES.items()}


def test_rows_1_105_106_108_116_o_040_the_main_example_backs_up_a_clone(scenario: Scenario, tmp_path: Path) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("mydata", FILES)
    (example,) = documented("first-backup")
    before = dt.datetime.now(dt.UTC)
    namespace.apply(example)
    thing = scenario.synced("ReplicationSource", "mydata-backup")

    assert scenario.bucket.restored(tmp_path / "restored") == CONTENT
    assert scenario.bucket.sources() == [f"{namespace.name}@mydata-backup:/data"]
    status = thing["status"]
    assert status["latestMoverStatus"]["result"] == "Successful"
    assert "Snapshot created successfully" in status["latestMoverStatus"]["logs"]
    following = dt.datetime.fromisoformat(status["nextSyncTime"])
    assert following.minute % 30 == 0
    assert before < following <= before + dt.timedelta(minutes=31)
    assert status["kopia"]["identity"] == f"{namespace.name}@mydata-backup:/data"
    assert status["kopia"]["lastSnapshot"]["files"] == 3
    assert "lastSyncStartTime" not in status
    (run,) = namespace.runs()
    assert run.args == ["backup"]
    assert run.environment["KOPIA_PARALLELISM"] == "2"
    retain = {key: value for key, value in run.environment.items() if key.startswith("KOPIA_RETAIN")}
    assert retain == {
        "KOPIA_RETAIN_HOURLY": "6",
        "KOPIA_RETAIN_DAILY": "7",
        "KOPIA_RETAIN_WEEKLY": "4",
        "KOPIA_RETAIN_MONTHLY": "6",
        "KOPIA_RETAIN_YEARLY": "2",
    }
    namespace.gone("PersistentVolumeClaim", "volsync-mydata-backup-src")
    namespace.gone("Job", "volsync-src-mydata-backup")
    cache = namespace.get("PersistentVolumeClaim", "volsync-src-mydata-backup-cache")
    assert cache["spec"]["resources"]["requests"]["storage"] == "1Gi"
    waiting = namespace.wait(
        "it waits for its schedule",
        "ReplicationSource",
        "mydata-backup",
        lambda thing: condition(thing, "Synchronizing").get("reason") == "WaitingForSchedule",
    )
    assert condition(waiting, "Synchronizing")["status"] == "False"


def test_rows_157_to_163_the_main_page_restores_into_a_new_volume(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("mydata", FILES)
    namespace.apply(documented("first-backup")[0])
    scenario.synced("ReplicationSource", "mydata-backup")

    namespace.create(documented("restore-claim")[0])
    thing = scenario.restore(documented("restore")[0])
    assert files(namespace.volume("datavol")) == CONTENT
    assert thing["status"]["latestImage"]["kind"] == "PersistentVolumeClaim"
    assert thing["status"]["latestImage"]["name"] == "datavol"
    assert thing["status"]["lastManualSync"] == "restore-once"
    assert thing["status"]["kopia"]["restoredSnapshot"]["identity"] == f"{namespace.name}@mydata-backup:/data"
    assert namespace.objects("VolumeSnapshot") == []
    assert namespace.find("PersistentVolumeClaim", "volsync-datavol-dest-dest") is None

    namespace.delete("ReplicationDestination", "datavol-dest")
    namespace.gone("PersistentVolumeClaim", "volsync-dst-datavol-dest-cache")
    assert files(namespace.volume("datavol")) == CONTENT


@pytest.mark.parametrize(
    ("example", "path"),
    [
        ("postgres", "/var/lib/postgresql/data"),
        ("app-config", "/opt/myapp/config"),
        ("filesystem", "/home/users"),
        ("data-backup", "/app/data"),
    ],
)
def test_rows_137_280_an_override_is_recorded_with_every_copy_method(
    scenario: Scenario, example: str, path: str, tmp_path: Path
) -> None:
    (thing,) = documented(example)
    name = thing["metadata"]["name"]
    scenario.namespace.filled_claim(thing["spec"]["sourcePVC"], FILES)
    scenario.namespace.apply(thing)
    scenario.synced("ReplicationSource", name)
    assert scenario.bucket.sources() == [f"{scenario.namespace.name}@{name}:{path}"]
    assert scenario.bucket.restored(tmp_path / "restored") == CONTENT


def test_row_138_two_sources_of_one_application_share_a_repository(scenario: Scenario) -> None:
    things = documented("webapp")
    for thing in things:
        scenario.namespace.filled_claim(thing["spec"]["sourcePVC"], FILES)
        scenario.namespace.apply(thing)
    for thing in things:
        scenario.synced("ReplicationSource", thing["metadata"]["name"])
    assert sorted(scenario.bucket.sources()) == [
        f"{scenario.namespace.name}@webapp-data-backup:/applications/webapp/data",
        f"{scenario.namespace.name}@webapp-logs-backup:/applications/webapp/logs",
    ]


def test_rows_153_288_289_three_namespaces_back_up_into_one_repository(
    machine: Machine, operator: Operator, versitygw: S3Server
) -> None:
    bucket = make_bucket(versitygw)
    things = documented("tiers")
    names = [thing["metadata"]["namespace"] for thing in things]
    for thing in things:
        space = machine.named_namespace(thing["metadata"]["namespace"])
        space.secret("shared-backup-config", bucket.secret)
        space.filled_claim(thing["spec"]["sourcePVC"], {"who": thing["metadata"]["name"]})
        space.apply(thing)
    for thing, name in zip(things, names, strict=True):
        Scenario(namespace=machine.at(name), bucket=bucket).synced("ReplicationSource", thing["metadata"]["name"])
    for name in names:  # they run again and again
        machine.api.delete("Namespace", name)
    expected = {
        "api-tier@api-backup:/services/api/data",
        "data-tier@database-backup:/services/database/postgresql",
        "web-tier@frontend-backup:/services/frontend/data",
    }
    assert set(bucket.sources()) == expected


def test_rows_230_275_278_policies_of_a_config_map_apply_to_backup_and_restore(
    scenario: Scenario, tmp_path: Path
) -> None:
    namespace = scenario.namespace
    namespace.create(documented("policies")[0])
    namespace.filled_claim("app-data", {**FILES, "trace.log": "ignored", "node_modules/a.js": "ignored"})
    namespace.apply(documented("policies-backup")[0])
    thing = scenario.synced("ReplicationSource", "app-backup-with-policies")
    assert scenario.bucket.restored(tmp_path / "restored") == CONTENT
    assert condition(thing, "PolicyApplied").get("status", "True") == "True"
    cache = namespace.get("PersistentVolumeClaim", "volsync-src-app-backup-with-policies-cache")
    assert cache["spec"]["resources"]["requests"]["storage"] == "5Gi"
    with scenario.bucket.open() as repository:
        (snapshot,) = repository.snapshots.list()
        assert repository.policies.effective(snapshot.source).policy.retention.keep_daily == 14

    namespace.claim("restored-data")
    scenario.restore(documented("restore-policies")[0])
    assert files(namespace.volume("restored-data")) == CONTENT


@pytest.mark.parametrize("example", ["mysql-actions", "mysql-policies"])
def test_rows_279_298_an_action_without_its_program_is_explained(scenario: Scenario, example: str) -> None:
    """The document's action calls mysqldump, which no mover has."""
    namespace = scenario.namespace
    namespace.filled_claim("mysql-data", FILES)
    things: list[Object] = documented(example)
    for thing in things:
        namespace.apply(thing)
    name = things[-1]["metadata"]["name"]
    if example == "mysql-policies":  # actions of policies run only where they are enabled
        scenario.synced("ReplicationSource", name)
        return

    def explained(thing: Object) -> bool:
        return "before-snapshot action failed" in condition(thing, "Synchronizing").get("message", "")

    thing = namespace.wait("the failure is reported while the Job tries again", "ReplicationSource", name, explained)
    assert "Actions run in the mover's container" in condition(thing, "Synchronizing")["message"]
    assert thing["status"].get("lastSyncTime") is None
    assert scenario.bucket.sources() == []
