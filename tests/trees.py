"""Source trees for tests, and the comparison of two trees.

Every builder gives the same names, contents, modes and times on every machine. ``TREES`` names the builders of a single
tree for ``pytest.mark.parametrize``; ``changing_tree`` makes a series, one step after the other in one folder.
"""

import hashlib
import os
import random
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

MIB = 1024 * 1024
SECOND = 10**9

WORDS = (
    b"anchor basin cable delta ember falcon garnet harbor indigo jasper kelp lagoon marble nectar onyx pebble quartz "
    b"raven saffron timber umber velvet willow yarrow zephyr"
).split()

AWKWARD_NAMES = (
    "space name", " leading", "trailing ", "  ", "tab\tname", "new\nline", "cr\rname", "back\\slash", 'double"quote',
    "apostrophe'd", '<a href="x">&amp;', "per%cent%20", "star*", "question?", "[bracket]", "{brace}", "$dollar",
    "`tick`", "!bang", "#hash", "~tilde", "-dash", "--double-dash", ".hidden", "...", "at@sign", "colon:name",
    "nul.txt", "caf\u00e9", "cafe\u0301", "\u65e5\u672c\u8a9e", "\U0001f600", "line\u2028separator", "\ufeffbom",
    "ctrl\x01", "esc\x1b[0m", "del\x7f", "\ufffd", "\uffff", "\U0010ffff", "kopia:directory", "null", "0", "a", "A",
    "aa", "a.b", "a-b", "a b", "x" * 255, "\u00e9" * 127,
)  # fmt: skip
RAW_NAMES = (b"latin1-caf\xe9", b"\xff\xfe", b"cut-\xe2\x82", b"surrogate-\xed\xb0\x80", b"overlong-\xc0\xaf")
"""Names that are not UTF-8 and stay different when every bad byte becomes U+FFFD."""


def text(size: int, seed: object) -> bytes:
    """Return `size` bytes of words and line ends, which compress well."""
    source = random.Random(f"text {seed}")
    parts: list[bytes] = []
    have = 0
    while have < size:
        line = b" ".join(source.choices(WORDS, k=10)) + b"\n"
        parts.append(line)
        have += len(line)
    return b"".join(parts)[:size]


def noise(size: int, seed: object) -> bytes:
    """Return `size` bytes that do not compress."""
    return random.Random(f"noise {seed}").randbytes(size)


def stamp(path: str | bytes, version: int = 0) -> int:
    """Return a time from 2001 to 2025 in nanoseconds, fixed by path and version."""
    number = int.from_bytes(hashlib.sha256(b"%d %b" % (version, os.fsencode(path))).digest()[:16])
    return (1_000_000_000 + number % 750_000_000) * SECOND + (number >> 64) % SECOND


class TreeBuilder:
    """Writes entries below a folder; modes and times are set as the block ends, the deepest first."""

    def __init__(self, root: Path, *, version: int = 0) -> None:
        self.root = os.fsencode(root)
        self.version = version
        self._directories: dict[bytes, tuple[int | None, int]] = {}

    def __enter__(self) -> Self:
        os.makedirs(self.root, exist_ok=True)
        self.directory(b"")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path in sorted(self._directories, key=lambda path: (-path.count(b"/") - bool(path), path)):
            mode, mtime_ns = self._directories[path]
            if mode is not None:
                os.chmod(self._absolute(path), mode)
            os.utime(self._absolute(path), ns=(mtime_ns, mtime_ns))

    def directory(self, path: str | bytes, *, mode: int = 0o755, mtime_ns: int | None = None) -> None:
        """Make a folder, with its parents, or set mode and time of one that is there."""
        name = os.fsencode(path)
        if not os.path.isdir(self._absolute(name)):
            self._touch_parent(name)
            os.mkdir(self._absolute(name))
        self._directories[name] = (mode, stamp(name, self.version) if mtime_ns is None else mtime_ns)

    def file(self, path: str | bytes, data: bytes = b"", *, mode: int = 0o644, mtime_ns: int | None = None) -> None:
        """Write a file in place of what stood there."""
        name = os.fsencode(path)
        self._clear(name)
        when = stamp(name, self.version) if mtime_ns is None else mtime_ns
        with open(self._absolute(name), "wb") as out:
            out.write(data)
        os.chmod(self._absolute(name), mode)
        os.utime(self._absolute(name), ns=(when, when))

    def link(self, path: str | bytes, target: str | bytes, *, mtime_ns: int | None = None) -> None:
        """Make a symbolic link in place of what stood there; its time is a whole microsecond, as Kopia restores it."""
        name = os.fsencode(path)
        self._clear(name)
        when = stamp(name, self.version) // 1000 * 1000 if mtime_ns is None else mtime_ns
        os.symlink(os.fsencode(target), self._absolute(name))
        os.utime(self._absolute(name), ns=(when, when), follow_symlinks=False)

    def remove(self, path: str | bytes) -> None:
        """Remove an entry and all that is below it."""
        self._clear(os.fsencode(path))

    def _absolute(self, path: bytes) -> bytes:
        return os.path.join(self.root, path) if path else self.root

    def _touch_parent(self, path: bytes) -> None:
        parent = os.path.dirname(path)
        if not os.path.isdir(self._absolute(parent)):
            self.directory(parent)
        if parent not in self._directories:
            self._directories[parent] = (None, stamp(parent, self.version))

    def _clear(self, path: bytes) -> None:
        self._touch_parent(path)
        full = self._absolute(path)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        elif os.path.lexists(full):
            os.unlink(full)


def small_tree(root: Path) -> None:
    """Build an everyday tree: texts, binaries, equal files, nested folders, a link."""
    with TreeBuilder(root) as tree:
        tree.file("README.txt", text(1200, "readme"))
        tree.file("bin/data.bin", noise(5000, "data"), mode=0o600)
        tree.file("bin/run.sh", b"#!/bin/sh\necho hello\n", mode=0o755)
        for chapter in range(5):
            tree.file(f"docs/chapter-{chapter}.txt", text(300 + 700 * chapter, chapter))
        tree.file("docs/notes/a.txt", b"a")
        tree.file("nested/one/two/three/four/leaf", noise(77, "leaf"))
        tree.file("same-1.bin", noise(3000, "same"))
        tree.file("same-2.bin", noise(3000, "same"), mode=0o640)
        tree.link("latest", "docs/chapter-4.txt")


def awkward_names(root: Path) -> None:
    """Build files, folders and links with names that need care, all of them UTF-8."""
    with TreeBuilder(root) as tree:
        for number, name in enumerate(AWKWARD_NAMES):
            tree.file(f"files/{name}", b"%d\n" % number)
            tree.file(f"folders/{name}/inside", b"%d\n" % number)
            tree.link(f"links/link-{number:02d}", f"../files/{name}")
        deep = "deep" + "".join(f"/d{level}" for level in range(40))
        tree.file(f"{deep}/bottom", b"the bottom\n")


def raw_names(root: Path) -> None:
    """Build files, folders and links whose names or targets are not UTF-8."""
    with TreeBuilder(root) as tree:
        for name in RAW_NAMES:
            tree.file(b"files/" + name, name)
            tree.file(b"folders/" + name + b"/inside", name)
        tree.link("target", b"files/" + RAW_NAMES[0])


def links(root: Path) -> None:
    """Build symbolic links of all kinds: relative, absolute, dangling, looping, long, to a folder."""
    with TreeBuilder(root) as tree:
        tree.file("folder/file.txt", b"linked\n")
        tree.link("to-file", "folder/file.txt")
        tree.link("to-folder", "folder")
        tree.link("to-folder-slash", "folder/")
        tree.link("folder/up", "../folder/../folder/file.txt")
        tree.link("absolute", "/etc/hostname")
        tree.link("dangling", "does/not/exist")
        tree.link("loop", "loop")
        tree.link("out", "../../../outside")
        tree.link("long", "x/" * 1500 + "end")
        tree.link("unicode", "d\u00f6sier/\u0444\u0430\u0439\u043b")


def modes(root: Path) -> None:
    """Build entries with many permissions, special bits and far times; unreadable ones only for root."""
    everyone = [0o400, 0o444, 0o600, 0o640, 0o644, 0o666, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777]
    unreadable = [0o000, 0o001, 0o010, 0o200] if os.geteuid() == 0 else []
    times = {
        "epoch": 0,
        "one-nanosecond": 1,
        "before-1970": -123_456_789 * SECOND - 987_654_321,
        "year-2038": 2**31 * SECOND + 5,
        "year-2100": 4_102_444_800 * SECOND + 123_456_789,
        "nines": 1_600_000_000 * SECOND + 999_999_999,
    }
    with TreeBuilder(root) as tree:
        for mode in unreadable + everyone:
            tree.file(f"files/f{mode:05o}", b"%05o\n" % mode, mode=mode)
        for mode in [0o700, 0o750, 0o755, 0o1777, 0o2775, 0o7777]:
            tree.directory(f"folders/d{mode:05o}", mode=mode)
            tree.file(f"folders/d{mode:05o}/inside", b"x")
        for name, mtime_ns in times.items():
            tree.file(f"times/{name}", name.encode(), mtime_ns=mtime_ns)


def empties(root: Path) -> None:
    """Build empty files and empty folders."""
    with TreeBuilder(root) as tree:
        tree.file("empty-1")
        tree.file("empty-2", mode=0o400)
        tree.directory("folder")
        tree.directory("nested/deeper/folder", mode=0o700)


def big_files(root: Path, *, size: int = 20 * MIB) -> None:
    """Build files of several chunks: noise, the noise shifted by a line and with bytes changed, zeros, text."""
    data = noise(size, "big")
    middle = size // 2
    with TreeBuilder(root) as tree:
        tree.file("noise.bin", data)
        tree.file("shifted.bin", b"a line more at the front\n" + data)
        tree.file("edited.bin", data[:middle] + b"CHANGED" + data[middle + 7 :])
        tree.file("zeros.bin", bytes(size))
        tree.file("text.txt", (text(MIB, "big") * (size // MIB + 1))[:size])


def many_files(root: Path, *, count: int = 600) -> None:
    """Build many small files in many folders, every tenth equal to another."""
    with TreeBuilder(root) as tree:
        for number in range(count):
            seed = number % 60 if number % 10 == 0 else number
            tree.file(f"part-{number % 13}/{number % 7}/item-{number:05d}.txt", text(20 + 37 * (seed % 90), seed))


def everything(root: Path) -> None:
    """Build all the single trees side by side, the big files in a smaller size."""
    for name, build in TREES.items():
        if build is not everything:
            build(root / name)
    with TreeBuilder(root):
        pass  # gives the root its mode and time


def changing_tree(root: Path, step: int) -> None:
    """Build step 0, or change what the step before left: added, edited, grown, removed, renamed, retyped entries."""
    with TreeBuilder(root, version=step) as tree:
        if step == 0:
            for number in range(8):
                tree.file(f"stable/file-{number}.txt", text(200 + 90 * number, number))
            tree.file("log", text(2500, "log"))
            tree.file("table.bin", noise(9000, "table"))
            tree.file("turns", b"I am a file\n")
            tree.file("renamed-0", text(800, "renamed"))
            tree.link("current", "stable/file-0.txt")
            return
        tree.file(f"added/day-{step}.txt", text(700, f"day {step}"))
        tree.file("log", b"".join(text(2500, "log" if turn == 0 else f"log {turn}") for turn in range(step + 1)))
        table = bytearray(noise(9000, "table"))
        table[100 * step : 100 * step + 16] = noise(16, f"edit {step}")
        tree.file("table.bin", bytes(table))
        tree.remove("turns")
        if step % 3 == 1:
            tree.file("turns/inside", b"now a folder\n")
        elif step % 3 == 2:
            tree.link("turns", "log")
        else:
            tree.file("turns", b"a file again\n")
        tree.remove(f"renamed-{step - 1}")
        tree.file(f"renamed-{step}", text(800, "renamed"), mtime_ns=stamp("renamed-0"))
        tree.remove(f"stable/file-{step % 8}.txt")
        tree.link("current", f"added/day-{step}.txt")


TREES: Mapping[str, Callable[[Path], None]] = {
    "small_tree": small_tree,
    "awkward_names": awkward_names,
    "raw_names": raw_names,
    "links": links,
    "modes": modes,
    "empties": empties,
    "big_files": lambda root: big_files(root, size=9 * MIB),
    "many_files": many_files,
    "everything": everything,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeEntry:
    """What a comparison knows of one entry."""

    kind: str
    """f, d, l, or the letter `ls` shows for another type."""
    mode: int
    """The 12 permission bits."""
    mtime_ns: int
    size: int
    """Bytes of a file, otherwise 0."""
    sha256: str = ""
    """Of a file's contents, hex."""
    target: bytes = b""
    """Of a symbolic link."""
    uid: int
    gid: int


def scan(root: Path) -> dict[bytes, TreeEntry]:
    """Return `root`, as ``.``, and all entries below it by their raw paths; links are not followed."""
    found: dict[bytes, TreeEntry] = {}
    pending = [(os.fsencode(root), b".")]
    while pending:
        full, path = pending.pop()
        entry = found[path] = _entry(full)
        if entry.kind == "d":
            pending += [
                (os.path.join(full, name), name if path == b"." else path + b"/" + name) for name in os.listdir(full)
            ]
    return found


def _entry(full: bytes) -> TreeEntry:
    status = os.lstat(full)
    kind = stat.filemode(status.st_mode)[0].replace("-", "f")
    digest = ""
    if kind == "f":
        with open(full, "rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
    return TreeEntry(
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        mtime_ns=status.st_mtime_ns,
        size=status.st_size if kind == "f" else 0,
        sha256=digest,
        target=os.readlink(full) if kind == "l" else b"",
        uid=status.st_uid,
        gid=status.st_gid,
    )


def stored_path(path: bytes) -> bytes:
    """Return the path as Kopia stores it: each byte that is not UTF-8 becomes U+FFFD (format 04 §7.4)."""
    return "".join(
        "\ufffd" if "\udc80" <= letter <= "\udcff" else letter for letter in path.decode(errors="surrogateescape")
    ).encode()


def tree_differences(
    expected: Path,
    actual: Path,
    *,
    times: bool = True,
    directory_times: bool = True,
    link_times: bool = True,
    permissions: bool = True,
    owners: bool | None = None,
    paths: Callable[[bytes], bytes] = bytes,
) -> list[str]:
    """Return what differs between two trees, one line for each difference, sorted by path.

    Args:
        expected: The tree as it should be.
        actual: The tree to be judged.
        times: Whether times of modification count, to the nanosecond.
        directory_times: Whether they count for folders below the root (Kopia restores other ones, format 04 §14.2).
        link_times: Whether they count for symbolic links (Kopia restores whole microseconds).
        permissions: Whether the 12 permission bits of files and folders count.
        owners: Whether user and group count; by default only for root, who alone can restore them.
        paths: Turns an expected path into the one to be found, such as `stored_path`.
    """
    owners = os.geteuid() == 0 if owners is None else owners
    left = {paths(path): entry for path, entry in scan(expected).items()}
    right = scan(actual)
    lines: list[str] = []
    for path in sorted(left.keys() | right.keys()):
        shown = os.fsdecode(path)
        if path not in right:
            lines.append(f"{shown!r}: is missing")
            continue
        if path not in left:
            lines.append(f"{shown!r}: should not be there")
            continue
        want, have = left[path], right[path]
        if want.kind != have.kind:
            lines.append(f"{shown!r}: is of type {have.kind}, not {want.kind}")
            continue
        checks: list[tuple[bool, str, object, object]] = [
            (True, "size", want.size, have.size),
            (True, "content", want.sha256, have.sha256),
            (True, "target", want.target, have.target),
            (permissions and want.kind != "l", "mode", f"{want.mode:05o}", f"{have.mode:05o}"),
            (owners, "owner", (want.uid, want.gid), (have.uid, have.gid)),
            (_times_count(path, want.kind, times, directory_times, link_times), "time", want.mtime_ns, have.mtime_ns),
        ]
        lines += [f"{shown!r}: {what} is {b}, not {a}" for counts, what, a, b in checks if counts and a != b]
    return lines


def _times_count(path: bytes, kind: str, times: bool, directory_times: bool, link_times: bool) -> bool:
    if kind == "d" and path != b".":
        return times and directory_times
    return times and (link_times or kind != "l")


def assert_trees_equal(
    expected: Path,
    actual: Path,
    *,
    times: bool = True,
    directory_times: bool = True,
    link_times: bool = True,
    permissions: bool = True,
    owners: bool | None = None,
    paths: Callable[[bytes], bytes] = bytes,
) -> None:
    """Fail with the differences between two trees; the options are those of `tree_differences`."""
    lines = tree_differences(
        expected,
        actual,
        times=times,
        directory_times=directory_times,
        link_times=link_times,
        permissions=permissions,
        owners=owners,
        paths=paths,
    )
    if lines:
        more = f"\n… and {len(lines) - 20} more" if len(lines) > 20 else ""
        raise AssertionError(f"{actual} differs from {expected}:\n" + "\n".join(lines[:20]) + more)


__all__ = [
    "AWKWARD_NAMES",
    "RAW_NAMES",
    "TREES",
    "TreeBuilder",
    "TreeEntry",
    "assert_trees_equal",
    "awkward_names",
    "big_files",
    "changing_tree",
    "empties",
    "everything",
    "links",
    "many_files",
    "modes",
    "noise",
    "raw_names",
    "scan",
    "small_tree",
    "stamp",
    "stored_path",
    "text",
    "tree_differences",
]
