# ruff: noqa: INP001 -- a script
"""Pages of the site that are made from what stands elsewhere: the READMEs, the errors, the public names."""

import inspect
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import pykopia
from pykopia import errors

ROOT = Path(__file__).parents[1]
COPIED = {
    "README of the operator": ("operator/README.md", "operator.md"),
    "README of the mover": ("mover/README.md", "mover.md"),
    "changes": ("CHANGELOG.md", "changelog.md"),
    "contributing": ("CONTRIBUTING.md", "contributing.md"),
    "security": ("SECURITY.md", "security.md"),
}
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
SOURCE = "https://github.com/pykopia/pykopia/tree/main/"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {page: copied(ROOT / source) for source, page in COPIED.values()}
    pages["errors.md"] = errors_page()
    pages["api.md"] = api_page()
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def copied(source: Path) -> str:
    """Return a file of the repository, with links that hold in the site."""
    places = {(ROOT / each).resolve(): page for each, page in COPIED.values()}

    def linked(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = (source.parent / target).resolve()
        if path in places:
            return f"]({places[path]}{anchor})"
        inside = path.relative_to(ROOT)
        if inside.parts[0] == "docs" and path.suffix == ".md":
            return f"]({inside.relative_to('docs')}{anchor})"
        return f"]({SOURCE}{inside})"

    return LINK.sub(linked, source.read_text(encoding="utf-8"))


def errors_page() -> str:
    """Return a table of all errors with the exit status of the command line."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.PykopiaError)]
    rows = [
        f"| `{kind.__name__}` | {kind.exit_code} | {'yes' if kind.temporary else ''} | {(kind.__doc__ or '').splitlines()[0]} |"
        for kind in sorted(kinds, key=lambda kind: (kind.exit_code, kind.__name__))
    ]
    head = (
        "# Errors\n\nAll errors are classes of `pykopia.errors`. The status is that of a command which the error ends; a "
        "temporary error may pass when the same is tried again. A signal ends a command with 128 and its number.\n\n"
        "| Class | Status | Temporary | Meaning |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def api_page() -> str:
    """Return the reference of the public names."""
    first = ("create", "connect", "open", "Repository")
    names = [*first, *sorted(name for name in pykopia.__all__ if name not in first)]
    lines = ["# API", "", "What can be imported from `pykopia`, with what a method takes and returns.", ""]
    for name in names:
        value = getattr(pykopia, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            lines += [f"::: {value.__module__}.{value.__qualname__}", ""]
    return "\n".join(lines) + "\n"
