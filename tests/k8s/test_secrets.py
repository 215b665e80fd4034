"""No content of a Secret in anything that the operator writes: its log, statuses, events, metrics, objects."""

import base64
import json
import urllib.request

from tests.k8s.api import KINDS, wait_for
from tests.k8s.operator_process import Operator
from tests.k8s.scenario import PASSWORD, SECRET, Scenario, condition, destination, source
from tests.servers import process

OPERATOR_FLAGS = ["--log-level=debug", "--metrics-secure=false", "--metrics-require-rbac=false"]
CANARIES = {
    "SFTP_PASSWORD": "canary-sftp-password-1f2e",
    "AZURE_STORAGE_KEY": "canary-azure-key-9d8c",
    "RCLONE_CONFIG": "[canary-rclone]\npass = canary-rclone-pass-77aa",
    "B2_APPLICATION_KEY": "canary-b2-key-5544",
}
_WRITTEN = (
    "Job",
    "Pod",
    "Event",
    "ConfigMap",
    "PersistentVolumeClaim",
    "ReplicationSource",
    "ReplicationDestination",
    "Lease",
)


def secret_values(scenario: Scenario) -> list[str]:
    """Return what must not be found, in every form."""
    plain = [*CANARIES.values(), PASSWORD, scenario.bucket.server.secret_key, "wrong-canary-3c3c"]
    coded = [base64.b64encode(value.encode()).decode().rstrip("=") for value in plain]
    return [*plain, *coded, "canary-rclone-pass"]


def test_row_281_no_secret_is_written_anywhere(scenario: Scenario, operator: Operator) -> None:
    namespace = scenario.namespace
    namespace.patch("Secret", SECRET, {"stringData": CANARIES})
    namespace.filled_claim("data", {"a": "b"})
    namespace.claim("target")
    scenario.back_up(source(copyMethod="Clone"))
    scenario.restore(destination(destinationPVC="target"))
    namespace.patch("Secret", SECRET, {"stringData": {"KOPIA_PASSWORD": "wrong-canary-3c3c"}})
    namespace.apply(source(manual="second", copyMethod="Clone"))
    namespace.wait(
        "the failure is reported",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Healthy").get("status") == "False",
    )
    everything = {"the operator's log": operator.log.read_text(), "metrics": metrics(operator)}
    for kind in _WRITTEN:
        assert kind in KINDS
        things = namespace.objects(kind)
        if kind == "Event":
            things += namespace.api.objects("Event", "pykopia-system")
        everything[kind] = json.dumps(things)
    everything |= {f"log of {run.pod}": run.log.read_text() for run in namespace.runs()}
    for value in secret_values(scenario):
        for place, text in everything.items():
            assert value not in text, f"{value} is in {place}"


def metrics(operator: Operator) -> str:
    """Return what a collector of metrics reads."""
    with urllib.request.urlopen(f"http://{process.HOST}:{operator.metrics_port}/metrics", timeout=10) as response:
        text: str = response.read().decode()
    assert "volsync_" in text
    return text


def test_metrics_have_the_results_of_runs_and_forget_deleted_objects(scenario: Scenario, operator: Operator) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", {"a": "b"})
    scenario.back_up()
    label = f'obj_namespace="{namespace.name}"'
    lines = [line for line in metrics(operator).splitlines() if label in line]
    names = {line.partition("{")[0] for line in lines}
    assert "volsync_volume_out_of_sync" in names
    assert "volsync_kopia_operation_success_total" in names
    assert "pykopia_last_success_timestamp_seconds" in names
    namespace.delete("ReplicationSource", "app")
    wait_for("its series are gone", lambda: label not in metrics(operator))
