from pathlib import Path

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "storage"), "--override-hostname=h",
           "--override-username=u")  # fmt: skip
    source = tmp_path / "source"
    (source / "docs").mkdir(parents=True)
    (source / "docs" / "report.txt").write_text("first")
    cli.ok("snapshot", "create", str(source))
    cli.ok("snapshot", "create", str(source))
    (source / "docs" / "report.txt").write_text("the second")
    cli.ok("snapshot", "create", str(source))
    return cli


def test_what_is_found_can_be_restored_as_it_is_named(client: Runner, tmp_path: Path) -> None:
    lines = client.ok("find", "*.TXT", "-i").lines
    assert lines[0] == f"u@h:{tmp_path}/source"
    assert len(lines) == 5
    assert lines[1].endswith("docs/report.txt")
    assert "in 2 snapshots, " in lines[2]
    references = [line.split()[-1] for line in (lines[2], lines[4])]
    for reference, text in zip(references, ("first", "the second"), strict=True):
        client.ok("restore", reference, str(tmp_path / "restored"))
        assert (tmp_path / "restored").read_text() == text
    assert [each["size"] for each in client.ok("find", "report.txt", "--type=f", "--json").json] == [5, 10]
    assert "Nothing found" in client.ok("find", "nothing").stderr
    assert client.ok("find", "report.txt", "other@h", "--json").json == []
    assert "pattern '[' can't be used" in client.fails("find", "[").stderr


def test_the_history_of_a_path_is_told(client: Runner, tmp_path: Path) -> None:
    path = str(tmp_path / "source" / "docs" / "report.txt")
    (tmp_path / "source" / "docs" / "report.txt").unlink()
    client.ok("snapshot", "create", str(tmp_path / "source"))
    lines = client.ok("history", path).lines
    assert lines[0] == f"u@h:{path}"
    assert len(lines) == 7
    assert lines[5].strip() == "not there"
    listed = client.ok("history", f"u@h:{path}", "--json").json
    assert [(each.get("size"), each["present"], each["snapshots"]) for each in listed] == [
        (5, True, 2),
        (10, True, 1),
        (None, False, 1),
    ]
    assert "in none of the snapshots" in client.fails("history", f"{path}x").stderr
    assert "no snapshot of u@h:/nowhere" in client.fails("history", "/nowhere").stderr
    assert "a path must be given" in client.fails("history", "u@h").stderr
