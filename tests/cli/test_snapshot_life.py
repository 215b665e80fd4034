"""`snapshot expire`, `snapshot pin`, `snapshot copy-history` and `move-history`."""

from pathlib import Path

import pytest

from tests.cli_runner import Runner

KEEP_TWO = ("--keep-latest=2", *(f"--keep-{kind}=0" for kind in ("hourly", "daily", "weekly", "monthly", "annual")))
KEEP_ALL = tuple(flag.replace("=2", "=9") for flag in KEEP_TWO)


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "storage"), "--override-hostname=h",
           "--override-username=u")  # fmt: skip
    cli.ok("policy", "set", "--global", *KEEP_ALL)
    return cli


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def ids(client: Runner, *words: str) -> list[str]:
    return [each["id"] for each in client.ok("snapshot", "list", "--all", "--json", *words).json]


def sources(client: Runner) -> list[str]:
    listed = client.ok("snapshot", "list", "--all", "--json").json
    return sorted("{userName}@{host}:{path}".format(**each["source"]) for each in listed)


def fill(client: Runner, source: Path, count: int, *words: str) -> None:
    for number in range(count):
        (source / "file").write_text(str(number))
        client.ok("snapshot", "create", str(source), *words)


def test_expiring_deletes_what_the_policy_does_not_keep(client: Runner, source: Path) -> None:
    fill(client, source, 4)
    fill(client, source, 3, "--override-source=other@h:/o")
    before = ids(client)
    client.ok("policy", "set", "--global", *KEEP_TWO)
    told = client.ok("snapshot", "expire", str(source))
    assert "2 snapshot(s) of u@h:" in told.stderr
    assert "Pass --delete to do it" in told.stderr
    assert ids(client) == before
    assert "Nothing to do" in client.ok("snapshot", "expire").stderr
    told = client.ok("snapshot", "expire", "--delete", str(source), str(source))
    assert told.stderr.count("Deleted 2 snapshots of u@h:") == 1
    assert len(ids(client)) == 5
    told = client.ok("snapshot", "expire", "--all", "--delete")
    assert f"Nothing to delete for u@h:{source}" in told.stderr
    assert "Deleted 1 snapshots of other@h:/o" in told.stderr
    assert set(ids(client)) < set(before)
    assert len(ids(client)) == 4


def test_a_user_and_a_host_stand_for_all_their_sources(client: Runner, source: Path) -> None:
    for name in ("/a", "/b"):
        fill(client, source, 3, f"--override-source=other@h:{name}")
    client.ok("policy", "set", "other@h:/b", *KEEP_TWO)
    assert "Deleted 1 snapshots of other@h..." in client.ok("snapshot", "expire", "--delete", "other@h").stderr
    assert len(ids(client)) == 5


def test_pins_are_added_and_removed_and_keep_a_snapshot(client: Runner, source: Path) -> None:
    fill(client, source, 1, "--pin=b", "--pin=a")
    (first,) = ids(client)
    assert "must specify" in client.fails("snapshot", "pin", first).stderr
    client.ok("snapshot", "pin", first, "--add=c", "--remove=b", "--remove=never-there")
    (now,) = client.ok("snapshot", "list", "--json").json
    assert (now["pins"], now["id"] != first) == (["a", "c"], True)
    assert "No change" in client.ok("snapshot", "pin", now["id"], "--add=a").stderr
    client.ok("snapshot", "pin", now["rootEntry"]["obj"], "--add=z")
    (now,) = client.ok("snapshot", "list", "--json").json
    assert now["pins"] == ["a", "c", "z"]
    client.ok("policy", "set", "--global", *KEEP_TWO)
    fill(client, source, 3)
    assert now["id"] in ids(client)
    client.ok("snapshot", "pin", now["id"], *(f"--remove={pin}" for pin in now["pins"]))
    client.ok("snapshot", "expire", "--all", "--delete")
    assert len(ids(client)) == 2
    assert "no snapshot" in client.fails("snapshot", "pin", "0" * 32, "--add=a").stderr


def test_history_is_copied_and_moved(client: Runner, source: Path) -> None:
    for name in ("u1@h1:/a", "u1@h1:/b", "u2@h1:/a"):
        fill(client, source, 2, f"--override-source={name}", "--tags=k:v", "--pin=p", "--description=d")
    start = sources(client)
    told = client.ok("snapshot", "copy-history", "@h1", "@h2", "-n")
    assert told.stderr.count("copying (dry run)") == 6
    assert sources(client) == start
    client.ok("snapshot", "copy-history", "@h1", "@h2")
    assert sources(client) == sorted(start + [name.replace("@h1", "@h2") for name in start])
    told = client.ok("snapshot", "copy-history", "@h1", "@h2")
    assert told.stderr.count("already exists") == 6
    client.ok("snapshot", "move-history", "u1@h1:/a", "u3@h3:/z")
    assert [name for name in sources(client) if "@h2" not in name] == [
        "u1@h1:/b", "u1@h1:/b", "u2@h1:/a", "u2@h1:/a", "u3@h3:/z", "u3@h3:/z",
    ]  # fmt: skip
    told = client.ok("snapshot", "move-history", "@h1", "@h2")
    assert told.stderr.count("already exists - deleting source") == 4
    assert not any("@h1" in name for name in sources(client))
    client.ok("snapshot", "move-history", "u3@h3")
    listed = [each for each in client.ok("snapshot", "list", "--json").json if each["source"]["path"] == "/z"]
    assert [(each["tags"], each["pins"], each["description"]) for each in listed] == [({"tag:k": "v"}, ["p"], "d")] * 2
    assert "nothing to do" in client.ok("snapshot", "move-history", "u@h").stderr


@pytest.mark.parametrize("words", [["@h1", "u@h2"], ["u@h1", "u@h2:/p"], ["@h1", "u@h2:/p"], ["u@h", "x@"]])
def test_histories_of_several_are_never_made_one(client: Runner, words: list[str]) -> None:
    for command in ("copy-history", "move-history"):
        assert client.fails("snapshot", command, *words).stderr


def test_keep_within_keeps_what_is_young_in_the_preview_and_in_the_act(client: Runner, source: Path) -> None:
    for day in (1, 20, 28, 29, 30):
        (source / "file").write_text(str(day))
        client.ok("snapshot", "create", str(source), "--start-time", f"2026-06-{day:02d} 12:00:00 UTC")
    oldest, second, third, *_ = ids(client)
    client.ok("policy", "set", "--global", *KEEP_TWO)
    assert "3 snapshot(s)" in client.ok("snapshot", "expire", str(source)).stderr
    told = client.ok("snapshot", "expire", str(source), "--keep-within=10d").stderr  # 20 June is just within
    assert "1 snapshot(s)" in told
    assert f"{oldest}\n" in told
    for kept in (second, third):
        assert f"{kept} is kept by --keep-within alone" in told
    client.ok("snapshot", "expire", str(source), "--keep-within=10d", "--delete")
    assert oldest not in ids(client)
    assert len(ids(client)) == 4
    client.ok("snapshot", "expire", str(source), "--keep-within=2w", "--delete")
    assert len(ids(client)) == 4
    client.ok("snapshot", "expire", str(source), "--keep-within=48h", "--delete")
    assert len(ids(client)) == 3


@pytest.mark.parametrize("wrong", ["-3d", "0d", "10", "d", "1.5d", "tomorrow"])
def test_a_keep_within_that_is_no_time_is_refused(client: Runner, source: Path, wrong: str) -> None:
    assert "--keep-within" in client.fails("snapshot", "expire", str(source), f"--keep-within={wrong}").stderr
