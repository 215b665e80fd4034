"""Objects of others: not one write to them. Objects by ``spec.external``: handled like those of ``spec.kopia``."""

from pathlib import Path

import pytest

from tests.k8s.api import Object
from tests.k8s.scenario import API_VERSION, SECRET, Scenario, condition, source

FOREIGN: dict[str, Object] = {
    "restic": {"restic": {"repository": "x", "copyMethod": "Direct"}},
    "two methods": {"restic": {"repository": "x"}, "kopia": {"repository": SECRET}},
    "another provider": {"external": {"provider": "velero", "parameters": {"repository": SECRET}}},
    "no method": {},
}


def foreign(name: str, method: Object) -> Object:
    """Return an object that another controller handles."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ReplicationSource",
        "metadata": {"name": name},
        "spec": {"sourcePVC": "data", "trigger": {"manual": "first"}, **method},
    }


def test_o_001_objects_of_others_are_never_written(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", {"a": "b"})
    things = [namespace.create(foreign(name.replace(" ", "-"), method)) for name, method in FOREIGN.items()]
    scenario.back_up()  # the operator has seen them by then
    for thing in things:
        name = thing["metadata"]["name"]
        now = namespace.get("ReplicationSource", name)
        assert now["metadata"]["resourceVersion"] == thing["metadata"]["resourceVersion"]
        assert namespace.events(name) == []
        assert namespace.find("Job", f"volsync-src-{name}") is None


def by_parameters(**parameters: str) -> Object:
    """Return an object that selects this operator by its provider."""
    thing = source()
    del thing["spec"]["kopia"]
    base = {"repository": SECRET, "copyMethod": "Clone"}
    thing["spec"]["external"] = {"provider": "pykopia", "parameters": {**base, **parameters}}
    return thing


def test_parameters_of_an_external_provider_are_the_same_fields(scenario: Scenario, tmp_path: Path) -> None:
    scenario.namespace.filled_claim("data", {"a": "b"})
    more = {"retain.daily": "5", "moverSecurityContext": '{"runAsUser": 1234}', "sourcePathOverride": "/srv"}
    scenario.back_up(by_parameters(**more))
    (run,) = scenario.namespace.runs()
    assert run.environment["KOPIA_RETAIN_DAILY"] == "5"
    assert run.container.user == 1234
    assert scenario.bucket.sources() == [f"{scenario.namespace.name}@app:/srv"]
    assert scenario.bucket.restored(tmp_path / "restored") == {"a": b"b"}


@pytest.mark.parametrize(
    ("key", "value"), [("retainn.daily", "5"), ("parallelism", "many"), ("moverSecurityContext", "{")]
)
def test_wrong_parameters_are_named(scenario: Scenario, key: str, value: str) -> None:
    scenario.namespace.filled_claim("data", {"a": "b"})
    scenario.namespace.apply(by_parameters(**{key: value}))
    thing = scenario.namespace.wait(
        "the error is reported",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Synchronizing").get("reason") == "Error",
    )
    assert key.split(".", maxsplit=1)[0] in condition(thing, "Synchronizing")["message"]
    assert scenario.namespace.runs() == []
