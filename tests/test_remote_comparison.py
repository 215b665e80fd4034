"""The remote mode of the comparison: what the proxy delays and counts, and what the report says."""

import contextlib
import http.client
import http.server
import itertools
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparison import bench, places, remote, remote_report, report
from benchmarks.comparison.command_line import parse, with_report
from benchmarks.comparison.latency import LatencyProxy, RequestCounter
from benchmarks.comparison.measure import Command
from benchmarks.comparison.places import Place
from benchmarks.comparison.tools import Tool
from tests.servers.process import HOST

REQUESTS = (
    b"PUT /bucket/p1?x=%20 HTTP/1.1\r\nContent-Length: 40\r\n\r\n"
    + b"GET one HTTP/1.1 of a body, not a request"[:40]
    + b""
    b"GET /bucket HTTP/1.1\r\nHost: a\r\n\r\nPROPFIND / HTTP/1.1\r\n\r\nDELETE /p1 HTTP/1.0\r\n\r\n"
)


@given(cuts=st.lists(st.integers(0, len(REQUESTS)), max_size=20))
def test_requests_are_counted_once_however_the_bytes_are_cut(cuts: Sequence[int]) -> None:
    counter = RequestCounter()
    edges = [0, *sorted(cuts), len(REQUESTS)]
    assert sum(counter.count(REQUESTS[a:b]) for a, b in itertools.pairwise(edges)) == 4


def test_a_request_is_counted_after_a_long_body() -> None:
    counter = RequestCounter()
    assert counter.count(b"PUT /a HTTP/1.1\r\n\r\n") == 1
    assert counter.count(bytes(1 << 20)) == 0
    assert counter.count(b"GET /a HTTP/1.1\r\n\r\n") == 1


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it got."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def echo_behind_proxy() -> Iterator[LatencyProxy]:
    with http.server.ThreadingHTTPServer((HOST, 0), Echo) as server, LatencyProxy().running() as proxy:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        proxy.target_port = server.server_address[1]
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def test_the_proxy_passes_all_bytes_and_counts_requests() -> None:
    content = bytes(range(256)) * (1 << 12)
    with echo_behind_proxy() as proxy:
        proxy.round_trip_seconds = 0.002
        for number in range(1, 3):
            connection = http.client.HTTPConnection(HOST, proxy.port, timeout=30)
            for _ in range(2):
                connection.request("PUT", "/a", content)
                assert connection.getresponse().read() == content
            connection.close()
            assert proxy.requests == 2 * number


def test_the_proxy_ends_a_connection_whose_server_is_not_there() -> None:
    with LatencyProxy().running() as proxy, socket.socket() as taken:
        taken.bind((HOST, 0))  # and nobody listens
        proxy.target_port = taken.getsockname()[1]
        with (
            socket.create_connection((HOST, proxy.port), timeout=30) as connection,
            contextlib.suppress(ConnectionError),
        ):
            assert connection.recv(1) == b""


class Uploader(Tool):
    """A tool of the least kind: each command is a request or two."""

    name = "uploader"

    @classmethod
    def program(cls) -> Sequence[str] | None:
        return ["curl"]

    def settings(self) -> Mapping[str, str]:
        return {}

    def supports(self, place: Place) -> bool:
        return True

    def send(self) -> Command:
        return self.command("--silent", "--fail", "--noproxy", "*", "-X", "PUT", "-d", "x", self.where.restic)

    def create(self) -> list[Command]:
        return [self.send(), self.command("--version")]

    def snapshot(self, source: Path) -> Command:
        return self.send()

    def restore(self, source: Path, target: Path) -> Command:
        copy = ["cp", "-aT", str(source), str(target)]
        return Command(words=copy, environment=self.environment(), folder=self.workspace)

    def restored(self, source: Path, target: Path) -> Path:
        return target

    def verify(self) -> Command:
        return self.command("no", "such")

    def list(self) -> Command:
        return self.send()


def test_all_steps_run_for_each_latency_and_count_their_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def start(path: Path, proxy: LatencyProxy) -> Iterator[places.NewPlace]:
        with http.server.ThreadingHTTPServer((HOST, 0), Echo) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            proxy.target_port = server.server_address[1]
            yield lambda: Place(kopia=[], restic=f"http://{HOST}:{proxy.port}/")
            server.shutdown()
            thread.join()

    monkeypatch.setattr(bench, "TOOLS", {"uploader": Uploader})
    monkeypatch.setattr(
        remote,
        "SERVERS",
        {
            "here": places.Server(program=["curl"], start=start),
            "gone": places.Server(program=["no-such-program"], start=start),
        },
    )
    options = bench.Options(
        rounds=1,
        sets=[],
        tools=["uploader"],
        commands=[*remote.TITLES],
        folder=tmp_path,
        seed="7",
        scale=0.01,
        timeout_seconds=60,
        servers=["here", "gone"],
        round_trips_ms=[0, 1],
    )
    comparison = remote.RemoteComparison(options, lambda _: None)
    comparison.run()
    results = comparison.results
    assert results.skipped == {"gone": "needs no-such-program"}
    for where in ("here, 0 ms", "here, 1 ms"):
        found = {each.command: each for each in results.samples if each.data == where}
        without = {"connect-cold", "maintenance-cold"}  # of which the tool knows nothing
        assert set(found) == set(remote.TITLES) - without
        assert {name for name, sample in found.items() if sample.error} == {"verify-cold"}
        assert {
            sample.requests for name, sample in found.items() if name[:5] in {"creat", "first", "unch", "list"}
        } == {1}
        assert found["restore-small"].requests == 0
    assert results.restores == {("small", "uploader"): "", ("big", "uploader"): ""}
    assert "## here, 1 ms" in remote_report.to_markdown(results, {})


def test_the_table_says_how_many_times_as_fast_and_who_sent_what() -> None:
    results = bench.Results(versions={"pykopia": "1", "kopia": "2"})
    for tool, seconds, requests in (("kopia", 3.0, 20), ("pykopia", 1.5, 7), ("kopia", 2.0, 20), ("pykopia", 1.0, 7)):
        number = len(results.samples) // 2
        results.samples.append(
            bench.Sample(
                data="s3, 50 ms", tool=tool, command="list", round=number, wall_seconds=seconds, requests=requests
            )
        )
    text = remote_report.to_markdown(results, {})
    assert (
        "| step | pykopia s | kopia s | times as fast | pykopia CPU s | kopia CPU s | requests pykopia / kopia |"
        in text
    )
    assert "| list, warm cache | 1.25 | 2.50 | 2.00 | 0.00 | 0.00 | 7 / 20 |" in text


def test_a_file_of_results_keeps_the_report_of_the_other_mode() -> None:
    local, network = "# Commands side by side\n\n1\n", f"{remote_report.HEADING}\n\n2\n"
    both = with_report(with_report("", local), network)
    assert both == f"{local}\n{network}"
    assert with_report(both, local.replace("1", "3")) == both.replace("1", "3")
    assert with_report(both, network.replace("2", "4")) == both.replace("2", "4")
    mounts = f"{report.MOUNTS}\n\n5\n"
    three = with_report(both, mounts)
    assert three == f"{both}\n{mounts}"
    assert with_report(three, network.replace("2", "4")) == three.replace("2", "4")
    movers = f"{report.MOVERS}\n\n6\n"
    assert with_report(with_report(three, movers), mounts) == f"{three}\n{movers}"
    assert with_report(with_report("", mounts), local) == f"{local}\n{mounts}"


def test_the_remote_mode_has_a_shorter_limit_for_each_command() -> None:
    assert parse([]).timeout == 1800
    assert parse(["--servers", "s3"]).timeout == 300
    assert parse(["--servers", "s3", "--timeout", "7", "--round-trips", "1,2.5"]).round_trips == [1.0, 2.5]
