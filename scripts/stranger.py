"""Type the tutorial on a fresh Debian: the wheel is installed by the first command and restores by the last ones.

    python scripts/stranger.py dist/packages/pykopia-*.whl

The root folder is new and made from Debian's packages: Python 3.11 and what it needs, no compiler. In it a new user without
any privilege types each command of docs/tutorial.md at a terminal, in the order of the page and without a change, waits for the
prompt and goes on only if the command succeeded. Needs root, and mmdebstrap, unshare and setpriv (packages of Debian). Where one
of them is missing the exit status is 77: not checked, as opposed to failed.
"""

# ruff: noqa: INP001, T201 -- a program

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"
DEBIAN = "bookworm"
"""The release whose Python is 3.11."""
PACKAGES = ("python3", "python3-venv", "ca-certificates")
COMPILERS = ("cc", "c99", "gcc", "g++", "clang", "tcc", "cython", "cython3")
NOT_CHECKED = 77
USER = "stranger"
USER_ID = 1000
PROMPT = re.compile(rb"\[(\d+)\] stranger\$ \Z")
SECONDS = 600
"""Longest time of one command."""
EXPECTED = {
    "restored/letters/first.txt": "Dear reader\n",
    "numbers-before.csv": "1\n",
    "documents/numbers.csv": "1\n2\n",
}
"""Files of the user's folder when the tutorial is over."""


def commands(page: str) -> list[str]:
    """Return the lines of all shell examples of a page, in their order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def make_root(root: Path) -> None:
    """Make a root folder with Debian's Python, the network's settings of this machine, and a new user."""
    include = f"--include={','.join(PACKAGES)}"
    done = subprocess.run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", include, DEBIAN, str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout[-2000:])
        print("not checked: mmdebstrap can't make a root folder")
        sys.exit(NOT_CHECKED)
    for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", name).exists():
            (root / name).unlink(missing_ok=True)
            shutil.copy(Path("/", name), root / name)
    subprocess.run(
        ["chroot", str(root), "useradd", "--create-home", f"--uid={USER_ID}", "--shell=/bin/bash", USER], check=True
    )
    root.chmod(0o755)


def in_root(root: Path, *command: str) -> list[str]:
    """Return the words that run a command in the root folder as the user without any privilege."""
    mounts = "mount --rbind /proc proc && mount --rbind /dev dev"
    user = ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups", "--no-new-privs"]
    rights = ["--bounding-set=-all", "--inh-caps=-all"]
    inside = ["chroot", ".", *user, *rights, "env", f"--chdir=/home/{USER}", *command]
    script = f'cd "$1" && shift && {mounts} && exec "$@"'
    return ["unshare", "--mount", "--propagation=private", "sh", "-euc", script, "sh", str(root), *inside]


def variables(wheel: str) -> dict[str, str]:
    """Return the environment of the user; pip takes the wheel for ``pykopia`` and everything else from PyPI.

    Args:
        wheel: path of the wheel in the root folder.
    """
    kept = {
        name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "HTTPS_PROXY") if name in os.environ
    }
    return kept | {
        "HOME": f"/home/{USER}",
        "USER": USER,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PS1": "[$?] stranger$ ",
        "PIP_CONSTRAINT": wheel,
    }


class Terminal:
    """A shell at a terminal, which somebody types at."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process, self._descriptor = pty.fork()
        if self._process == 0:
            os.execvpe(command[0], command, environment)  # noqa: S606 -- no shell between
        self.seen = ""

    def wait(self) -> int:
        """Read until the next prompt; return the exit status that the prompt shows."""
        text, end = b"", time.monotonic() + SECONDS
        while not (prompt := PROMPT.search(text)):
            ready, _, _ = select.select([self._descriptor], [], [], max(0, end - time.monotonic()))
            try:
                read = os.read(self._descriptor, 1 << 16) if ready else b""
            except OSError:  # the shell ended
                read = b""
            text += read
            print(read.decode(errors="replace"), end="", flush=True)
            if not read:
                sys.exit("\nthe shell ended" if ready else f"\nno prompt came within {SECONDS} seconds")
        self.seen += text.decode(errors="replace")
        return int(prompt[1])

    def type(self, line: str) -> int:
        """Type a line and return the exit status of the command."""
        os.write(self._descriptor, f"{line}\n".encode())
        return self.wait()

    def close(self) -> None:
        """End the shell."""
        os.write(self._descriptor, b"exit\n")
        os.waitpid(self._process, 0)
        os.close(self._descriptor)


def type_tutorial(root: Path, wheel: str) -> str:
    """Type all commands of the tutorial; return what the terminal showed."""
    path = f"PATH={os.environ.get('PATH', os.defpath)}"
    inside = [
        "-i",
        *(f"{name}={value}" for name, value in variables(wheel).items()),
        "bash",
        "--norc",
        "--noediting",
        "-i",
    ]
    terminal = Terminal(in_root(root, *inside), {"PATH": path.removeprefix("PATH=")})
    terminal.wait()
    for line in commands(TUTORIAL.read_text(encoding="utf-8")):
        if status := terminal.type(line):
            sys.exit(f"\nended with {status}: {line}")
    terminal.close()
    return terminal.seen


def check(root: Path, seen: str) -> list[str]:
    """Return what is not as a reader of the tutorial would expect.

    Args:
        root: the root folder, after the tutorial.
        seen: what the terminal showed.
    """
    home = root / "home" / USER
    wrong = [f"{name} is missing or has other text" for name, text in EXPECTED.items() if not has(home / name, text)]
    wrong += [f"the terminal showed {text!r}" for text in ("Traceback", "internal error") if text in seen]
    wrong += [f"the list of snapshots lacks {text!r}" for text in ("(latest-1", "(latest-2") if text not in seen]
    if not list(home.glob("pykopia-env/lib/python3.11/site-packages/pykopia/chunking/_splitters*.so")):
        wrong.append("the native modules are not installed")
    return wrong


def has(path: Path, text: str) -> bool:
    """Return True if a file has exactly this text."""
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main() -> None:
    """Let a stranger install the wheel that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path, help="for this machine's processor, as `make packages` builds it")
    wheel = parser.parse_args().wheel.resolve(strict=True)
    missing = [program for program in ("mmdebstrap", "unshare", "setpriv", "chroot") if not shutil.which(program)]
    if missing or os.geteuid() != 0:
        print(f"not checked: {'needs root' if os.geteuid() else ', '.join(missing) + ' is missing'}")
        sys.exit(NOT_CHECKED)
    with tempfile.TemporaryDirectory(prefix="pykopia-stranger-") as folder:
        root = Path(folder) / "root"
        make_root(root)
        found = [name for name in COMPILERS if list(root.glob(f"usr/bin/{name}*"))]
        if found:
            sys.exit(f"the new root folder has a compiler: {', '.join(found)}")
        shutil.copy(wheel, root / "opt" / wheel.name)
        (root / "opt" / "constraints.txt").write_text(f"pykopia @ file:///opt/{wheel.name}\n", encoding="utf-8")
        started = time.monotonic()
        seen = type_tutorial(root, "/opt/constraints.txt")
        if wrong := check(root, seen):
            sys.exit("\n" + "\n".join(wrong))
        print(f"\nthe tutorial restored all files, in {time.monotonic() - started:.0f} seconds")


if __name__ == "__main__":
    main()
