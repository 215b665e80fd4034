"""The chart: valid for helm, for the schemas of Kubernetes, for a real API server, and over what is in a cluster already."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.k8s.api import API, APPLY, Object, path_of, wait_for
from tests.k8s.chart import CHART, KUBERNETES, NAMESPACE, Chart, load_chart, render
from tests.k8s.cluster import INSTALL
from tests.k8s.machine import Machine, Namespace
from tests.k8s.scenario import source
from tests.servers import programs

HELM_NAMESPACE: Final = "by-helm"

VALUES: Final[Mapping[str, Mapping[str, object]]] = {
    "defaults": {},
    "two replicas": {"replicaCount": 2},
    "replace": {"coexistence": "replace", "volumePopulator.enabled": "true"},
    "upstream": {"coexistence": "upstream", "manageCRDs": "false"},
    "namespaces": {"watchNamespaces[0]": "one", "watchNamespaces[1]": "two"},
    "open metrics": {"metrics.disableAuth": "true"},
    "fork's other movers": {"rclone.repository": "x", "restic.tag": "y", "kube-rbac-proxy.image": "z"},
    "names": {"fullnameOverride": "other", "serviceAccount.name": "someone", "imagePullSecrets[0].name": "pull"},
}


def test_helm_lint_has_no_complaint() -> None:
    helm = programs.require("helm", install=INSTALL)
    done = subprocess.run([helm, "lint", "--strict", KUBERNETES, CHART], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def schemas(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the schemas of all kinds, as the API server publishes them."""
    folder = tmp_path_factory.mktemp("schemas")
    paths = machine.api.request("GET", "/openapi/v3")["paths"]
    for path in paths:
        if path.startswith(("api/", "apis/")) and path.count("/") in {1, 2}:
            _write_schemas(machine.api, path, folder)
    return folder


def _write_schemas(api: API, path: str, folder: Path) -> None:
    components = api.request("GET", f"/openapi/v3/{path}")["components"]["schemas"]
    for schema in components.values():
        _close(schema)
    for name, schema in components.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            parts = [kind["kind"], kind["group"].split(".")[0], kind["version"]]
            document = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": components}}
            (folder / f"{'-'.join(filter(None, parts)).lower()}.json").write_text(json.dumps(document))


def _close(schema: Object) -> None:
    """Let a schema refuse unknown fields, and leave out what only a server knows how to read."""
    for key in ("default", "format"):
        schema.pop(key, None)
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    properties: dict[str, Object] = schema.get("properties", {})
    if properties and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    parts = [*properties.values(), schema.get("items"), schema.get("additionalProperties"), schema.get("not")]
    parts += [part for word in ("allOf", "anyOf", "oneOf") for part in schema.get(word, [])]
    for part in parts:
        if isinstance(part, dict):
            _close(part)


@pytest.mark.parametrize("name", VALUES)
def test_kubeconform_accepts_the_chart(schemas: Path, name: str) -> None:
    kubeconform = programs.require("kubeconform", install=INSTALL)
    location = f"{schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    command = [str(kubeconform), "-strict", "-summary", "-schema-location", location, "-"]
    done = subprocess.run(command, input=render(VALUES[name]), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Skipped: 0" in done.stdout


@pytest.mark.parametrize("name", VALUES)
def test_the_api_server_accepts_the_chart(machine: Machine, chart: Chart, name: str) -> None:
    watched = [machine.named_namespace(str(VALUES[name][key])).name for key in VALUES[name] if "watchNamespaces" in key]
    for thing in load_chart(VALUES[name]).objects:
        dry_run(machine.api, thing)
    for each in watched:
        machine.api.delete("Namespace", each)


def dry_run(api: API, thing: Object) -> None:
    """Let the API server check an object without keeping it."""
    space = None if thing["kind"].startswith(("Cluster", "CustomResource", "VolumePopulator")) else NAMESPACE
    path = path_of(
        thing["kind"], thing["metadata"].get("namespace", space) if space else None, thing["metadata"]["name"]
    )
    params = {"fieldManager": "check", "force": "true", "fieldValidation": "Strict", "dryRun": "All"}
    api.request("PATCH", path, body=thing, params=params, content_type=APPLY)


def test_an_unknown_value_of_a_choice_is_refused() -> None:
    helm = programs.require("helm", install=INSTALL)
    command = [str(helm), "template", "x", str(CHART), KUBERNETES, "--set=coexistence=sometimes"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "coexistence" in done.stderr


def test_the_definitions_stay_when_the_release_goes(chart: Chart) -> None:
    assert len(chart.definitions) == 3
    for thing in chart.definitions:
        assert thing["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize("values", [{"manageCRDs": "false"}, {"coexistence": "fork"}])
def test_the_definitions_can_be_left_to_another_owner(values: Mapping[str, object]) -> None:
    assert load_chart(values).definitions == []


def test_the_operator_may_not_do_everything(chart: Chart) -> None:
    for thing in chart.prerequisites:
        for rule in thing.get("rules") or []:
            assert "*" not in rule["verbs"], rule
            assert "*" not in rule.get("apiGroups", []), rule
            assert "*" not in rule.get("resources", []), rule


def test_row_283_the_operator_only_reads_config_maps_and_nodes(machine: Machine, chart: Chart) -> None:
    """Roles add up, so the server is asked."""
    own = machine.cluster.as_account(NAMESPACE, chart.account)
    try:
        for resource, verb, allowed in (
            ("configmaps", "get", True),
            ("configmaps", "update", False),
            ("configmaps", "delete", False),
            ("nodes", "patch", False),
            ("pods", "delete", False),
            ("pods/exec", "create", False),
            ("secrets", "get", True),
        ):
            assert may(own, verb, resource) is allowed, f"{verb} {resource}"
    finally:
        own.close()


def may(api: API, verb: str, resource: str) -> bool:
    """Ask the API server whether an identity may do something in a namespace of users."""
    name, _, subresource = resource.partition("/")
    attributes = {"namespace": "default", "verb": verb, "resource": name, "subresource": subresource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    return bool(answer["status"]["allowed"])


def test_an_upgrade_over_the_forks_definitions_keeps_objects_and_adds_fields(machine: Machine, chart: Chart) -> None:
    """The fork's definition lacks ``maintenanceIntervalDays``, which its API server therefore drops."""
    namespace = machine.namespace("upgrade")
    (whole,) = (thing for thing in chart.definitions if thing["spec"]["names"]["kind"] == "ReplicationSource")
    reduced: Object = json.loads(json.dumps(whole))
    spec = reduced["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["kopia"]["properties"]["maintenanceIntervalDays"]
    machine.replace_definition(reduced)
    try:
        interval: Object = {"maintenanceIntervalDays": 3}
        wait_for(
            "the older definition is served", lambda: "maintenanceIntervalDays" not in created(namespace, interval)
        )
        restic = source("restic")
        restic["spec"] = {"sourcePVC": "data", "restic": {"repository": "x", "copyMethod": "Clone"}}
        namespace.create(restic)
        namespace.create(source("fork", retain={"daily": 3}))
        machine.install([whole])
        assert namespace.get("ReplicationSource", "restic")["spec"] == restic["spec"]
        assert namespace.get("ReplicationSource", "fork")["spec"]["kopia"]["retain"] == {"daily": 3}
        wait_for("the new field is kept", lambda: created(namespace, interval).get("maintenanceIntervalDays") == 3)
    finally:
        machine.install([whole])
        machine.api.delete("Namespace", namespace.name)


def helm(machine: Machine, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run helm as an administrator of the cluster."""
    program = programs.require("helm", install=INSTALL)
    config = machine.cluster.kubeconfig(folder / "kubeconfig", machine.cluster.admin_token)
    places = {f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
    command = [str(program), *words, f"--kubeconfig={config}", f"--namespace={HELM_NAMESPACE}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **places})


def test_helm_installs_over_existing_definitions_upgrades_them_and_keeps_them(
    machine: Machine, chart: Chart, tmp_path: Path
) -> None:
    namespace = machine.named_namespace(HELM_NAMESPACE)
    theirs = namespace.create(source("theirs", retain={"daily": 3}))
    release = ["release", str(CHART), "--set=fullnameOverride=by-helm", "--set=coexistence=replace"]
    done = helm(machine, tmp_path, "install", *release)
    assert done.returncode != 0
    assert ".volsync.backube" in done.stderr  # another's definitions are not taken by accident
    done = helm(machine, tmp_path, "install", *release, "--take-ownership")
    assert done.returncode == 0, done.stderr
    assert "mode replace" in done.stdout
    assert namespace.get("Deployment", "by-helm")

    (whole,) = (thing for thing in chart.definitions if thing["spec"]["names"]["kind"] == "ReplicationSource")
    name = whole["metadata"]["name"]
    older = machine.api.get("CustomResourceDefinition", name)
    spec = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["kopia"]["properties"]["maintenanceIntervalDays"]
    machine.replace_definition(older)
    done = helm(machine, tmp_path, "upgrade", *release, "--set=replicaCount=2")
    assert done.returncode == 0, done.stderr
    assert namespace.get("Deployment", "by-helm")["spec"]["replicas"] == 2
    now = machine.api.get("CustomResourceDefinition", name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert "maintenanceIntervalDays" in now["properties"]["spec"]["properties"]["kopia"]["properties"]

    done = helm(machine, tmp_path, "uninstall", "release")
    assert done.returncode == 0, done.stderr
    namespace.gone("Deployment", "by-helm")
    assert namespace.get("ReplicationSource", "theirs")["spec"] == theirs["spec"]
    machine.api.delete("Namespace", namespace.name)


def created(namespace: Namespace, fields: Object) -> Object:
    """Return the kopia section of an object as it is kept; the object is deleted again."""
    kept: Object = namespace.create(source("probe", **fields))["spec"]["kopia"]
    namespace.delete("ReplicationSource", "probe")
    return kept
