"""The harness itself: real kopia alone, driven through one round trip of everything it knows."""

from pathlib import Path

import pytest

from tests.trees import TREES, assert_trees_equal, changing_tree, small_tree, stored_path

from .kopia_cli import KopiaCLI, KopiaFailedError, find_kopia


@pytest.mark.parametrize("name", ["everything", "small_tree"])
def test_kopia_restores_what_it_saved(kopia: KopiaCLI, tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path / "source")
    kopia.create_repository(tmp_path / "repository")
    kopia.policy_set(compression="zstd")
    snapshot = kopia.snapshot_create(tmp_path / "source")
    kopia.restore(snapshot["id"], tmp_path / "restored")
    assert_trees_equal(tmp_path / "source", tmp_path / "restored", directory_times=False, paths=stored_path)
    kopia.verify_all()


def test_a_series_of_snapshots_is_listed_in_order_and_restored_each(kopia: KopiaCLI, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository", format_version=2)
    made = []
    for step in range(3):
        changing_tree(tmp_path / "source", step)
        made.append(kopia.snapshot_create(tmp_path / "source", tags=[f"step:{step}"])["id"])
    assert [snapshot["id"] for snapshot in kopia.snapshot_list()] == made
    kopia.restore(made[-1], tmp_path / "restored")
    assert_trees_equal(tmp_path / "source", tmp_path / "restored", directory_times=False)
    kopia.snapshot_delete(made[0])
    assert [snapshot["id"] for snapshot in kopia.snapshot_list()] == made[1:]


def test_what_lies_below_a_snapshot_can_be_looked_at(kopia: KopiaCLI, tmp_path: Path) -> None:
    small_tree(tmp_path / "source")
    kopia.create_repository(tmp_path / "repository")
    snapshot = kopia.snapshot_create(tmp_path / "source")
    root = snapshot["rootEntry"]["obj"]
    assert kopia.show(root).startswith(b'{"stream":"kopia:directory"')
    assert kopia.content_show(root) == kopia.show(root)
    assert root in {content["contentID"] for content in kopia.content_list()}
    manifests = {manifest["id"]: manifest["labels"]["type"] for manifest in kopia.manifest_list()}
    assert manifests[snapshot["id"]] == "snapshot"
    assert kopia.manifest_show(snapshot["id"])["rootEntry"]["obj"] == root
    assert {"kopia.repository", "kopia.blobcfg"} & {blob["id"] for blob in kopia.blob_list()}
    assert len(kopia.index_list()) == len([blob for blob in kopia.blob_list() if blob["id"].startswith("xn")])
    assert kopia.repository_status()["contentFormat"]["version"] == 3
    assert kopia.policy_show()["retention"]["keepLatest"] == 10
    kopia.maintenance_run(safety="none")


def test_two_clients_see_one_repository_and_keep_their_names(kopia: KopiaCLI, tmp_path: Path) -> None:
    small_tree(tmp_path / "source")
    kopia.create_repository(tmp_path / "repository")
    other = kopia.client("other-client", username="otto", hostname="elsewhere")
    other.connect(tmp_path / "repository")
    kopia.snapshot_create(tmp_path / "source")
    other.snapshot_create(tmp_path / "source")
    sources = [(found["source"]["userName"], found["source"]["host"]) for found in other.snapshot_list()]
    assert sorted(sources) == [("otto", "elsewhere"), ("tester", "testhost")]
    other.disconnect()
    assert not other.config_file.exists()


def test_a_failure_tells_command_code_and_text(kopia: KopiaCLI, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository")
    wrong = kopia.client("wrong", password="wrong")
    with pytest.raises(KopiaFailedError, match="invalid repository password") as caught:
        wrong.connect(tmp_path / "repository")
    assert caught.value.returncode == 1
    assert kopia.run("snapshot", "restore", "no-such", tmp_path / "out", check=False).returncode == 1


def test_a_listing_of_nothing_is_an_empty_list(kopia: KopiaCLI, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository")
    assert kopia.snapshot_list() == []


def test_an_executable_that_is_not_there_is_an_error_and_no_skip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KOPIA_EXE", str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError, match="KOPIA_EXE"):
        find_kopia()
    monkeypatch.delenv("KOPIA_EXE")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_kopia() is None
    (tmp_path / "kopia").write_text("#!/bin/sh\n")
    (tmp_path / "kopia").chmod(0o755)
    assert find_kopia() == tmp_path / "kopia"
