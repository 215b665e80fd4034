"""Commands that Kopia does not have: info, dump, tag, copy, rewrite, check; snapshots as people name them."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    """Return a client with three snapshots of one folder."""
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "deep.txt").write_text("deep\n" * 100)
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    for number in range(3):
        (source / "state.txt").write_text(f"state {number}\n")
        cli.ok("snapshot", "create", str(source), "--start-time", f"2026-08-0{number + 1} 12:00:00 UTC")
    return cli


def ids(client: Runner) -> list[str]:
    return [each["id"] for each in client.ok("snapshot", "list", "--json").json]


@pytest.mark.parametrize(
    ("reference", "state"),
    [
        ("latest", 2),
        ("latest~1", 1),
        ("latest~2", 0),
        ("{source}@latest", 2),
        ("{source}@latest~2", 0),
        ("{source}@2026-08-02", 1),
        ("2026-08-02 12:00:00 UTC", 1),
        ("2026-08-01", 0),
        ("{id0:.10}", 0),
        ("{root1:.12}", 1),
        ("{source}", 2),
    ],
)
def test_a_snapshot_is_found_by_each_of_its_names(client: Runner, tmp_path: Path, reference: str, state: int) -> None:
    listed = client.ok("snapshot", "list", "--json").json
    name = reference.format(source=tmp_path / "source", id0=listed[0]["id"], root1=listed[1]["rootEntry"]["obj"])
    result = client.ok("show", f"{name}/state.txt")
    assert result.stdout == f"state {state}\n"
    assert listed[state]["id"] in result.stderr


def test_a_whole_id_is_taken_without_a_word(client: Runner) -> None:
    assert client.ok("ls", ids(client)[0]).stderr == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ls", "latest~9"], "has 3 complete snapshots"),
        (["ls", "1234567890abcdef1234567890abcdef"], "no snapshot or object has the ID"),
        (["ls", "/no/such/path"], "no snapshot has"),
        (["ls", "1999-01-01"], "as old as '1999-01-01'"),
        (["snapshot", "delete", "/no/such/path", "--delete"], "is a path, and a snapshot is needed"),
        (["tag", "latest/folder", "--set=a:b"], "leave the path out"),
        (["tag", "latest"], "--set KEY:VALUE"),
        (["rewrite", "--all"], "--exclude PATTERN"),
        (["rewrite", "--exclude=x"], "--all"),
    ],
)
def test_what_names_nothing_is_told_with_what_helps(client: Runner, words: list[str], message: str) -> None:
    assert message in client.fails(*words).stderr


def test_an_id_with_a_slip_is_recognized(client: Runner) -> None:
    right = ids(client)[0]
    wrong = ("0" if right[5] != "0" else "1").join((right[:5], right[6:]))
    assert f"did you mean {right}?" in client.fails("ls", wrong).stderr


def test_a_source_with_a_slip_is_recognized(client: Runner, tmp_path: Path) -> None:
    result = client.fails("restore", str(tmp_path / "sorce"), str(tmp_path / "out"))
    assert f"{tmp_path}/source?" in result.stderr
    assert f"{tmp_path}/source?" in client.ok("snapshot", "list", str(tmp_path / "sorce")).stderr


def test_info_shows_size_and_new_data(client: Runner) -> None:
    found = client.ok("info", "latest", "--json").json
    assert (found["size"], found["files"], found["newFiles"], found["errorCount"]) == (508, 2, 1, 0)
    text = client.ok("info", "latest").stdout
    assert "508 B in 2 files and 2 folders" in text
    assert "Errors:       none" in text


def test_dump_gives_files_as_they_are_and_folders_as_archives(client: Runner, tmp_path: Path) -> None:
    assert client.ok("dump", "latest/state.txt").stdout == "state 2\n"
    with tarfile.open(fileobj=io.BytesIO(client.ok("dump", "latest~2").stdout_bytes)) as archive:
        found = archive.extractfile("state.txt")
        assert found is not None
        assert found.read() == b"state 0\n"
    client.ok("dump", "latest", "--format=tar.gz", "--output", str(tmp_path / "all.tgz"))
    with tarfile.open(tmp_path / "all.tgz") as archive:
        assert archive.getnames()
    assert "terminal" in client("dump", "latest", terminal=True).stderr


def test_a_tag_is_set_and_removed(client: Runner) -> None:
    client.ok("tag", "latest", "--set=team:red", "--set=use:archive")
    assert len(client.ok("snapshot", "list", "--tags=team:red", "--json").json) == 1
    client.ok("tag", "latest", "--remove=team")
    assert client.ok("snapshot", "list", "--tags=team:red", "--json").json == []
    assert len(client.ok("snapshot", "list", "--tags=use:archive", "--json").json) == 1


def test_a_single_snapshot_is_copied_to_another_repository(client: Runner, tmp_path: Path) -> None:
    other = Runner(tmp_path / "other")
    other.ok("repository", "create", "filesystem", "--path", str(tmp_path / "other-repository"))
    result = client.ok("copy", "latest~1", "--to-config", str(other.config), "--to-password", other.password)
    assert "Copied 1 snapshots" in result.stderr
    (copied,) = other.ok("snapshot", "list", "--all", "--json").json
    assert copied["startTime"] == "2026-08-02T12:00:00Z"
    assert other.ok("show", "latest/state.txt").stdout == "state 1\n"
    again = client.ok("copy", "latest~1", "--to-config", str(other.config), "--to-password", other.password)
    assert "1 were there already" in again.stderr


def test_rewrite_shows_its_plan_and_then_does_what_it_showed(client: Runner) -> None:
    before = ids(client)
    plan = client.ok("rewrite", "--all", "--exclude=/folder")
    assert plan.stdout == "  folder: removed\n" * 3
    assert "Would rewrite 3 of 3" in plan.stderr
    assert ids(client) == before
    done = client.ok("rewrite", "--all", "--exclude=/folder", "--commit")
    assert (done.stdout, "Rewrote 3 of 3" in done.stderr) == (plan.stdout, True)
    assert client.ok("ls", "latest~2").stdout == "state.txt\n"
    client.ok("snapshot", "verify")


def test_rewrite_goes_by_the_path_even_where_folders_are_equal(cli: Runner, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("a/same", "b/same"):
        (source / name).mkdir(parents=True)
        (source / name / "x").write_text("x")
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    cli.ok("snapshot", "create", str(source))
    cli.ok("rewrite", "latest", "--exclude=/a/same/x", "--commit")
    assert cli.ok("ls", "-r", "latest").lines == [
        "latest/a/",
        "latest/a/same/",
        "latest/b/",
        "latest/b/same/",
        "latest/b/same/x",
    ]


def test_check_passes_on_a_whole_repository_and_names_a_lost_pack(client: Runner, tmp_path: Path) -> None:
    assert "No errors found." in client.ok("check", "--read-data-percent=100").stderr
    packs = sorted(
        path for path in (tmp_path / "repository").rglob("*.f") if path.relative_to(tmp_path).parts[1] == "p"
    )
    packs[0].unlink()
    result = client.fails("check")
    assert "the check found" in result.stderr
    assert "content " in result.stderr
