"""The mover's runs over S3, beside the kopia commands that an operator's mover with a kopia program gives one after another.

Both use versitygw behind a proxy with latency, and 1,500 small files. The commands are those of VolSync's Kopia mover for an S3
bucket: version, status, connection, snapshot and policies for a backup; connection, list of snapshots and restore for a
restore. What its shell does between them costs nothing here. With a real kopia in `KOPIA_EXE` or in the path::

    python -m benchmarks.movers --round-trip 50 --rounds 3 --results benchmarks/RESULTS.md
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.comparison.command_line import with_report
from benchmarks.comparison.datasets import build
from benchmarks.comparison.latency import LatencyProxy
from benchmarks.comparison.report import MOVERS, machine, table
from benchmarks.comparison.tools import Kopia
from tests.servers import process
from tests.servers.s3 import S3Server, admin, versitygw

SMALL_SHARE = 1500 / 40_000
PASSWORD = "a good password"
OWNER = {"VOLSYNC_OWNER_NAMESPACE": "namespace", "VOLSYNC_OWNER_NAME": "app"}
IDENTITY = ["--override-username=namespace", "--override-hostname=app"]
RETENTION = ["--keep-daily=7", "--keep-weekly=4"]
ROWS = {
    "first": "first backup, the repository is made",
    "unchanged": "backup, nothing changed",
    "cold": "backup, nothing changed, the cache is empty",
    "restore": "restore, the cache is empty",
    "maintenance": "maintenance, quick and full",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """One bucket, and the folders of one mover."""

    server: S3Server
    port: int
    bucket: str
    data: Path
    folder: Path

    @property
    def cache(self) -> Path:
        """The volume of the cache, which also keeps the connection of kopia."""
        return self.folder / "cache"

    def drop_cache(self) -> None:
        """Empty it, as where a pod has no volume for it."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.cache.mkdir(parents=True)


@dataclass(kw_only=True)
class OwnMover:
    """Our mover: one process for each run."""

    place: Place
    name = "pykopia"

    def run(self, row: str, target: Path) -> None:
        """Do what a row is about."""
        place = self.place
        environment = {
            "PATH": os.environ["PATH"],
            "KOPIA_REPOSITORY": f"s3://{place.bucket}",
            "KOPIA_PASSWORD": PASSWORD,
            "AWS_S3_ENDPOINT": f"http://{process.HOST}:{place.port}",
            "AWS_ACCESS_KEY_ID": place.server.access_key,
            "AWS_SECRET_ACCESS_KEY": place.server.secret_key,
            "DATA_DIR": str(target if row == "restore" else place.data),
            "KOPIA_CACHE_DIR": str(place.cache),
            "TERMINATION_LOG": str(place.folder / "termination"),
            "KOPIA_RETAIN_DAILY": "7",
            "KOPIA_RETAIN_WEEKLY": "4",
            **OWNER,
        }
        operation = row if row in {"restore", "maintenance"} else "backup"
        call([sys.executable, "-m", "pykopia_mover", operation], environment)


@dataclass(kw_only=True)
class KopiaMover:
    """The commands of a mover that starts kopia."""

    place: Place
    program: str
    name = "kopia"
    environment: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Set what all commands have in common."""
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place.folder),
            "KOPIA_PASSWORD": PASSWORD,
            "KOPIA_CACHE_DIRECTORY": str(self.place.cache),
            "KOPIA_CHECK_FOR_UPDATES": "false",
            "AWS_ACCESS_KEY_ID": self.place.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.place.server.secret_key,
        }

    def run(self, row: str, target: Path) -> None:
        """Do what a row is about."""
        data = str(self.place.data)
        self._kopia("--version")
        if row != "first":
            self._connect()
        if row == "restore":
            listed = self._kopia("snapshot", "list", f"namespace@app:{data}", "--json")
            self._kopia("snapshot", "restore", listed.rpartition('"id":"')[2].partition('"')[0], str(target))
        elif row == "maintenance":
            for words in (["info"], ["set", "--owner=me"], ["set", "--enable-quick=true"], ["run"], ["run", "--full"]):
                self._kopia("maintenance", *words)
        else:
            if row == "first" and not self._connect():
                self._kopia("repository", "create", *self._bucket())
            self._kopia("policy", "set", data, "--compression=zstd")
            self._kopia("snapshot", "create", data)
            self._kopia("policy", "set", data, *RETENTION)

    def _connect(self) -> bool:
        self._kopia("repository", "status", may_fail=True)
        return self._kopia("repository", "connect", *self._bucket(), may_fail=True) != FAILED

    def _bucket(self) -> list[str]:
        place = self.place
        return ["s3", f"--bucket={place.bucket}", f"--endpoint={process.HOST}:{place.port}", "--disable-tls", *IDENTITY]

    def _kopia(self, *words: str, may_fail: bool = False) -> str:
        own = [f"--config-file={self.place.cache / 'kopia.config'}", f"--log-dir={self.place.cache / 'logs'}"]
        return call([self.program, *own, *words], self.environment, may_fail=may_fail)


FAILED = "\0"


def call(words: Sequence[str], environment: Mapping[str, str], *, may_fail: bool = False) -> str:
    """Run a program; return what it printed, or that it failed."""
    done = subprocess.run(words, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise SystemExit(f"{' '.join(words)}: {(done.stdout + done.stderr)[-2000:]}")
    return FAILED if done.returncode else done.stdout


def one_round(movers: Sequence[OwnMover | KopiaMover], found: dict[tuple[str, str], list[float]]) -> None:
    """Measure each row once for each mover."""
    for row in ROWS:
        for mover in movers:
            if row != "unchanged":
                mover.place.drop_cache()
            target = mover.place.folder / "restored"
            target.mkdir(exist_ok=True)
            begun = time.perf_counter()
            mover.run(row, target)
            found.setdefault((row, mover.name), []).append(time.perf_counter() - begun)
            if row == "restore" and len(list(target.rglob("*"))) != len(list(mover.place.data.rglob("*"))):
                raise SystemExit(f"{mover.name} has not restored all")


def to_markdown(found: Mapping[tuple[str, str], Sequence[float]], milliseconds: float) -> str:
    """Return the report."""
    rows: list[tuple[str, ...]] = [("run", "pykopia s", "kopia s", "times as fast")]
    for row, title in ROWS.items():
        ours, others = found[row, "pykopia"], found[row, "kopia"]
        faster = statistics.median(b / a for a, b in zip(ours, others, strict=True))
        rows.append((title, f"{statistics.median(ours):.2f}", f"{statistics.median(others):.2f}", f"{faster:.2f}"))
    paragraphs = (
        MOVERS,
        "\n".join(f"- {name}: {value}" for name, value in machine().items()),
        (
            f"Whole runs of the mover over S3 with a round trip of {milliseconds:g} ms, 1,500 small files, beside the kopia "
            "commands that VolSync's Kopia mover gives one after another; made by `python -m benchmarks.movers`. Medians of the "
            "rounds."
        ),
        table(rows),
    )
    return "\n\n".join(paragraphs) + "\n"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round-trip", type=float, default=50.0, help="milliseconds")
    parser.add_argument("--dir", type=Path, default=Path("/dev/shm"), help="folder to work in")
    parser.add_argument("--results", type=Path, help="file of results, in which this report is replaced")
    given = parser.parse_args()
    program = Kopia.program()
    if not program:
        raise SystemExit("a real kopia is needed: name it in KOPIA_EXE")
    found: dict[tuple[str, str], list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="pykopia-movers-", dir=given.dir) as name,
        LatencyProxy().running() as proxy,
    ):
        folder = Path(name)
        data = build("small", folder / "data", seed="1", scale=SMALL_SHARE).folder
        (folder / "server").mkdir()
        with versitygw(folder / "server", flags=["--keep-alive", "--quiet"]) as server:
            proxy.target_port = int(server.endpoint.rpartition(":")[2])
            for number in range(given.rounds):
                places = {}
                for tool in ("pykopia", "kopia"):
                    bucket = f"mover-{tool}-{number}"
                    admin(server).call_s3("create_bucket", Bucket=bucket)
                    own = folder / bucket
                    places[tool] = Place(server=server, port=proxy.port, bucket=bucket, data=data, folder=own)
                proxy.round_trip_seconds = given.round_trip / 1000
                movers: list[OwnMover | KopiaMover] = [
                    OwnMover(place=places["pykopia"]),
                    KopiaMover(place=places["kopia"], program=program[0]),
                ]
                one_round(movers if number % 2 else movers[::-1], found)
                proxy.round_trip_seconds = 0
    text = to_markdown(found, given.round_trip)
    if given.results:
        given.results.write_text(with_report(given.results.read_text() if given.results.exists() else "", text))
    print(text)


if __name__ == "__main__":
    main()
