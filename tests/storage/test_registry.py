"""Kinds of storage that other packages add: by an entry point, as an installed package has it, or by a program."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import pykopia
from pykopia.errors import InvalidURLError, UnsupportedOptionError, UsageError
from pykopia.storage import registry
from pykopia.storage.backends.memory.options import MemoryOptions
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.environment import storage_from_environment
from pykopia.storage.opening import Backend, open_storage, register, retry_schedule
from pykopia.storage.url import storage_from_url
from tests.trees import assert_trees_equal, changing_tree

PACKAGE = """
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.options import StorageOptions, ThrottlingLimits, text_field
from pykopia.storage.registry import Backend


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class TapeOptions(StorageOptions):
    type: ClassVar[str] = "tape"
    required: ClassVar[tuple[str, ...]] = ("robot",)

    robot: str = text_field("robot")
    pin: str = text_field("pin", secret=True)
    throttling: ThrottlingLimits = ThrottlingLimits()
    extra: Mapping[str, Any] = field(default_factory=dict)


class TapeStorage(FilesystemStorage):
    def __init__(self, options, *, create):
        self._tape = options
        super().__init__(options.robot, create=create)

    def connection_info(self):
        from pykopia.storage.connection import ConnectionInfo

        return ConnectionInfo.from_options(self._tape)


def open_tape(options: TapeOptions, *, create: bool) -> TapeStorage:
    return TapeStorage(options, create=create)


def tape_of_url(scheme, rest):
    return TapeOptions(robot=rest)


BACKEND = Backend(
    opener="tapes:open_tape", options="tapes:TapeOptions", schemes=("tape",), url="tapes:tape_of_url"
)
"""


@pytest.fixture(autouse=True)
def _nothing_is_registered_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BACKENDS", {})


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a package as an installer leaves it."""
    site = tmp_path / "site"
    info = site / "tapes-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "tapes.py").write_text(textwrap.dedent(PACKAGE))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tapes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pykopia.storage]\ntape = tapes:BACKEND\n")
    return site


def test_a_package_that_is_installed_adds_a_kind_of_storage(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"tape://{tmp_path}/repository"
    with pytest.raises(InvalidURLError, match="unsupported repository URL scheme 'tape'"):
        storage_from_url(url)
    monkeypatch.syspath_prepend(site)
    changing_tree(tmp_path / "source", 0)
    config = tmp_path / "repository.config"
    with pykopia.create(url, "password", config=config) as repository:
        snapshot = repository.snapshots.create(tmp_path / "source").manifest
    with pykopia.open(config, "password") as repository:
        repository.snapshots.restore(snapshot.id, tmp_path / "restored")
    assert_trees_equal(tmp_path / "source", tmp_path / "restored")
    found = storage_from_environment({"KOPIA_REPOSITORY": url})
    assert found.connection == ConnectionInfo(type="tape", config={"robot": f"{tmp_path}/repository", "pin": ""})
    info = ConnectionInfo(type="tape", config={"robot": "r", "pin": "canary"})
    assert "canary" not in repr(info)
    with pytest.raises(UsageError, match="robot must be given"):
        open_storage(ConnectionInfo(type="tape", config={}))


def test_the_command_line_uses_the_connection_file_of_such_a_kind(site: Path, tmp_path: Path) -> None:
    changing_tree(tmp_path / "source", 0)
    environment = {"PYTHONPATH": str(site), "HOME": str(tmp_path), "KOPIA_PASSWORD": "password"}

    def run(*words: str) -> str:
        command = [sys.executable, *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    config = tmp_path / "repository.config"
    make = "import pathlib, pykopia, sys; pykopia.create(sys.argv[1], 'password', config=pathlib.Path(sys.argv[2])).close()"
    run("-c", make, f"tape://{tmp_path}/repository", str(config))
    program = ("-c", "from pykopia.cli.main import main; main()", f"--config-file={config}")
    run(*program, "snapshot", "create", str(tmp_path / "source"))
    assert '"tape"' in run(*program, "repository", "status", "--json")


def test_a_program_adds_a_kind_whose_opener_says_what_it_takes() -> None:
    register(
        "mine", Backend(opener="pykopia.storage.backends.memory.storage:MemoryStorage.from_options", retries=False)
    )
    info = ConnectionInfo(type="mine", config={"name": "of-mine"})
    assert isinstance(info.options(), MemoryOptions)
    assert open_storage(info).display_name == "Memory: of-mine"


def test_a_kind_that_does_not_say_what_it_takes_is_refused() -> None:
    register("mine", Backend(opener="builtins:print"))
    with pytest.raises(UnsupportedOptionError, match="names no class of options"):
        open_storage(ConnectionInfo(type="mine", config={}))


def test_an_entry_point_that_is_no_backend_is_named(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "tapes-1.0.dist-info" / "entry_points.txt").write_text("[pykopia.storage]\ntape = os:getcwd\n")
    monkeypatch.syspath_prepend(site)
    with pytest.raises(UnsupportedOptionError, match="os:getcwd must be a"):
        open_storage(ConnectionInfo(type="tape", config={}))


def test_every_kind_of_this_package_is_complete() -> None:
    for kind, backend in registry.own().items():
        assert registry.options_class(kind).type == kind
        assert callable(registry.load(backend.url))
        assert callable(registry.open_with(kind, backend))


def test_a_chain_of_filesystems_is_no_folder() -> None:
    with pytest.raises(InvalidURLError, match=r"chain of filesystems \(simplecache::"):
        storage_from_url("simplecache::s3://bucket/folder")


@pytest.mark.parametrize(("text", "seconds"), [("", 900), ("0s", 0), ("90s", 90), ("1h30m", 5400)])
def test_how_long_a_busy_storage_is_asked_is_a_field_of_the_connection(text: str, seconds: float) -> None:
    options = S3Options(bucket="b", endpoint="e", retry_for=text)
    assert retry_schedule(options).patience == seconds
    assert options.to_config().get("retryFor", "") == text


def test_packages_are_not_searched_where_none_can_add_a_kind(tmp_path: Path) -> None:
    """That takes longer than everything else that a help text needs."""
    assert not registry._may_have_entry_points([str(tmp_path), str(tmp_path / "missing"), ""])
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    assert not registry._may_have_entry_points([str(tmp_path)])
    (info / "entry_points.txt").write_text("[console_scripts]\nother = other:main\n")
    assert not registry._may_have_entry_points([str(tmp_path)])
    (info / "entry_points.txt").write_text("[console_scripts]\nother = other:main\n[pykopia.storage]\ntape = t:B\n")
    assert registry._may_have_entry_points([str(tmp_path / "missing"), str(tmp_path)])


def test_an_archive_of_packages_is_searched(tmp_path: Path) -> None:
    (tmp_path / "packages.zip").write_bytes(b"PK")
    assert registry._may_have_entry_points([str(tmp_path / "packages.zip")])


@pytest.mark.parametrize("words", ["repository create", "repository create azure", "repository connect filesystem"])
def test_help_on_storages_imports_no_package_metadata(words: str) -> None:
    script = """
from pykopia.cli.main import run
run(sys.argv[1:], environment={}, stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr)
print("importlib.metadata" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys\nsys.path += {sys.path!r}\n{script}", *words.split(), "--help"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"
