"""`doctor`, and colors."""

from pathlib import Path

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    (tmp_path / "source").mkdir()
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    cli.ok("snapshot", "create", str(tmp_path / "source"))
    return cli


def levels(client: Runner, status: int = 0) -> dict[str, str]:
    result = client("doctor", "--json")
    assert result.status == status, result.stderr
    return {each["what"]: each["level"] for each in result.json}


def test_a_healthy_client_is_healthy(client: Runner, tmp_path: Path) -> None:
    before = sorted(path.name for path in (tmp_path / "repository").rglob("*.f"))
    found = levels(client)
    assert {"client", "permissions", "repository", "storage", "clock", "cache", "index", "snapshots"} <= set(found)
    assert "error" not in found.values()
    assert sorted(path.name for path in (tmp_path / "repository").rglob("*.f")) == before


def test_a_machine_without_a_connection_is_told_what_to_do(cli: Runner) -> None:
    result = cli.fails("doctor")
    assert "`pykopia repository connect`" in result.stdout


def test_a_file_that_others_may_read_is_an_error(client: Runner) -> None:
    client.config.chmod(0o644)
    assert "chmod 600" in client.fails("doctor").stdout


def test_a_lost_index_is_an_error(client: Runner, tmp_path: Path) -> None:
    for path in (tmp_path / "repository").rglob("*.f"):
        if "".join(path.relative_to(tmp_path / "repository").parts).startswith("x"):
            path.unlink()
    assert levels(client, status=1)["index"] == "error"


def test_a_storage_that_is_gone_is_an_error(client: Runner, tmp_path: Path) -> None:
    (tmp_path / "repository").rename(tmp_path / "moved")
    assert "it can't be opened" in client.fails("doctor").stdout


def test_errors_are_red_on_a_terminal_alone(client: Runner) -> None:
    red = "\x1b[91m"
    assert red in client("ls", "nonsense", terminal=True, TERM="xterm").stderr
    assert red not in client("ls", "nonsense", terminal=True, TERM="xterm", NO_COLOR="1").stderr
    assert red not in client("ls", "nonsense", terminal=True, TERM="dumb").stderr
    assert red not in client("--disable-color", "ls", "nonsense", terminal=True, TERM="xterm").stderr
    assert red not in client("ls", "nonsense").stderr
    assert red in client("--force-color", "ls", "nonsense").stderr
    assert "\x1b[92mok" in client("doctor", terminal=True, TERM="xterm").stdout
