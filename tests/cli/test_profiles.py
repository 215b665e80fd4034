"""Profiles: flags and variables by name."""

from pathlib import Path

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    (tmp_path / "source").mkdir()
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    cli.environment["PYKOPIA_PROFILES"] = str(tmp_path / "profiles.toml")
    (tmp_path / "profiles.toml").write_text(
        """
        [offsite]
        log-level = "debug"
        [offsite.environment]
        KOPIA_PASSWORD = "from the profile"
        [offsite.flags."snapshot create"]
        tags = ["where:offsite", "kind:daily"]
        description = "by profile"
        fail-fast = true
        [wrong.flags."snapshot create"]
        no-such-flag = 1
        [bad]
        log-level = "loud"
        """
    )
    return cli


def test_a_profile_gives_flags_that_the_line_does_not(client: Runner, tmp_path: Path) -> None:
    client.environment["KOPIA_PASSWORD"] = client.password
    result = client(
        "-P", "offsite", "snapshot", "create", str(tmp_path / "source"), "--password", client.password, "--json"
    )
    assert result.status == 0, result.stderr
    assert result.json["tags"] == {"tag:where": "offsite", "tag:kind": "daily"}
    assert result.json["description"] == "by profile"
    assert "DEBUG" in result.stderr
    result = client.ok(
        "snapshot", "create", str(tmp_path / "source"), "--profile=offsite", "--description=by hand",
        "--password", client.password, "--json",
    )  # fmt: skip
    assert result.json["description"] == "by hand"


def test_variables_of_a_profile_win_over_those_of_the_environment(client: Runner) -> None:
    assert client("-P", "offsite", "snapshot", "list").status == 24


def test_a_variable_names_the_profile(client: Runner) -> None:
    assert client("snapshot", "list", PYKOPIA_PROFILE="offsite").status == 24


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "there is no profile 'none'"),
        ("wrong", "sets --no-such-flag, which is no flag for `pykopia snapshot create`"),
        ("bad", "--log-level must be one of"),
    ],
)
def test_a_profile_that_cant_be_used_is_told(client: Runner, tmp_path: Path, name: str, message: str) -> None:
    assert message in client.fails("-P", name, "snapshot", "create", str(tmp_path / "source")).stderr


def test_a_file_that_cant_be_read_is_told(client: Runner, tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text("[broken")
    assert "is not TOML" in client.fails("-P", "x", "snapshot", "list").stderr
    (tmp_path / "profiles.toml").unlink()
    assert "there is no " in client.fails("-P", "x", "snapshot", "list").stderr
