"""What ``import pykopia`` offers, to programs and to type checkers."""

import ast
import difflib
import inspect
import os
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType

import pytest

import pykopia
from tests.surface import surface

SOURCE = Path(pykopia.__file__)


def names_for_type_checkers(source: Path = SOURCE) -> dict[str, str]:
    """Return the module of each name that a package imports for type checkers alone."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.asname or alias.name: f"{node.module}:{alias.name}" if alias.asname else f"{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_programs_and_type_checkers_see_the_same_names() -> None:
    places: dict[str, str] = dict.fromkeys(pykopia._MODULES, "pykopia") | pykopia._PLACES
    assert names_for_type_checkers() == places
    assert sorted(places) == sorted(pykopia.__all__)


@pytest.mark.parametrize("name", pykopia.__all__)
def test_each_public_name_is_there_without_any_other_import(name: str) -> None:
    assert getattr(pykopia, name) is not None


@pytest.mark.parametrize("name", ["errors", "storage", "testing", "create"])
def test_a_fresh_process_needs_no_second_import(name: str) -> None:
    subprocess.run([sys.executable, "-c", f"import pykopia; pykopia.{name}"], check=True)


def test_dir_shows_the_public_names_alone() -> None:
    assert {name for name in dir(pykopia) if not name.startswith("__")} == set(pykopia.__all__)


def test_importing_the_package_imports_nothing_of_it() -> None:
    script = "import sys, pykopia; print(*[name for name in sys.modules if name.startswith('pykopia')])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["pykopia"]


def test_a_type_checker_refuses_a_misspelt_name_and_accepts_a_program(tmp_path: Path) -> None:
    good = tmp_path / "good.py"
    good.write_text(
        "import pykopia\n"
        "def newest(repository: pykopia.Repository) -> pykopia.SnapshotManifest:\n"
        "    try:\n"
        "        return repository.snapshots.list()[-1]\n"
        "    except pykopia.errors.PykopiaError:\n"
        "        raise\n"
    )
    bad = tmp_path / "bad.py"
    bad.write_text("import pykopia\npykopia.SnapshotOption()\npykopia.RestoreOptions(mode='rar')\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports", "silent"]
    command += ["--cache-dir", str(tmp_path / "cache")]
    environment = {**os.environ, "MYPYPATH": str(SOURCE.parents[1])}
    found = subprocess.run(
        [*command, str(good), str(bad)], capture_output=True, text=True, cwd=tmp_path, check=False, env=environment
    )
    lines = found.stdout.splitlines()
    assert [line for line in lines if "good.py" in line] == []
    assert any('bad.py:2: error: Module has no attribute "SnapshotOption"' in line for line in lines), found.stdout
    assert any("bad.py:3: error: Argument" in line for line in lines), found.stdout


def test_the_surface_is_the_stored_one() -> None:
    stored = (Path(__file__).parent / "surface.txt").read_text(encoding="utf-8").splitlines()
    changes = list(difflib.unified_diff(stored, surface().splitlines(), lineterm="", n=1))
    assert changes == [], (
        "the public surface has changed. If that is intended: docs/versioning.md, a line in CHANGELOG.md, and "
        "`python -m tests.surface > tests/surface.txt`\n" + "\n".join(changes)
    )


def test_the_surface_has_signatures_fields_and_attributes() -> None:
    found = surface()
    for line in (
        "    latest(source: SourceLike | None = None, *, before: Moment | None = None, ",
        "class pykopia.errors.BlobNotFoundError(StorageError, FileNotFoundError)",
        "    keep_latest: int | None",
        "    start_time: datetime | None",
        "pykopia.Reference: TypeAlias",
    ):
        assert f"\n{line}" in f"\n{found}", line
    assert "\n    _" not in found.replace("\n    __", "\n")


PUBLIC_MODULES = (pykopia, pykopia.core, pykopia.errors, pykopia.policies, pykopia.storage)


@pytest.mark.parametrize("module", PUBLIC_MODULES[1:], ids=lambda module: module.__name__)
def test_each_name_of_a_public_module_is_there_and_the_same_for_type_checkers(module: ModuleType) -> None:
    assert {name for name in dir(module) if not name.startswith("_")} >= set(module.__all__)
    assert all(getattr(module, name) is not None for name in module.__all__)
    places = getattr(module, "_PLACES", None)
    if places is not None:
        assert names_for_type_checkers(Path(str(module.__file__))) == places
        assert sorted(places) == sorted(module.__all__)


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    for module in PUBLIC_MODULES:
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'Misspelt'"):
            _ = module.Misspelt


class Walk:
    """Follows the annotations of all public names, of their methods, properties and fields, and of what these name."""

    def __init__(self) -> None:
        self.public = {id(getattr(module, name)) for module in PUBLIC_MODULES for name in module.__all__}
        self.unnamed: set[str] = set()
        self.unresolved: set[str] = set()
        self._seen: set[int] = set()
        self.annotations = 0

    def all(self) -> None:
        for module in PUBLIC_MODULES:
            for name in module.__all__:
                value = getattr(module, name)
                if inspect.isclass(value):
                    self._class(value)
                elif inspect.isfunction(value):
                    self._hints(value, f"{module.__name__}.{name}")

    def _class(self, kind: type) -> None:
        if id(kind) in self._seen:
            return
        self._seen.add(id(kind))
        self._hints(kind, kind.__name__)
        for name in dir(kind):
            if name.startswith("_") and name not in ("__enter__", "__init__", "__iter__", "__truediv__"):
                continue
            member = inspect.getattr_static(kind, name)
            if isinstance(member, staticmethod | classmethod):
                member = member.__func__
            if isinstance(member, property):
                member = member.fget
            if inspect.isfunction(member) and member.__module__.startswith("pykopia"):
                # how the parts of the library make each other is no promise
                made_by_others = name == "__init__" and kind.__name__ in MADE_BY_THE_LIBRARY
                self._hints(member, f"{kind.__name__}.{name}", follow=not made_by_others)

    def _hints(self, annotated: object, where: str, *, follow: bool = True) -> None:
        try:
            hints = typing.get_type_hints(annotated)
        except NameError as error:
            self.unresolved.add(f"{where}: {error}")
            return
        for name, hint in hints.items():
            if follow and (not inspect.isclass(annotated) or not name.startswith("_")):
                self._hint(hint, f"{where}({name})")

    def _hint(self, hint: object, where: str) -> None:
        self.annotations += 1
        if isinstance(hint, list | tuple):
            for each in hint:
                self._hint(each, where)
        elif typing.get_origin(hint) is not None:
            self._hint(typing.get_origin(hint), where)
            self._hint(typing.get_args(hint), where)
        elif isinstance(hint, typing.NewType | type) and str(hint.__module__).startswith("pykopia"):
            if id(hint) not in self.public:
                self.unnamed.add(f"{where}: {hint.__module__}.{hint.__name__}")
            if isinstance(hint, type):
                self._class(hint)


MADE_BY_THE_LIBRARY = {
    "Caches", "ContentStore", "ContentWriter", "Core", "ManifestStore", "ManifestWriter", "ObjectStore", "ObjectWriter",
    "Repository",
    "RestorePlan",
}  # fmt: skip


def test_each_type_that_a_public_name_takes_or_returns_is_public_and_each_annotation_resolves() -> None:
    walk = Walk()
    walk.all()
    assert walk.unresolved == set()
    assert walk.unnamed == set()
    assert walk.annotations > 2_000


def test_former_places_of_public_names_still_work() -> None:
    from pykopia.snapshot.api import Snapshots
    from pykopia.storage import opening
    from pykopia.storage.memory import MemoryStorage

    assert Snapshots is type(pykopia.create("memory://", "password").snapshots)
    assert MemoryStorage is pykopia.storage.MemoryStorage
    opening.BACKENDS["mine"] = opening.Backend(opener="pykopia.storage.memory:MemoryStorage.from_options")
    try:
        assert opening.open_storage(pykopia.storage.ConnectionInfo(type="mine", config={})).display_name
    finally:
        del opening.BACKENDS["mine"]
