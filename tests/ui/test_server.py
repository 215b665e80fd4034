"""The server itself: a real process, real sockets, signals, logs."""

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import pykopia
from pykopia.cli import tree
from pykopia.cli.parsing import CommandLineError, parse
from pykopia.errors import PageError
from pykopia.testing import CountingStorage
from pykopia.ui.page import PageServer
from pykopia.ui.security import COOKIE
from pykopia.ui.site import Site
from tests.cli_runner import Runner
from tests.ui.browsing import Page, Take


@pytest.fixture
def server(site: Site) -> Iterator[PageServer]:
    server = PageServer(site)
    serving = threading.Thread(target=server.run)
    serving.start()
    yield server
    server.stop()
    serving.join(30)
    assert not serving.is_alive()


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes


def get(port: int, path: str, **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            return Answer(response.status, response.headers, response.read())


def test_a_command_prints_the_address_serves_it_and_ends_with_a_signal(tmp_path: Path) -> None:
    cli = Runner(tmp_path)
    cli.ok("repository", "create", "filesystem", "--path", f"{tmp_path}/repository")
    words = ["--config-file", str(cli.config), "--log-dir", f"{tmp_path}/logs", "--file-log-level=debug", "ui"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pykopia", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"KOPIA_PASSWORD": cli.password, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    with process:
        try:
            assert process.stdout is not None
            found = next(each for line in process.stdout if (each := re.search(r"http://127\.0\.0\.1:\S+", line)))
            address = urlsplit(found[0])
            assert address.port is not None
            answer = get(address.port, f"{address.path}?{address.query}")
            assert answer.status == 200
            cookie = str(answer.headers["set-cookie"]).partition(";")[0]
            base = str(answer.headers["set-cookie"]).partition("Path=")[2].partition(";")[0]
            assert b"pykopia snapshot create" in get(address.port, base, cookie=cookie).body
            assert get(address.port, base).status == 403
            assert get(address.port, base, cookie=cookie, host="evil.example").status == 421
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in stderr
    token = address.query.partition("=")[2]
    logs = [each for each in (tmp_path / "logs").rglob("*.log") if each.is_file() and not each.is_symlink()]
    written = stderr + "".join(each.read_text() for each in logs)
    assert logs
    assert not any(secret in written for secret in (token, cookie.partition("=")[2], base))


def test_only_the_loopback_address_is_listened_at(server: PageServer) -> None:
    assert server.address.startswith(f"http://127.0.0.1:{server.port}/?token=")
    with socket.socket() as other:
        other.settimeout(5)
        assert other.connect_ex(("127.0.0.2", server.port)) != 0


def test_a_port_that_is_taken_is_named(server: PageServer, site: Site) -> None:
    with pytest.raises(PageError, match=rf"127\.0\.0\.1:{server.port}: Address already in use; choose another --port"):
        PageServer(site, port=server.port)
    with pytest.raises(CommandLineError, match="from 0 to 65535; it is 70000"):
        parse(tree.ROOT, ["ui", "--port=70000"], {})


def test_a_download_that_breaks_off_is_no_whole_one_to_a_browser(
    server: PageServer, site: Site, take: Take, folder: Path, storage: CountingStorage, repository: pykopia.Repository
) -> None:
    (folder / "big").write_bytes(bytes(range(256)) * (4 << 12))
    take(0)
    with (folder / "big").open("ab") as file:
        file.write(b"more")
    snapshot = take(1)
    last = repository.objects.chunks(repository.snapshots.tree(snapshot).joinpath("big").entry.object_id)[-1]
    storage.delete(repository.contents.entry(last.content_id).pack_blob)
    with pytest.raises(http.client.IncompleteRead):
        get(server.port, site.address.to("file", id=snapshot.id, path="big"), cookie=f"{COOKIE}={site.keys.cookie}")


def test_a_server_that_ends_stops_its_tasks(site: Site, take: Take, browser: Page) -> None:
    take()
    server = PageServer(site)
    serving = threading.Thread(target=server.run)
    serving.start()
    browser.send("growth/count")
    server.stop()
    serving.join(30)
    assert not serving.is_alive()
    assert not site.jobs.running()


SCRIPT = """
import os, sys
{before}
from pykopia.cli.main import run
status = run(
    ["--config-file", {config!r}, "--log-dir", {logs!r}, {command}],
    environment=os.environ, stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr,
)
print(*[name for name in sys.modules if name.partition(".")[0] in {{"starlette", "uvicorn", "jinja2", "anyio"}}
        or name.startswith("pykopia.ui")])
sys.exit(status)
"""


def run_apart(folder: Path, command: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which prints the modules that it has imported of the page."""
    cli = Runner(folder)
    cli.ok("repository", "create", "filesystem", "--path", f"{folder}/repository")
    script = SCRIPT.format(config=str(cli.config), logs=f"{folder}/logs", command=command, before=before)
    environment = {"KOPIA_PASSWORD": cli.password, "HOME": str(folder)}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    failed = run_apart(tmp_path, "'ui'", before="sys.modules['uvicorn'] = None")
    assert failed.returncode == PageError.exit_code
    assert "pip install 'pykopia[ui]'" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_no_other_command_imports_any_of_it(tmp_path: Path) -> None:
    done = run_apart(tmp_path, "'snapshot', 'list'")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
