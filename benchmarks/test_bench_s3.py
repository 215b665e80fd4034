"""A snapshot and a restore of one file of 1 GiB through S3 on loopback, beside a folder, in turns.

``extra_info`` has medians: seconds, seconds of our processor time and of the server's, the ratio of the seconds, and for both
directions the same bytes moved by a client that does nothing else. What such a client and the server need is the least that
any client needs on top of a folder: ``least`` is that ratio with nothing else on top, all processors busy all the time.

The server is the one of the tests; without it this is skipped. Its ETag is the MD5 of an object, as that of AWS, or a CRC: the
MD5 alone takes about as long as all else that it does with an object.
"""

import base64
import http.client
import os
import random
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from isal import isal_zlib
from pytest_benchmark.fixture import BenchmarkFixture

import pykopia
from benchmarks.comparison.datasets import build_big
from pykopia.format.policy import DEFAULT_POLICY
from pykopia.format.policy_target import GLOBAL_TARGET
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.connection import ConnectionInfo
from tests.servers.s3 import S3Server, admin, versitygw

SIZE = 1 << 30
ROUNDS = 3
PASSWORD = "a good password"
BUCKET = "benchmark"
OBJECT = 21 << 20
"""Bytes of a pack."""
SERVERS = {"crc": ["--data-integrity-etag"], "md5": []}


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took: seconds, ours and the server's of processor time."""

    wall: float
    ours: float
    server: float


class Meter:
    """Measures calls by name."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self.costs: dict[str, list[Cost]] = defaultdict(list)

    def __call__(self, name: str, call: Callable[..., object], *arguments: object) -> None:
        before = self._now()
        call(*arguments)
        after = self._now()
        self.costs[name].append(Cost(*(late - early for early, late in zip(before, after, strict=True))))

    def median(self, name: str, field: str = "wall") -> float:
        values: list[float] = [getattr(cost, field) for cost in self.costs[name]]
        return statistics.median(values)

    def _now(self) -> tuple[float, float, float]:
        # the fields after the name of the program, which may hold spaces
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return time.perf_counter(), time.process_time(), ticks / os.sysconf("SC_CLK_TCK")


class BareClient:
    """Moves bytes and does nothing else: signed headers, plain sockets, one buffer."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._key = Credentials(server.access_key, server.secret_key)

    def put(self, count: int) -> None:
        data = random.Random(1).randbytes(OBJECT)
        self._each(count, lambda connection, path: self._ask(connection, "PUT", path, data).read())

    def get(self, count: int) -> None:
        def read(connection: http.client.HTTPConnection, path: str) -> None:
            target = memoryview(bytearray(OBJECT))
            answer = self._ask(connection, "GET", path, None)
            while target:
                target = target[answer.readinto(target) :]
            answer.read()

        self._each(count, read)

    def _each(self, count: int, move: Callable[[http.client.HTTPConnection, str], object]) -> None:
        def some(start: int) -> None:
            connection = http.client.HTTPConnection(self._server.endpoint)
            for number in range(start, count, 2):
                move(connection, f"/{BUCKET}/bare{number}")
            connection.close()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(some, range(2)))

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        request = AWSRequest(method=method, url=f"{self._server.url}{path}")
        if body is not None:  # the checksum that costs the server least
            crc = isal_zlib.crc32(body).to_bytes(4, "big")
            request.headers["x-amz-checksum-crc32"] = base64.b64encode(crc).decode("ascii")
        _UnsignedBody(self._key, "s3", "us-east-1").add_auth(request)
        connection.request(method, path, body=body, headers=dict(request.headers.items()))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return answer


class _UnsignedBody(S3SigV4Auth):  # type: ignore[misc]
    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one."""
    memory = Path("/dev/shm")
    folder = memory / "pykopia-bench-s3" if memory.is_dir() else tmp_path_factory.mktemp("bench-s3")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, place: Path) -> Iterator[S3Server]:
    folder = place / f"server-{request.param}"
    folder.mkdir()
    with versitygw(folder, flags=["--keep-alive", "--quiet"], storage_flags=SERVERS[request.param]) as server:
        admin(server).call_s3("create_bucket", Bucket=BUCKET)
        yield server
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["random", "zstd"])
def source(request: pytest.FixtureRequest, place: Path) -> Iterator[Path]:
    """A file of random bytes, or one of which half is text, which is to be compressed."""
    folder = place / str(request.param)
    if request.param == "zstd":
        build_big(folder, "S3", SIZE / (1 << 30))
    else:
        folder.mkdir()
        chance = random.Random(5)
        with open(folder / "big", "wb") as file:
            file.writelines(chance.randbytes(1 << 20) for _ in range(SIZE >> 20))
    yield folder
    shutil.rmtree(folder)


def test_s3_beside_a_folder(benchmark: BenchmarkFixture, place: Path, source: Path, server: S3Server) -> None:
    options = S3Options(
        bucket=BUCKET,
        endpoint=server.endpoint,
        do_not_use_tls=True,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
    )
    meter, bare = Meter(server), BareClient(server)
    policy = DEFAULT_POLICY
    if source.name == "zstd":
        compression = replace(policy.compression, compressor_name="zstd")
        policy = replace(policy, compression=compression)

    def one_round(number: int) -> None:
        folder, target = place / f"repository{number}", place / "restored"
        for name, info in (
            ("folder", ConnectionInfo.from_options(FilesystemOptions(path=str(folder)))),
            ("S3", ConnectionInfo.from_options(replace(options, prefix=f"{number}/"))),
        ):
            with pykopia.create(info, PASSWORD) as repository:
                repository.policies.set(GLOBAL_TARGET, policy)
                meter(f"{name} snapshot", repository.snapshots.create, source)
            with pykopia.connect(info, PASSWORD) as repository:
                [snapshot] = repository.snapshots.list()
                meter(f"{name} restore", repository.snapshots.restore, snapshot.id, target)
                stored = sum(blob.length for blob in repository.storage.list())
            shutil.rmtree(target)
        shutil.rmtree(folder)
        admin(server).rm(f"{BUCKET}/{number}", recursive=True)
        for name, move in (("snapshot", bare.put), ("restore", bare.get)):
            meter(f"bare {name}", move, max(1, stored // OBJECT))
        admin(server).rm([f"{BUCKET}/bare{count}" for count in range(max(1, stored // OBJECT))])

    rounds = iter(range(ROUNDS))
    benchmark.pedantic(lambda: one_round(next(rounds)), rounds=ROUNDS)
    info = benchmark.extra_info
    for name in meter.costs:
        info[name] = {field: round(meter.median(name, field), 2) for field in ("wall", "ours", "server")}
    for what in ("snapshot", "restore"):
        folder_wall = meter.median(f"folder {what}")
        info[f"{what} ratio"] = round(meter.median(f"S3 {what}") / folder_wall, 2)
        busy = meter.median(f"folder {what}", "ours") + sum(
            meter.median(f"bare {what}", field) for field in ("ours", "server")
        )
        info[f"{what} least"] = round(max(busy / (os.cpu_count() or 1), folder_wall) / folder_wall, 2)
