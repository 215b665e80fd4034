"""The pictures of terminals in the docs are what the program prints."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pictures_in_docs_are_those_that_the_script_makes() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/terminal_captures.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"{done.stdout}{done.stderr}: run scripts/terminal_captures.py and look at what changed"
    )


def test_all_pictures_are_shown_on_the_page() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    for picture in (ROOT / "docs" / "captures").iterdir():
        assert f"captures/{picture.name}" in page
