"""Snapshots with extended attributes: a real kopia sees them as any others."""

from pathlib import Path

import pytest

from tests import attribute_trees
from tests.attribute_trees import attributes
from tests.cli_runner import Runner
from tests.trees import assert_trees_equal

from .kopia_cli import KopiaCLI
from .repositories import connect_ours, open_shared, verify_all


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    try:
        attribute_trees.build(root)
    except OSError as error:
        pytest.skip(f"the folder for temporary files has no extended attributes: {error}")
    return root


def test_kopia_reads_restores_and_goes_on_from_a_snapshot_with_extended_attributes(
    kopia: KopiaCLI, ours: Runner, tmp_path: Path, source: Path
) -> None:
    place = tmp_path / "repository"
    kopia.create_repository(place)
    connect_ours(ours, kopia, place)
    ours.ok("snapshot", "create", str(source), "--extended-attributes")

    (taken,) = kopia.snapshot_list()
    assert "noted" in kopia.run("ls", "-l", taken["rootEntry"]["obj"]).stdout
    kopia.run("snapshot", "verify", "--verify-files-percent=100")
    kopia.run("snapshot", "restore", taken["id"], str(tmp_path / "by-kopia"))
    assert_trees_equal(source, tmp_path / "by-kopia")
    assert not [found for found in attributes(tmp_path / "by-kopia").values() if len(found[3]) > 1]

    # kopia takes over the unchanged files; its own folders do not have the attributes
    again = kopia.snapshot_create(source)
    assert again["rootEntry"]["summ"]["numFailed"] == 0
    kopia.run("snapshot", "verify", "--verify-files-percent=100")
    kopia.run("maintenance", "run", "--full")
    ours.ok("restore", taken["id"], str(tmp_path / "restored"), "--extended-attributes")
    assert attributes(tmp_path / "restored") == attributes(source)

    # what kopia pins, rewrites or continues stays readable, and the next snapshot of ours has the attributes again
    kopia.run("snapshot", "pin", taken["id"], "--add=kept")
    kopia.run("snapshot", "fix", "invalid-files", "--commit")
    ours.ok("snapshot", "create", str(source), "--extended-attributes")
    ours.ok("restore", str(source), str(tmp_path / "last"), "--extended-attributes")
    assert attributes(tmp_path / "last") == attributes(source)
    with open_shared(kopia, place) as repository:
        verify_all(repository)
