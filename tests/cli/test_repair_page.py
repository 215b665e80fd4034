"""docs/repair.md, typed: each row of its tables is tried on a repository with that damage, by its own commands."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli_runner import Result, Runner

PAGE = Path(__file__).parents[2] / "docs" / "repair.md"
COMMAND = re.compile(r"(⚠ )?`pykopia ([^`]+)`")


@dataclass(frozen=True)
class Row:
    """One line of a table, or a block of commands with the text that it is for."""

    seen: str
    commands: tuple[tuple[bool, str], ...]
    """Whether a command is marked as dangerous, and its words."""


def rows() -> Iterator[Row]:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|") and not line.startswith(("| You see", "|---")):
            seen, typed, _ = (cell.strip() for cell in line.strip("|").split(" | "))
            yield Row(seen, tuple((bool(mark), words) for mark, words in COMMAND.findall(typed)))


def block(heading: str) -> Row:
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = section.split("```sh\n")[1].split("```")[0].splitlines()
    commands = (line.partition("#")[0].strip().removeprefix("pykopia ") for line in lines)
    return Row(section.split("`")[1], tuple((False, words) for words in commands))


@dataclass
class Scene:
    """A repository with two snapshots of a folder, and what the page's placeholders stand for."""

    folder: Path
    version: str = "3"
    values: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = self.folder / "source"
        (self.source / "deep").mkdir(parents=True)
        self.runner = Runner(self.folder / "client")
        self.repository = self.folder / "repository"
        self.values = {"SOURCE": [str(self.source)], "path=…": [f"path={self.repository}"], "NAME": ["unwanted"]}
        create = ("repository", "create", "filesystem", "--flat", "--path", str(self.repository))
        self.runner.ok(*create, "--format-version", self.version)
        for number in range(2):
            (self.source / "deep" / f"file {number}").write_text(f"text {number}")
            self.runner.ok("snapshot", "create", str(self.source))

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.repository.glob(pattern), key=lambda path: path.stat().st_mtime_ns)

    def forget_cache(self) -> None:
        self.runner.ok("cache", "clear")

    def type(self, row: Row, *, after: Callable[[Result], None] = lambda _: None, last: int | None = 0) -> None:
        """Type the commands of a row; all but the last may end with any status, as a dry run or a look does."""
        assert row.commands
        for number, (dangerous, words) in enumerate(row.commands):
            for typed in self._filled(shlex.split(words)):
                result = self.runner(*typed, KOPIA_DANGEROUS_COMMANDS="enabled" if dangerous else "")
                assert "internal error" not in result.stderr
                after(result)
                if number == len(row.commands) - 1 and last is not None:
                    assert result.status == last, result.stderr

    def _filled(self, words: list[str]) -> Iterator[list[str]]:
        """Yield the words with values for placeholders; once for each ID."""
        for value in self.values.get("ID", [""]) if "ID" in words else [""]:
            typed = [value if word == "ID" else word for word in words]
            for name, values in self.values.items():
                if name != "ID":
                    typed = [word.replace(name, values[0]) for word in typed]
            yield typed

    def sound(self, snapshots: int) -> None:
        """Everything can be verified by reading it, and the newest snapshot holds what the source does."""
        self.runner.ok("snapshot", "verify", "--verify-files-percent=100")
        assert len(self.runner.ok("snapshot", "list", "--json").json) == snapshots


def told(scene: Scene, row: Row, *words: str) -> None:
    """A command shows what the row says that one sees."""
    text = " ".join(scene.runner.fails(*words).stderr.split())
    expected = [re.escape(each).replace("…", ".*?") for each in re.findall("`([^`]+)`", row.seen)]
    assert any(re.search(each, text) for each in expected), (row.seen, text)


def wrong_password(scene: Scene, row: Row) -> None:
    right, scene.runner.password = scene.runner.password, "wrong"
    told(scene, row, "snapshot", "list")
    scene.runner.password = right
    scene.sound(2)


def lost_format_block(scene: Scene, row: Row) -> None:
    (scene.repository / "kopia.repository.f").unlink()
    told(scene, row, "snapshot", "list")
    scene.type(row)
    scene.sound(2)


def upgrade_under_way(scene: Scene, row: Row) -> None:
    enabled = {"KOPIA_UPGRADE_LOCK_ENABLED": "1"}
    scene.runner.environment |= enabled
    times = ("--io-drain-timeout=1ms", "--max-permitted-clock-drift=1ms", "--allow-unsafe-upgrade")
    begin = ("repository", "upgrade", "begin", "--upgrade-owner-id=OWNER", "--status-poll-interval=1ms", *times)
    scene.runner.ok(*begin, "--commit-mode=never")
    told(scene, row, "snapshot", "list", "--upgrade-no-block")
    scene.type(row)
    scene.sound(2)


def content_not_in_the_index(scene: Scene, row: Row) -> None:
    scene.files("xn*.f")[-2].unlink()  # that of the first snapshot, which the second one shares files with
    scene.forget_cache()
    told(scene, row, "snapshot", "verify")
    scene.type(row)
    scene.sound(2)


def lost_pack(scene: Scene, row: Row) -> None:
    for pack in scene.files("p*.f"):
        pack.unlink()
    scene.forget_cache()
    told(scene, row, "snapshot", "verify")
    scene.type(row, last=None)
    scene.sound(3)


def damaged_content(scene: Scene, row: Row) -> None:
    for pack in scene.files("p*.f"):
        data = bytearray(pack.read_bytes())
        for position in range(60):
            data[position] ^= 1
        pack.write_bytes(data)
    scene.forget_cache()
    told(scene, row, "snapshot", "verify", "--verify-files-percent=100")
    scene.type(row, last=None)
    scene.sound(3)


def lost_manifests(scene: Scene, row: Row) -> None:
    scene.files("q*.f")[-1].unlink()
    scene.forget_cache()
    told(scene, row, "snapshot", "list")

    def remember(result: Result) -> None:
        scene.values.setdefault("ID", sorted(set(re.findall(r"\bm[0-9a-f]{32}\b", result.stderr))))

    scene.type(row, after=remember)
    assert scene.values["ID"]
    scene.sound(1)


def data_is_gone(scene: Scene, row: Row) -> None:
    scene.files("p*.f")[-1].unlink()
    scene.forget_cache()
    scene.runner.fails("snapshot", "verify")
    scene.type(row)
    scene.sound(2)
    assert ".INVALID." in scene.runner.ok("ls", "-r", "latest").stdout


def unwanted_files(scene: Scene, row: Row) -> None:
    (scene.source / "unwanted").write_text("secret")
    scene.runner.ok("snapshot", "create", str(scene.source))
    assert "unwanted" in scene.runner.ok("ls", "latest").stdout
    scene.type(row)
    assert "unwanted" not in scene.runner.ok("ls", "latest").stdout
    scene.sound(3)


def deleted_content(scene: Scene, row: Row) -> None:
    content = scene.runner.ok("content", "list").lines[0].split()[0]
    scene.runner.ok("content", "delete", content, KOPIA_DANGEROUS_COMMANDS="enabled")
    scene.values["ID"] = [content]
    scene.type(row)
    assert content in scene.runner.ok("content", "list").stdout
    scene.sound(2)


SCENES: dict[str, tuple[Callable[[Scene, Row], None], str]] = {
    "can't open the repository: the password": (wrong_password, "3"),
    "there is no repository in": (lost_format_block, "1"),
    "the repository is being upgraded": (upgrade_under_way, "1"),
    "is not in the repository's index": (content_not_in_the_index, "3"),
    "is missing`, `pack": (lost_pack, "3"),
    "`content … is damaged`": (damaged_content, "3"),
    "contents with manifests": (lost_manifests, "3"),
    "nothing helps": (data_is_gone, "3"),
    "files that must not be": (unwanted_files, "3"),
    "a content was deleted": (deleted_content, "3"),
}
ELSEWHERE = {"kopia.blobcfg can't be read": "tests/repository/test_changes_of_the_format.py"}
"""Rows whose damage needs a change that is cut off in the middle, which those tests make."""


def scene_of(row: Row) -> str | None:
    found = [text for text in SCENES if text in row.seen]
    assert len(found) == (not any(text in row.seen for text in ELSEWHERE)), row.seen
    return found[0] if found else None


def test_each_row_of_the_page_has_a_scene() -> None:
    assert {name for row in rows() if (name := scene_of(row))} == set(SCENES)


@pytest.mark.parametrize("row", [row for row in rows() if scene_of(row)], ids=lambda row: row.seen[:40])
def test_what_the_page_says_to_type_repairs_what_one_sees(row: Row, tmp_path: Path) -> None:
    act, version = SCENES[scene_of(row) or ""]
    act(Scene(tmp_path, version), row)


def test_a_damaged_index_blob_is_repaired_by_the_block_of_commands(tmp_path: Path) -> None:
    scene, row = Scene(tmp_path), block("It opens, and names an index blob")
    newest = scene.files("xn*.f")[-1]
    newest.write_bytes(newest.read_bytes()[:50])
    scene.forget_cache()
    text = scene.runner.fails("snapshot", "list").stderr
    assert re.search(re.escape(row.seen).replace("…", ".*?"), text), text
    scene.type(row)
    scene.sound(2)
