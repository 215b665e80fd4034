"""A pykopia that is killed while it writes leaves a repository that kopia verifies and goes on with."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.repository.options import NewRepositoryOptions
from tests.trees import changing_tree, many_files

from .kopia_cli import KopiaCLI
from .repositories import (
    assert_restored_by_kopia,
    assert_restored_by_pykopia,
    client_of,
    kopia_snapshot_ids,
    open_shared,
    snapshot_ids,
    verify_all,
)

PROJECT = Path(__file__).parents[2]


def build_source(root: Path, step: int) -> None:
    changing_tree(root / "changing", step)
    many_files(root / "many", count=40 + 20 * step)


def kill_writer(kopia: KopiaCLI, repository: Path, source: Path, *where: str) -> None:
    arguments = [str(repository), str(source), kopia.password, kopia.username, kopia.hostname, *where]
    died = subprocess.run(
        [sys.executable, "-m", "tests.interop.killed_writer", *arguments],
        cwd=PROJECT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()


@pytest.mark.parametrize(
    ("version", "moment", "prefixes", "count", "checkpoints", "saved"),
    [
        (3, "during", "p", "1", "never", False),
        (1, "after", "q", "1", "never", False),
        (2, "after", "xn", "1", "never", True),
        (1, "during", "n", "1", "never", False),
        (3, "before", "q", "3", "often", False),
    ],
)
def test_kopia_continues_after_a_killed_pykopia(
    kopia: KopiaCLI,
    tmp_path: Path,
    version: int,
    moment: str,
    prefixes: str,
    count: str,
    checkpoints: str,
    saved: bool,
) -> None:
    location, source = tmp_path / "repository", tmp_path / "source"
    build_source(source, 0)
    options = NewRepositoryOptions(format_version=version)
    with create(location, kopia.password, options=options, client=client_of(kopia)) as repository:
        repository.policies.set_defaults()
        first = repository.snapshots.create(source).manifest
    build_source(source, 1)
    kill_writer(kopia, location, source, moment, prefixes, count, checkpoints)

    kopia.connect(location)
    listed = kopia.snapshot_list()
    complete = [each for each in listed if not each.get("incomplete")]
    assert first.id in {each["id"] for each in complete}
    assert len(complete) == 1 + saved
    assert (len(listed) > len(complete)) == (checkpoints == "often")
    kopia.verify_all()

    following = kopia.snapshot_create(source)
    kopia.maintenance_run(safety="none")
    kopia.verify_all()
    kopia.restore(following["id"], tmp_path / "restored")
    assert_restored_by_kopia(source, tmp_path / "restored")
    with open_shared(kopia, location) as repository:
        verify_all(repository)
        assert snapshot_ids(repository) == kopia_snapshot_ids(kopia)
        assert repository.snapshots.restore(following["id"], tmp_path / "again").errors == ()
        assert_restored_by_pykopia(source, tmp_path / "again")
        root = repository.snapshots.create(source).manifest.root_object_id
        if version > 1:
            assert root == following["rootEntry"]["obj"]
