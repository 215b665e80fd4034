"""The CRDs are those of the models; the examples and the command line that needs no cluster."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pykopia_operator.main import run_command
from pykopia_operator.model.crds import crds

OPERATOR = Path(__file__).parents[2] / "operator"
EXAMPLES = sorted((OPERATOR / "examples").glob("*.yaml"))
RESTIC = """
apiVersion: volsync.backube/v1alpha1
kind: ReplicationSource
metadata: {name: app, namespace: prod}
spec:
  sourcePVC: data
  trigger: {schedule: "0 2 * * *"}
  restic: {repository: restic-config, copyMethod: Snapshot, pruneIntervalDays: 14, retain: {daily: 5, last: "3"}, unlock: "1"}
"""
KOPIUR = """
apiVersion: kopiur.home-operations.com/v1alpha1
kind: Repository
metadata: {name: nas, namespace: billing}
spec: {backend: {s3: {bucket: my-backups, prefix: prod/, auth: {secretRef: {name: creds}}}}}
---
apiVersion: kopiur.home-operations.com/v1alpha1
kind: SnapshotPolicy
metadata: {name: postgres-data, namespace: billing}
spec: {repository: {name: nas}, sources: [{pvc: {name: pg}}], retention: {keepDaily: 14}}
---
apiVersion: kopiur.home-operations.com/v1alpha1
kind: SnapshotSchedule
metadata: {name: nightly, namespace: billing}
spec: {policyRef: {name: postgres-data}, schedule: {cron: "H 2 * * *"}}
"""


@pytest.mark.parametrize("folder", ["chart/files/crds", "kustomize/crds"])
def test_the_files_are_what_make_crds_writes(folder: str) -> None:
    found = {path.name: yaml.safe_load(path.read_text()) for path in (OPERATOR / folder).glob("*.yaml")}
    assert found == crds()


def fields(schema: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    found = {path: schema}
    for name, part in (schema.get("properties") or {}).items():
        found |= fields(part, f"{path}.{name}".lstrip("."))
    return found


def test_o_010_admission_refuses_only_what_every_operator_refuses() -> None:
    for crd in crds().values():
        for path, schema in fields(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]).items():
            for rule in schema.get("x-kubernetes-validations", []):
                last = path.rpartition(".")[2]
                assert last in {"customCA", "policyConfig", "kopia", "trigger"}, (path, rule)
            if crd["spec"]["names"]["kind"] != "KopiaMaintenance":
                assert schema.get("minimum", 0) == 0, path
                assert not path.startswith("spec") or "required" not in schema, path


def test_every_field_of_a_specification_is_described() -> None:
    for crd in crds().values():
        for path, schema in fields(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]).items():
            if path.startswith("spec."):
                assert schema.get("description"), path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_leads_to_a_job(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["render", str(path)], {}) == 0
    made = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [each["kind"] for each in made][-1] == "Job"


def test_render_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        RESTIC.replace("restic:", "kopia:")
        .replace("restic-config", "r")
        .replace("copyMethod: Snapshot", "copyMethod: Magic")
    )
    assert run_command(["render", str(path)], {}) == 1
    assert "spec.kopia.copyMethod" in capsys.readouterr().err


def test_migrate_rewrites_restics_objects_and_writes_only_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = tmp_path / "x.yaml", tmp_path / "new"
    path.write_text(RESTIC)
    assert run_command(["migrate", str(path)], {}) == 0
    shown = capsys.readouterr().out
    (made,) = [each for each in yaml.safe_load_all(shown) if each]
    assert made["spec"]["kopia"] == {
        "repository": "restic-config",
        "copyMethod": "Snapshot",
        "maintenanceIntervalDays": 14,
        "retain": {"daily": 5, "latest": 3},
    }
    assert "KOPIA_REPOSITORY" in shown
    assert not folder.exists()
    assert run_command(["migrate", str(path), "--write", str(folder)], {}) == 0
    assert yaml.safe_load((folder / "prod-replicationsource-app.yaml").read_text()) == made


def test_migrate_continues_the_snapshots_of_kopiur(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(KOPIUR)
    assert run_command(["migrate", str(path)], {}) == 0
    shown = capsys.readouterr().out
    (made,) = [each for each in yaml.safe_load_all(shown) if each]
    assert made["spec"]["kopia"] == {
        "repository": "creds",
        "username": "postgres-data",
        "hostname": "billing",
        "sourcePathOverride": "/pvc/pg",
        "retain": {"daily": 14},
    }
    assert made["spec"]["trigger"]["schedule"].endswith(" 2 * * *")
    assert "KOPIA_REPOSITORY: s3://my-backups/prod" in shown
