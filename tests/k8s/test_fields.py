"""Fields of the document that no other test of the cluster is about: defaults, the Secret, policies, intervals, the log."""

import datetime as dt
import json

import pytest

from tests.k8s.api import APIError, Object, wait_for
from tests.k8s.scenario import SECRET, Scenario, condition, destination, documented, files, make_bucket, source
from tests.k8s.test_results import error_of
from tests.k8s.volumes import IMMEDIATE, WAITING
from tests.servers.s3 import S3Server

FILES = {"a": "one", "b/c": "two", "noise.log": "x"}
CONTENT = {name: text.encode() for name, text in FILES.items()}


def test_rows_12_115_119_139_295_296_the_defaults_of_a_source(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES, storage="3Gi")
    scenario.back_up(source())
    (run,) = namespace.runs()
    assert run.environment["KOPIA_PARALLELISM"] == "1"
    assert "KOPIA_SOURCE_PATH_OVERRIDE" not in run.environment
    assert not [key for key in run.environment if key.startswith("KOPIA_RETAIN")]
    assert scenario.bucket.sources() == [f"{namespace.name}@app:/data"]
    cache = namespace.get("PersistentVolumeClaim", "volsync-src-app-cache")["spec"]
    assert cache["resources"]["requests"]["storage"] == "1Gi"


def test_rows_12_167_297_a_restore_uses_the_same_secret_and_takes_its_cache_from_the_destination_volume(
    scenario: Scenario,
) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES, storage="3Gi", storage_class=IMMEDIATE)
    scenario.back_up(source())
    namespace.claim("target", storage="2Gi", storage_class=WAITING, accessModes=["ReadWriteMany"])
    scenario.restore(destination(destinationPVC="target"))
    cache = namespace.get("PersistentVolumeClaim", "volsync-dst-app-cache")["spec"]
    assert cache["resources"]["requests"]["storage"] == "1Gi"
    assert (cache["storageClassName"], cache["accessModes"]) == (WAITING, ["ReadWriteMany"])
    assert files(namespace.volume("target")) == CONTENT
    assert [run.exit_code for run in namespace.runs()] == [0, 0]


def test_rows_167_202_options_of_the_cache_of_a_restore_are_taken_from_the_spec(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up(source())
    namespace.claim("target")
    wish: Object = {
        "cacheCapacity": "2Gi",
        "cacheStorageClassName": WAITING,
        "cacheAccessModes": ["ReadWriteMany"],
    }
    scenario.restore(destination(destinationPVC="target", **wish))
    cache = namespace.get("PersistentVolumeClaim", "volsync-dst-app-cache")["spec"]
    assert cache["resources"]["requests"]["storage"] == "2Gi"
    assert (cache["storageClassName"], cache["accessModes"]) == (WAITING, ["ReadWriteMany"])
    assert namespace.runs()[-1].environment["KOPIA_CACHE_CAPACITY_BYTES"] == str(2 << 30)


def test_row_172_the_secret_of_another_namespace_is_not_used(scenario: Scenario) -> None:
    """The Secret exists, in a namespace that the operator may read."""
    elsewhere = scenario.namespace.machine.namespace("elsewhere")
    elsewhere.secret("only-there", scenario.bucket.secret)
    scenario.namespace.claim("target")
    message = error_of(scenario, destination(repository="only-there", destinationPVC="target"))
    assert f"{scenario.namespace.name}/only-there" in message
    assert scenario.namespace.runs() == []
    scenario.namespace.api.delete("Namespace", elsewhere.name)


def test_row_175_a_time_needs_its_separator(scenario: Scenario) -> None:
    namespace = scenario.namespace
    folder = namespace.filled_claim("data", FILES)
    scenario.back_up(source())
    between = namespace.get("ReplicationSource", "app")["status"]["lastSyncTime"]
    wait_for("a second has passed", lambda: f"{dt.datetime.now(dt.UTC):%FT%TZ}" > between)
    (folder / "a").write_text("later")
    scenario.back_up(source(manual="second"))
    namespace.claim("target")
    moment = dt.datetime.fromisoformat(between).astimezone(dt.timezone(dt.timedelta(hours=-4)))
    thing = destination(destinationPVC="target", restoreAsOf=moment.isoformat(sep=" ", timespec="seconds"))
    try:
        message = error_of(scenario, thing)
    except APIError as error:
        message = error.text
    assert "restoreAsOf" in message
    scenario.restore(destination("good", destinationPVC="target", restoreAsOf=moment.isoformat(timespec="seconds")))
    assert files(namespace.volume("target"))["a"] == b"one"


def test_row_198_the_log_is_read_through_the_pod_of_the_job_while_it_runs(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    thing = source()
    thing["metadata"]["annotations"] = {"volsync.backube/enable-debug-mover": "true"}  # holds the mover
    namespace.apply(thing)

    def log() -> str | None:
        for pod in namespace.objects("Pod"):
            if pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name") == "volsync-src-app":
                path = f"/api/v1/namespaces/{namespace.name}/pods/{pod['metadata']['name']}/log"
                try:
                    return namespace.api.text(path) or None
                except APIError:  # it has not started
                    return None
        return None

    assert "DEBUG_MOVER" in wait_for("the log has lines", log)
    namespace.delete("ReplicationSource", "app")


def test_rows_129_218_222_each_source_has_its_own_interval(scenario: Scenario, versitygw: S3Server) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    namespace.secret("second", make_bucket(versitygw).secret)
    often: Object = {"repository": SECRET, "maintenanceIntervalDays": 3}
    seldom: Object = {"repository": "second", "maintenanceIntervalDays": 30}
    ten_days_ago = f"{dt.datetime.now(dt.UTC) - dt.timedelta(days=10):%FT%TZ}"
    for name, options in (("often", often), ("seldom", seldom)):
        scenario.back_up(source(name, **options))
        aged = {"status": {"kopia": {"lastMaintenance": ten_days_ago}}}
        namespace.api.patch("ReplicationSource", name, aged, namespace.name, subresource="status")
        scenario.back_up(source(name, manual="second", **options))
    assert namespace.runs("often")[-1].args == ["backup", "maintenance"]
    assert namespace.runs("seldom")[-1].args == ["backup"]
    scenario.back_up(source("seldom", manual="third", **(seldom | {"maintenanceIntervalDays": 5})))
    assert namespace.runs("seldom")[-1].args == ["backup", "maintenance"]


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_rows_227_228_229_policy_files_of_other_names_are_used_for_backup_and_restore(
    scenario: Scenario, kind: str
) -> None:
    namespace = scenario.namespace
    texts = {
        "everywhere.json": json.dumps({"files": {"ignore": ["*.log"]}, "retention": {"keepDaily": 11}}),
        "connection.json": json.dumps({"caching": {"maxCacheSize": 12345678}}),
        "global-policy.json": json.dumps({"retention": {"keepDaily": 99}}),  # has the default name: not used
    }
    (namespace.secret if kind == "Secret" else namespace.config_map)("policies", texts)
    wish: Object = {
        "policyConfig": {
            "secretName" if kind == "Secret" else "configMapName": "policies",
            "globalPolicyFilename": "everywhere.json",
            "repositoryConfigFilename": "connection.json",
        }
    }
    namespace.filled_claim("data", FILES)
    thing = scenario.back_up(source(**wish))
    assert condition(thing, "PolicyApplied").get("status", "True") == "True"
    with scenario.bucket.open() as repository:
        (snapshot,) = repository.snapshots.list()
        assert repository.policies.effective(snapshot.source).policy.retention.keep_daily == 11
    namespace.claim("target")
    scenario.restore(destination(destinationPVC="target", **wish))
    assert files(namespace.volume("target")) == {"a": b"one", "b/c": b"two"}
    for run in namespace.runs():
        assert "12345678" in run.log.read_text() or "connection.json" in run.log.read_text(), run.log.read_text()


def test_rows_277_298_the_database_example_runs_with_its_policies(scenario: Scenario) -> None:
    """Its actions need ``enableActions``, which the example does not set: the log says that they are left out."""
    namespace = scenario.namespace
    namespace.create(documented("database-policies")[0])
    namespace.filled_claim("mysql-data", {**FILES, "mysql-bin.000001": "x"})
    (thing,) = documented("database-backup")
    namespace.apply(thing)
    synced = scenario.synced("ReplicationSource", "database-backup")
    assert condition(synced, "PolicyApplied").get("status", "True") == "True"  # one of the two files is enough
    (run,) = namespace.runs()
    assert "enableActions" in run.log.read_text()
    with scenario.bucket.open() as repository:
        (snapshot,) = repository.snapshots.list()
        retention = repository.policies.effective(snapshot.source).policy.retention
        assert (retention.keep_latest, retention.keep_daily, retention.keep_weekly) == (3, 7, 4)
