"""`index recover`, `index epoch list`, `content delete`, `content undelete` on the command line."""

import os
from pathlib import Path

import pytest

from tests.cli_runner import Runner

DANGEROUS = {"KOPIA_DANGEROUS_COMMANDS": "enabled"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "letter").write_text("Dear reader")
    return folder


@pytest.fixture
def runner(tmp_path: Path, source: Path) -> Runner:
    runner = Runner(tmp_path / "client", environment=DANGEROUS)
    runner.ok("repository", "create", "filesystem", "--flat", "--path", str(tmp_path / "repository"))
    runner.ok("snapshot", "create", str(source))
    return runner


def tear_newest_index(repository: Path) -> str:
    newest = max(repository.rglob("xn*"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:50])
    return newest.stem


def forget_cached_indexes(runner: Runner) -> None:
    runner.ok("cache", "clear")


def test_a_torn_index_blob_is_told_of_by_every_command_until_it_is_recovered(
    runner: Runner, tmp_path: Path, source: Path
) -> None:
    torn = tear_newest_index(tmp_path / "repository")
    forget_cached_indexes(runner)
    listed = runner.fails("snapshot", "list", "--json")
    assert listed.status == 40
    assert torn in listed.stderr
    assert "index recover" in listed.stderr
    refused = runner.fails("snapshot", "create", str(source))
    assert torn in refused.stderr
    verified = runner.fails("snapshot", "verify")
    assert torn in verified.stderr
    tried = runner("index", "recover")
    assert "not committed. Re-run with --commit" in tried.stderr
    assert f"would move damaged index blob aside: {torn}" in tried.stderr
    done = runner.ok("index", "recover", "--commit")
    assert f"moved damaged index blob aside: {torn} is damaged-{torn} now" in done.stderr
    assert "Recovered " in done.stderr
    assert len(runner.ok("snapshot", "list", "--json").json) == 1
    runner.ok("snapshot", "verify", "--verify-files-percent", "100")
    runner.ok("snapshot", "create", str(source))


def test_recovering_is_a_dangerous_command(runner: Runner) -> None:
    refused = runner.fails("index", "recover", KOPIA_DANGEROUS_COMMANDS="")
    assert "--dangerous-commands=enabled" in refused.stderr


def test_packs_without_any_index_are_told_of(runner: Runner, tmp_path: Path) -> None:
    for path in (tmp_path / "repository").rglob("xn*"):
        path.unlink()
    listed = runner.fails("snapshot", "list")
    assert listed.status == 45
    assert "index recover" in listed.stderr
    runner.ok("index", "recover", "--commit", "--parallel", "4")
    assert len(runner.ok("snapshot", "list", "--json").json) == 1


@pytest.mark.parametrize("lost", ["all", "first"])
def test_a_quick_maintenance_on_a_lost_index_fails_and_hides_nothing(
    runner: Runner, tmp_path: Path, source: Path, lost: str
) -> None:
    repository = tmp_path / "repository"
    flushed = list(repository.rglob("xn*"))
    (source / "new").write_text("new")
    runner.ok("snapshot", "create", str(source))
    for path in flushed if lost == "first" else repository.rglob("xn*"):
        path.unlink()
    for path in repository.rglob("*.f"):
        os.utime(path, (1_500_000_000, 1_500_000_000))  # old enough to be held against the index
    for command in (["maintenance", "run"], ["snapshot", "list"], ["snapshot", "expire", "--all", "--delete"]):
        refused = runner.fails(*command)
        assert refused.status == 45, command
        assert "index recover" in refused.stderr
    runner.ok("index", "recover", "--commit")
    assert len(runner.ok("snapshot", "list", "--json").json) == 2
    runner.ok("snapshot", "verify", "--verify-files-percent", "100")


@pytest.mark.parametrize("reference", ["SOURCE", "latest", "SOURCE@latest"])
def test_a_restore_of_the_newest_warns_where_a_newer_one_may_be_lost(
    runner: Runner, tmp_path: Path, source: Path, reference: str
) -> None:
    whole = runner.ok("restore", reference.replace("SOURCE", str(source)), str(tmp_path / "whole"))
    assert "newer snapshot" not in whole.stderr
    flushed = set((tmp_path / "repository").rglob("xn*"))
    (source / "letter").write_text("Dear writer")
    runner.ok("snapshot", "create", str(source))
    for path in set((tmp_path / "repository").rglob("xn*")) - flushed:
        path.unlink()
    restored = runner.ok("restore", reference.replace("SOURCE", str(source)), str(tmp_path / "older"))
    assert (tmp_path / "older" / "letter").read_text() == "Dear reader"
    assert "there may be a newer snapshot" in restored.stderr
    assert "index recover" in restored.stderr


def test_a_pack_that_cannot_be_read_is_named(runner: Runner, tmp_path: Path) -> None:
    pack = next((tmp_path / "repository").rglob("p*.f"))
    pack.write_bytes(pack.read_bytes()[:-1])
    assert pack.stem in runner.fails("index", "recover", "--commit").stderr
    assert f"not recovered: {pack.stem}" in runner.ok("index", "recover", "--commit", "--ignore-errors").stderr


def test_epochs_are_listed(runner: Runner) -> None:
    first, second = runner.ok("index", "epoch", "list").lines
    assert first == "Current Epoch: 0"
    assert second.startswith("0 ")
    assert " blobs, " in second
    assert ", span " in second


def test_a_repository_of_format_1_has_no_epochs(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "client")
    runner.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"), "--format-version", "1")
    assert "epoch manager is not active" in runner.fails("index", "epoch", "list").stderr


def test_a_deleted_content_is_brought_back(runner: Runner) -> None:
    content = runner.ok("content", "list").lines[0].split()[0]
    runner.fails("content", "delete", content, KOPIA_DANGEROUS_COMMANDS="")
    runner.ok("content", "delete", content)
    assert content in runner.ok("content", "list", "--deleted-only").stdout
    assert "brought back" in runner.ok("content", "undelete", content).stderr
    assert content in runner.ok("content", "list").stdout
    assert "is not deleted" in runner.ok("content", "undelete", content).stderr
    runner.ok("content", "verify", "--full")


def test_a_repository_is_copied_and_the_copy_brought_up_to_date(runner: Runner, tmp_path: Path, source: Path) -> None:
    copy = tmp_path / "copy"
    runner.fails("repository", "sync-to", "filesystem", "--path", str(copy))
    copy.mkdir()
    tried = runner.ok("repository", "sync-to", "--dry-run", "filesystem", "--path", str(copy))
    assert "BLOBs to copy" in tried.stderr
    assert not any(copy.rglob("*.f"))
    runner.ok("repository", "sync-to", "filesystem", "--path", str(copy), "--parallel", "3", "--times")
    (source / "more").write_text("more")
    runner.ok("snapshot", "create", str(source))
    runner.ok("repository", "sync-to", "filesystem", "--path", str(copy), "--delete", "--must-exist")
    other = Runner(tmp_path / "other", environment=DANGEROUS)
    other.ok("repository", "connect", "filesystem", "--path", str(copy))
    assert len(other.ok("snapshot", "list", "--json", "--all").json) == 2
    other.ok("snapshot", "verify", "--verify-files-percent", "100")


def test_unused_packs_are_found_and_deleted_when_that_is_asked_for(runner: Runner, tmp_path: Path) -> None:
    assert "No unreferenced blobs found." in runner.ok("blob", "gc", "--safety", "none").stderr
    pack = next((tmp_path / "repository").rglob("p*.f"))
    unused = pack.with_name("p" + "0" * 32 + "-s" + "1" * 19 + ".f")
    unused.write_bytes(b"nothing lists this")
    assert "Pass --delete=yes to delete." in runner.ok("blob", "gc", "--safety", "none").stderr
    runner.ok("blob", "gc", "--delete", "yes")
    assert unused.exists()  # it is too young
    runner.ok("blob", "gc", "--delete", "yes", "--safety", "none")
    assert not unused.exists()
    assert pack.exists()
    runner.ok("snapshot", "verify", "--verify-files-percent", "100")
    runner.fails("blob", "gc", KOPIA_DANGEROUS_COMMANDS="")


def test_contents_are_stored_again(runner: Runner) -> None:
    before = {each["contentID"]: each for each in runner.ok("content", "list", "--json").json}
    chosen = next(iter(before))
    assert "Would rewrite 1 contents" in runner.ok("content", "rewrite", chosen, "--safety", "none", "-n").stderr
    assert "too young" in runner.ok("content", "rewrite", chosen).stderr
    assert "Rewrote 1 contents" in runner.ok("content", "rewrite", chosen, "--safety", "none").stderr
    after = {each["contentID"]: each for each in runner.ok("content", "list", "--json").json}
    moved = [name for name in before if before[name]["packFile"] != after[name]["packFile"]]
    assert moved == [chosen]
    runner.ok("content", "rewrite", "--short", "--non-prefixed", "--safety", "none")
    runner.ok("content", "rewrite", "--format-version", "3", "--prefix", "k", "--safety", "none")
    runner.ok("snapshot", "verify", "--verify-files-percent", "100")


def test_the_index_of_format_1_is_put_together(tmp_path: Path, source: Path) -> None:
    runner = Runner(tmp_path / "client", environment=DANGEROUS)
    runner.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"), "--format-version", "1")
    for number in range(2):
        (source / f"more {number}").write_text(f"{number}")
        runner.ok("snapshot", "create", str(source))
    assert len(runner.ok("index", "list").lines) > 1
    runner.ok("index", "optimize", "--all")
    assert len(runner.ok("index", "list").lines) == 1
    runner.ok("snapshot", "verify", "--verify-files-percent", "100")


def test_in_epochs_no_single_content_is_dropped(runner: Runner) -> None:
    content = runner.ok("content", "list").lines[0]
    assert "--drop-contents" in runner.fails("index", "optimize", "--drop-contents", content).stderr
    runner.ok("index", "optimize", "--drop-deleted-older-than", "1h")
    runner.ok("snapshot", "verify")


def test_a_repository_is_upgraded_or_put_back(tmp_path: Path, source: Path) -> None:
    runner = Runner(tmp_path / "client", environment={"KOPIA_UPGRADE_LOCK_ENABLED": "1"})
    runner.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"), "--format-version", "1")
    runner.ok("snapshot", "create", str(source))
    owner = ("--upgrade-owner-id", "owner", "--allow-unsafe-upgrade", "--status-poll-interval", "1ms")
    times = ("--io-drain-timeout", "1ms", "--max-permitted-clock-drift", "1ms")
    assert "please set" in runner.fails("repository", "upgrade", "validate", KOPIA_UPGRADE_LOCK_ENABLED="").stderr
    assert (
        "15 minutes"
        in runner.fails(
            "repository", "upgrade", "begin", "--upgrade-owner-id", "owner", "--io-drain-timeout", "1m"
        ).stderr
    )
    runner.ok("repository", "upgrade", "begin", *owner, *times, "--commit-mode", "never")
    locked = runner.fails("repository", "status", "--upgrade-no-block")
    assert locked.status == 27
    status = runner.ok("repository", "status", "--upgrade-owner-id", "owner").stdout
    assert "Ongoing upgrade:     Upgrading from format version 1 -> 3" in status
    assert "--force" in runner.fails("repository", "upgrade", "rollback", "--upgrade-owner-id", "owner").stderr
    runner.ok("repository", "upgrade", "rollback", "--force", "--upgrade-owner-id", "owner")
    assert "Format version:      1" in runner.ok("repository", "status").stdout
    done = runner.ok("repository", "upgrade", "begin", *owner, *times)
    assert "index validation succeeded" in done.stderr
    assert "Repository has been successfully upgraded." in done.stderr
    assert "Format version:      3" in runner.ok("repository", "status").stdout
    assert "already upto date" in runner.ok("repository", "upgrade", "begin", *owner, *times).stderr
    runner.ok("snapshot", "create", str(source))
    runner.ok("snapshot", "verify", "--verify-files-percent", "100")


def test_a_lost_pack_is_healed_by_reading_the_source_again(runner: Runner, tmp_path: Path, source: Path) -> None:
    """The way that docs/repair.md tells."""
    next((tmp_path / "repository").rglob("p*.f")).unlink()
    found = runner.fails("content", "verify").stderr
    lost = [line.split()[1].rstrip(":") for line in found.splitlines() if line.startswith("content ")]
    assert lost
    runner.ok("content", "delete", *lost)
    runner.ok("snapshot", "create", str(source), "--force-hash", "100")
    runner.ok("snapshot", "verify", "--verify-files-percent", "100")
