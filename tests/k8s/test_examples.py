"""The project's own examples, applied unchanged: they back up and restore, with real movers and a real repository."""

from pathlib import Path

import yaml

from tests.k8s.api import Object
from tests.k8s.machine import Namespace
from tests.k8s.scenario import SECRET, Scenario, condition, files

EXAMPLES = Path(__file__).parents[2] / "operator" / "examples"
FILES = {"a": "one", "b/c": "two", "trace.log": "x", "d.tmp": "y"}
CONTENT = {name: text.encode() for name, text in FILES.items()}


def example(name: str) -> list[Object]:
    """Return the objects of an example; the Secret is the test's, for a bucket that exists."""
    things = yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text())
    return [thing for thing in things if thing and thing["kind"] != "Secret"]


def apply(namespace: Namespace, name: str) -> str:
    """Apply an example and return the name of its last object."""
    things = example(name)
    for thing in things:
        kept = namespace.apply(thing)
        assert kept.get("spec") == thing.get("spec") or not thing["kind"].startswith("Replication")
    return str(things[-1]["metadata"]["name"])


def test_every_example_is_tried() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.yaml")) == ["backup", "database", "policies", "restore"]


def test_the_secret_of_the_example_has_the_keys_that_the_tests_use(scenario: Scenario) -> None:
    (secret,) = (
        each for each in yaml.safe_load_all((EXAMPLES / "backup.yaml").read_text()) if each["kind"] == "Secret"
    )
    assert secret["metadata"]["name"] == SECRET
    assert secret["stringData"].keys() == scenario.bucket.secret.keys()


def test_backup_and_restore(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("mydata", FILES)
    scenario.synced("ReplicationSource", apply(namespace, "backup"))
    thing = scenario.synced("ReplicationDestination", apply(namespace, "restore"))
    assert thing["status"]["kopia"]["result"] == "restored"
    assert files(namespace.volume("datavol")) == CONTENT


def test_a_database_with_actions(scenario: Scenario, tmp_path: Path) -> None:
    namespace = scenario.namespace
    folder = namespace.filled_claim("mysql-data", FILES)
    name = apply(namespace, "database")
    scenario.synced("ReplicationSource", name)
    (run,) = namespace.runs()
    assert scenario.bucket.sources() == [f"{namespace.name}@{name}:/var/lib/mysql"]
    found = scenario.bucket.restored(tmp_path / "restored")
    assert found == {**CONTENT, ".backup-started": b""}, run.log.read_text()  # made by the action before the snapshot
    assert files(folder) == CONTENT  # in the copy, not in the volume


def test_policies_of_a_config_map(scenario: Scenario, tmp_path: Path) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("app-data", FILES)
    thing = scenario.synced("ReplicationSource", apply(namespace, "policies"))
    assert scenario.bucket.restored(tmp_path / "restored") == {"a": b"one", "b/c": b"two"}
    assert condition(thing, "PolicyApplied").get("status", "True") == "True"
