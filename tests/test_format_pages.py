"""The pages of docs/format: each section that code cites is there, and each link leads somewhere."""

import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "format"
SOURCES = sorted(
    path
    for folder in ("pykopia", "mover", "operator", "tests", "benchmarks", "scripts")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".pyi", ".pyx", ".pxd", ".pxi", ".h", ".md", ".sh"} and path != Path(__file__)
)
CITATION = re.compile(r"[Ff]ormat (\d\d)\b((?:(?:,|\s|and|to|§[\d.]*\d)*§[\d.]*\d)?)")
SECTION = re.compile(r"§([\d.]*\d)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@lru_cache
def sections(number: str) -> frozenset[str]:
    """Return the numbers of the sections of a page."""
    [page] = PAGES.glob(f"{number}-*.md")
    return frozenset(
        title.split()[0].rstrip(".")
        for title in HEADING.findall(page.read_text(encoding="utf-8"))
        if title[0].isdigit()
    )


def citations(text: str) -> list[tuple[str, list[str]]]:
    """Return the pages that a text cites, with the sections of each."""
    plain = re.sub(r"\n\s*(?:#|\*)?\s*", " ", text)
    return [(page, SECTION.findall(found)) for page, found in CITATION.findall(plain)]


CITED = [
    (path.relative_to(ROOT).as_posix(), page, section)
    for path in SOURCES
    for page, found in citations(path.read_text(encoding="utf-8", errors="replace"))
    for section in found
]


def test_each_cited_section_exists() -> None:
    missing = [f"{path}: format {page} §{section}" for path, page, section in CITED if section not in sections(page)]
    assert missing == []


def test_citations_are_found() -> None:
    assert len(CITED) > 250
    assert {page for _, page, _ in CITED} == {"01", "02", "03", "04", "05"}
    assert citations("(format 02 §8, §9)\n# format\n# 04 §11.2 to §11.4") == [
        ("02", ["8", "9"]),
        ("04", ["11.2", "11.4"]),
    ]


def test_the_sections_of_a_page_are_numbered_without_gaps() -> None:
    for page in PAGES.glob("0*.md"):
        last: list[int] = []
        for title in HEADING.findall(page.read_text(encoding="utf-8"))[1:]:
            number = [int(part) for part in title.split()[0].rstrip(".").split(".")]
            following = [[*last, 1], [*last[:-1], last[-1] + 1] if last else [1], [*last[:-2], *(last[-2:-1] or [0])]]
            following[2] = [*following[2][:-1], following[2][-1] + 1]
            assert number in following or (page.name[:2], number) == ("04", [16]), f"{page.name}: {title} after {last}"
            last = number


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda path: path.name)
def test_each_link_leads_to_a_page_and_a_heading(path: Path) -> None:
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        if name.startswith("https:"):
            continue
        target = (path.parent / name).resolve() if name else path
        assert target.is_file(), link
        if anchor:
            titles = HEADING.findall(target.read_text(encoding="utf-8"))
            assert anchor in {_anchor(title) for title in titles}, link


def _anchor(title: str) -> str:
    """Return the anchor that a heading gets on the usual sites."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
