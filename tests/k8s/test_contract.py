"""Rules of the contract that show only over several steps: foreign fields, long names, a pause in a run, another attempt."""

from pathlib import Path

from tests.k8s.api import Object
from tests.k8s.scenario import SECRET, Scenario, condition, destination, files, source

FILES = {"a": "one", "b/c": "two"}
CONTENT = {name: text.encode() for name, text in FILES.items()}


def test_o_005_fields_of_the_status_that_belong_to_others_survive(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    paused = source()
    paused["spec"]["paused"] = True
    namespace.apply(paused)
    theirs: Object = {"type": "Theirs", "status": "True", "reason": "X", "message": ""}
    theirs["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    status = {"status": {"external": {"other.controller": "theirs"}, "conditions": [theirs]}}
    namespace.api.patch("ReplicationSource", "app", status, namespace.name, subresource="status")
    thing = scenario.back_up(source())
    assert thing["status"]["external"] == {"other.controller": "theirs"}
    assert condition(thing, "Theirs") == theirs
    assert condition(thing, "Healthy")["status"] == "True"
    assert not {"annotations", "finalizers"} & thing["metadata"].keys()  # no mark on a user's object


def test_o_043_a_name_of_two_hundred_characters_is_an_identity_as_it_is(scenario: Scenario, tmp_path: Path) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    name = "x" * 100 + "." + "y" * 99
    scenario.back_up(source(name, copyMethod="Snapshot"))
    assert scenario.bucket.sources() == [f"{namespace.name}@{name}:/data"]
    namespace.claim("target")
    scenario.restore(destination(name, destinationPVC="target"))
    assert files(namespace.volume("target")) == CONTENT
    almost = name[:-1] + "z"  # the names differ in their last character alone
    scenario.back_up(source(almost, copyMethod="Clone"))
    assert len({run.job for run in namespace.runs()}) == 3
    assert scenario.bucket.sources()[-1] == f"{namespace.name}@{almost}:/data"


def test_o_060_a_run_that_is_paused_goes_on_when_it_may(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source(copyMethod="Clone"))
        namespace.wait("the Job has a pod", "Job", "volsync-src-app", lambda job: job.get("status", {}).get("active"))
        started = namespace.get("ReplicationSource", "app")["status"]["lastSyncStartTime"]
        paused = source(copyMethod="Clone")
        paused["spec"]["paused"] = True
        namespace.apply(paused)
        namespace.wait(
            "the pod is gone", "Job", "volsync-src-app", lambda job: not job.get("status", {}).get("active", 0)
        )
        thing = namespace.get("ReplicationSource", "app")
        assert namespace.get("Job", "volsync-src-app")["spec"]["parallelism"] == 0
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    namespace.wait(
        "it says so",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Synchronizing").get("reason") == "Paused",
    )
    assert "lastSyncTime" not in thing["status"]
    assert thing["status"]["lastSyncStartTime"] == started
    namespace.apply(source(copyMethod="Clone"))
    scenario.synced("ReplicationSource", "app")
    assert [run.exit_code for run in namespace.runs()] == [0]


def test_o_070_o_072_another_attempt_comes_with_a_new_secret_and_uses_the_same_copy(
    scenario: Scenario, tmp_path: Path
) -> None:
    namespace = scenario.namespace
    folder = namespace.filled_claim("data", FILES)
    namespace.patch("Secret", SECRET, {"stringData": {"AWS_SECRET_ACCESS_KEY": "wrong"}})
    namespace.apply(source(copyMethod="Clone"))
    thing = namespace.wait(
        "the failure is reported",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Healthy").get("status") == "False",
    )
    assert thing["status"]["kopia"]["lastFailure"]["code"] == "auth"
    assert condition(thing, "Synchronizing")["status"] == "True"
    copy = namespace.get("PersistentVolumeClaim", "volsync-app-src")["metadata"]["uid"]
    (folder / "a").write_text("changed since")
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.patch("Secret", SECRET, {"stringData": scenario.bucket.secret})
        namespace.wait("another Job", "Job", "volsync-src-app", lambda job: job.get("status", {}).get("active"))
        assert namespace.get("PersistentVolumeClaim", "volsync-app-src")["metadata"]["uid"] == copy
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    scenario.synced("ReplicationSource", "app")
    assert scenario.bucket.restored(tmp_path / "first") == CONTENT
    scenario.back_up(source(copyMethod="Clone", manual="second"))
    assert scenario.bucket.restored(tmp_path / "second")["a"] == b"changed since"
