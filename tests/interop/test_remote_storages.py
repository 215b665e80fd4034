"""Repositories in storages on other machines, made by one side and used by the other, with the same words."""

from pathlib import Path

import pytest

from tests.cli_runner import Runner
from tests.trees import changing_tree

from .kopia_cli import Flag, KopiaCLI, spell_flags
from .remotes import STORAGES, Words
from .repositories import assert_restored_by_kopia, assert_restored_by_pykopia


@pytest.fixture(params=sorted(STORAGES))
def words(request: pytest.FixtureRequest, tmp_path: Path) -> Words:
    return STORAGES[request.param](request, tmp_path)


def reach(kopia: KopiaCLI, verb: str, words: Words) -> None:
    client: dict[str, Flag] = {
        "cache_directory": kopia.cache_directory,
        "override_username": kopia.username,
        "override_hostname": kopia.hostname,
        "check_for_updates": False,
        "persist_credentials": False,
    }
    kopia.folder.mkdir(parents=True, exist_ok=True)
    kopia.run("repository", verb, words[0], *spell_flags({**client, **words[1]}))


def reach_ours(ours: Runner, kopia: KopiaCLI, verb: str, words: Words) -> None:
    client: dict[str, Flag] = {"override_username": kopia.username, "override_hostname": kopia.hostname}
    ours.ok("repository", verb, words[0], *spell_flags({**client, **words[1]}))


def token_words(status: list[str]) -> list[str]:
    """Return the words of the command by which a status tells to connect."""
    [line] = [line for line in status if line.startswith("$ kopia ")]
    return line.split()[2:]


def test_kopia_goes_on_with_a_repository_of_ours(kopia: KopiaCLI, ours: Runner, words: Words, tmp_path: Path) -> None:
    source = tmp_path / "source"
    changing_tree(source, 1)
    reach_ours(ours, kopia, "create", words)
    ours.ok("snapshot", "create", str(source))
    reach(kopia, "connect", words)
    kopia.verify_all()
    [snapshot] = kopia.snapshot_list()
    kopia.restore(snapshot["id"], tmp_path / "restored")
    assert_restored_by_kopia(source, tmp_path / "restored")
    changing_tree(source, 2)
    kopia.snapshot_create(source)
    kopia.maintenance_run(safety="none")
    ours.ok("snapshot", "verify", "--verify-files-percent=100")
    newest = ours.ok("snapshot", "list", "--json").json[-1]["id"]
    ours.ok("snapshot", "restore", newest, str(tmp_path / "restored-2"))
    assert_restored_by_pykopia(source, tmp_path / "restored-2")
    ours.ok("repository", "validate-provider", "--concurrency-test-duration=500ms", "--num-storage-connections=2")
    other = kopia.client("by-token")
    other.folder.mkdir()
    other.run(*token_words(ours.ok("repository", "status", "-t", "-s").lines))
    assert [each["id"] for each in other.snapshot_list()] == [each["id"] for each in kopia.snapshot_list()]


def test_we_go_on_with_a_repository_of_kopia(kopia: KopiaCLI, ours: Runner, words: Words, tmp_path: Path) -> None:
    source = tmp_path / "source"
    changing_tree(source, 1)
    reach(kopia, "create", words)
    kopia.snapshot_create(source)
    client = ("--override-username", kopia.username, "--override-hostname", kopia.hostname)
    ours.ok(*token_words(kopia.run("repository", "status", "-t", "-s").stdout.splitlines()), *client)
    changing_tree(source, 2)
    ours.ok("snapshot", "create", str(source))
    ours.ok("snapshot", "verify", "--verify-files-percent=100")
    ours.ok("maintenance", "set", "--owner=me")
    ours.ok("maintenance", "run", "--full", "--safety=none")
    kopia.verify_all()
    snapshots = sorted(kopia.snapshot_list(), key=lambda each: str(each["startTime"]))
    kopia.restore(snapshots[-1]["id"], tmp_path / "restored")
    assert_restored_by_kopia(source, tmp_path / "restored")
    assert len(snapshots) == 2
