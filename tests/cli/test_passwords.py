import getpass
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Answer password prompts in turn; returns the list in which the prompts are noted."""

    def prepare(*texts: str) -> list[str]:
        prompts: list[str] = []
        waiting: Iterator[str] = iter(texts)

        def answer(prompt: str = "", _stream: object = None) -> str:
            prompts.append(prompt)
            try:
                return next(waiting)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr(getpass, "getpass", answer)
        return prompts

    return prepare


def create(cli: Runner, storage: Path, *flags: str) -> str:
    result = cli("repo", "create", "filesystem", "--path", str(storage), *flags, terminal=True, KOPIA_PASSWORD="")
    assert result.status == 0, result.stderr
    return result.stderr


def test_a_new_password_is_asked_for_twice(cli: Runner, tmp_path: Path, answers: Callable[..., list[str]]) -> None:
    prompts = answers("one", "two", "three", "three")
    assert "Passwords don't match!" in create(cli, tmp_path / "storage")
    assert prompts == ["Enter password to create new repository: ", "Re-enter password for verification: "] * 2
    cli.ok("snapshot", "list", KOPIA_PASSWORD="three")


def test_an_existing_password_is_asked_for_once(cli: Runner, tmp_path: Path, answers: Callable[..., list[str]]) -> None:
    answers("pw", "pw")
    create(cli, tmp_path / "storage", "--no-persist-credentials")
    prompts = answers("pw")
    assert cli("snapshot", "list", terminal=True, KOPIA_PASSWORD="").status == 0
    assert prompts == ["Enter password to open repository: "]


def test_an_empty_answer_is_asked_again_a_few_times(
    cli: Runner, tmp_path: Path, answers: Callable[..., list[str]]
) -> None:
    prompts = answers("", "", "", "", "", "", "")
    result = cli("repo", "create", "filesystem", "--path", str(tmp_path / "s"), terminal=True, KOPIA_PASSWORD="")
    assert result.status != 0
    assert "no password was entered" in result.stderr
    assert len(prompts) == 5


def test_the_end_of_input_is_no_password(cli: Runner, tmp_path: Path, answers: Callable[..., list[str]]) -> None:
    answers()
    result = cli("repo", "create", "filesystem", "--path", str(tmp_path / "s"), terminal=True, KOPIA_PASSWORD="")
    assert "no password was entered" in result.stderr


def test_without_a_terminal_nothing_is_asked(cli: Runner, tmp_path: Path) -> None:
    result = cli.fails("repo", "create", "filesystem", "--path", str(tmp_path / "s"), KOPIA_PASSWORD="")
    assert "there is no terminal to ask on" in result.stderr


def test_blanks_around_a_given_password_do_not_count(cli: Runner, tmp_path: Path) -> None:
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "s"), "--password", " pw\n")
    cli.ok("snapshot", "list", KOPIA_PASSWORD="pw")


def test_a_damaged_password_file_is_told(cli: Runner, tmp_path: Path) -> None:
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "s"))
    cli.config.with_name("repository.config.kopia-password").write_text("%%%")
    result = cli.fails("snapshot", "list", KOPIA_PASSWORD="")
    assert "repository.config.kopia-password is damaged" in result.stderr


class _Ring(types.ModuleType):
    """Stands for the package `keyring`."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


def test_a_keyring_keeps_the_password_instead_of_the_file(
    cli: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = _Ring()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "s"), "--use-keyring")
    assert list(ring.kept.values()) == [cli.password]
    assert not cli.config.with_name("repository.config.kopia-password").exists()
    cli.ok("snapshot", "list", "--use-keyring", KOPIA_PASSWORD="")
    cli.ok("repo", "disconnect", "--use-keyring")
    assert ring.kept == {}


def test_a_keyring_that_fails_gives_way_to_the_file(
    cli: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", types.ModuleType("keyring"))
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "s"), "--use-keyring")
    assert cli.config.with_name("repository.config.kopia-password").exists()
    cli.ok("snapshot", "list", "--use-keyring", KOPIA_PASSWORD="")


def test_without_the_package_the_file_is_used(cli: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    result = cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "s"), "--use-keyring")
    assert "pip install 'pykopia[keyring]'" in result.stderr
    assert cli.config.with_name("repository.config.kopia-password").exists()


def test_a_password_that_is_not_utf8_is_kept_and_found_again(cli: Runner, tmp_path: Path) -> None:
    word = b"caf\xe9".decode("utf-8", "surrogateescape")  # as the environment gives a word in Latin-1
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "s"), KOPIA_PASSWORD=word)
    assert cli.config.with_name("repository.config.kopia-password").read_bytes() == b"Y2Fm6Q=="  # as Kopia writes it
    cli.ok("snapshot", "list", KOPIA_PASSWORD="")
