"""Repositories that pykopia's library and a real kopia share: the source they take, and how both look at it."""

from pathlib import Path

from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.repository.options import ClientOptions
from pykopia.snapshot.verify import VerifyOptions
from tests import trees
from tests.cli_runner import Runner
from tests.trees import MIB, TreeBuilder, assert_trees_equal, stored_path

from .kopia_cli import Flag, KopiaCLI

UNPREFIXED_END = "g"
"""IDs without a prefix letter, those of file contents, sort before it."""

UNCACHED_LISTINGS: dict[str, Flag] = {"max_list_cache_duration": "0s"}
"""Kopia believes a list of index blobs of format version 1 for 30 seconds, and does not see others' writes meanwhile."""


def shared_tree(root: Path) -> None:
    """Build a tree with everything that can be taken, small enough for a snapshot in a second."""
    trees.small_tree(root / "small")
    trees.awkward_names(root / "awkward")
    trees.raw_names(root / "raw")
    trees.links(root / "links")
    trees.modes(root / "modes")
    trees.empties(root / "empties")
    trees.many_files(root / "many", count=60)
    trees.big_files(root / "big", size=MIB + 4321)
    with TreeBuilder(root):
        pass  # gives the root its mode and time


def client_of(kopia: KopiaCLI) -> ClientOptions:
    """Return the same user and host for pykopia."""
    return ClientOptions(username=kopia.username, hostname=kopia.hostname)


def open_shared(kopia: KopiaCLI, path: Path, *, password: str = "") -> Repository:
    """Open a repository as the user and host of `kopia`."""
    return connect(path, password or kopia.password, client=client_of(kopia))


def connect_ours(ours: Runner, kopia: KopiaCLI, repository: Path, *flags: str) -> None:
    """Connect our command line as the user and host of `kopia`."""
    ours.ok(
        "repository", "connect", "filesystem", "--path", str(repository), "--override-username", kopia.username,
        "--override-hostname", kopia.hostname, *flags,
    )  # fmt: skip


def verify_all(repository: Repository) -> None:
    """Check the whole repository: all snapshots with all bytes of their files, and all contents, deleted ones too."""
    verified = repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1))
    assert verified.errors == ()
    assert repository.snapshots.list_unreadable() == {}
    failed: dict[str, str] = {}

    def report(entry: object, error: Exception | None) -> None:
        if error is not None:
            failed[str(entry)] = str(error)

    entries = repository.contents.list(include_deleted=True)
    repository.contents.verify(entries, read=lambda _: True, report=report)
    assert failed == {}


def file_contents(repository: Repository) -> set[str]:
    """Return the IDs of all contents of files."""
    repository.refresh()
    return {str(entry.content_id) for entry in repository.contents.list("", UNPREFIXED_END)}


def kopia_file_contents(kopia: KopiaCLI) -> set[str]:
    """Return the same as kopia lists it."""
    return {each["contentID"] for each in kopia.content_list(non_prefixed=True)}


def snapshot_ids(repository: Repository) -> set[str]:
    """Return the IDs of all snapshots that pykopia sees."""
    repository.refresh()
    return {str(each.id) for each in repository.snapshots.list()}


def kopia_snapshot_ids(kopia: KopiaCLI) -> set[str]:
    """Return the IDs of all snapshots that kopia sees."""
    return {each["id"] for each in kopia.snapshot_list()}


def assert_restored_by_kopia(expected: Path, restored: Path) -> None:
    """Compare with what kopia restores: it does not give folders their times (format 04 §14.2)."""
    assert_trees_equal(expected, restored, directory_times=False, paths=stored_path)


def assert_restored_by_pykopia(expected: Path, restored: Path) -> None:
    """Compare with what pykopia restores: all of it, under the names that are stored."""
    assert_trees_equal(expected, restored, paths=stored_path)


__all__ = [
    "UNCACHED_LISTINGS",
    "UNPREFIXED_END",
    "assert_restored_by_kopia",
    "assert_restored_by_pykopia",
    "client_of",
    "connect_ours",
    "file_contents",
    "kopia_file_contents",
    "kopia_snapshot_ids",
    "open_shared",
    "shared_tree",
    "snapshot_ids",
    "verify_all",
]
