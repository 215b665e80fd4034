"""What the API server itself refuses, and what it must not refuse, by the definitions of the kinds."""

from collections.abc import Callable

import pytest

from tests.k8s.api import APIError, Object
from tests.k8s.chart import Chart
from tests.k8s.machine import Machine, Namespace
from tests.k8s.scenario import destination, documented, source

NAMES = [
    "first-backup",
    "postgres",
    "app-config",
    "filesystem",
    "webapp",
    "mysql-actions",
    "mysql-policies",
    "policies-backup",
    "database-backup",
    "restore",
    "restore-policies",
    "custom-ca-secret",
    "custom-ca-config-map",
]


@pytest.fixture
def kinds(namespace: Namespace, chart: Chart) -> Namespace:
    """Give a test a namespace where the kinds are served."""
    return namespace


@pytest.mark.parametrize("name", NAMES)
def test_every_documented_object_is_accepted_under_server_side_apply_without_unknown_fields(
    kinds: Namespace, name: str
) -> None:
    for thing in documented(name):
        kept = kinds.apply(thing)
        assert kept.get("spec") == thing.get("spec")


def with_kopia(thing: Object, **kopia: object) -> Object:
    thing["spec"]["kopia"] |= kopia
    return thing


REFUSED: dict[str, Object] = {
    "both CA names": source(customCA={"secretName": "a", "configMapName": "b", "key": "c"}),
    "both policy names": source(policyConfig={"secretName": "a", "configMapName": "b"}),
    "a relative override": source(sourcePathOverride="var/lib/mysql"),
    "a negative number to keep": source(retain={"daily": -1}),
    "an unknown copy method": source(copyMethod="Teleport"),
    "a user without a host": destination(username="only", destinationPVC="x"),
    "a host without a user": destination(hostname="only", destinationPVC="x"),
    "a negative shallow": destination(shallow=-1, destinationPVC="x"),
    "text for a number": source(parallelism="two"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_rows_133_146_176_226_o_010_the_schema_refuses(kinds: Namespace, what: str) -> None:
    with pytest.raises(APIError) as caught:
        kinds.create(REFUSED[what])
    assert caught.value.code == 422


@pytest.mark.parametrize("make", [source, destination])
def test_an_unknown_field_is_named(kinds: Namespace, make: Callable[..., Object]) -> None:
    with pytest.raises(APIError) as caught:
        kinds.apply(make(retainn={"daily": 1}))
    assert "retainn" in caught.value.text


def test_row_147_a_destination_has_no_override(kinds: Namespace) -> None:
    with pytest.raises(APIError) as caught:
        kinds.apply(destination(sourcePathOverride="/var/lib/mysql", destinationPVC="x"))
    assert "sourcePathOverride" in caught.value.text


def test_sections_of_other_methods_survive(kinds: Namespace) -> None:
    restic = {"repository": "restic-config", "retain": {"daily": 3}, "copyMethod": "Clone", "pruneIntervalDays": 15}
    thing = source()
    thing["spec"] = {"sourcePVC": "data", "trigger": {"schedule": "0 0 * * *"}, "restic": restic}
    assert kinds.apply(thing)["spec"]["restic"] == restic


def test_status_is_a_subresource(kinds: Namespace) -> None:
    thing = source() | {"status": {"lastManualSync": "forged"}}
    assert "lastManualSync" not in kinds.create(thing).get("status", {})


def test_wide_columns_and_short_names_are_served(machine: Machine, chart: Chart) -> None:
    for definition in chart.definitions:
        names = definition["spec"]["names"]
        assert names["shortNames"]
        (version,) = definition["spec"]["versions"]
        assert version["subresources"] == {"status": {}}
        assert version["additionalPrinterColumns"]
