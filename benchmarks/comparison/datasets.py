"""The data that is backed up: made from a seed, changed by one per cent, and put back as it was.

`big` is one file of 1 GiB, text and random bytes in turns of 32 MiB. `small` is 40,000 files of 340 MB in all, in folders
nested like those of a source tree. `tree` is a copy of what the machine has of Python packages and C headers.
"""

import array
import itertools
import os
import random
import shutil
import stat
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
BIG_BYTES = 1024 * MIB
SMALL_FILES = 40_000
SMALL_BYTES = 340_000_000
TREE_FILES = 54_000
TREE_BYTES = 815_000_000
CHANGED_SHARE = 0.01

WORDS = (
    b"self return import value name index count length buffer offset config result error path file data size block "
    b"chunk hash entry table node list item first last next begin end open close read write flush cache limit default "
    b"option if else for while try except with class def struct const static void int char unsigned long double string"
).split()
SYNTAX = (
    b"(",
    b")",
    b" = ",
    b": ",
    b", ",
    b".",
    b"\n    ",
    b"\n",
    b"[",
    b"]",
    b" + ",
    b" == ",
    b"->",
    b"; ",
    b"/* ",
    b'"',
)


class TextSource:
    """Text that compresses about 2.5:1, like source text, made as fast as it can be joined.

    A piece is a word or two with some syntax; the text is a row of pieces drawn by 16-bit random numbers.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(f"{seed} text")
        self._pieces = [self._piece() for _ in range(1 << 16)]
        self._mean = sum(map(len, self._pieces)) / len(self._pieces)

    def _piece(self) -> bytes:
        letters = bytes(self._random.choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=self._random.randrange(5)))
        words = self._random.choices(WORDS, k=self._random.randrange(1, 3))
        return words[0] + self._random.choice(SYNTAX) + b"_".join([*words[1:], letters])

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        parts: list[bytes] = []
        have = 0
        while have < size:
            numbers = array.array("H", self._random.randbytes(2 * int((size - have) / self._mean + 16)))
            part = b"".join(map(self._pieces.__getitem__, numbers))
            parts.append(part)
            have += len(part)
        return b"".join(parts)[:size]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A folder to back up."""

    name: str
    folder: Path
    files: int
    bytes: int
    about: str


def build_big(folder: Path, seed: str, scale: float) -> str:
    """Write one file, text and random bytes in turns."""
    text, noise = TextSource(seed), random.Random(f"{seed} noise")
    folder.mkdir(parents=True)
    left = max(int(BIG_BYTES * scale), 1)
    turn = max(min(32 * MIB, left // 8), 1)
    with (folder / "big.bin").open("wb") as out:
        for number in itertools.count():
            size = min(turn, left)
            for start in range(0, size, MIB):  # in small parts: the memory of this process must stay small
                part = min(MIB, size - start)
                out.write(noise.randbytes(part) if number % 2 else text.read(part))
            left -= size
            if not left:
                break
    return "one file, half text, half random bytes"


def build_small(folder: Path, seed: str, scale: float) -> str:
    """Write many small files: sizes as in a source tree, three quarters text, a twentieth equal to the file before."""
    choose, text = random.Random(f"{seed} small"), TextSource(seed)
    count, total = max(int(SMALL_FILES * scale), 10), max(int(SMALL_BYTES * scale), 1000)
    weights = [choose.lognormvariate(0, 1.4) for _ in range(count)]
    unit = total / sum(weights)
    folders = _nested_folders(folder, choose, count // 16 + 1)
    data = b""
    for number, weight in enumerate(weights):
        kind = choose.random()
        if kind < 0.75:
            data = text.read(int(weight * unit) + 1)
        elif kind < 0.95:
            data = choose.randbytes(int(weight * unit) + 1)
        suffix = choose.choice((".py", ".c", ".h", ".txt", ".json", ".o", ".dat"))
        (choose.choice(folders) / f"{choose.choice(WORDS).decode()}_{number:05d}{suffix}").write_bytes(data)
    return f"{count} small files in {len(folders)} nested folders, three quarters of them text"


def _nested_folders(root: Path, choose: random.Random, count: int) -> list[Path]:
    """Make folders, each below the root or one made before."""
    root.mkdir(parents=True)
    folders = [root]
    while len(folders) < count:
        parent = choose.choice(folders)
        if len(parent.parts) - len(root.parts) < 7:
            folder = parent / f"{choose.choice(WORDS).decode()}-{len(folders)}"
            folder.mkdir()
            folders.append(folder)
    return folders


def _shown(folder: Path) -> str:
    """Return a folder's name for the report, without where this checkout and its Python are."""
    for place, name in ((Path(sys.prefix), "the virtual environment"), (Path(sys.base_prefix), "Python")):
        if folder.is_relative_to(place):
            return f"{folder.relative_to(place)} of {name}"
    return str(folder)


def build_tree(folder: Path, seed: str, scale: float) -> str:
    """Copy Python packages and C headers of this machine, as many as the limits allow."""
    del seed  # a copy knows no chance
    folder.mkdir(parents=True)
    files, size = max(int(TREE_FILES * scale), 10), int(TREE_BYTES * scale)
    origins = _origins()
    for number, origin in enumerate(origins):
        for path, status in _regular_files_and_links(origin):
            if not files:
                return f"a copy of {', '.join(map(_shown, origins[: number + 1]))}, up to the limit"
            if status.st_size > size:
                continue
            target = folder / str(number) / path.relative_to(origin)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
            files, size = files - 1, size - status.st_size
    return f"a copy of {', '.join(map(_shown, origins))}"


def _origins() -> list[Path]:
    libraries = sorted(Path("/usr/lib").glob("python3*"))
    candidates: list[str | Path] = [
        sysconfig.get_path("purelib"),
        "/usr/include",
        *libraries,
        sysconfig.get_path("stdlib"),
    ]
    origins: list[Path] = []
    for candidate in candidates:
        real = Path(candidate).resolve()
        if real.is_dir() and not any(real.is_relative_to(origin) for origin in origins):
            origins.append(real)
    return origins


def _regular_files_and_links(origin: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for parent, folders, names in os.walk(origin):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            status = path.lstat()
            if (stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK)) or stat.S_ISLNK(status.st_mode):
                yield path, status


BUILDERS: Mapping[str, Callable[[Path, str, float], str]] = {
    "big": build_big,
    "small": build_small,
    "tree": build_tree,
}
FULL_BYTES: Mapping[str, int] = {"big": BIG_BYTES, "small": SMALL_BYTES, "tree": TREE_BYTES}
"""About how large each data set is at scale 1."""


def build(name: str, folder: Path, *, seed: str, scale: float) -> DataSet:
    """Make a data set in a folder that does not exist yet."""
    about = BUILDERS[name](folder, seed, scale)
    files = size = 0
    for _, status in _regular_files_and_links(folder):
        files, size = files + 1, size + status.st_size
    return DataSet(name=name, folder=folder, files=files, bytes=size, about=about)


@dataclass
class Change:
    """One per cent of a data set changed, and what it takes to put it back."""

    written: list[tuple[Path, int, bytes]] = field(default_factory=list)
    """File, offset and the bytes that stood there."""
    truncated: list[tuple[Path, int]] = field(default_factory=list)
    """File and the length it had."""
    added: list[Path] = field(default_factory=list)
    removed: list[tuple[Path, Path]] = field(default_factory=list)
    """File and where it waits outside the data set."""
    times: dict[Path, int] = field(default_factory=dict)
    """Times of modification in nanoseconds, as they were."""

    def undo(self) -> None:
        """Put everything back, times included."""
        for path, offset, data in self.written:
            with path.open("r+b") as out:
                out.seek(offset)
                out.write(data)
        for path, length in self.truncated:
            os.truncate(path, length)
        for path in self.added:
            path.unlink()
        for path, waiting in self.removed:
            waiting.rename(path)
        for path, mtime_ns in self.times.items():
            os.utime(path, ns=(mtime_ns, mtime_ns))


def change(data: DataSet, attic: Path, *, seed: str) -> Change:
    """Change one per cent of the bytes of `big`, or of the files of another data set.

    Of a hundred changed files 80 get another middle and a longer end, ten are removed (to `attic`) and ten are new.
    """
    choose = random.Random(f"{seed} change")
    done = Change()
    files = [path for path, status in _regular_files_and_links(data.folder) if stat.S_ISREG(status.st_mode)]
    if data.name == "big":
        _overwrite_ranges(files[0], choose, done)
        return done
    attic.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(choose.sample(files, max(int(len(files) * CHANGED_SHARE), 1))):
        _keep_time(path.parent, done)
        if number % 10 == 8:
            path.rename(attic / str(number))
            done.removed.append((path, attic / str(number)))
        elif number % 10 == 9:
            new = path.with_name(f"new-{number}.bin")
            new.write_bytes(choose.randbytes(8192))
            done.added.append(new)
        else:
            _keep_time(path, done)
            length = path.stat().st_size
            _overwrite(path, length // 2, choose.randbytes(min(64, length - length // 2)), done)
            done.truncated.append((path, length))
            with path.open("ab") as out:
                out.write(choose.randbytes(32))
    return done


def _overwrite_ranges(path: Path, choose: random.Random, done: Change) -> None:
    _keep_time(path, done)
    length = path.stat().st_size
    size = max(int(length * CHANGED_SHARE) // 10, 1)
    for number in range(10):
        _overwrite(path, number * (length // 10) + choose.randrange(length // 10 - size), choose.randbytes(size), done)


def _overwrite(path: Path, offset: int, data: bytes, done: Change) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        done.written.append((path, offset, file.read(len(data))))
        file.seek(offset)
        file.write(data)


def _keep_time(path: Path, done: Change) -> None:
    done.times.setdefault(path, path.stat().st_mtime_ns)


__all__ = ["BUILDERS", "FULL_BYTES", "Change", "DataSet", "TextSource", "build", "change"]
