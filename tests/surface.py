"""The public surface of the library as text: every name, signature, field and attribute that a program may use.

``python -m tests.surface > tests/surface.txt`` writes it anew; the difference is what a reviewer looks at.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parents[1]
MODULES = ("pykopia", "pykopia.core", "pykopia.errors", "pykopia.policies", "pykopia.storage", "pykopia.testing")
SPECIAL = ("__enter__", "__iter__", "__len__", "__truediv__")
"""Special methods that belong to the surface; ``__init__`` is the signature of its class."""


class _OwnDataclass(griffe.Extension):
    """Take ``pykopia.dataclass.dataclass`` for the one that it stands for."""

    def on_module_members(self, *, mod: griffe.Module, **_: object) -> None:
        """Change what the name stands for, before signatures are made."""
        name = mod.members.get("dataclass")
        if isinstance(name, griffe.Alias) and name.target_path == "pykopia.dataclass.dataclass":
            name.target_path = "dataclasses.dataclass"


def surface() -> str:
    """Return the surface, a line for each member."""
    extensions = griffe.load_extensions(_OwnDataclass)
    package = griffe.load("pykopia", search_paths=[str(ROOT)], try_relative_path=False, extensions=extensions)
    return "\n".join(line for name in MODULES for line in _module(package, name)) + "\n"


def _module(package: griffe.Object | griffe.Alias, name: str) -> Iterator[str]:
    module = package if name == "pykopia" else package[name.removeprefix("pykopia.")]
    for exported in sorted(map(str, module.exports or ())):
        if exported in module.members:
            yield from _member(f"{name}.{exported}", module[exported])


def _member(name: str, found: griffe.Object | griffe.Alias) -> Iterator[str]:
    target = found.final_target if isinstance(found, griffe.Alias) else found
    if isinstance(target, griffe.Module):
        yield f"module {name}"
    elif isinstance(target, griffe.Class):
        yield from _class(name, target)
    elif isinstance(target, griffe.Function):
        yield f"{name}{_signature(target)}"
    elif isinstance(target, griffe.Attribute):
        yield f"{name}: {target.annotation}" if target.annotation else f"{name} = {_oneline(str(target.value))}"


def _class(name: str, target: griffe.Class) -> Iterator[str]:
    bases = ", ".join(map(str, target.bases))
    yield f"class {name}({bases})" if bases else f"class {name}"
    initial = target.members.get("__init__")
    if isinstance(initial, griffe.Function):
        yield f"    __init__{_signature(initial)}"
    for attribute, member in sorted(target.members.items()):
        if isinstance(member, griffe.Function) and (not attribute.startswith("_") or attribute in SPECIAL):
            kind = "".join(f"{label} " for label in ("classmethod", "staticmethod") if label in member.labels)
            yield f"    {kind}{attribute}{_signature(member)}"
        elif isinstance(member, griffe.Attribute) and not attribute.startswith("_"):
            yield f"    {attribute}: {member.annotation}" if member.annotation else f"    {attribute}"


def _signature(function: griffe.Function) -> str:
    shown, kind = [], None
    for each in function.parameters:
        if each.name in ("self", "cls"):
            continue
        if each.kind is griffe.ParameterKind.keyword_only and kind is not griffe.ParameterKind.keyword_only:
            shown.append("*")
        kind = each.kind
        star = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(each.kind, "")
        if star == "*":
            kind = griffe.ParameterKind.keyword_only
        default = "" if each.default is None or star else f" = {_oneline(str(each.default))}"
        shown.append(f"{star}{each.name}: {each.annotation}{default}")
    return f"({', '.join(shown)}) -> {function.returns}"


def _oneline(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.stdout.write(surface())
