"""The pictures of the page in docs: made by a script, shown on the page of docs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_all_pictures_are_made_by_the_script_and_shown_in_docs() -> None:
    script = (ROOT / "scripts" / "page_pictures.py").read_text()
    page = (ROOT / "docs" / "ui.md").read_text()
    pictures = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    shown = set(re.findall(r"\]\(pictures/([^)]+)\)", page))
    assert pictures == shown
    for name in pictures:
        short = name.removeprefix("ui-").removesuffix(".png")
        assert f'"{short}"' in script or name in script
