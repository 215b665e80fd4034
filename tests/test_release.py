"""What is published: one version everywhere, notes for it, packages without surprises."""

import runpy
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import pykopia

ROOT = Path(__file__).parents[1]


def script(name: str) -> dict[str, Any]:
    """Return the names of a script, which is not run."""
    return runpy.run_path(str(ROOT / "scripts" / name), run_name="imported")


def wheel(path: Path, *, time: int = 2026, **members: str) -> Path:
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name, (time, 1, 1, 0, 0, 0)), text)
    return path


def test_all_files_name_the_version_of_the_package() -> None:
    assert set(script("release_notes.py")["versions"]().values()) == {pykopia.__version__}
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]


def test_the_notes_of_a_version_are_its_section_of_the_changelog() -> None:
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- This.\n\n## [0.1.0]\n\n- That.\n"
    )
    notes = script("release_notes.py")["notes"]
    assert notes(changelog, "0.2.0") == "### Added\n\n- This."
    assert notes(changelog, "0.1.0") == "- That."
    for missing in ("0.3.0", "Unreleased"):
        with pytest.raises(ValueError, match="no section"):
            notes(changelog, missing)


def test_the_notes_of_the_next_version_can_be_read() -> None:
    assert "### Added" in script("release_notes.py")["notes"]((ROOT / "CHANGELOG.md").read_text(), "Unreleased")


def test_the_tests_of_an_installed_wheel_exist() -> None:
    names = script("test_wheel.py")
    tests = names["TESTS"] + names["PURE_TESTS"]
    assert len(tests) > 10
    assert [name for name in tests if not (ROOT / name).exists()] == []


def test_wheels_that_differ_are_found_with_the_members_that_differ(tmp_path: Path) -> None:
    differences = script("build_packages.py")["differences"]
    first = wheel(tmp_path / "1" / "a.whl", same="1", other="2")
    assert differences(first, wheel(tmp_path / "2" / "a.whl", same="1", other="2")) == []
    assert differences(first, wheel(tmp_path / "3" / "a.whl", same="1", other="3")) == ["other"]
    assert differences(first, wheel(tmp_path / "4" / "a.whl", same="1")) == ["other"]
    assert len(differences(first, wheel(tmp_path / "5" / "a.whl", time=2025, same="1", other="2"))) == 1
