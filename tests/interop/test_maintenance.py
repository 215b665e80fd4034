"""Maintenance of pykopia and of a real kopia on one repository: what either leaves, the other reads and maintains."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.api.repository import Repository
from pykopia.repository.options import NewRepositoryOptions, ParameterChanges
from tests.cli_runner import Runner
from tests.golden_repositories import GOOD_NAMES
from tests.golden_repositories import load as load_golden
from tests.trees import MIB, changing_tree, noise

from .kopia_cli import KopiaCLI
from .repositories import (
    UNCACHED_LISTINGS,
    assert_restored_by_kopia,
    client_of,
    connect_ours,
    kopia_snapshot_ids,
    open_shared,
    snapshot_ids,
    verify_all,
)

RUNS = 3
"""Full runs without safety times: what one marks in the second in which it was written, the next one drops."""


def grow(take: Callable[[], str], delete: Callable[[str], None], source: Path) -> None:
    """Take snapshots of a source that changes, and delete half of them: packs get holes."""
    taken = []
    for step in range(6):
        changing_tree(source, step)
        (source / f"large-{step}").write_bytes(noise(3 * MIB, step))
        (source / f"large-{step - 2}").unlink(missing_ok=True)
        taken.append(take())
    for snapshot_id in taken[::2]:
        delete(snapshot_id)


def stored_size(repository: Path) -> int:
    """Return the bytes of all packs and index blobs."""
    return sum(
        path.stat().st_size for path in repository.rglob("*.f") if str(path.relative_to(repository))[0] in "pqnx"
    )


def copy_of(kopia: KopiaCLI, location: Path, name: str) -> tuple[KopiaCLI, Path]:
    """Copy a repository, and connect a client to the copy."""
    target = location.with_name(name)
    shutil.copytree(location, target)
    client = kopia.client(f"client-of-{name}")
    client.connect(target, **UNCACHED_LISTINGS)
    return client, target


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("writer", ["kopia", "pykopia"])
def test_both_leave_as_much_of_the_same_repository(
    kopia: KopiaCLI,
    ours: Runner,
    tmp_path: Path,
    version: int,
    writer: str,
    record_property: Callable[[str, object], None],
) -> None:
    location, source = tmp_path / "repository", tmp_path / "source"
    kopia.create_repository(location, format_version=version, **UNCACHED_LISTINGS)
    if writer == "kopia":
        grow(
            lambda: str(kopia.snapshot_create(source, auto_maintenance=False)["id"]),
            lambda snapshot_id: (
                kopia.run("snapshot", "delete", snapshot_id, "--delete", "--no-auto-maintenance"),
                None,
            )[1],
            source,
        )
    else:
        with open_shared(kopia, location) as repository:
            grow(lambda: str(repository.snapshots.create(source).manifest.id), repository.snapshots.delete, source)
    kept = kopia_snapshot_ids(kopia)
    assert len(kept) == 3

    theirs, their_copy = copy_of(kopia, location, "maintained-by-kopia")
    for _ in range(RUNS):
        theirs.maintenance_run(safety="none")
    connect_ours(ours, kopia, location)
    before = stored_size(location)
    for _ in range(RUNS):
        ours.ok("maintenance", "run", "--full", "--safety=none")

    our_size, their_size = stored_size(location), stored_size(their_copy)
    record_property("sizes", f"before {before}, pykopia {our_size}, kopia {their_size}")
    assert our_size < before
    assert abs(our_size - their_size) <= their_size * 0.02, (before, our_size, their_size)

    kopia.verify_all()
    assert kopia_snapshot_ids(kopia) == kept
    kopia.restore(max(kept), tmp_path / "restored")
    with open_shared(kopia, their_copy) as repository:
        verify_all(repository)
        assert snapshot_ids(repository) == kept
    theirs.verify_all()

    # each goes on where the other stopped
    ours.ok("snapshot", "create", str(source))
    theirs_again, _ = copy_of(kopia, location, "maintained-by-both")
    theirs_again.maintenance_run(safety="none")
    theirs_again.verify_all()
    connect_ours(ours, kopia, their_copy)
    ours.ok("maintenance", "run", "--full", "--safety=none")
    theirs.verify_all()


@pytest.mark.parametrize("version", [1, 3])
def test_both_maintain_one_repository_in_turns(kopia: KopiaCLI, ours: Runner, tmp_path: Path, version: int) -> None:
    location, source = tmp_path / "repository", tmp_path / "source"
    kopia.create_repository(location, format_version=version, **UNCACHED_LISTINGS)
    connect_ours(ours, kopia, location)
    newest = tmp_path / "newest"
    for step in range(6):
        changing_tree(source, step)
        if step % 2:
            kopia.snapshot_create(source)
            ours.ok("maintenance", "run", "--full", "--safety=none")
        else:
            ours.ok("snapshot", "create", str(source))
            kopia.maintenance_run(safety="none")
        if step > 1:
            oldest = min(kopia.snapshot_list(), key=lambda each: each["startTime"])
            kopia.snapshot_delete(oldest["id"])
    shutil.copytree(source, newest, symlinks=True)
    kopia.verify_all()
    with open_shared(kopia, location) as repository:
        verify_all(repository)
    last = max(kopia.snapshot_list(), key=lambda each: each["startTime"])
    kopia.restore(last["id"], tmp_path / "restored")
    assert_restored_by_kopia(newest, tmp_path / "restored")
    info = kopia.json("maintenance", "info")
    assert len(info["schedule"]["runs"]["snapshot-gc"]) >= 6
    assert all(run["success"] for runs in info["schedule"]["runs"].values() for run in runs)


def age(repository: Path, hours: float, paths: Iterable[Path] | None = None) -> None:
    """Make blobs older, by the clock of the storage."""
    for path in paths or repository.rglob("*.f"):
        if path.name != "kopia.maintenance.f":
            status = path.stat()
            moved = status.st_mtime_ns - round(hours * 3600e9)
            os.utime(path, ns=(moved, moved))


def test_epochs_go_on_as_long_as_a_repository_is_written_to(kopia: KopiaCLI, tmp_path: Path) -> None:
    location = tmp_path / "repository"
    options = NewRepositoryOptions()
    kept: list[str] = []
    with create(location, kopia.password, options=options, client=client_of(kopia)) as repository:
        repository.policies.set_defaults()
        repository.set_parameters(ParameterChanges(epoch_advance_on_count=10, epoch_checkpoint_frequency=2))
        kopia.connect(location, **UNCACHED_LISTINGS)
        for number in range(7):
            fill_epoch(repository, location, kept, number)
            repository.refresh()
            assert repository.contents.indexes.write_epoch == number + 1
            expected = {each["contentID"]: each for each in kopia.content_list(long=True)}
            repository.maintenance.run("full")
            age(location, 5)
            repository.maintenance.run("full")
            assert {each["contentID"]: each for each in kopia.content_list(long=True)} == expected
        names = [blob.blob_id for blob in repository.storage.list("x")]
        assert any(name.startswith("xr0_") for name in names)
        assert any(name.startswith("xs") for name in names)
        assert not any(name.startswith("xn0_") for name in names)
        assert {each["id"] for each in kopia.index_list()} == {
            blob.metadata.blob_id for blob in repository.contents.indexes.blobs() if not blob.superseded
        }
        assert set(kept) <= {each["contentID"] for each in kopia.content_list()}
    kopia.run("content", "verify", full=True)
    kopia.maintenance_run()
    kopia.run("content", "verify", full=True)


def fill_epoch(repository: Repository, location: Path, kept: list[str], number: int) -> None:
    """Write as many index blobs over as much time as an epoch takes, by the clock of the storage."""
    for flush in range(11):
        with repository.writer() as writer:
            kept.append(writer.contents.write(f"epoch {number}, flush {flush}".encode()))
        age(location, 2.5)
    repository.maintenance.run("quick")


@pytest.mark.parametrize("name", ["v1-legacy", "v1-index2", "v2-epochs", "v3-maintained", "deleted-contents", "ecc"])
def test_golden_repositories_are_compacted_to_what_kopia_reads(
    name: str, kopia: KopiaCLI, golden_repository: Callable[[str], Path]
) -> None:
    assert name in GOOD_NAMES
    golden = load_golden(name)
    location = golden_repository(name)
    client = KopiaCLI(executable=kopia.executable, folder=kopia.folder, password=golden.password)
    client.connect(location, **UNCACHED_LISTINGS)
    before = {each["contentID"] for each in client.content_list(deleted=False)}
    with open_shared(client, location, password=golden.password) as repository:
        for _ in range(2):
            repository.maintenance.run("quick", safety="none", force=True)
            repository.maintenance.run("full", safety="none", force=True)
        verify_all(repository)
    client.verify_all()
    assert {snapshot.id for snapshot in golden.snapshots} == kopia_snapshot_ids(client)
    after = {each["contentID"] for each in client.content_list(deleted=False)}
    assert {content_id for content_id in after - before if content_id[0] != "m"} == set()
    client.maintenance_run(safety="none")
    client.verify_all()


def test_three_clients_write_and_maintain_one_repository_at_once(kopia: KopiaCLI, tmp_path: Path) -> None:
    location = tmp_path / "repository"
    kopia.create_repository(location, **UNCACHED_LISTINGS)
    sources = {name: tmp_path / name for name in ("kopia", "ours-1", "ours-2")}
    failures: list[str] = []

    def work(name: str, act: Callable[..., object]) -> None:
        try:
            for step in range(4):
                changing_tree(sources[name], step)
                act("snapshot", "create", str(sources[name]))
                act("maintenance", "run", "--full", "--force")
        except Exception as error:  # noqa: BLE001 -- told by the test's thread
            failures.append(f"{name}: {error}")

    threads = [threading.Thread(target=work, args=("kopia", lambda *words: kopia.run(*words)))]
    for name in ("ours-1", "ours-2"):
        client = Subprocess(tmp_path / f"client-{name}", kopia.password)
        client("repository", "connect", "filesystem", "--path", str(location), f"--override-hostname={name}")
        threads.append(threading.Thread(target=work, args=(name, client)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(kopia_snapshot_ids(kopia)) == 12
    kopia.verify_all()
    with open_shared(kopia, location) as repository:
        verify_all(repository)
        assert not repository.maintenance.info().leases


class Subprocess:
    """Our command line in a process of its own."""

    BUSY = 72

    def __init__(self, folder: Path, password: str) -> None:
        self._folder, self._password = folder, password
        folder.mkdir()

    def __call__(self, *words: str) -> None:
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "pykopia",
                f"--config-file={self._folder / 'c'}",
                f"--log-dir={self._folder}",
                *words,
            ],
            env={**os.environ, "KOPIA_PASSWORD": self._password, "HOME": str(self._folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if result.returncode not in (0, self.BUSY):  # one of the two has to wait for the other
            raise AssertionError(f"{words}: {result.returncode}: {result.stderr}")
