"""Peak memory of the mover's first backup to S3, beside the formula of its README.

The bucket is slower than the machine, so that packs wait for it: then as much is in memory as there can be. Run as root, each
mover has a control group whose limit is just what the formula says, and is killed if it needs more. Needed is versitygw
(``sh scripts/test-servers.sh --all``)::

    python -m benchmarks.mover_memory --streams 1 4 16
"""

import argparse
import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pykopia_mover.memory import memory_of

from tests.servers.s3 import S3Server, admin, versitygw

MIB = 1 << 20
BUCKET = "benchmark"
WORDS = 4096
CONTROL_GROUPS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


def build(folder: Path, megabytes: int) -> None:
    """Write files of 48 MiB, every second one of text, and small ones."""
    folder.mkdir()
    chance = random.Random(7)
    words = [chance.randbytes(chance.randint(2, 5)).hex().encode() for _ in range(WORDS)]
    for number in range(megabytes // 48):
        with (folder / f"large-{number}").open("wb") as file:
            for _ in range(48):
                text = b" ".join(chance.choices(words, k=MIB // 8))[:MIB]
                file.write(text if number % 2 else chance.randbytes(MIB))
    for number in range(2000):
        (folder / f"small-{number}").write_bytes(chance.randbytes(chance.randint(100, 60_000)))


class SlowDoor:
    """Passes connections on to a server, so many bytes a second in all towards it."""

    def __init__(self, host: str, port: int, rate: float) -> None:
        self._server, self._rate, self._turn = (host, port), rate, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._server)
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if slow:
                    with self._turn:
                        time.sleep(len(data) / self._rate)
                target.sendall(data)
        except OSError:
            pass
        finally:
            target.close()


@contextlib.contextmanager
def limited(limit: int) -> Iterator[list[str]]:
    """Yield words that start a command in a control group with a limit of memory, which it sees as a container does."""
    root = next((root for root in CONTROL_GROUPS if (root / "cgroup.procs").exists()), None)
    if os.geteuid() or root is None:
        yield []
        return
    group = root / f"pykopia-benchmark-{os.getpid()}"
    group.mkdir()
    try:
        name = "memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes"
        (group / name).write_text(str(limit))
        script = f'mount --bind {group} {root} && echo $$ >{root}/cgroup.procs && exec "$@"'
        yield ["unshare", "--mount", "sh", "-c", script, "sh"]
    finally:
        group.rmdir()


def peak(data: Path, work: Path, server: S3Server, endpoint: str, streams: int) -> int:
    """Return the bytes that a mover needed at most for a first backup."""
    fs = admin(server)
    if fs.exists(BUCKET):
        fs.rm(BUCKET, recursive=True)
    fs.call_s3("create_bucket", Bucket=BUCKET)
    # the cache is on a disk: what stands in /dev/shm counts as memory of the control group
    with tempfile.TemporaryDirectory(dir="/var/tmp") as cache, limited(memory_of(streams)) as start:
        environment = {
            "PATH": os.environ["PATH"],
            "KOPIA_REPOSITORY": f"s3://{BUCKET}/mover",
            "KOPIA_PASSWORD": "a good password",
            "AWS_S3_ENDPOINT": f"http://{endpoint}",
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "VOLSYNC_OWNER_NAMESPACE": "namespace",
            "VOLSYNC_OWNER_NAME": "app",
            "DATA_DIR": str(data),
            "KOPIA_CACHE_DIR": cache,
            "TERMINATION_LOG": str(work / "termination"),
            "KOPIA_PARALLELISM": str(streams),
        }
        with (work / "log").open("wb") as log:
            command = [*start, sys.executable, "-m", "pykopia_mover", "backup"]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"ended with {status}: {(work / 'log').read_text()[-2000:]}")
    return usage.ru_maxrss * 1024


def main() -> None:
    """Measure, and print a line for each number of streams."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--megabytes", type=int, default=960)
    parser.add_argument("--rate", type=float, default=20.0, help="MB a second that the bucket takes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        work = Path(folder)
        build(work / "data", options.megabytes)
        (work / "server").mkdir()
        with versitygw(work / "server") as server:
            host, _, port = server.endpoint.rpartition(":")
            door = SlowDoor(host, int(port), options.rate * 1e6)
            for streams in options.streams:
                measured = peak(work / "data", work, server, door.endpoint, streams)
                print(
                    f"{streams:3} streams: {measured // MIB} MiB, by the formula {memory_of(streams) // MIB}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
