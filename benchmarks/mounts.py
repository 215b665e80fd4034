"""Mounts side by side: one large file in a row and at random places, and the names of 50,000 files; a restore beside them.

Run as root, or where `/dev/fuse` may be opened, with a real kopia in `KOPIA_EXE` or in the path, and restic if it is to be
measured too::

    python -m benchmarks.mounts --rounds 3 --results benchmarks/RESULTS.md

pykopia and kopia mount the same snapshot in the same repository, restic one of the same data. Each measurement has a mount of
its own, which has read nothing yet; the time of mounting is not counted. The pages of the repository's files stay in memory.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison import places
from benchmarks.comparison.command_line import with_report
from benchmarks.comparison.datasets import BIG_BYTES, build_big
from benchmarks.comparison.measure import Command
from benchmarks.comparison.report import MOUNTS, machine, table
from benchmarks.comparison.tools import Kopia, Pykopia, Restic, Tool

LARGE_BYTES = 512 << 20
PLACES, PLACE_BYTES = 200, 64 << 10
FOLDERS, FILES = 500, 99
"""With the folders themselves 50,000 names."""
LONGEST_WAIT = 60.0
ROWS = {
    "restore": "restore of the file",
    "row": "the file from the mount, in a row",
    "random": f"{PLACES} × {PLACE_BYTES >> 10} KiB at random places",
    "find": f"`find` over {FOLDERS * (FILES + 1):,} names, with sizes",
    "again": "`find` once more",
}


def build(folder: Path, share: float) -> None:
    """Write one large file and many small ones; ``share`` of the full size."""
    build_big(folder / "data", "mounts", LARGE_BYTES / BIG_BYTES * share)
    for number in range(int(FOLDERS * share)):
        (folder / "data" / "many" / str(number)).mkdir(parents=True)
        for each in range(FILES):
            (folder / "data" / "many" / str(number) / f"file{each}").write_text(f"{number} {each}")


def in_a_row(folder: Path) -> None:
    """Read the large file from its first byte to its last."""
    path = folder / "big.bin"
    with path.open("rb", buffering=0) as file:
        total = sum(len(piece) for piece in iter(lambda: file.read(1 << 20), b""))
    assert total == path.stat().st_size


def at_random(folder: Path) -> None:
    """Read pieces of the large file, the same in each call."""
    chance = random.Random(1)
    with (folder / "big.bin").open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size - PLACE_BYTES
        for _ in range(PLACES):
            assert len(os.pread(file.fileno(), PLACE_BYTES, chance.randrange(end))) == PLACE_BYTES


def names(folder: Path) -> None:
    """Look at all names with their sizes."""
    find = ["find", str(folder / "many"), "-type", "f", "-size", "-2"]
    found = subprocess.run(find, capture_output=True, check=True).stdout.count(b"\n")
    assert found == FILES * len(os.listdir(folder / "many"))


READS: Mapping[str, Sequence[Callable[[Path], None]]] = {
    "row": [in_a_row],
    "random": [at_random],
    "find": [names, names],
}
"""What is done in one mount, one after the other."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A tool that is connected to the repository."""

    tool: Tool
    snapshot: str
    below: str = ""
    """Where in a mount the root of the snapshot is."""

    @property
    def mount_words(self) -> Sequence[str]:
        """What chooses the snapshot; restic mounts all."""
        return () if self.below else (self.snapshot,)

    @contextmanager
    def at(self, folder: Path) -> Iterator[Path]:
        """Mount the snapshot; yield where its root is."""
        self.tool.drop_cache()
        folder.mkdir(exist_ok=True)
        command = self.tool.command("mount", *self.mount_words, folder)
        process = subprocess.Popen(
            command.words, env=dict(command.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + LONGEST_WAIT
            while not os.path.ismount(folder):
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{self.tool.name} did not mount")
                time.sleep(0.05)
            yield folder / self.below
        finally:
            subprocess.run(["umount", folder], check=False)
            process.wait()

    def restore(self, folder: Path) -> None:
        """Restore the large file."""
        self.tool.drop_cache()
        if self.below:
            one = ["--include=*/big.bin", f"--target={folder}"]
            run(self.tool.command("restore", self.snapshot, *one))
        else:
            run(self.tool.command("snapshot", "restore", f"{self.snapshot}/big.bin", folder / "big.bin"))


def run(command: Command) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run(
        command.words, env=dict(command.environment), cwd=command.folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command.words)}: {done.stderr}")
    return done.stdout


def prepare(folder: Path) -> list[Mounted]:
    """Make a repository with a snapshot and connect the tools to it."""
    where = places.folder(folder / "repository")
    tools = [kind(folder / kind.name, where) for kind in (Pykopia, Kopia) if kind.program()]
    for tool in tools:
        tool.clear()
    first = tools[0]
    for command in (*first.create(), first.command("snapshot", "create", folder / "data")):
        run(command)
    for tool in tools[1:]:
        run(tool.connect())
    snapshot = run(first.command("snapshot", "list", "--json")).partition('"id":"')[2].partition('"')[0]
    found = [Mounted(tool, snapshot) for tool in tools]
    if Restic.program():
        restic = Restic(folder / Restic.name)
        restic.clear()
        for command in (*restic.create(), restic.snapshot(folder / "data")):
            run(command)
        found.append(Mounted(restic, "latest", f"snapshots/latest{folder / 'data'}"))
    return found


def seconds(work: Callable[[Path], None], folder: Path) -> float:
    """Return how long something takes."""
    begun = time.perf_counter()
    work(folder)
    return time.perf_counter() - begun


def measure(folder: Path, mounted: Sequence[Mounted], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Return the seconds of each row and tool, in the order of the rounds."""
    found: dict[tuple[str, str], list[float]] = {}

    def note(name: str, row: str, work: Callable[[Path], None], place: Path) -> None:
        found.setdefault((row, name), []).append(seconds(work, place))

    for _ in range(rounds):
        for each in mounted:
            (folder / "restored").mkdir()
            note(each.tool.name, "restore", each.restore, folder / "restored")
            shutil.rmtree(folder / "restored")
        for row, works in READS.items():
            for each in mounted:
                with each.at(folder / "mount") as place:
                    for title, work in zip((row, "again"), works, strict=False):
                        note(each.tool.name, title, work, place)
            for title, work in zip((row, "again"), works, strict=False):
                note("disk", title, work, folder / "data")
    return found


def to_markdown(found: Mapping[tuple[str, str], Sequence[float]], mounted: Sequence[Mounted]) -> str:
    """Return the report."""
    tools = [*(each.tool.name for each in mounted), "disk"]
    others = [name for name in tools if name != "pykopia"]
    rows = [("what", *(f"{tool} s" for tool in tools), *(f"× {other}" for other in others))]
    for row, title in ROWS.items():
        figures = [f"{statistics.median(found[row, tool]):.2f}" if (row, tool) in found else "-" for tool in tools]
        against = [_ratio(found.get((row, "pykopia"), ()), found.get((row, other), ())) for other in others]
        rows.append((title, *figures, *against))
    share = _ratio(found["row", "pykopia"], found["restore", "pykopia"])
    paragraphs = (
        MOUNTS,
        "\n".join(f"- {name}: {value}" for name, value in machine().items()),
        "\n".join(f"- {each.tool.name}: {each.tool.version()}" for each in mounted),
        (
            f"One snapshot of a file of {LARGE_BYTES >> 20} MiB, half text, half random bytes, and {FOLDERS * FILES:,} small "
            "files, in a repository on this machine (restic has its own); made by `python -m benchmarks.mounts`. Each "
            "measurement has a mount of its own that has read nothing yet. *disk* is the source itself, from the memory of the "
            "kernel. Medians of the rounds; × is pykopia's time divided by the other one's in the same round, the median."
        ),
        table(rows),
        (
            f"The file from pykopia's mount, in a row, takes {share} of the time of its restore, the start of that command "
            "included."
        ),
    )
    return "\n\n".join(paragraphs) + "\n"


def _ratio(ours: Sequence[float], others: Sequence[float]) -> str:
    return f"{statistics.median(a / b for a, b in zip(ours, others, strict=True)):.2f}" if ours and others else "-"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the full size of the data")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="folder to work in")
    parser.add_argument("--results", type=Path, help="file of results, in which this report is replaced")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pykopia-mounts-", dir=given.dir) as name:
        folder = Path(name)
        build(folder, given.share)
        mounted = prepare(folder)
        text = to_markdown(measure(folder, mounted, given.rounds), mounted)
    if given.results:
        given.results.write_text(with_report(given.results.read_text() if given.results.exists() else "", text))
    print(text)


if __name__ == "__main__":
    main()
