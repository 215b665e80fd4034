from pathlib import Path

import pytest

from tests.cli_runner import Runner


@pytest.mark.parametrize(
    ("connect", "create", "runs"),
    [
        ([], [], False),
        (["--enable-actions"], [], True),
        (["--no-enable-actions"], ["--force-enable-actions"], True),
        (["--enable-actions"], ["--force-disable-actions"], False),
    ],
)
def test_the_client_and_then_the_snapshot_decide_whether_actions_run(
    cli: Runner, tmp_path: Path, connect: list[str], create: list[str], *, runs: bool
) -> None:
    source, told = tmp_path / "source", tmp_path / "environment"
    source.mkdir()
    cli.ok("repository", "create", "filesystem", f"--path={tmp_path / 'storage'}", *connect)
    command = f'/bin/sh -c "env > {told}; echo from the action"'
    flags = ("--before-snapshot-root-action", command, "--action-command-timeout=1500ms")
    cli.ok("policy", "set", str(source), *flags)
    result = cli.ok("snapshot", "create", str(source), *create, MINE="handed on")
    assert told.exists() == runs
    assert ("from the action" in result.stderr) == runs
    if runs:
        environment = told.read_text().splitlines()
        assert "MINE=handed on" in environment
        assert cli.password not in told.read_text()
    (policy,) = [each for each in cli.ok("policy", "list", "--json").json if each["target"]["path"]]
    assert policy["actions"]["beforeSnapshotRoot"]["timeout"] == 2


def test_a_failing_action_fails_the_command_and_is_named(cli: Runner, tmp_path: Path) -> None:
    cli.ok("repository", "create", "filesystem", f"--path={tmp_path / 'storage'}", "--enable-actions")
    cli.ok("policy", "set", str(tmp_path), "--before-snapshot-root-action", "/bin/false")
    result = cli.fails("snapshot", "create", str(tmp_path))
    assert f"the before-snapshot-root action of {tmp_path} failed: exit status 1" in result.stderr
