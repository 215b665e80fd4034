"""Make the pictures of terminals in docs/captures: run pykopia on a kept repository, draw the screen as SVG.

    python scripts/terminal_captures.py           write the pictures
    python scripts/terminal_captures.py --check   end with 1 if a picture is not as it would be written

The repository never changes (tests/golden/default.tar.gz), nor do the names of folders in the pictures: all runs give
the same bytes.
"""

# ruff: noqa: INP001, S108, T201 -- a program; the folder is that of the kept snapshots

import fcntl
import io
import os
import struct
import sys
import tarfile
import tempfile
import termios
from html import escape
from pathlib import Path

import pyte

from pykopia import clock
from pykopia.cli import tree
from pykopia.cli.main import run
from pykopia.cli.parsing import parse
from pykopia.cli.progress import UploadProgress
from pykopia.cli.session import Session
from pykopia.snapshot.upload_options import UploadCounters

ROOT = Path(__file__).parents[1]
CAPTURES = ROOT / "docs" / "captures"
COLUMNS = 100
_WIDTH, _HEIGHT, _MARGIN = 8.4, 18, 12
_COLORS = {
    "default": "#d8dee9",
    "brightred": "#ff6b6b",
    "brightgreen": "#7bd88f",
    "brightbrown": "#ffd866",
    "prompt": "#81a1c1",
}

SCENES = {
    "snapshot-list": [["snapshot", "list", "--manifest-id", "--no-retention"]],
    "info": [["info", "/tmp/golden-source/home"], ["info", "ada@laptop:/tmp/golden-source/home@latest~1"]],
    "list-and-diff": [
        ["ls", "-l", "/tmp/golden-source/home"],
        ["diff", "/tmp/golden-source/home@latest~1", "/tmp/golden-source/home@latest", "--stats-only"],
    ],
    "mistakes": [
        ["status"],
        ["backup", "/home"],
        ["snapshot", "create", "/home", "--exclude=*.tmp"],
        ["restore", "/tmp/golden-source/hom", "/restored"],
    ],
    "check": [["check"]],
}
"""What is typed, by the name of the picture."""


class Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def output(words: list[str], folder: Path) -> str:
    """Return what a command prints on a terminal, stdout and stderr in one."""
    screen = Terminal(io.BytesIO(), "utf-8", write_through=True)
    run(
        [
            "--config-file",
            str(folder / "connection"),
            "--disable-file-logging",
            "--timezone=utc",
            "--no-progress",
            *words,
        ],
        environment={"HOME": str(folder), "KOPIA_PASSWORD": "golden", "TERM": "xterm"},
        stdin=io.TextIOWrapper(io.BytesIO()),
        stdout=screen,
        stderr=screen,
    )
    buffer = screen.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


PROGRESS_COLUMNS = (40, 80, 100)
"""Widths of the terminals on which progress is shown."""
MOMENT = UploadCounters(
    hashing_files=2,
    hashed_files=1841,
    hashed_bytes=12_400_000_000,
    cached_files=20_417,
    cached_bytes=81_300_000_000,
    uploaded_bytes=4_100_000_000,
    ignored_errors=1,
    estimated_files=31_000,
    estimated_bytes=131_000_000_000,
)
"""A snapshot that is under way."""


def progress_line(columns: int, seconds: float) -> str:
    """Return what the progress of a snapshot writes on a terminal, so many seconds after its begin."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    moments = iter([0.0, seconds, seconds])
    real, clock.monotonic = clock.monotonic, lambda: next(moments)
    try:
        with os.fdopen(slave, "w") as terminal:
            invocation = parse(tree.ROOT, ["snapshot", "create", "/home"], {})
            stdin, stdout = io.StringIO(), io.StringIO()
            progress = UploadProgress(Session(invocation, environment={}, stdin=stdin, stdout=stdout, stderr=terminal))
            progress(MOMENT)
            terminal.flush()
            return os.read(master, 65536).decode().strip("\r")
    finally:
        clock.monotonic = real
        os.close(master)


def progress_scene() -> str:
    """Return the progress of one snapshot on terminals of several widths."""
    return "\n".join(f"# {columns} columns\n{progress_line(columns, 612.0)}" for columns in PROGRESS_COLUMNS)


def connect(folder: Path) -> None:
    """Unpack the kept repository and connect to it as its user, for reading."""
    with tarfile.open(ROOT / "tests" / "golden" / "default.tar.gz") as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (place,) = {path.parent for path in (folder / "unpacked").rglob("kopia.repository.f")}
    text = output(
        ["repository", "connect", "filesystem", "--path", str(place), "--override-username=ada",
         "--override-hostname=laptop", "--readonly"],
        folder,
    )  # fmt: skip
    assert "Connected" in text, text


def drawn(text: str) -> str:
    """Return the picture of a terminal that shows a text."""
    rows = sum(-(-max(1, len(line)) // COLUMNS) for line in text.split("\n")) + 1
    screen = pyte.Screen(COLUMNS, rows)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    used = max((number for number, line in enumerate(screen.display) if line.strip()), default=0) + 1
    width, height = COLUMNS * _WIDTH + 2 * _MARGIN, used * _HEIGHT + 2 * _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" font-family="monospace" font-size="14">',
        f'<rect width="{width:g}" height="{height}" rx="6" fill="#2e3440"/>',
    ]
    for number in range(used):
        spans: list[tuple[str, str]] = []
        for column in range(COLUMNS):
            cell = screen.buffer[number][column]
            color = _COLORS.get(cell.fg, _COLORS["default"])
            if spans and spans[-1][0] == color:
                spans[-1] = (color, spans[-1][1] + cell.data)
            else:
                spans.append((color, cell.data))
        spans[-1] = (spans[-1][0], spans[-1][1].rstrip())
        body = "".join(f'<tspan fill="{color}">{escape(part)}</tspan>' for color, part in spans if part)
        if body:
            y = _MARGIN + (number + 1) * _HEIGHT - 4
            lines.append(f'<text x="{_MARGIN}" y="{y}" xml:space="preserve">{body}</text>')
    return "\n".join([*lines, "</svg>", ""])


def pictures() -> dict[str, str]:
    """Return all pictures by the names of their files."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        connect(folder)
        for scene, commands in SCENES.items():
            text = ""
            for words in commands:
                text += f"$ pykopia {' '.join(words)}\n{output(words, folder).rstrip()}\n"
            found[f"{scene}.svg"] = drawn(text.replace(str(folder), "/backup").rstrip())
    found["progress.svg"] = drawn(progress_scene())
    return found


def main() -> int:
    """Write the pictures, or compare them."""
    checking = "--check" in sys.argv[1:]
    different = []
    for name, picture in pictures().items():
        path = CAPTURES / name
        if not path.exists() or path.read_text() != picture:
            different.append(name)
            if not checking:
                path.parent.mkdir(exist_ok=True)
                path.write_text(picture)
    print(f"{'differ' if checking else 'written'}: {', '.join(different) or 'none'}")
    return 1 if checking and different else 0


if __name__ == "__main__":
    sys.exit(main())
