"""One cluster for all tests of this folder; each test has a namespace of its own, each module an operator."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.k8s.chart import NAMESPACE, Chart, load_chart
from tests.k8s.machine import Machine, Namespace, start_machine
from tests.k8s.operator_process import Operator, running_operator
from tests.k8s.scenario import SECRET, Scenario, make_bucket
from tests.servers.s3 import S3Server

_HERE = Path(__file__).parent
OPERATOR_FLAGS = "OPERATOR_FLAGS"
"""Name of a module's list of flags for its operator."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Run a cluster with one node."""
    with start_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


@pytest.fixture
def namespace(machine: Machine) -> Iterator[Namespace]:
    """Give a test its own namespace; fail it if the parts that the tests play went wrong."""
    before = len(machine.failures())
    namespace = machine.namespace()
    yield namespace
    machine.api.delete("Namespace", namespace.name)
    assert machine.failures()[before:] == []


@pytest.fixture(scope="session")
def chart(machine: Machine) -> Chart:
    """Install the operator's chart, but for its Deployment."""
    chart = load_chart()
    machine.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    machine.install(chart.definitions)
    for thing in chart.prerequisites:
        machine.api.apply(thing, NAMESPACE if "namespace" in thing["metadata"] else None, manager="helm")
    return chart


@pytest.fixture(scope="module")
def operator(
    machine: Machine, chart: Chart, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Operator]:
    """Run the operator, with the flags that the module asks for; fail if the chart's RBAC refused it anything."""
    flags = getattr(request.module, OPERATOR_FLAGS, ())
    with running_operator(machine, chart, tmp_path_factory.mktemp("operator"), flags=flags) as operator:
        yield operator
    assert machine.cluster.refused() == set()


@pytest.fixture
def scenario(namespace: Namespace, operator: Operator, versitygw: S3Server) -> Scenario:
    """Give a test a bucket and a Secret for it in its namespace, and an operator."""
    bucket = make_bucket(versitygw)
    namespace.secret(SECRET, bucket.secret)
    return Scenario(namespace=namespace, bucket=bucket)
