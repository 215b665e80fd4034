"""The key of the repository is begun to be derived before a command is imported."""

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.cli import early
from pykopia.format.keys import DEFAULT_KEY_DERIVATION
from pykopia.repository import early_key
from tests.cli_runner import Runner


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    def begin(password: str, *, algorithm: str, salt: bytes) -> None:
        assert len(salt) == 32
        found.append((password, algorithm))

    monkeypatch.setattr(early_key, "begin", begin)
    return found


def test_only_commands_that_open_the_connected_repository_begin_early(
    tmp_path: Path, begun: list[tuple[str, str]]
) -> None:
    client = Runner(tmp_path / "client")
    words = ("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    assert client(*words, "--cache-directory", str(tmp_path / "cache")).status == 0
    assert client("snapshot", "list").status == 0  # this one leaves the copy of the format block
    begun.clear()
    assert client("snapshot", "list").status == 0
    assert begun == [(client.password, DEFAULT_KEY_DERIVATION)]
    assert client(*words).status != 0
    assert client("repository", "disconnect").status == 0
    assert client("snapshot", "list").status != 0
    assert len(begun) == 1


def copy_in(cache: Path) -> Path:
    (copy,) = cache.glob("pykopia/format-*/kopia.repository")
    return copy


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cache, config: copy_in(cache).write_bytes(b"no JSON"),
        lambda cache, config: copy_in(cache).write_bytes(b'{"uniqueID": 5}'),
        lambda cache, config: copy_in(cache).write_bytes(b'{"uniqueID": "!!!", "keyAlgo": "x"}'),
        lambda cache, config: copy_in(cache).unlink(),
        lambda cache, config: config.write_bytes(b"[]"),
    ],
)
def test_what_is_missing_or_damaged_is_left_to_the_command(
    tmp_path: Path, begun: list[tuple[str, str]], spoil: Callable[[Path, Path], object]
) -> None:
    client = Runner(tmp_path / "client")
    words = ("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    assert client(*words, "--cache-directory", str(tmp_path / "cache")).status == 0
    assert client("snapshot", "list").status == 0
    begun.clear()
    spoil(tmp_path / "cache", client.config)
    client("snapshot", "list")
    assert not begun


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["-p", "a", "--config-file", "{}"], {}),
        (["--password=a", "--config-file={}"], {"KOPIA_PASSWORD": "b"}),
        (["snapshot", "list"], {"KOPIA_PASSWORD": " a ", "KOPIA_CONFIG_PATH": "{}"}),
    ],
)
def test_password_and_connection_file_come_from_the_line_or_the_environment(
    tmp_path: Path, begun: list[tuple[str, str]], words: list[str], environment: dict[str, str]
) -> None:
    config = tmp_path / "folder" / "any.config"
    config.parent.mkdir()
    config.write_text('{"caching": {"cacheDirectory": "../cache"}}')
    copies = tmp_path / "cache" / "pykopia" / "format-0123456789abcdef"
    copies.mkdir(parents=True)
    block = {"uniqueID": b64encode(bytes(32)).decode(), "keyAlgo": "x"}
    (copies / "kopia.repository").write_text(json.dumps(block))
    early.begin(
        [word.format(config) for word in words], {name: text.format(config) for name, text in environment.items()}
    )
    assert begun == [("a", "x")]
    early.begin(["--password"], {"HOME": str(tmp_path)})
    assert len(begun) == 1


_DRIVER = """
import sys
from pykopia.repository import early_key
derive, at_hand = early_key.derive, set()
def derived(*given, **named):
    key = derive(*given, **named)
    at_hand.update(sys.modules)
    return key
early_key.derive = derived
from pykopia.cli.main import main
try:
    main()
finally:
    print(*sorted(set(sys.modules) - at_hand), file=sys.__stderr__)
"""


@pytest.mark.parametrize(
    "command", ["snapshot create", "snapshot list", "snapshot verify", "restore", "maintenance run"]
)
def test_nothing_is_imported_after_the_wait_for_the_key(tmp_path: Path, command: str) -> None:
    client = Runner(tmp_path / "client")
    assert client("repository", "create", "filesystem", "--path", str(tmp_path / "repository")).status == 0
    assert client("policy", "set", "--global", "--compression=zstd").status == 0
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("text " * 1000)
    assert client("snapshot", "create", str(source)).status == 0
    words = {
        "snapshot create": [str(source)],
        "snapshot verify": ["--verify-files-percent=100"],
        "restore": [str(source), str(tmp_path / "restored")],
    }.get(command, [])
    run = subprocess.run(
        [sys.executable, "-c", _DRIVER, *command.split(), *words, "--config-file", str(client.config)],
        env={"KOPIA_PASSWORD": client.password, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr.splitlines()[-1] == ""
