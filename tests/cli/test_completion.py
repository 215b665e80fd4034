"""Completion scripts in their shells, and the manual page."""

import shutil
import subprocess

import pytest

from pykopia.cli import completion
from tests.cli_runner import Runner


def completed(line: str) -> list[str]:
    """Return what bash offers for a line that is being typed; its last word is the one to complete."""
    words = line.split(" ")
    script = completion.bash() + (
        f"\nCOMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}\n"
        '_pykopia; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "--norc"], input=script, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pykopia snap", ["snapshot"]),
        ("pykopia snapshot cr", ["create"]),
        ("pykopia repository connect file", ["filesystem"]),
        ("pykopia snapshot create --para", ["--parallel"]),
        ("pykopia restore --mode zi", ["zip", "zip-nocompress"]),
        ("pykopia --log-level err", ["error"]),
        ("pykopia snapshot create /so", []),
    ],
)
def test_bash_completes(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_reads_its_script() -> None:
    subprocess.run(["zsh", "-n"], input=completion.zsh(), text=True, check=True)


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_reads_its_script() -> None:
    subprocess.run(["fish", "-n"], input=completion.fish(), text=True, check=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_the_script(cli: Runner, shell: str) -> None:
    assert "snapshot" in cli.ok("completion", shell).stdout


def test_the_flags_of_kopia_print_the_scripts_too(cli: Runner) -> None:
    assert cli.ok("--completion-script-bash").stdout == completion.bash()
    assert cli.ok("--completion-script-zsh").stdout == completion.zsh()


def test_another_shell_is_refused(cli: Runner) -> None:
    assert "none of bash, zsh and fish" in cli.fails("completion", "tcsh").stderr


def test_the_manual_page_names_all_commands_that_help_shows(cli: Runner) -> None:
    page = cli.ok("--help-man").stdout
    assert page.startswith('.TH "PYKOPIA" "1"')
    for path in completion.paths():
        if len(path) > 1 and not path[-1].children and not any(each.hidden for each in path):
            assert f'.SS "{" ".join(each.name for each in path[1:])}"'.replace("-", r"\-") in page


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff here")
def test_groff_finds_nothing_wrong_with_the_manual_page() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-z"],
        input=completion.manual_page(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
