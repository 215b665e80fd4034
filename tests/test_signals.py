"""Signals that ask a program to end: nothing is raised inside an import, nothing crashes, the status is the signal's own."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pykopia.signals import Interrupter, Stopped, status_of

ROOT = Path(__file__).parents[1]

IMPORTING = """
import importlib.machinery, importlib.util, signal, sys
{setup}
name = sys.argv[1]
class Loader(importlib.machinery.ExtensionFileLoader):
    def exec_module(self, module):
        signal.raise_signal(signal.SIGTERM)
        super().exec_module(module)
        imported.append(name)
imported = []
class Finder:
    @staticmethod
    def find_spec(wanted, path=None, target=None):
        if wanted == name:
            found = importlib.machinery.PathFinder.find_spec(wanted, path)
            return importlib.util.spec_from_file_location(name, found.origin, loader=Loader(name, found.origin))
sys.meta_path.insert(0, Finder)
try:
    importlib.import_module(name)
    while True:
        pass
except {kind}:
    print(*imported)
    sys.exit(143)
"""


def importing(name: str, setup: str, kind: str) -> subprocess.CompletedProcess[str]:
    code = IMPORTING.format(setup=textwrap.dedent(setup), kind=kind)
    return subprocess.run([sys.executable, "-c", code, name], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["pykopia.format._scrypt", "pykopia.format._index", "_decimal"])
def test_a_signal_during_an_import_is_delivered_when_the_import_is_done(name: str) -> None:
    pytest.importorskip(name)
    setup = "from pykopia.signals import Interrupter, Stopped; Interrupter().install()"
    done = importing(name, setup, "Stopped")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (143, name, "")


def test_a_second_signal_ends_the_process_at_once() -> None:
    ended: list[int] = []
    interrupter = Interrupter(end=ended.append)
    with pytest.raises(Stopped) as stopped:
        interrupter.handle(signal.SIGTERM, None)
    assert (stopped.value.status, str(stopped.value)) == (143, "terminated")
    with pytest.raises(Stopped):  # it would not be raised if the process had ended
        interrupter.handle(signal.SIGINT, None)
    assert ended == [status_of(signal.SIGINT)]


def test_a_signal_that_is_still_to_be_delivered_counts_at_the_end() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        interrupter = Interrupter()
        interrupter.pending = signal.SIGINT
        with pytest.raises(Stopped, match="interrupted"):
            interrupter.uninstall()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_hand_over_runs_nothing_but_a_thread_in_the_handler() -> None:
    code = """
    import os, signal, threading
    from pykopia.signals import hand_over
    taken, event = [], threading.Event()
    def take(number):
        taken.append(number)
        event.set()
    hand_over(take)
    with event._cond:                      # what the handler interrupts holds the lock that ``take`` needs
        signal.raise_signal(signal.SIGTERM)
    event.wait(30)
    print(*taken)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{int(signal.SIGTERM)}\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported_ends_the_command_without_a_traceback(
    number: signal.Signals, tmp_path: Path
) -> None:
    code = f"""
    import os, signal, sys
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "pykopia.cli.session":
                os.kill(os.getpid(), {int(number)})
    sys.meta_path.insert(0, Finder)
    sys.argv = ["pykopia", "snapshot", "list"]
    from pykopia.cli.main import main
    main()
    """
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 128 + number
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] in {"interrupted", "terminated"}


def test_the_mover_keeps_a_signal_that_arrives_while_its_modules_are_imported(tmp_path: Path) -> None:
    code = """
    import os, signal, sys
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "pykopia_mover.main":
                os.kill(os.getpid(), signal.SIGTERM)
    sys.meta_path.insert(0, Finder)
    sys.argv = ["pykopia-mover", "backup"]
    from pykopia_mover.__main__ import main
    main()
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'mover'}",
        "TERMINATION_LOG": str(tmp_path / "termination"),
        "KOPIA_REPOSITORY": f"filesystem://{tmp_path}/repository",
        "KOPIA_PASSWORD": "secret",
        "DATA_DIR": str(tmp_path),
        "KOPIA_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 143, done.stdout + done.stderr
    assert '"code":"terminated"' in (tmp_path / "termination").read_text().replace(" ", "")
