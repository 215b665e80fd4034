"""The mover's README: the table of variables, the exit codes, and the commands that it shows."""

import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from pykopia_mover.failures import CODES
from pykopia_mover.identity import require_complete, wanted_by
from pykopia_mover.main import OPERATIONS
from pykopia_mover.settings import FIELDS, all_variables, load
from pykopia_mover.table import main, with_table

from pykopia.storage.environment import storage_from_environment
from tests.mover.harness import Mover, tree

MOVER = Path(__file__).parents[2] / "mover"
README = (MOVER / "README.md").read_text()


def test_the_table_of_variables_is_that_of_the_settings() -> None:
    assert with_table(README) == README, "run `python -m pykopia_mover.table mover/README.md`"
    for variable in all_variables():
        assert f"| `{variable.name}` |" in README


@pytest.mark.parametrize("name", FIELDS)
def test_a_default_that_is_told_as_a_value_is_the_one_that_counts(name: str) -> None:
    attribute, variable, _ = FIELDS[name]
    default = getattr(load({})[0], attribute)
    told = variable.default.strip("`")
    if told in {"true", "false"}:
        assert default is (told == "true")
    elif told.isdigit():
        assert default in {int(told), bool(int(told))}
    elif default not in {"", None} and default is not False:
        assert told == str(default)


def test_the_command_writes_the_table(tmp_path: Path) -> None:
    copy = tmp_path / "README.md"
    copy.write_text(README.replace("password of the repository, taken as it is; required", "something else"))
    assert main([str(copy)]) == 0
    assert copy.read_text() == README
    with pytest.raises(ValueError, match="marks"):
        with_table("no marks")


def test_all_exit_codes_are_told() -> None:
    table = "\n".join(line for line in README.splitlines() if line.startswith("| "))
    for name, code in CODES.items():
        assert re.search(rf"\| [0-9, ]*\b{code.status}\b[0-9, ]* \|.*`{name}`", table), name


def test_the_shown_backup_and_restore_work(mover: Mover) -> None:
    """Take the variables and operations of the two `docker run` and run them on folders of this test."""
    mover.write({"a.txt": "one", "d/b.txt": "two"})
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for block in (each for each in blocks if "pykopia-mover" in each):
        words = shlex.split(block[block.index("docker run") :].replace("\\\n", " "))
        environment = dict(word.split("=", 1) for flag, word in pairwise(words) if flag == "--env") | {
            "VOLSYNC_OWNER_NAMESPACE": "",
            "VOLSYNC_OWNER_NAME": "",
        }
        environment["KOPIA_REPOSITORY"] = environment["KOPIA_REPOSITORY"].replace("///repository", f"//{mover.folder}")
        environment["KOPIA_CACHE_DIR"] = str(mover.folder / "cache")
        operations = words[words.index("pykopia-mover") + 1 :]
        assert set(operations) <= set(OPERATIONS)
        result = mover.ok(*operations, **environment)
        assert "INFO: OPERATION_RESULT: SUCCESS" in result.lines
    assert tree(mover.target) == tree(mover.data)


def test_the_shown_secret_and_job_have_variables_that_are_known_and_lead_to_a_storage() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    secret = dict(re.findall(r"^  ([A-Z][A-Z0-9_]+): (.+)$", block, re.MULTILINE))
    given = dict(re.findall(r"\{name: ([A-Z][A-Z0-9_]+), value: ([^}]+)\}", block))
    known = {variable.name for variable in all_variables()}
    assert {*secret, *given} <= known
    assert storage_from_environment(secret).connection.config["bucket"] == "my-bucket"
    wanted = wanted_by(load(secret | given)[0])
    assert str(require_complete(wanted)) == "production@app:/data"
    assert re.search(r"args: \[backup, maintenance\]", block)


def test_the_bill_of_materials_names_every_package(tmp_path: Path) -> None:
    (tmp_path / "packages.json").write_text('[{"name": "fsspec", "version": "1.2"}, {"name": "A_b", "version": "3"}]')
    command = [sys.executable, "-m", "pykopia_mover.sbom", str(tmp_path / "packages.json")]
    document = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [each["externalRefs"][0]["referenceLocator"] for each in document["packages"]] == [
        "pkg:pypi/fsspec@1.2", "pkg:pypi/a_b@3",
    ]  # fmt: skip
    assert len({each["SPDXID"] for each in document["packages"]}) == 2
