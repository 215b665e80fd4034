"""The mover's Job: each field of the specification at its place."""

from typing import Any

import pytest

from tests.operator.fake_api import environment_of
from tests.operator.stage import Stage


def job_of(stage: Stage) -> dict[str, Any]:
    stage.settle()
    assert stage.cluster.movers, stage.condition()
    found: dict[str, Any] = stage.cluster.movers[-1]
    return found


def pod(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = job_of(stage)["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize(
    ("kopia", "expected"),
    [
        (
            {"retain": {"hourly": 0, "daily": 7, "yearly": 2, "latest": 5}},
            {
                "KOPIA_RETAIN_HOURLY": "0",
                "KOPIA_RETAIN_DAILY": "7",
                "KOPIA_RETAIN_YEARLY": "2",
                "KOPIA_RETAIN_LATEST": "5",
            },
        ),
        (
            {},
            {
                "KOPIA_COMPRESSION": "zstd",
                "KOPIA_PARALLELISM": "1",
                "DATA_DIR": "/data",
                "KOPIA_CACHE_DIR": "/cache",
                "PRIVILEGED_MOVER": "0",
            },
        ),
        ({"compression": "s2", "parallelism": 4}, {"KOPIA_COMPRESSION": "s2", "KOPIA_PARALLELISM": "4"}),
        ({"sourcePathOverride": "/var/lib/x"}, {"KOPIA_SOURCE_PATH_OVERRIDE": "/var/lib/x"}),
        (
            {"actions": {"beforeSnapshot": "a", "afterSnapshot": "b"}},
            {"KOPIA_BEFORE_SNAPSHOT": "a", "KOPIA_AFTER_SNAPSHOT": "b"},
        ),
        (
            {"additionalArgs": ["--parallel=2", "--pin=x"]},
            {"KOPIA_ADDITIONAL_ARGS": "--parallel=2|VOLSYNC_ARG_SEP|--pin=x"},
        ),
        (
            {"metadataCacheSizeLimitMB": 5, "contentCacheSizeLimitMB": 0},
            {"KOPIA_METADATA_CACHE_SIZE_LIMIT_MB": "5", "KOPIA_CONTENT_CACHE_SIZE_LIMIT_MB": "0"},
        ),
        ({"cacheCapacity": "2Gi"}, {"KOPIA_CACHE_CAPACITY_BYTES": str(2 << 30)}),
    ],
)
def test_each_field_of_a_source_becomes_its_variable(kopia: dict[str, Any], expected: dict[str, str]) -> None:
    stage = Stage()
    stage.ready(**kopia)
    variables = environment_of(job_of(stage))
    assert {name: variables.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("kopia", "expected"),
    [
        (
            {"restoreAsOf": "2026-01-01T00:00:00Z", "shallow": 0, "previous": 2},
            {"KOPIA_RESTORE_AS_OF": "2026-01-01T00:00:00Z", "KOPIA_SHALLOW": "0", "KOPIA_PREVIOUS": "2"},
        ),
        (
            {"enableFileDeletion": True, "onMissingSnapshot": "Continue"},
            {"KOPIA_ENABLE_FILE_DELETION": "true", "KOPIA_ON_MISSING_SNAPSHOT": "continue"},
        ),
        (
            {"username": "u", "hostname": "h"},
            {"KOPIA_OVERRIDE_USERNAME": "u", "KOPIA_OVERRIDE_HOSTNAME": "h", "KOPIA_LEGACY_IDENTITIES": None},
        ),
    ],
)
def test_each_field_of_a_destination_becomes_its_variable(
    kopia: dict[str, Any], expected: dict[str, str | None]
) -> None:
    stage = Stage()
    stage.secret()
    stage.destination(capacity="1Gi", accessModes=["ReadWriteOnce"], **kopia)
    variables = environment_of(job_of(stage))
    assert {name: variables.get(name) for name in expected} == expected


def test_every_key_of_the_secret_reaches_the_mover_under_its_name() -> None:
    stage = Stage()
    stage.ready()
    stage.secret(AWS_S3_ENDPOINT="x", KOPIA_FS_FILE_MODE="0660", **{"not-a-name": "x"})
    variables = environment_of(job_of(stage))
    for name in ("KOPIA_REPOSITORY", "KOPIA_PASSWORD", "AWS_S3_ENDPOINT", "KOPIA_FS_FILE_MODE"):
        assert variables[name] == f"kopia-config/{name}"
    assert "not-a-name" not in variables
    required = [
        each["name"]
        for each in pod(stage)["containers"][0]["env"]
        if "valueFrom" in each and not each["valueFrom"]["secretKeyRef"].get("optional")
    ]
    assert required == ["KOPIA_REPOSITORY", "KOPIA_PASSWORD"]


def test_an_unprivileged_mover_has_no_rights_and_a_user_of_its_own() -> None:
    stage = Stage()
    stage.ready()
    spec = pod(stage)
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert spec["securityContext"] == {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}}
    assert spec["automountServiceAccountToken"] is False
    assert stage.api.must("Role", "volsync-src-app")["rules"] == []


def test_a_privileged_namespace_gives_three_capabilities() -> None:
    stage = Stage()
    stage.api.change(
        "Namespace", "prod", {"metadata": {"annotations": {"volsync.backube/privileged-movers": "true"}}}, ""
    )
    stage.ready()
    security = pod(stage)["containers"][0]["securityContext"]
    assert security["runAsUser"] == 0
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER"]}
    assert environment_of(stage.cluster.movers[0])["PRIVILEGED_MOVER"] == "1"


def test_a_restricted_namespace_gets_a_mover_that_it_admits() -> None:
    stage = Stage()
    stage.api.change(
        "Namespace", "prod", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}, ""
    )
    stage.ready()
    context = pod(stage)["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["fsGroup"]) == (True, 65532, 65532)


@pytest.mark.parametrize(
    ("context", "mode"), [(None, 0o400), ({"runAsUser": 1000, "fsGroup": 1000}, 0o440), ({"runAsUser": 1000}, None)]
)
def test_credentials_are_a_file_where_the_mover_can_read_it_and_a_variable_elsewhere(
    context: Any, mode: int | None
) -> None:
    stage = Stage()
    stage.ready(moverSecurityContext=context)
    stage.secret(GOOGLE_APPLICATION_CREDENTIALS='{"type": "service_account"}', SFTP_KEY_FILE="/mnt/key")
    spec = pod(stage)
    variables = environment_of(stage.cluster.movers[0])
    files = [each["secret"]["items"] for each in spec["volumes"] if each["name"] == "credentials"]
    assert variables["SFTP_KEY_FILE"] == "kopia-config/SFTP_KEY_FILE"  # it names a file already
    if mode is None:
        assert files == []
        assert variables["GOOGLE_APPLICATION_CREDENTIALS"] == "kopia-config/GOOGLE_APPLICATION_CREDENTIALS"
    else:
        assert files == [[{"key": "GOOGLE_APPLICATION_CREDENTIALS", "path": "gcs.json", "mode": mode}]]
        assert variables["GOOGLE_APPLICATION_CREDENTIALS"] == "/credentials/gcs.json"


def test_a_repository_in_a_volume_needs_no_url() -> None:
    stage = Stage()
    stage.ready(moverVolumes=[{"mountPath": "repo", "volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}}])
    stage.api.put(
        {"kind": "Secret", "metadata": {"name": "kopia-config", "namespace": "prod"}, "data": {"KOPIA_PASSWORD": "x"}}
    )
    assert environment_of(job_of(stage))["KOPIA_REPOSITORY"] == "filesystem:///mnt/repo"


@pytest.mark.parametrize(
    ("kopia", "text"),
    [
        ({"repository": None}, "kopia.repository must name the Secret"),
        ({"customCA": {"secretName": "a", "configMapName": "b", "key": "k"}}, "not both"),
        ({"customCA": {"secretName": "a"}}, "customCA.key"),
        ({"customCA": {"secretName": "gone", "key": "k"}}, "Secret prod/gone of customCA does not exist"),
        ({"policyConfig": {"configMapName": "a", "secretName": "b"}}, "not both"),
        ({"policyConfig": {"configMapName": "gone"}}, "ConfigMap prod/gone of policyConfig does not exist"),
        ({"policyConfig": {"configMapName": "a", "globalPolicyFilename": "a/b"}}, "globalPolicyFilename"),
        ({"additionalArgs": ["--password=x"]}, "--password is set by the operator"),
        (
            {"moverVolumes": [{"mountPath": "../etc", "volumeSource": {"secret": {"secretName": "x"}}}]},
            "must be a path below /mnt/",
        ),
        (
            {"moverVolumes": [{"mountPath": "a", "volumeSource": {"hostPath": {}}}]},
            "one of persistentVolumeClaim, secret and nfs",
        ),
        ({"moverServiceAccount": "gone"}, "ServiceAccount prod/gone of moverServiceAccount does not exist"),
        ({"parallelism": -1}, "spec.kopia.parallelism"),
        ({"cacheCapacity": "many"}, "kopia.cacheCapacity"),
        ({"retain": {"daily": "x"}}, "spec.kopia.retain.daily: expected int"),
    ],
)
def test_a_wrong_field_is_an_error_that_names_it(kopia: dict[str, Any], text: str) -> None:
    stage = Stage()
    stage.ready(**kopia)
    stage.settle()
    assert stage.condition()["reason"] == "Error"
    assert text in stage.condition()["message"]
    assert stage.cluster.movers == []


def test_a_direct_mover_goes_to_the_node_where_the_volume_is_in_use() -> None:
    stage = Stage()
    stage.ready()
    stage.api.put(
        {
            "kind": "Pod",
            "metadata": {"name": "app-0", "namespace": "prod"},
            "spec": {
                "nodeName": "n7",
                "tolerations": [{"key": "t"}],
                "volumes": [{"persistentVolumeClaim": {"claimName": "data"}}],
            },
            "status": {"phase": "Running"},
        }
    )
    spec = pod(stage)
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "n7"}
    assert spec["tolerations"] == [{"key": "t"}]


def test_a_failure_that_no_attempt_can_cure_fails_the_job_at_once() -> None:
    stage = Stage()
    stage.ready()
    spec = job_of(stage)["spec"]
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert set(rule["onExitCodes"]["values"]) == {2, 10, 11, 12, 14, 15, 16, 18, 19, 20, 22}
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (8, 1, 1)


def test_pull_secrets_of_the_operator_are_copied_to_where_movers_run() -> None:
    stage = Stage(namespace="system", mover_image_pull_secrets="registry")
    stage.api.put(
        {
            "kind": "Secret",
            "metadata": {"name": "registry", "namespace": "system"},
            "data": {".dockerconfigjson": "e30="},
        }
    )
    stage.ready()
    (name,) = [each["name"] for each in pod(stage)["imagePullSecrets"]]
    copied = stage.api.must("Secret", name)
    assert copied["data"] == {".dockerconfigjson": "e30="}
    assert copied["metadata"]["ownerReferences"][0]["name"] == "app"
