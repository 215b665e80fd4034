"""Identities of backups and restores (rules O-040 to O-045)."""

from typing import Any

import pytest
from pykopia_operator.decide.identity import destination_identity, older_identities, source_identity
from pykopia_operator.decide.ownership import read_destination, read_source
from pykopia_operator.errors import InvalidObjectError

from tests.operator.fake_api import environment_of, fails
from tests.operator.stage import Stage


def source(
    name: str = "app", namespace: str = "prod", status: dict[str, Any] | None = None, **kopia: Any
) -> dict[str, Any]:
    return {
        "kind": "ReplicationSource",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"sourcePVC": "data", "kopia": {"repository": "kopia-config", **kopia}},
        "status": {"kopia": status or {}},
    }


def destination(name: str = "back", **kopia: Any) -> dict[str, Any]:
    return {
        "kind": "ReplicationDestination",
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {"kopia": {"repository": "kopia-config", **kopia}},
    }


def restored(obj: dict[str, Any], *sources: dict[str, Any], strict: bool = False, further: bool = False) -> Any:
    return destination_identity(obj, read_destination(obj), sources=sources, strict=strict, any_of_namespace=further)


@pytest.mark.parametrize(
    ("kopia", "status", "expected"),
    [
        ({}, {}, "prod@app"),
        ({}, {"identity": "app@prod:/data"}, "app@prod"),
        ({"username": "u", "hostname": "h"}, {"identity": "app@prod:/data"}, "u@h"),
        ({"username": "u"}, {}, "u@app"),
        ({"hostname": "h"}, {}, "prod@h"),
    ],
)
def test_o_040_the_identity_is_given_or_pinned_or_namespace_and_name(
    kopia: dict[str, Any], status: dict[str, Any], expected: str
) -> None:
    obj = source(status=status, **kopia)
    found = source_identity(obj, read_source(obj))
    assert str(found) == expected
    assert bool(found.legacy) == (not kopia and not status)


def test_o_041_older_identities_are_candidates_newest_convention_first() -> None:
    assert older_identities("prod", "app", "data") == (
        "app@prod",
        "app-prod@prod",
        "app-prod@prod-data",
        "source@prod-app",
        "volsync@prod-app",
    )
    obj = source()
    assert source_identity(obj, read_source(obj)).legacy == older_identities("prod", "app", "data")


def test_o_042_the_first_backup_pins_its_identity_and_another_one_is_reported() -> None:
    stage = Stage()
    stage.ready()
    stage.settle()
    assert stage.status()["kopia"]["identity"] == "prod@app:/data"
    assert stage.api.events("IdentityChanged") == []
    stage.api.change(
        "ReplicationSource", "app", {"spec": {"trigger": {"manual": "two"}, "kopia": {"username": "other"}}}
    )
    stage.settle()
    assert stage.status()["kopia"]["identity"] == "other@app:/data"
    (event,) = stage.api.events("IdentityChanged")
    assert "no longer under retention" in event["message"]


def test_o_043_long_names_are_kept_whole() -> None:
    long = "a" * 253
    obj = source(name=long, namespace="n" * 63)
    found = source_identity(obj, read_source(obj))
    assert (found.user, found.host) == ("n" * 63, long)
    obj = source(username="x" * 253)
    assert source_identity(obj, read_source(obj)).user == "x" * 253


@pytest.mark.parametrize("name", ["-a", "a-", "a b", "a@b", "é"])
def test_a_name_that_no_identity_can_have_is_refused(name: str) -> None:
    obj = source(username=name)
    with pytest.raises(InvalidObjectError, match="username"):
        source_identity(obj, read_source(obj))


@pytest.mark.parametrize("half", [{"username": "u"}, {"hostname": "h"}])
def test_o_044_half_an_identity_is_refused(half: dict[str, str]) -> None:
    with pytest.raises(InvalidObjectError, match="username and hostname must be given together"):
        restored(destination(**half))


def test_o_044_source_identity_takes_the_pinned_identity_and_the_path_of_the_source() -> None:
    obj = destination(sourceIdentity={"sourceName": "app", "sourceNamespace": "other"})
    there = source("app", "other", {"identity": "app@other:/x"}, sourcePathOverride="/var/lib/x")
    found = restored(obj, there)
    assert (str(found), found.path, found.owner) == ("app@other", "/var/lib/x", ("other", "app"))
    unknown = restored(obj)
    assert str(unknown) == "other@app"
    assert "app@other" in unknown.legacy


def test_o_044_a_repository_is_taken_from_the_named_source_but_read_in_the_own_namespace() -> None:
    stage = Stage()
    stage.secret("theirs")
    stage.volume()
    stage.source(repository="theirs", trigger={"manual": "x"}, spec={"paused": True})
    stage.destination(repository=None, destinationPVC="data", copyMethod="Direct", sourceIdentity={"sourceName": "app"})
    stage.settle()
    assert environment_of(stage.cluster.movers[0])["KOPIA_PASSWORD"] == "theirs/KOPIA_PASSWORD"


def test_o_044_without_an_identity_the_own_name_comes_first_then_the_only_source_of_the_repository() -> None:
    obj = destination(destinationPVC="data", copyMethod="Direct")
    found = restored(obj, source("app"))
    assert str(found) == "prod@back"
    assert found.legacy[-len(older_identities("prod", "app", "data")) - 1] == "prod@app"
    assert found.owner == ("prod", "app")
    same = restored(
        destination("app", destinationPVC="data", copyMethod="Direct"),
        source("app", status={"identity": "app@prod:/data"}),
    )
    assert str(same) == "app@prod"


@pytest.mark.parametrize(
    "kopia", [{"capacity": "1Gi"}, {"destinationPVC": "data"}, {"destinationPVC": "data", "copyMethod": "Snapshot"}]
)
def test_o_044_a_restore_that_something_else_waits_for_never_takes_another_objects_snapshots(
    kopia: dict[str, Any],
) -> None:
    found = restored(destination(**kopia), source("app"))
    assert "prod@app" not in found.legacy
    assert (
        "prod@app"
        not in restored(destination(destinationPVC="data", copyMethod="Direct"), source("app"), strict=True).legacy
    )


def test_o_044_with_several_sources_any_identity_of_the_namespace_is_looked_for_in_a_second_step() -> None:
    stage = Stage()
    stage.secret()
    stage.volume()
    for name in ("one", "two"):
        stage.source(name, spec={"paused": True})
    stage.destination(destinationPVC="data", copyMethod="Direct")
    seen = []

    def mover(job: Any) -> Any:
        variables = environment_of(job)
        seen.append((variables.get("KOPIA_OVERRIDE_HOSTNAME"), variables["KOPIA_ON_MISSING_SNAPSHOT"]))
        if len(seen) == 1:
            return fails(15, "no-snapshot")(job)
        return fails(16, "ambiguous", "2 sources match prod@*: prod@one, prod@two")(job)

    stage.cluster.outcome = mover
    stage.settle()
    assert seen == [("back", "fail"), (None, "auto")]
    condition = stage.condition("back", "ReplicationDestination")
    assert condition["reason"] == "Error"
    assert "prod@one, prod@two" in condition["message"]
    stage.clock.move(days=2)
    stage.settle()
    assert len(seen) == 2  # only a change of the specification helps
    stage.api.change("ReplicationDestination", "back", {"spec": {"kopia": {"sourceIdentity": {"sourceName": "one"}}}})
    stage.settle()
    assert len(seen) == 3


def test_o_045_what_was_looked_for_and_what_is_there_are_in_the_status() -> None:
    stage = Stage()
    stage.secret()
    stage.volume()
    stage.destination(capacity="1Gi", accessModes=["ReadWriteOnce"])

    def nothing(_job: Any) -> Any:
        listed = [
            {"identity": f"u{number}@h:/data", "count": 2, "latest": "2026-01-01T00:00:00Z"} for number in range(10)
        ]
        return 0, {"v": 1, "op": "restore", "result": "no-data", "code": "ok", "message": "", "identities": listed}

    stage.cluster.outcome = nothing
    stage.settle()
    kopia = stage.status("back", "ReplicationDestination")["kopia"]
    assert kopia["requestedIdentity"] == "prod@back"
    assert kopia["availableIdentities"][0] == {
        "identity": "u0@h:/data",
        "snapshotCount": 2,
        "latestSnapshot": "2026-01-01T00:00:00Z",
    }
    assert len(kopia["availableIdentities"]) == 10


def test_namespace_a_name_b_and_namespace_b_name_a_are_told_apart_by_their_owner() -> None:
    first, second = source("b", "a"), source("a", "b")
    one, other = source_identity(first, read_source(first)), source_identity(second, read_source(second))
    assert str(one) in other.legacy  # the fork's name for the other object is ours for this one
    assert one.owner != other.owner  # so the mover compares the owner's tags
