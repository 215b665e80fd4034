"""docs/tutorial.md, typed from its beginning to its end."""

import os
import re
import subprocess
import sys
from pathlib import Path

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
INSTALLING = "pip install pykopia"


def test_all_commands_of_the_tutorial_work(tmp_path: Path) -> None:
    blocks = [block for block in BLOCK.findall(TUTORIAL.read_text()) if INSTALLING not in block]
    assert len(blocks) > 8
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.defpath}", "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input="\n".join(blocks),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "restored" / "letters" / "first.txt").read_text() == "Dear reader\n"
    assert (tmp_path / "numbers-before.csv").read_text() == "1\n"
    assert (tmp_path / "documents" / "numbers.csv").read_text() == "1\n2\n"
    assert "(latest-1" in done.stdout
    assert "changed ./numbers.csv" in done.stdout
    assert not (home / ".config" / "kopia" / "repository.config").exists()
