"""Test an installed wheel: install it in new environments, one for each Python, and run a part of the test suite there.

    python scripts/test_wheel.py --python python3.11 --python python3.13 dist/pykopia-*.whl
    python scripts/test_wheel.py --pure pure/pykopia-*.whl
    python scripts/test_wheel.py --oldest dist/pykopia-*.whl -- tests/format -k index

First the wheel is installed alone, without extras, and scripts/demo.sh backs up and restores with it. Then come the extras and
the packages of the tests. The tests run in a copy of this checkout that lacks the packages of the project, so that they import
what is installed. Needs the programs of scripts/requirements.txt beside the Python that runs this script.
"""

# ruff: noqa: INP001 -- a program

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("pykopia/", "mover/pykopia_mover/", "operator/pykopia_operator/")
TESTS = [
    "tests/format",
    "tests/chunking",
    "tests/sealing",
    "tests/index",
    "tests/snapshot/test_small_files.py",
    "tests/snapshot/test_upload.py",
    "tests/snapshot/test_restore.py",
    "tests/snapshot/test_verify.py",
    "tests/test_golden_repositories.py",
    "tests/test_tutorial.py",
    "tests/cli/test_main.py",
    "tests/cli/test_snapshots.py",
]
"""The format, the native functions beside their definitions, round trips, the command line."""
PURE_TESTS = ["tests/format", "tests/index", "tests/snapshot/test_restore.py", "tests/test_tutorial.py"]
"""Without native modules chunking is very slow: what splits megabytes is left to the whole suite."""

WHAT_IS_INSTALLED = """
import importlib.util, pathlib, sys
import pykopia
place = pathlib.Path(pykopia.__file__).parent
if not place.is_relative_to(sys.prefix):
    sys.exit(f"pykopia was imported from {place}")
sources = [path.relative_to(place.parent).with_suffix("") for path in place.rglob("*.pyx")]
built = [name for name in map(lambda path: ".".join(path.parts), sources) if importlib.util.find_spec(name)]
for name in built:
    importlib.import_module(name)
print(f"Python {sys.version.split()[0]}, pykopia {pykopia.__version__}, {len(built)} of {len(sources)} native modules")
sys.exit(0 if len(built) == (0 if "--pure" in sys.argv else len(sources)) else "that is not the expected number")
"""


class Environment:
    """A new virtual environment.

    Args:
        folder: where it is made.
        python: interpreter that it is made with.
        constraints: file with the only versions of packages that may be installed; None for the newest.
    """

    def __init__(self, folder: Path, python: str, constraints: Path | None) -> None:
        self.folder, self._constraints = folder, constraints
        uv("venv", "--quiet", "--python", python, str(folder))

    @property
    def python(self) -> str:
        """Path of the interpreter."""
        return str(self.folder / "bin" / "python")

    def install(self, *arguments: str) -> None:
        """Install packages, as named by the arguments of ``uv pip install``."""
        constraints = ["--constraint", str(self._constraints)] if self._constraints else []
        uv("pip", "install", "--quiet", "--python", self.python, *constraints, *arguments)

    def run(self, *command: str, folder: Path) -> None:
        """Run a program of this environment; the script ends if the program fails."""
        variables = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        variables["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        variables.setdefault(
            "HYPOTHESIS_PROFILE", "quick"
        )  # properties are proven by the suite; this is about packages
        done = subprocess.run(command, cwd=folder, env=variables, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command[:4])} … ended with {done.returncode}")


def uv(*arguments: str) -> None:
    """Run uv, which makes environments much faster than pip."""
    subprocess.run([str(Path(sys.executable).parent / "uv"), *arguments], check=True, cwd=ROOT)


def tests_alone(folder: Path) -> Path:
    """Copy the tracked files of the checkout to a new folder, without the packages of the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if not name.startswith(PACKAGES) and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


def oldest_versions(python: str, target: Path) -> Path:
    """Write the oldest version of each dependency that pyproject.toml allows to a file."""
    command = ["pip", "compile", "--quiet", "--resolution=lowest-direct", "--extra=all", "--python", python]
    uv(*command, "--output-file", str(target), str(ROOT / "pyproject.toml"))
    return target


def main() -> None:
    """Test the wheel that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", action="append", help="interpreter to test with, also several times")
    parser.add_argument(
        "--oldest", action="store_true", help="with the oldest versions of dependencies that are allowed"
    )
    parser.add_argument("--pure", action="store_true", help="the wheel has no native modules")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("pytest", nargs="*", help="arguments of pytest instead of the usual part of the suite")
    options = parser.parse_args()
    wheel = options.wheel.resolve(strict=True)
    for python in options.python or [sys.executable]:
        with tempfile.TemporaryDirectory(prefix="pykopia-wheel-test-") as folder:
            work = Path(folder)
            constraints = oldest_versions(python, work / "oldest.txt") if options.oldest else None
            environment = Environment(work / "environment", python, constraints)
            environment.install(str(wheel))
            pure = ["--pure"] if options.pure else []
            environment.run(environment.python, "-c", WHAT_IS_INSTALLED, *pure, folder=work)
            environment.run("sh", str(ROOT / "scripts" / "demo.sh"), folder=work)
            environment.install(f"{wheel}[all]", "--group", "test")
            copy = tests_alone(work / "checkout")
            tests = options.pytest or [
                "-n",
                "auto",
                "-m",
                "not slow and not cluster",
                *(PURE_TESTS if options.pure else TESTS),
            ]
            warnings = ["-W", "default::DeprecationWarning"] if options.oldest else []  # old packages beside newer ones
            environment.run(environment.python, "-m", "pytest", "-q", *warnings, *tests, folder=copy)


if __name__ == "__main__":
    main()
