"""Rules that every module keeps, read off the source: who asks for the time and the environment, what is pure, what is public."""

import ast
import importlib
from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import pykopia

PACKAGE = Path(pykopia.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
PURE_ROOMS = ("chunking/", "format/", "sealing/")

TIME_NAMES = {
    *(f"time.{name}{unit}" for name in ("time", "monotonic", "perf_counter", "process_time") for unit in ("", "_ns")),
    *(f"time.{name}" for name in ("clock_gettime", "clock_gettime_ns", "ctime", "gmtime", "localtime")),
    *(f"datetime.{name}" for name in ("now", "today", "utcnow")),
    "date.today",
}
"""What gives the time of the moment."""

IMPURE_MODULES = {
    "asyncio", "fcntl", "glob", "io", "logging", "multiprocessing", "random", "secrets", "select", "shutil",
    "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "time", "concurrent", "fsspec", "urllib",
}  # fmt: skip
"""Nothing of these is imported by the pure rooms."""

PURE_NAMES = {
    "mmap": {"mmap"},
    "os": {"fsencode", "path", "path.isabs", "path.normpath", "path.relpath", "urandom"},
    "threading": {"local"},
}
"""All that the pure rooms use of modules that can do more: a type, paths as text, nonces, and what a thread keeps for itself."""

PATHS_AS_VALUES = {"format/local_config.py"}
"""Where paths are what the format is about."""


@lru_cache
def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text(), module)


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a chain of attributes, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        below = dotted(node.value)
        return f"{below}.{node.attr}" if below else ""
    return ""


def names(module: str) -> Iterator[tuple[int, str]]:
    """Yield the dotted names that a module uses or imports from elsewhere, with their lines."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            yield node.lineno, name


def imported(module: str) -> set[str]:
    """Return the full names of the modules that a module imports."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return found


def module_name(module: str) -> str:
    return ".".join(["pykopia", *Path(module).with_suffix("").parts]).removesuffix(".__init__")


FACADES = ("pykopia", "pykopia.core", "pykopia.policies", "pykopia.storage")
"""Packages and modules that name objects of others, imported at the first use."""


def arrows() -> dict[str, set[str]]:
    """Return which modules each module names in any import: in functions and for type checkers alone too.

    Public packages are left out: they name public objects, and import none of them before it is asked for.
    """
    known = {module_name(module): module for module in MODULES}
    found: dict[str, set[str]] = {}
    for name, module in known.items():
        everything = {full for _, full in names(module)} | imported(module)
        nearest = {full if full in known else full.rpartition(".")[0] for full in everything}
        found[name] = (nearest & known.keys()) - {name, *FACADES}
    return {**found, **{name: set() for name in FACADES}}


def kind_then_name(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def uses(module: str, wanted: set[str]) -> list[str]:
    return [f"{module}:{line}: {name}" for line, name in names(module) if name in wanted]


def test_only_the_command_line_reads_the_environment() -> None:
    found = [
        use for module in MODULES for use in uses(module, {"os.environ", "os.environb", "os.getenv", "os.getenvb"})
    ]
    # filesystems are opened by libraries, which hand on no password: its name is in their arguments
    # and services have variables of their own, which their libraries read where they are loaded
    allowed = ("cli/", "access/named_secrets.py", "storage/backends/gcs/client.py", "storage/backends/s3/sdk.py")
    assert [use for use in found if not use.startswith(allowed)] == []


def test_only_the_command_line_prints() -> None:
    found = [
        f"{module}:{node.lineno}"
        for module in MODULES
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and dotted(node.func) in {"print", "sys.stdout.write", "sys.stderr.write"}
    ]
    assert [call for call in found if not call.startswith("cli/")] == []


def test_only_the_clock_asks_for_the_time() -> None:
    # A conformance suite compares a storage's times with the clock of the machine.
    allowed = {"clock.py", "testing/storage_tests.py"}
    prefixed = TIME_NAMES | {f"datetime.{name}" for name in TIME_NAMES}
    assert [use for module in MODULES if module not in allowed for use in uses(module, prefixed)] == []


def test_waiting_is_only_ever_a_default_that_can_be_replaced() -> None:
    found = []
    for module in MODULES:
        defaults = {
            id(default)
            for node in ast.walk(tree(module))
            if isinstance(node, ast.FunctionDef)
            for default in [*node.args.defaults, *node.args.kw_defaults]
        }
        found += [
            f"{module}:{node.lineno}"
            for node in ast.walk(tree(module))
            if (isinstance(node, ast.Attribute) and dotted(node) == "time.sleep" and id(node) not in defaults)
            or (isinstance(node, ast.ImportFrom) and node.module == "time")
        ]
    assert found == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(PURE_ROOMS)])
def test_a_pure_room_does_no_input_or_output(module: str) -> None:
    roots = {name.partition(".")[0] for name in imported(module)}
    assert roots & IMPURE_MODULES == set()
    assert "pathlib" not in roots or module in PATHS_AS_VALUES
    for root, allowed in PURE_NAMES.items():
        parts = {name.removeprefix(f"{root}.") for _, name in names(module) if name.startswith(f"{root}.")}
        assert parts <= allowed
    assert [
        f"{module}:{line}" for line, name in names(module) if name == "open" and module not in PATHS_AS_VALUES
    ] == []


@pytest.mark.parametrize("module", [module for module in MODULES if not module.endswith("__main__.py")])
def test_public_names_are_listed_sorted_and_exist(module: str) -> None:
    statements = tree(module).body
    if all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in statements):
        return  # a package that only says what it is
    found = importlib.import_module(module_name(module))
    assert hasattr(found, "__all__")
    assert list(found.__all__) == sorted(found.__all__, key=kind_then_name)
    assert len(set(found.__all__)) == len(found.__all__)
    for public in found.__all__:
        assert hasattr(found, public)
        assert not public.startswith("_")


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_can_be_read(module: str) -> None:
    assert len((PACKAGE / module).read_text().splitlines()) <= 800


def test_no_module_imports_what_imports_it() -> None:
    circle: list[str] = []
    try:
        TopologicalSorter(arrows()).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle == []


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(pykopia, "nothing")  # noqa: B009 -- a type checker refuses the name itself
