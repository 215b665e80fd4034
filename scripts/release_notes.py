"""Print the notes of a version: its section of CHANGELOG.md. The program fails if anything of the release is not prepared.

    python scripts/release_notes.py v0.2.0

The version must be the one of ``pykopia.__version__`` and of the Helm chart, and CHANGELOG.md must have a section for it. Needs
nothing but Python itself.
"""

# ruff: noqa: INP001, T201 -- a program

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = {
    "pykopia/__init__.py": r'^__version__ = "(.+)"$',
    "operator/chart/Chart.yaml": r"^version: (.+)$",
    "mover/Dockerfile": r"^ARG VERSION=(.+)$",
    "operator/Dockerfile": r"^ARG VERSION=(.+)$",
}


def versions() -> dict[str, str]:
    """Return the version that each file names, by the path of the file."""
    found = {}
    for name, pattern in PLACES.items():
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        if match is None:
            raise ValueError(f"{name} names no version")
        found[name] = match[1]
    return found


def notes(changelog: str, version: str) -> str:
    """Return the section of a version without its heading.

    Args:
        changelog: text of CHANGELOG.md.
        version: such as ``0.2.0``.

    Raises:
        ValueError: the version has no section, or an empty one.
    """
    sections = re.split(r"^## \[(.+?)\].*\n", changelog, flags=re.MULTILINE)
    texts = dict(zip(sections[1::2], sections[2::2], strict=True))
    text = texts.get(version, "").strip()
    if not text:
        raise ValueError(f"CHANGELOG.md has no section [{version}]; rename the section [Unreleased]")
    return text


def main() -> None:
    """Print the notes of the version of a tag."""
    version = sys.argv[1].removeprefix("v")
    try:
        if others := {name: found for name, found in versions().items() if found != version}:
            raise ValueError("; ".join(f"{name} has version {found}, not {version}" for name, found in others.items()))
        print(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version))
    except ValueError as error:
        sys.exit(f"version {version} is not ready: {error}")


if __name__ == "__main__":
    main()
