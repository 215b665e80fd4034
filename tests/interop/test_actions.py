"""Actions run by kopia and by pykopia: the same programs at the same moments, with the same variables and effects."""

import json
from pathlib import Path

import pytest

from tests.cli_runner import Runner

from .kopia_cli import KopiaCLI, KopiaFailedError
from .repositories import connect_ours


@pytest.fixture
def both(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> tuple[KopiaCLI, Runner]:
    kopia.create_repository(tmp_path / "repository", enable_actions=True)
    connect_ours(ours, kopia, tmp_path / "repository", "--enable-actions")
    return kopia, ours


def set_scripts(kopia: KopiaCLI, target: Path, folder: Path, **scripts: str) -> None:
    """Store scripts; names are ``before_folder`` and the like."""
    for name, text in scripts.items():
        file = folder / f"{name}.sh"
        file.write_text(text)
        flag = f"--{name.replace('_', '-')}-action={file}"
        kopia.run("policy", "set", target, flag, "--persist-action-script")


def told(folder: Path) -> list[dict[str, str]]:
    """Return and forget what the script ``tell`` wrote; IDs become numbers in the order in which they appear."""
    file = folder / "told"
    records = [json.loads(line) for line in file.read_text().splitlines()]
    file.unlink()
    numbers: dict[str, int] = {}
    for record in records:
        record["id"] = numbers.setdefault(record["id"], len(numbers))
    return records


def tell(folder: Path) -> str:
    variables = '"$KOPIA_ACTION" "$KOPIA_SNAPSHOT_ID" "$KOPIA_SOURCE_PATH" "$KOPIA_SNAPSHOT_PATH"'
    form = '{"action":"%s","id":"%s","source":"%s","path":"%s"}\\n'
    return (
        f'printf \'{form}\' {variables} >> {folder}/told\n[ -n "$KOPIA_VERSION" ] && [ "$(ls)" = $KOPIA_ACTION.sh ]\n'
    )


def test_actions_run_in_the_same_order_with_the_same_variables(both: tuple[KopiaCLI, Runner], tmp_path: Path) -> None:
    kopia, ours = both
    source, other = tmp_path / "source", tmp_path / "other"
    (source / "a" / "b").mkdir(parents=True)
    (source / "c").mkdir()
    other.mkdir()
    (other / "inside").write_text("x")
    script = tell(tmp_path)
    all_four = dict.fromkeys(("before_folder", "after_folder", "before_snapshot_root", "after_snapshot_root"), script)
    set_scripts(kopia, source, tmp_path, **all_four)
    set_scripts(kopia, source / "a" / "b", tmp_path, before_folder=script, after_folder=script)
    first = kopia.snapshot_create(source)
    expected = told(tmp_path)
    assert len(expected) == 6
    second = ours.ok("snapshot", "create", str(source), "--json").json
    # kopia removes no file of the root's working folder, so the after action sees that of the before action
    assert told(tmp_path) == expected
    assert second["rootEntry"] == first["rootEntry"]

    redirect = f"{script}echo KOPIA_SNAPSHOT_PATH={other}\n"
    set_scripts(kopia, source, tmp_path, before_snapshot_root=redirect)
    first = kopia.snapshot_create(source)
    expected = told(tmp_path)
    second = ours.ok("snapshot", "create", str(source), "--json").json
    assert told(tmp_path) == expected
    assert second["rootEntry"] == first["rootEntry"]
    assert second["rootEntry"]["name"] == "other"


@pytest.mark.parametrize("mode", ["essential", "optional"])
@pytest.mark.parametrize("name", ["before_snapshot_root", "after_snapshot_root", "before_folder", "after_folder"])
def test_failures_have_the_same_effect(both: tuple[KopiaCLI, Runner], tmp_path: Path, name: str, mode: str) -> None:
    kopia, ours = both
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    (source / "a" / "file").write_text("x")
    target = source / "a" if "folder" in name else source
    flag = f"--{name.replace('_', '-')}-action=/bin/false"
    kopia.run("policy", "set", target, flag, f"--action-command-mode={mode}")
    try:
        first = kopia.run("snapshot", "create", source, "--json", check=False)
    except KopiaFailedError as error:
        pytest.fail(str(error))
    second = ours("snapshot", "create", str(source), "--json")
    assert bool(second.status) == bool(first.returncode)
    assert bool(second.stdout) == bool(first.stdout)
    if first.stdout:
        theirs, mine = json.loads(first.stdout)["rootEntry"], second.json["rootEntry"]
        assert mine["summ"]["numFailed"] == theirs["summ"]["numFailed"]
        if not theirs["summ"]["numFailed"]:
            assert mine == theirs
