"""pykopia and a real kopia write to one repository in turns, and each sees all that the other did."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.api.repository import Repository
from pykopia.format.policy import FilesPolicy, Policy, RetentionPolicy
from pykopia.format.source import SourceInfo
from pykopia.repository.options import NewRepositoryOptions
from pykopia.snapshot.upload_options import SnapshotOptions
from tests.trees import changing_tree

from .kopia_cli import KopiaCLI
from .repositories import (
    UNCACHED_LISTINGS,
    assert_restored_by_kopia,
    assert_restored_by_pykopia,
    client_of,
    kopia_snapshot_ids,
    open_shared,
    snapshot_ids,
    verify_all,
)

COMPACTED_FROM = 16
"""Contents of manifests; a writer that finds so many puts all into one first (format 04 §5.3)."""


def create_shared(kopia: KopiaCLI, location: Path, *, version: int) -> Repository:
    """Make a repository with pykopia and connect kopia to it."""
    options = NewRepositoryOptions(format_version=version)
    repository = create(location, kopia.password, options=options, client=client_of(kopia))
    repository.policies.set_defaults()
    kopia.connect(location, **UNCACHED_LISTINGS)
    return repository


def manifest_contents(repository: Repository) -> int:
    """Return how many contents hold manifests."""
    repository.refresh()
    return len(list(repository.contents.list("m", "m{")))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_snapshots_of_both_in_turns(kopia: KopiaCLI, tmp_path: Path, version: int) -> None:
    location, source = tmp_path / "repository", tmp_path / "source"
    expected: dict[str, Path] = {}
    with create_shared(kopia, location, version=version) as repository:
        for step in range(4):
            changing_tree(source, step)
            if step % 2:
                snapshot_id = kopia.snapshot_create(source)["id"]
            else:
                repository.refresh()
                snapshot_id = str(repository.snapshots.create(source).manifest.id)
            expected[snapshot_id] = tmp_path / f"as-of-{step}"
            shutil.copytree(source, expected[snapshot_id], symlinks=True)

        assert snapshot_ids(repository) == kopia_snapshot_ids(kopia) == expected.keys()
        verify_all(repository)
        kopia.verify_all()
        for number, (snapshot_id, tree) in enumerate(expected.items()):
            repository.snapshots.restore(snapshot_id, tmp_path / f"by-pykopia-{number}")
            assert_restored_by_pykopia(tree, tmp_path / f"by-pykopia-{number}")
            if number % 2 == 0:
                kopia.restore(snapshot_id, tmp_path / f"by-kopia-{number}")
                assert_restored_by_kopia(tree, tmp_path / f"by-kopia-{number}")

        first, second, third, fourth = expected
        repository.snapshots.delete(second)
        assert kopia_snapshot_ids(kopia) == {first, third, fourth}
        kopia.snapshot_delete(third)
        assert snapshot_ids(repository) == {first, fourth}
        verify_all(repository)
    kopia.verify_all()


def test_a_policy_of_either_holds_for_the_other(kopia: KopiaCLI, tmp_path: Path) -> None:
    source = tmp_path / "source"
    changing_tree(source, 0)
    (source / "left-out.tmp").write_bytes(b"by a policy of pykopia")
    (source / "left-out.log").write_bytes(b"by a policy of kopia")
    user = SourceInfo(host=kopia.hostname, user_name=kopia.username)
    target = replace(user, path=str(source))
    with create_shared(kopia, tmp_path / "repository", version=3) as repository:
        repository.policies.set(target, Policy(files=FilesPolicy(ignore=("*.tmp",))))
        repository.policies.set(user, Policy(retention=RetentionPolicy(keep_latest=3)))
        effective = kopia.policy_show(source)
        assert effective["files"]["ignore"] == ["*.tmp"]
        assert effective["retention"]["keepLatest"] == 3

        kopia.policy_set(source, add_ignore=["*.log"], compression="pgzip")
        kopia.policy_set(f"@{kopia.hostname}", keep_daily=5)
        repository.refresh()
        ours = repository.policies.effective(target).policy
        assert set(ours.files.ignore) == {"*.tmp", "*.log"}
        assert ours.compression.compressor_name == "pgzip"
        assert (ours.retention.keep_latest, ours.retention.keep_daily) == (3, 5)

        names = {name.name for name in source.iterdir()} - {"left-out.tmp", "left-out.log"}
        taken = repository.snapshots.create(source).manifest.root_object_id
        assert {entry.name for entry in repository.objects.directory(taken).entries} == names
        assert kopia.snapshot_create(source)["rootEntry"]["obj"] == taken

        repository.refresh()
        repository.policies.delete(target)
        assert not kopia.policy_show(source)["files"].get("ignore")
        kopia.run("policy", "delete", f"@{kopia.hostname}")
        repository.refresh()
        assert repository.policies.effective(target).policy.retention.keep_daily == 7


def test_old_snapshots_expire_under_either(kopia: KopiaCLI, tmp_path: Path) -> None:
    source = tmp_path / "source"
    changing_tree(source, 0)
    with create_shared(kopia, tmp_path / "repository", version=3) as repository:
        kopia.policy_set(keep_latest=2, keep_hourly=0, keep_daily=0, keep_weekly=0, keep_monthly=0, keep_annual=0)
        repository.refresh()
        made = [str(repository.snapshots.create(source).manifest.id) for _ in range(2)]
        made.append(kopia.snapshot_create(source)["id"])
        assert snapshot_ids(repository) == set(made[-2:])
        made.append(str(repository.snapshots.create(source).manifest.id))
        assert kopia_snapshot_ids(kopia) == set(made[-2:])


@pytest.mark.parametrize("version", [1, 3])
def test_manifests_are_put_together_by_either(kopia: KopiaCLI, tmp_path: Path, version: int) -> None:
    source = tmp_path / "source"
    changing_tree(source, 0)
    location = tmp_path / "repository"
    made: set[str] = set()

    def take(repository: Repository, host: str) -> None:
        options = SnapshotOptions(source=SourceInfo(host=host, user_name="user", path="/some/where"))
        made.add(str(repository.snapshots.create(source, options=options).manifest.id))

    create_shared(kopia, location, version=version).close()
    with open_shared(kopia, location) as repository:
        for _ in range(COMPACTED_FROM - manifest_contents(repository)):
            take(repository, f"host-{len(made)}")
        assert manifest_contents(repository) == COMPACTED_FROM
        repository.snapshots.delete(gone := made.pop())

        # pykopia has put them together before it deleted; now the same for kopia
        assert manifest_contents(repository) == 2
        assert kopia_snapshot_ids(kopia) == made
        for _ in range(COMPACTED_FROM - manifest_contents(repository)):
            take(repository, f"host-{len(made)}")
        assert manifest_contents(repository) == COMPACTED_FROM
        made.add(kopia.snapshot_create(source)["id"])
        assert manifest_contents(repository) == 2
        assert snapshot_ids(repository) == made == kopia_snapshot_ids(kopia)
        assert gone not in made
        verify_all(repository)
    kopia.verify_all()
