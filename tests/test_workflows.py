"""What GitHub runs: workflows that actionlint and zizmor accept, and that call what is there; links between pages."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.servers import programs

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("mover/*.md"), *ROOT.glob("operator/*.md")])
GENERATED = {"operator.md", "mover.md", "changelog.md", "contributing.md", "security.md", "errors.md", "api.md"}
"""Pages that only the site has: scripts/docs_pages.py makes them."""


def test_actionlint_finds_nothing() -> None:
    actionlint = programs.require("actionlint", install="sh scripts/test-servers.sh --all")
    command = [str(actionlint), "-no-color", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_zizmor_finds_no_weakness() -> None:
    zizmor = programs.require("zizmor", install="make venv")
    command = [str(zizmor), "--offline", "--no-progress", "--format=plain", "--min-severity=medium", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_of_others_are_named_by_their_commit_and_jobs_get_few_rights(workflow: Path) -> None:
    text = workflow.read_text()
    used = re.findall(r"uses: (?!\./)(.*)$", text, re.MULTILINE)
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", each)] == []
    assert "\npermissions: {contents: read}\n" in text
    assert "secrets." not in text


def test_each_target_of_make_that_is_named_anywhere_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [*WORKFLOWS, ROOT / ".ci" / "run", ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    named = {
        name for text in texts for name in re.findall(r"(?:run: |`|^)make ([a-z-]+)", text.read_text(), re.MULTILINE)
    }
    assert len(named) > 4
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())}
    local = {link for link in links if link and not re.match(r"[a-z]+:", link)}
    generated = GENERATED if page.parent.name == "docs" else set()
    assert {link for link in local - generated if not (page.parent / link).exists()} == set()
