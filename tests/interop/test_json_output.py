"""`--json` of every command that Kopia has too, beside a real kopia: the same bytes but for paths and free space."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pykopia.cli import tree
from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Command
from tests.cli_runner import Runner
from tests.trees import TREES, changing_tree

from .kopia_cli import KopiaCLI
from .repositories import connect_ours

OURS_ALONE = frozenset({"check", "doctor", "find", "history", "info", "maintenance run", "restore", "snapshot restore"})
"""Commands with ``--json`` that print none in Kopia."""

LINES = [
    "blob list --json",
    "blob list --json --prefix p",
    "blob list --json --exclude-prefix k --exclude-prefix p",
    "blob list --json --min-size 100 --max-size 100000",
    "blob list --json --data-only",
    "content list --json",
    "content list --json --long",
    "content list --json --deleted",
    "content list --json --deleted-only",
    "content list --json --prefix k",
    "content list --json --non-prefixed",
    "content list --json --prefix z",
    "content show --json {root}",
    "index list --json",
    "index list --json --sort name",
    "index list --json --sort size",
    "index list --json --superseded",
    "maintenance info --json",
    "manifest list --json",
    "manifest list --json --filter type:snapshot",
    "manifest list --json --sort type",
    "notification profile list --json",
    "notification profile list --json --raw",
    "notification profile show --profile-name=hook --json",
    "notification profile show --profile-name=hook --json --raw",
    "notification template list --json",
    "policy list --json",
    "policy show --global --json",
    "policy show {changing} --json",
    "policy show {source} --json",
    "policy show @otherhost --json",
    "policy export",
    "policy export {changing}",
    "repository status --json",
    "repository throttle get --json",
    "snapshot list --json",
    "snapshot list --json --all",
    "snapshot list --json --all -n 1",
    "snapshot list --json --reverse",
    "snapshot list --json --incomplete",
    "snapshot list --json --show-identical",
    "snapshot list --json --no-retention",
    "snapshot list --json --storage-stats",
    "snapshot list --json --tags a:b",
    "snapshot list --json --tags none:x",
    "snapshot list --json --max-results 2",
    "snapshot list --json {changing}",
    "snapshot verify --json",
    "snapshot verify --json --verify-files-percent=100",
    "snapshot verify --json --sources={changing}",
    "snapshot verify --json {snapshot}",
]
"""The commands that change nothing; each with ``--json-indent`` and ``--json-verbose`` too, as far as it has them."""


def commands_with_json(path: tuple[Command, ...] = (tree.ROOT,)) -> Iterator[str]:
    command = path[-1]
    if command.run_path and command.takes_options and issubclass(command.options, JsonFlags):
        yield " ".join(each.name for each in path[1:])
    for child in command.children:
        yield from commands_with_json((*path, child))


def test_every_command_with_json_is_compared_or_is_ours_alone() -> None:
    compared = {name for line in LINES for name in commands_with_json() if line.startswith(name + " ")}
    assert compared | OURS_ALONE | {"snapshot create"} == set(commands_with_json())


def fill(kopia: KopiaCLI, folder: Path) -> None:
    TREES["everything"](folder / "source")
    kopia.snapshot_create(folder / "source", tags=["a:b", "c:d"], description='with "quotes" & <signs> ü')
    kopia.snapshot_create(folder / "source", pin=["kept"])
    changing_tree(folder / "changing", 1)
    kopia.snapshot_create(folder / "changing")
    changing_tree(folder / "changing", 2)
    kopia.policy_set(folder / "changing", keep_latest=7, compression="zstd", add_ignore=["*.tmp"])
    kopia.policy_set("@otherhost", keep_daily=1)
    kopia.snapshot_create(folder / "changing")
    kopia.run("notification", "profile", "configure", "webhook", profile_name="hook", endpoint="http://localhost:1/x")
    kopia.run("snapshot", "delete", str(kopia.snapshot_list()[-1]["id"]), delete=True)
    kopia.run("maintenance", "run", full=True, safety="none")
    kopia.run("repository", "throttle", "set", upload_bytes_per_second="1000000000")


def comparable(data: bytes) -> bytes:
    """Return the text without the path of the connection file, and without the free space."""
    data = re.sub(rb'("configFile": ?)"[^"]*"', rb"\1PATH", data)
    return re.sub(rb'("available": ?)[0-9]+', rb"\1FREE", data)


BY_CHANCE = ("blob list", "index list --json --sort size")
"""Lists whose order Kopia leaves to chance, wholly or among equals."""
HEADING = b"NAME                           TYPE            MODIFIED\n"
"""Kopia prints it inside the list of `notification template list --json`, which no parser takes."""


def normal(line: str, data: bytes) -> bytes:
    """Return what a command prints in a form that can be compared."""
    data = data.replace(HEADING, b"")
    return b"\n".join(sorted(data.replace(b",\n", b"\n").splitlines())) if line.startswith(BY_CHANCE) else data


def with_variants() -> Iterator[str]:
    """Yield all lines; the first one of each command also laid out, and with what is left out otherwise."""
    seen: set[str] = set()
    for line in LINES:
        yield line
        command, json, _ = line.partition(" --json")
        if json and command not in seen:
            yield f"{line} --json-indent"
            if command != "maintenance info":  # that adds what Kopia does not have
                yield f"{line} --json-verbose"
        seen.add(command)


@pytest.mark.parametrize("version", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_json_is_that_of_kopia(kopia: KopiaCLI, ours: Runner, tmp_path: Path, version: int) -> None:
    kopia = replace(kopia, extra_environment={"KOPIA_DISABLE_REPOSITORY_LOG": "true"})  # or each command adds a blob
    kopia.create_repository(tmp_path / "repository", format_version=version)
    fill(kopia, tmp_path)
    connect_ours(ours, kopia, tmp_path / "repository", "--description", "one for both")
    kopia.connect(tmp_path / "repository", description="one for both")
    ours.ok("repository", "throttle", "set", "--upload-bytes-per-second=1000000000")
    kopia.run("repository", "throttle", "set", upload_bytes_per_second="1000000000")
    snapshot = kopia.snapshot_list()[0]
    different = []
    for line in with_variants():
        words = line.format(
            changing=tmp_path / "changing", source=tmp_path / "source", root=snapshot["rootEntry"]["obj"],
            snapshot=snapshot["id"],
        ).split()  # fmt: skip
        theirs = kopia.run_bytes(*words, check=False)
        mine = ours(*words)
        if normal(line, comparable(mine.stdout_bytes)) != normal(line, comparable(theirs.stdout)):
            different.append(f"{line}\n{theirs.stdout.decode()}\n---\n{mine.stdout}{mine.stderr}")
        elif bool(mine.status) != bool(theirs.returncode):
            different.append(
                f"{line}: {theirs.returncode}, {mine.status}\n{theirs.stderr.decode()}\n---\n{mine.stderr}"
            )
    assert not different, "\n\n".join(different)
