"""What a user reads after a run: status, conditions, events; of good runs, of failures, and of configurations that can't work."""

import base64
import os

import pytest

from tests.k8s.api import APIError, Object
from tests.k8s.scenario import PASSWORD, SECRET, Scenario, condition, destination, files, source

FILES = {"a": "one", "b/c": "two"}
CONTENT = {name: text.encode() for name, text in FILES.items()}


def error_of(scenario: Scenario, thing: Object, *, seconds: float = 60) -> str:
    """Apply an object, wait until its condition says that it can't work, and return the message."""
    scenario.namespace.apply(thing)
    found = scenario.namespace.wait(
        "the error is reported",
        thing["kind"],
        thing["metadata"]["name"],
        lambda thing: condition(thing, "Synchronizing").get("reason") == "Error",
        seconds=seconds,
    )
    return str(condition(found, "Synchronizing")["message"])


def test_a_manual_value_runs_once_and_another_one_runs_again(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    first = scenario.back_up()
    assert first["status"]["lastManualSync"] == "first"
    assert "nextSyncTime" not in first["status"]
    namespace.patch("ReplicationSource", "app", {"metadata": {"labels": {"touched": "yes"}}})
    waiting = namespace.wait(
        "it waits for the next value",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Synchronizing").get("reason") == "WaitingForManual",
    )
    assert waiting["status"]["lastSyncTime"] == first["status"]["lastSyncTime"]
    assert len(namespace.runs()) == 1
    scenario.back_up(source(manual="second"))
    assert [run.args for run in namespace.runs()] == [["backup"], ["backup"]]


def test_o_060_a_paused_source_does_not_run_and_tells_no_success(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    paused = source()
    paused["spec"]["paused"] = True
    namespace.apply(paused)
    marker = source("marker")
    scenario.back_up(marker)  # the operator has looked at the paused one by then
    thing = namespace.get("ReplicationSource", "app")
    assert namespace.runs("app") == []
    assert "lastSyncTime" not in thing.get("status", {})
    assert "lastManualSync" not in thing.get("status", {})
    namespace.apply(source())
    scenario.synced("ReplicationSource", "app")


def test_o_070_a_wrong_password_is_reported_and_not_retried_in_a_loop(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up()
    wrong = namespace.get("Secret", SECRET)["data"] | {"KOPIA_PASSWORD": "d3Jvbmc="}
    namespace.patch("Secret", SECRET, {"data": wrong})
    namespace.apply(source(manual="second"))
    thing = namespace.wait(
        "the failure is reported",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Healthy").get("status") == "False",
    )
    assert thing["status"]["latestMoverStatus"]["result"] == "Failed"
    assert "KOPIA_PASSWORD" in condition(thing, "Healthy")["message"]
    assert thing["status"]["lastManualSync"] == "first"
    assert thing["status"]["kopia"]["consecutiveFailures"] == 1
    assert namespace.events("app", "TransferFailed")
    assert len(namespace.runs()) == 2

    right = namespace.get("Secret", SECRET)["data"] | {"KOPIA_PASSWORD": _encoded(PASSWORD)}
    namespace.patch("Secret", SECRET, {"data": right})  # the next attempt comes at once
    thing = scenario.synced("ReplicationSource", "app")
    assert condition(thing, "Healthy").get("status", "True") == "True"
    assert thing["status"]["kopia"].get("consecutiveFailures", 0) == 0
    assert len(namespace.runs()) == 3


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_row_286_new_credentials_are_used_by_the_next_run(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up()
    cache = namespace.get("PersistentVolumeClaim", "volsync-src-app-cache")["metadata"]["uid"]
    namespace.patch("Secret", SECRET, {"stringData": {"AWS_REGION": "eu-central-1"}})
    scenario.back_up(source(manual="second"))
    assert namespace.runs()[-1].environment["AWS_REGION"] == "eu-central-1"
    assert namespace.get("PersistentVolumeClaim", "volsync-src-app-cache")["metadata"]["uid"] == cache


@pytest.mark.parametrize("key", ["KOPIA_PASSWORD", "KOPIA_REPOSITORY"])
def test_rows_13_14_a_missing_key_is_named(scenario: Scenario, key: str) -> None:
    scenario.namespace.filled_claim("data", FILES)
    scenario.namespace.patch("Secret", SECRET, {"data": {key: None}})
    message = error_of(scenario, source())
    assert key in message
    assert SECRET in message
    assert scenario.namespace.runs() == []


def test_rows_110_231_o_071_a_missing_secret_is_named_with_its_namespace_and_waited_for(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    message = error_of(scenario, source(repository="late"))
    assert "late" in message
    assert namespace.name in message
    namespace.secret("late", scenario.bucket.secret)
    scenario.synced("ReplicationSource", "app")


@pytest.mark.parametrize("kind", ["secretName", "configMapName"])
def test_row_185_a_missing_authority_or_key_is_named(scenario: Scenario, kind: str) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    message = error_of(scenario, source(customCA={kind: "authority", "key": "ca.crt"}))
    assert "authority" in message
    create = namespace.secret if kind == "secretName" else namespace.config_map
    create("authority", {"other": "text"})
    namespace.wait(
        "the missing key is named",
        "ReplicationSource",
        "app",
        lambda thing: "ca.crt" in condition(thing, "Synchronizing").get("message", ""),
    )
    assert namespace.runs() == []


def test_row_231_a_missing_policy_object_is_named(scenario: Scenario) -> None:
    scenario.namespace.filled_claim("data", FILES)
    message = error_of(scenario, source(policyConfig={"configMapName": "policies"}))
    assert "policies" in message
    assert scenario.namespace.name in message


def test_a_wrong_schedule_is_reported(scenario: Scenario) -> None:
    scenario.namespace.filled_claim("data", FILES)
    thing = source()
    thing["spec"]["trigger"] = {"schedule": "61 25 * * *"}
    assert "61 25 * * *" in error_of(scenario, thing)


def test_row_207_resources_labels_and_users_reach_the_pod(scenario: Scenario) -> None:
    namespace = scenario.namespace
    folder = namespace.filled_claim("data", FILES)
    options: Object = {
        "moverResources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "moverPodLabels": {"team": "storage", "app.kubernetes.io/created-by": "somebody"},
        "moverSecurityContext": {"runAsUser": 1234, "runAsGroup": 1234, "fsGroup": 1234},
    }
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source(**options))
        namespace.wait("the pod exists", "Job", "volsync-src-app", lambda _: namespace.objects("Pod"))
        (pod,) = namespace.objects("Pod")
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    (container,) = pod["spec"]["containers"]
    assert container["resources"] == options["moverResources"]
    assert pod["metadata"]["labels"]["team"] == "storage"
    assert pod["metadata"]["labels"]["app.kubernetes.io/created-by"] == "volsync"
    assert pod["spec"]["automountServiceAccountToken"] is False
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"]["drop"] == ["ALL"]
    scenario.synced("ReplicationSource", "app")
    (run,) = namespace.runs()
    assert (run.container.user, run.container.group) == (1234, 1234)
    assert run.container.memory_limit == 1 << 30
    assert folder.stat().st_gid == 1234


def test_a_namespace_for_privileged_movers_gets_capabilities_and_others_do_not(scenario: Scenario) -> None:
    namespace = scenario.namespace
    folder = namespace.filled_claim("data", {"private": "secret"})
    (folder / "private").chmod(0o600)
    os.chown(folder / "private", 4321, 4321)
    namespace.apply(source())
    thing = namespace.wait(
        "the unreadable file is reported",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Healthy").get("status") == "False",
    )
    assert "private" in str(thing["status"]["latestMoverStatus"]["logs"])
    assert namespace.runs()[0].container.capabilities == []

    notes = {"metadata": {"annotations": {"volsync.backube/privileged-movers": "true"}}}
    namespace.api.patch("Namespace", namespace.name, notes)
    scenario.back_up(source("second"))
    run = namespace.runs("second")[-1]
    assert sorted(run.container.capabilities) == ["chown", "dac_override", "fowner"]
    assert run.container.user == 0
    assert run.environment["PRIVILEGED_MOVER"] == "1"


def test_an_empty_volume_is_skipped_and_said_to_be(scenario: Scenario) -> None:
    scenario.namespace.claim("data")
    scenario.namespace.volume("data")
    scenario.back_up()
    assert scenario.namespace.events("app", "BackupSkippedEmpty")


def test_o_042_the_identity_is_pinned_and_a_changed_one_is_reported(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    thing = scenario.back_up()
    assert thing["status"]["kopia"]["identity"] == f"{namespace.name}@app:/data"
    assert thing["status"]["kopia"]["repositoryID"]
    thing = scenario.back_up(source(manual="second", username="someone", hostname="elsewhere"))
    assert thing["status"]["kopia"]["identity"] == "someone@elsewhere:/data"
    assert namespace.events("app", "IdentityChanged")
    assert scenario.bucket.sources() == [f"{namespace.name}@app:/data", "someone@elsewhere:/data"]


def test_o_041_an_older_identity_in_the_repository_is_adopted(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up(source("old", username="app", hostname=namespace.name))  # as the fork names it
    namespace.delete("ReplicationSource", "old")
    namespace.gone("ReplicationSource", "old")
    thing = scenario.back_up()
    if thing["status"]["kopia"]["identity"] != f"app@{namespace.name}:/data":
        # the snapshot carries the name of another object: it is not adopted
        assert thing["status"]["kopia"]["identity"] == f"{namespace.name}@app:/data"
        return
    assert thing["status"]["kopia"]["identityAdopted"] is True
    assert namespace.events("app", "IdentityAdopted")


# Restores


@pytest.fixture
def backed_up(scenario: Scenario) -> Scenario:
    """Have one backup of a source of the name `app`."""
    scenario.namespace.filled_claim("data", FILES)
    scenario.back_up()
    return scenario


def test_o_044_o_045_a_restore_by_source_identity_reads_the_source_of_that_name(backed_up: Scenario) -> None:
    backed_up.namespace.claim("target")
    thing = backed_up.restore(destination("other", destinationPVC="target", sourceIdentity={"sourceName": "app"}))
    assert files(backed_up.namespace.volume("target")) == CONTENT
    assert thing["status"]["kopia"]["requestedIdentity"].startswith(f"{backed_up.namespace.name}@app")
    assert thing["status"]["kopia"]["result"] == "restored"
    assert backed_up.namespace.events("other", "RestoreCompleted")


def test_o_045_a_restore_without_any_snapshot_says_so_and_lists_what_there_is(backed_up: Scenario) -> None:
    namespace = backed_up.namespace
    namespace.claim("target")
    nobody: Object = {"username": "no", "hostname": "body", "onMissingSnapshot": "Continue"}
    thing = backed_up.restore(destination("empty", destinationPVC="target", **nobody))
    assert thing["status"]["kopia"]["result"] == "no-data"
    identities = [item["identity"] for item in thing["status"]["kopia"]["availableIdentities"]]
    assert any(identity.startswith(f"{namespace.name}@app") for identity in identities)
    assert namespace.events("empty", "NoDataRestored")
    assert files(namespace.volume("target")) == {}


@pytest.mark.parametrize("wish", [{"onMissingSnapshot": "Fail"}, {}])
def test_o_091_a_restore_fails_without_a_snapshot_where_a_repository_is_known_to_have_existed(
    backed_up: Scenario, wish: Object
) -> None:
    namespace = backed_up.namespace
    namespace.claim("target")
    namespace.apply(destination("empty", destinationPVC="target", username="no", hostname="body", **wish))
    thing = namespace.wait(
        "the failure is reported",
        "ReplicationDestination",
        "empty",
        lambda thing: condition(thing, "Healthy").get("status") == "False",
    )
    assert "latestImage" not in thing["status"]
    assert "lastSyncTime" not in thing["status"]


def test_row_164_older_versions_are_reached(backed_up: Scenario) -> None:
    namespace = backed_up.namespace
    (namespace.volume("data") / "a").write_text("changed")
    backed_up.back_up(source(manual="second"))
    namespace.claim("newest")
    namespace.claim("previous")
    backed_up.restore(destination("newest", destinationPVC="newest", sourceIdentity={"sourceName": "app"}))
    wish: Object = {"sourceIdentity": {"sourceName": "app"}, "previous": 1}
    backed_up.restore(destination("previous", destinationPVC="previous", **wish))
    assert files(namespace.volume("newest"))["a"] == b"changed"
    assert files(namespace.volume("previous"))["a"] == b"one"


def test_o_044_half_an_identity_is_refused_with_a_reason(backed_up: Scenario) -> None:
    backed_up.namespace.claim("target")
    thing = destination("half", destinationPVC="target", username="only")
    try:
        message = error_of(backed_up, thing)
    except APIError as error:  # the schema may refuse it as well
        message = error.text
    assert "hostname" in message


def test_a_destination_volume_that_is_missing_is_named(backed_up: Scenario) -> None:
    message = error_of(backed_up, destination("lost", destinationPVC="lost", sourceIdentity={"sourceName": "app"}))
    assert "lost" in message
    backed_up.namespace.claim("lost")
    backed_up.synced("ReplicationDestination", "lost")


def test_row_15_all_keys_of_the_secret_reach_the_mover(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    more = {"AWS_DEFAULT_REGION": "eu-west-1", "KOPIA_S3_DISABLE_TLS": "true", "SFTP_PASSWORD": "canary-sftp"}
    namespace.patch("Secret", SECRET, {"stringData": more})
    scenario.back_up()
    environment = namespace.runs()[0].environment
    for key, value in {**scenario.bucket.secret, **more}.items():
        assert environment[key] == value
