"""What users do wrong, or at a bad moment: each costs one object its run, is said to them, and nothing else."""

from pathlib import Path

import pytest

from tests.k8s.api import Object, wait_for
from tests.k8s.chart import Chart
from tests.k8s.machine import Machine, Namespace
from tests.k8s.operator_process import Operator, running_operator
from tests.k8s.proxy import Proxy
from tests.k8s.scenario import SECRET, Scenario, condition, destination, files, make_bucket, source
from tests.k8s.test_results import error_of
from tests.servers.s3 import S3Server

FILES = {"a": "one", "b/c": "two"}
CONTENT = {name: text.encode() for name, text in FILES.items()}
MOST_WRITES = 60
OWNED = ("Job", "Pod", "PersistentVolumeClaim", "VolumeSnapshot", "ServiceAccount", "Role", "RoleBinding")


WRONG: dict[str, tuple[Object, str]] = {
    "a label that is none": ({"moverPodLabels": {"team": "not a label!"}}, "not a label!"),
    "a user that is none": ({"moverSecurityContext": {"runAsUser": -5}}, "runAsUser"),
    "a request above its limit": (
        {"moverResources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "2Gi"}}},
        "memory",
    ),
    "a service account that is missing": ({"moverServiceAccount": "nobody"}, "nobody"),
    "a volume that is missing": (
        {"moverVolumes": [{"mountPath": "x", "volumeSource": {"persistentVolumeClaim": {"claimName": "lost"}}}]},
        "lost",
    ),
    "a path that leaves its folder": (
        {"moverVolumes": [{"mountPath": "../etc", "volumeSource": {"secret": {"secretName": SECRET}}}]},
        "mountPath",
    ),
    "an argument that is not allowed": ({"additionalArgs": ["--password=x"]}, "--password"),
    "no repository": ({"repository": ""}, "repository"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_work_is_named_and_another_object_goes_on(
    scenario: Scenario, operator: Operator, what: str
) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    options, word = WRONG[what]
    assert word in error_of(scenario, source("wrong", **options))
    (event, *_) = namespace.events("wrong", "ConfigurationInvalid")
    assert event["type"] == "Warning"
    assert word in event["message"]
    scenario.back_up(source("good"))
    assert namespace.runs("wrong") == []
    assert "Traceback" not in operator.log.read_text()
    namespace.apply(source("wrong"))
    scenario.synced("ReplicationSource", "wrong")


def test_a_huge_object_is_handled_like_any_other(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    thing = source(retain={"daily": 2**31 - 1})
    thing["metadata"]["annotations"] = {"huge": "x" * 250_000}
    thing["metadata"]["labels"] = {f"label-{number}": "x" * 60 for number in range(200)}
    done = scenario.back_up(thing)
    assert done["metadata"]["annotations"] == thing["metadata"]["annotations"]
    for kind in ("PersistentVolumeClaim", "Event"):
        assert all(len(str(each)) < 20_000 for each in namespace.objects(kind))


def leftovers(namespace: Namespace) -> list[str]:
    """Return what runs have made and not removed, as kind and name."""
    found = [(kind, each["metadata"]["name"]) for kind in OWNED for each in namespace.objects(kind)]
    return [f"{kind} {name}" for kind, name in found if "app-" in name]


def delete_after(namespace: Namespace, proxy: Proxy, number: int) -> bool:
    """Create a source and delete it when the operator has made so many writes; return False if it has done all before."""
    before, name = len(proxy.writes), f"app-{number}"
    namespace.apply(source(name, copyMethod="Snapshot"))

    def state() -> str | None:
        if len(proxy.writes) - before >= number:
            return "deleted early"
        thing = namespace.get("ReplicationSource", name)
        return "done" if condition(thing, "Synchronizing").get("reason") == "WaitingForManual" else None

    found = wait_for("so many writes are made, or all", state)
    namespace.delete("ReplicationSource", name)
    namespace.gone("ReplicationSource", name)
    return found != "done"


def test_objects_deleted_at_any_moment_of_a_run_leave_nothing_behind(
    machine: Machine, chart: Chart, versitygw: S3Server, tmp_path: Path
) -> None:
    namespace = machine.namespace("deleted")
    bucket = make_bucket(versitygw)
    namespace.secret(SECRET, bucket.secret)
    folder = namespace.filled_claim("data", FILES)
    proxy = Proxy(machine.cluster.server, str(machine.cluster.certificates.authority))
    proxy.start()
    flags = [f"--watch-namespace={namespace.name}"]
    try:
        with running_operator(machine, chart, tmp_path, flags=flags, proxy=proxy) as operator:
            number = 0
            while delete_after(namespace, proxy, number := number + 1):
                assert number < MOST_WRITES
            assert number > 5, "a backup with a snapshot can't do with so few writes"
            wait_for(
                "nothing of them is left",
                lambda: not leftovers(namespace),
                seconds=90,
                describe=lambda: "\n".join([*leftovers(namespace), namespace.describe("Namespace", namespace.name)]),
            )
            Scenario(namespace=namespace, bucket=bucket).back_up(source("last"))
            text = operator.log.read_text()
            assert "Traceback" not in text
            assert "internal error" not in text
    finally:
        proxy.stop()
    assert files(folder) == CONTENT
    machine.api.delete("Namespace", namespace.name)


def test_a_verb_that_the_role_lacks_is_named_and_waited_for(
    machine: Machine, chart: Chart, versitygw: S3Server, tmp_path: Path
) -> None:
    namespace = machine.namespace("forbidden")
    bucket = make_bucket(versitygw)
    namespace.secret(SECRET, bucket.secret)
    namespace.filled_claim("data", FILES)
    scenario = Scenario(namespace=namespace, bucket=bucket)
    (role,) = (
        thing for thing in chart.prerequisites if thing["metadata"]["name"].endswith("-movers") and "rules" in thing
    )
    lesser: Object = {"rules": [rule for rule in role["rules"] if "jobs" not in rule["resources"]]}
    lesser["rules"].append({"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch"]})
    with machine.cluster.refusing():
        machine.api.patch("ClusterRole", role["metadata"]["name"], lesser)
        try:
            with running_operator(machine, chart, tmp_path, flags=[f"--watch-namespace={namespace.name}"]):
                message = error_of(scenario, source())
                assert "jobs" in message
                assert "create" in message
                machine.api.patch("ClusterRole", role["metadata"]["name"], {"rules": role["rules"]})
                scenario.synced("ReplicationSource", "app", seconds=150)
        finally:
            machine.api.patch("ClusterRole", role["metadata"]["name"], {"rules": role["rules"]})
    machine.api.delete("Namespace", namespace.name)


def test_two_destinations_of_one_volume_restore_one_after_the_other(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up()
    namespace.claim("target")
    namespace.machine.kubelet.pods_may_start.clear()
    names = ("one", "two")
    try:
        for name in names:
            wish: Object = {"destinationPVC": "target", "sourceIdentity": {"sourceName": "app"}}
            namespace.apply(destination(name, **wish))
        waiting = wait_for(
            "one waits for the other",
            lambda: (
                [
                    name
                    for name in names
                    if "waiting: ReplicationDestination"
                    in condition(namespace.get("ReplicationDestination", name), "Synchronizing").get("message", "")
                ]
                or None
            ),
        )
        assert len(waiting) == 1
        assert len(namespace.objects("Job")) == 1
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    for name in names:
        scenario.synced("ReplicationDestination", name)
    assert files(namespace.volume("target")) == CONTENT
