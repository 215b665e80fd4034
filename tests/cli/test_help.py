import subprocess
import sys
from collections.abc import Iterator

from pykopia.chunking.splitters import SPLITTERS
from pykopia.cli import tree
from pykopia.cli.help import usage
from pykopia.cli.parsing import Command
from pykopia.format import algorithm_names as algorithms
from pykopia.format.compression import COMPRESSORS
from pykopia.format.ecc import ECC_ALGORITHMS
from pykopia.format.encryption import ENCRYPTIONS
from pykopia.format.hashing import HASHES
from pykopia.format.keys import KEY_DERIVATIONS


def commands(path: tuple[Command, ...] = (tree.ROOT,)) -> Iterator[tuple[Command, ...]]:
    yield path
    for child in path[-1].children:
        yield from commands((*path, child))


def test_every_command_has_help_of_readable_width() -> None:
    for path in commands():
        for full in (False, True):
            text = usage(path, full=full)
            assert text.startswith("usage: " + " ".join(command.name for command in path))
            flags = [line for line in text.splitlines()[2:] if not line.startswith("  " + path[-1].name)]
            assert all(len(line) < 160 for line in flags)


def test_every_flag_says_what_it_does() -> None:
    for path in commands():
        for parameter in path[-1].options.parameters:
            assert parameter.help.endswith((".", ")")), f"{path[-1].name} {parameter.name}"


def test_every_summary_is_a_sentence() -> None:
    for path in commands():
        assert path[-1].summary.endswith("."), path[-1].name


def test_hidden_flags_show_in_the_full_help_only() -> None:
    path = tree.find(["snapshot", "create"])
    assert "flush-per-source" not in usage(path)
    assert "flush-per-source" in usage(path, full=True)


def test_hidden_commands_show_in_the_full_help_only() -> None:
    assert "blob list" not in usage((tree.ROOT,))
    assert "blob list" in usage((tree.ROOT,), full=True)


def test_names_are_unique_within_a_group() -> None:
    for path in commands():
        names = [name for child in path[-1].children for name in (child.name, *child.aliases)]
        assert len(names) == len(set(names))


def test_short_flags_are_unique_within_a_command() -> None:
    for path in commands():
        shorts = [each.short for level in path for each in level.options.parameters if each.short]
        assert len(shorts) == len(set(shorts)), path[-1].name


def test_defaults_choices_and_variables_are_shown() -> None:
    text = usage(tree.find(["repository", "create", "filesystem"]))
    assert "BLAKE2B-256-128" in text
    assert "$KOPIA_PASSWORD" in text
    assert "--path=PATH" in text


def test_no_default_of_a_flag_is_a_secret() -> None:
    for path in commands():
        for parameter in path[-1].options.parameters:
            if (
                any(word in parameter.name for word in ("password", "secret", "token", "-key"))
                and "derivation" not in parameter.name
            ):
                assert parameter.default in {"", False}


def test_the_names_of_algorithms_are_those_of_the_registries() -> None:
    assert tuple(sorted(COMPRESSORS)) == algorithms.COMPRESSOR_NAMES
    assert tuple(sorted(ECC_ALGORITHMS)) == algorithms.ECC_NAMES
    assert tuple(sorted(ENCRYPTIONS)) == algorithms.ENCRYPTION_NAMES
    assert tuple(sorted(HASHES)) == algorithms.HASH_NAMES
    assert tuple(sorted(KEY_DERIVATIONS)) == algorithms.KEY_DERIVATION_NAMES
    assert tuple(sorted(SPLITTERS)) == algorithms.SPLITTER_NAMES


HEAVY = frozenset(
    {"asyncio", "concurrent", "email", "hashlib", "importlib.metadata", "json", "logging", "msgspec",
     "secrets", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "zipfile"}
)  # fmt: skip
"""Modules that no help text needs; any one of them takes longer than the text."""


def test_no_help_imports_what_takes_long() -> None:
    """All texts in one process: whatever any of them imports is seen."""
    script = """
import io, sys
sys.path += PATHS
from pykopia.cli.main import run
for line in sys.stdin.read().splitlines():
    streams = {name: io.StringIO() for name in ("stdin", "stdout", "stderr")}
    assert run([*line.split(), "--help"], environment={}, **streams) == 0, line
    assert streams["stdout"].getvalue().startswith("usage: "), line
print(*sys.modules)
"""
    lines = "\n".join(" ".join(command.name for command in path[1:]) for path in commands())
    done = subprocess.run(
        [sys.executable, "-S", "-c", script.replace("PATHS", repr(sys.path))],  # -S: what an editable install imports
        input=lines, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(lines.splitlines()) > 150
    assert HEAVY & set(done.stdout.split()) == set()
