"""Repositories of real Kopia through the command line: the JSON is what Kopia's own commands print of them."""

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli_runner import Runner

GOLDEN = Path(__file__).parents[1] / "golden"
USABLE = sorted(path.stem for path in GOLDEN.glob("*.json") if not path.stem.startswith("damaged-"))
REFUSED = {
    "damaged-format-flip": "password",
    "damaged-format-garbage": "kopia.repository",
    "damaged-format-missing-v1": "no repository",
    "damaged-required-feature": "feature",
    "damaged-upgrade-lock": "upgraded",
    "damaged-wrong-password": "password",
}


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_bytes())
    return found


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack a repository once for all tests, which must not write to it."""
    places: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in places:
            folder = tmp_path_factory.mktemp(name)
            with tarfile.open(GOLDEN / f"{name}.tar.gz") as archive:
                archive.extractall(folder, filter="fully_trusted")
            for blob in expected(name)["blobs"]:  # tarfile rounds times
                os.utime(folder / "repo" / blob["file"], ns=(blob["mtime_ns"],) * 2)
            places[name] = folder / "repo"
        return places[name]

    return unpack


def connect(cli: Runner, repository: Path, facts: dict[str, Any]) -> None:
    flags = [f"--override-username={facts['user']}", f"--override-hostname={facts['host']}", "--readonly"]
    cli.password = facts["password"]
    cli.ok("repository", "connect", "filesystem", "--path", str(repository), *flags, *facts["connect_flags"])


@pytest.mark.parametrize("name", USABLE)
def test_what_kopia_lists_is_listed(name: str, cli: Runner, unpacked: Callable[[str], Path]) -> None:
    facts = expected(name)
    connect(cli, unpacked(name), facts)

    snapshots = {each["id"]: each for each in cli.ok("snapshot", "list", "--all", "--json").json}
    assert snapshots.keys() == {each["id"] for each in facts["snapshots"]}
    for each in facts["snapshots"]:
        shown = snapshots[each["id"]]
        assert shown.pop("retentionReason", []) == each["retention"]
        assert shown == {**each["manifest"], "id": each["id"]}

    policies = cli.ok("policy", "list", "--json").json
    assert sorted(policies, key=lambda each: str(each["id"])) == sorted(
        facts["policies"], key=lambda each: str(each["id"])
    )
    for each in facts["effective_policies"]:
        assert cli.ok("policy", "show", each["target"], "--json").json == each["policy"]

    manifests = {each["id"]: each for each in cli.ok("manifest", "list", "--json").json}
    for each in facts["manifests"]:
        data = each.pop("data", None)
        assert manifests.pop(each["id"]) == each
        if data is not None:
            shown_text = cli.ok("manifest", "show", each["id"]).stdout
            assert json.loads(shown_text[shown_text.index("\n{") :]) == data
    assert manifests == {}


@pytest.mark.parametrize("name", USABLE)
def test_contents_and_blobs_are_those_of_kopia(name: str, cli: Runner, unpacked: Callable[[str], Path]) -> None:
    facts = expected(name)
    connect(cli, unpacked(name), facts)

    contents = {each["contentID"]: each for each in cli.ok("content", "list", "--deleted", "--json").json}
    for each in facts["contents"]:
        shown = contents.pop(each["id"])
        assert shown["originalLength"] == each["original_length"]
        assert (shown["packFile"], shown["packOffset"], shown["length"]) == (
            each["pack"],
            each["offset"],
            each["packed_length"],
        )
        assert (shown.get("compression", 0), shown["time"], shown["deleted"], shown["formatVersion"]) == (
            each["compression"],
            each["time"],
            each["deleted"],
            each["format_version"],
        )
    assert contents == {}

    blobs = {each["id"]: each["length"] for each in cli.ok("blob", "list", "--json").json}
    assert blobs == {each["id"]: each["length"] for each in facts["blobs"]}

    active = {each["id"]: each for each in cli.ok("index", "list", "--json").json}
    assert active.keys() == {each["id"] for each in facts["index_blobs"] if each["active"]}
    every = {each["id"]: each for each in cli.ok("index", "list", "--superseded", "--json").json}
    for each in facts["index_blobs"]:
        if each["id"] in every:  # after an upgrade those of the old kind are not looked at any more
            shown = every[each["id"]]
            assert (shown["length"], shown["timestamp"]) == (each["length"], each["timestamp"])


@pytest.mark.parametrize("name", USABLE)
def test_the_status_is_that_of_kopia(name: str, cli: Runner, unpacked: Callable[[str], Path]) -> None:
    facts = expected(name)
    connect(cli, unpacked(name), facts)
    status = cli.ok("repository", "status", "--json").json
    assert status["uniqueIDHex"] == facts["repository"]["unique_id"]
    assert status["contentFormat"] == facts["repository"]["content_format"]
    assert status["objectFormat"] == facts["repository"]["object_format"]
    text = cli.ok("repository", "status").stdout
    assert f"Format version:      {status['contentFormat']['version']}\n" in text
    assert "Read-only:           true\n" in text


@pytest.mark.parametrize("name", USABLE)
def test_all_snapshots_verify_as_kopia_verifies_them(name: str, cli: Runner, unpacked: Callable[[str], Path]) -> None:
    facts = expected(name)
    connect(cli, unpacked(name), facts)
    result = cli("snapshot", "verify", "--verify-files-percent=100", "--json")
    assert (result.status != 0) == (facts["verify"]["snapshot_verify_exit_code"] != 0)
    assert result.json["errorCount"] == 0 or result.status != 0


@pytest.mark.parametrize("name", REFUSED)
def test_what_cant_be_opened_is_told_in_one_line(name: str, cli: Runner, unpacked: Callable[[str], Path]) -> None:
    facts = expected(name)
    cli.password = "another one" if name == "damaged-wrong-password" else facts["password"]
    result = cli.fails("repository", "connect", "filesystem", "--path", str(unpacked(name)))
    assert REFUSED[name] in result.stderr
    assert result.stderr.count("\n") == 1
    assert cli.password not in result.stderr
    assert not cli.config.exists()


def test_listing_shows_a_folder_of_a_snapshot(cli: Runner, unpacked: Callable[[str], Path]) -> None:
    facts = expected("default")
    connect(cli, unpacked("default"), facts)
    root = facts["snapshots"][-1]["root"]
    names = cli.ok("ls", root).lines
    assert [line[:1] in "dL-ugt" for line in cli.ok("ls", "-l", root).lines] == [True] * len(names)
    assert len(cli.ok("ls", "-r", root).lines) > len(names)
    assert all(line.startswith(f"{root}/") for line in cli.ok("ls", "-r", root).lines)


def test_the_table_of_snapshots_has_kopias_words(cli: Runner, unpacked: Callable[[str], Path]) -> None:
    facts = expected("retention")
    connect(cli, unpacked("retention"), facts)
    lines = cli.ok("snapshot", "list", "-l", "--manifest-id").lines
    assert lines[0] == facts["snapshots"][0]["source"]
    for line, each in zip(lines[1:], facts["snapshots"], strict=True):
        words = line.split()
        assert words[2:4] == ["UTC", each["root"]]
        assert f"manifest:{each['id']}" in words
        assert f"files:{each['summary']['files']}" in words
        reasons = f"({','.join(each['retention'])})" if each["retention"] else None
        assert reasons is None or reasons in words
