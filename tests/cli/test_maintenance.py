"""`maintenance run`, `info`, `set`, and the maintenance that runs after other commands."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli_runner import Runner

HOUR = 3600 * 10**9


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "letter").write_text("Dear reader")
    return folder


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    runner = Runner(tmp_path / "client")
    runner.ok("repository", "create", "filesystem", "--flat", "--path", str(tmp_path / "repository"))
    return runner


def info(runner: Runner, *words: str) -> Any:  # noqa: ANN401 -- JSON
    return runner.ok("maintenance", "info", "--json", *words).json


def test_a_new_repository_is_owned_by_its_maker(runner: Runner) -> None:
    found = info(runner, "--json-verbose")
    assert found["owner"] == found["client"]
    assert list(info(runner)) == [
        "owner",
        "quick",
        "full",
        "logRetention",
        "extendObjectLocks",
        "listParallelism",
        "schedule",
    ]
    text = runner.ok("maintenance", "info").stdout
    assert f"Owner: {found['owner']}" in text
    assert "next run: now" in text
    assert "Last Success: never" in text


def test_the_first_snapshot_runs_full_maintenance_and_the_next_one_none(runner: Runner, source: Path) -> None:
    assert "Finished full maintenance" in runner.ok("snapshot", "create", str(source)).stderr
    # everything is too young to be garbage: it was not looked for, and that is no success
    assert "snapshot-gc" not in info(runner)["schedule"]["runs"]
    assert "maintenance" not in runner.ok("snapshot", "create", str(source)).stderr
    runner.ok("maintenance", "set", "--pause-full", "0s")
    deleted = runner.ok("snapshot", "delete", "--all-snapshots-for-source", str(source), "--delete")
    assert "Finished full maintenance" in deleted.stderr


def test_automatic_maintenance_can_be_switched_off(runner: Runner, source: Path) -> None:
    runner.ok("snapshot", "create", str(source), "--no-auto-maintenance")
    assert info(runner)["schedule"]["runs"] is None


def test_a_client_that_is_not_the_owner_is_told_and_takes_over_with_one_flag(runner: Runner, source: Path) -> None:
    runner.ok("maintenance", "set", "--owner=bob@den")
    assert "maintenance" not in runner.ok("snapshot", "create", str(source)).stderr
    refused = runner.fails("maintenance", "run", "--full")
    assert refused.status == 71
    assert "bob@den" in refused.stderr
    assert "maintenance set --owner=me" in refused.stderr
    runner.ok("maintenance", "run", "--force")
    runner.ok("maintenance", "set", "--owner=me")
    told = runner.ok("maintenance", "run", "--full").stderr
    assert "Maintenance is owned by" in told
    assert "Finished full maintenance" in told


def test_a_run_tells_what_is_held_back_and_why(runner: Runner, source: Path) -> None:
    (source / "big").write_bytes(b"".join(bytes([n % 251]) * (1 + n) for n in range(2000)))
    runner.ok("snapshot", "create", str(source))
    runner.ok("snapshot", "delete", "--all-snapshots-for-source", str(source), "--delete")
    result = runner.ok("maintenance", "run", "--full", "--json").json
    assert result["mode"] == "full"
    assert result["ledger"]["held"][0]["rule"] == "content-age"
    told = runner.ok("maintenance", "run", "--full").stderr
    assert "Not free yet" in told
    assert "can go from" in told
    assert "Left out full-drop-deleted-content" in told


def test_parameters_are_set_and_shown(runner: Runner) -> None:
    runner.ok(
        *("maintenance", "set", "--enable-quick=false", "--full-interval=48h", "--max-retained-log-count=7"),
        *("--max-retained-log-age=3h", "--max-retained-log-size-mb=2", "--list-parallelism=33"),
    )
    found = info(runner)
    assert found["quick"] == {"enabled": False, "interval": HOUR}
    assert found["full"] == {"enabled": True, "interval": 48 * HOUR}
    assert found["logRetention"] == {"maxTotalSize": 2 << 20, "maxCount": 7, "maxAge": 3 * HOUR}
    assert found["listParallelism"] == 33
    assert "List parallelism: 33" in runner.ok("maintenance", "info").stdout
    assert "no changes" in runner.fails("maintenance", "set").stderr


def test_what_can_be_freed_is_shown_without_changing_anything(runner: Runner, source: Path, tmp_path: Path) -> None:
    runner.ok("snapshot", "create", str(source), "--no-auto-maintenance")
    runner.ok("snapshot", "delete", "--all-snapshots-for-source", str(source), "--delete", "--no-auto-maintenance")
    before = sorted(path.name for path in (tmp_path / "repository").iterdir())
    shown = runner.ok("maintenance", "info", "--reclaimable").stderr
    assert "Not free yet" in shown
    assert "24 hours" in shown
    assert sorted(path.name for path in (tmp_path / "repository").iterdir()) == before


def test_changes_are_told_in_words(runner: Runner) -> None:
    told = runner.ok("maintenance", "set", "--quick-interval=2h", "--enable-full=false").stderr
    assert "Quick maintenance: every 2h0m0s (before: every 1h0m0s)." in told
    assert "Full maintenance: off (before: every 24h0m0s)." in told
    assert "{" not in told


@pytest.mark.parametrize("flag", ["--quick-interval=-1h", "--full-interval=0", "--pause-full=-1s"])
def test_an_interval_that_is_none_is_refused(runner: Runner, flag: str) -> None:
    before = info(runner)
    assert "it must be" in runner.fails("maintenance", "set", flag).stderr
    assert info(runner) == before
