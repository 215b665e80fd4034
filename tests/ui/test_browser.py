"""The page in a real browser: Chromium without a window, steered by Playwright."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from zlib import compress, crc32

import pytest

pytest.importorskip("playwright", reason="playwright is missing: pip install -r tests/requirements.txt")

from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request, expect, sync_playwright

import pykopia
from pykopia.ui.page import PageServer
from pykopia.ui.site import Site
from tests.trees import assert_trees_equal
from tests.ui.browsing import SOURCE, Take

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="chromium is missing: apt-get install chromium"),
    # sockets of the browser's driver are closed by its own process
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

FOREIGN = "foreign.example"
"""A name of another site that leads to this machine, as by DNS rebinding."""
HARM = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=arguments)
        yield browser
        browser.close()


@dataclass
class Window:
    """A window of the browser on the page, and what it has done behind the user's back."""

    page: Page
    site: Site
    origin: str
    requests: list[str]
    mishaps: list[str]
    """Errors, dialogs and messages of the console."""

    def open(self, place: str, **values: str) -> Page:
        self.page.goto(self.origin + self.site.address.to(place, **values))
        return self.page


def png() -> bytes:
    """Return a picture of one point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + crc32(kind + data).to_bytes(4, "big")

    header = b"\0\0\0\1\0\0\0\1\x08\x02\0\0\0"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def folder(folder: Path) -> Path:
    """Add what a browser could be harmed by."""
    (folder / HARM).mkdir()
    (folder / HARM / "\x1b]0;x\x07\u202egnp.exe").write_text("<script>alert(2)</script>")
    (folder / "page.html").write_text("<!doctype html><script>alert(3)</script><h1>active</h1>")
    (folder / "active.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(4)</script></svg>')
    (folder / "picture.html.png").write_bytes(png())
    with open(bytes(folder) + b"/\xff\xfe", "wb") as file:
        file.write(b"bytes")
    return folder


@pytest.fixture
def snapshot(take: Take, folder: Path) -> pykopia.SnapshotManifest:
    """Take two snapshots with a change between them."""
    take(0)
    (folder / "letters" / "second.txt").write_text("Dear all")
    return take(1)


@pytest.fixture
def server(site: Site, snapshot: pykopia.SnapshotManifest) -> Iterator[PageServer]:
    server = PageServer(site)
    serving = threading.Thread(target=server.run)
    serving.start()
    yield server
    server.stop()
    serving.join(30)
    assert not serving.is_alive()


Opener = Callable[..., Window]


@pytest.fixture
def window(chromium: Browser, server: PageServer, site: Site) -> Iterator[Opener]:
    """Return a function that opens a window on the page."""
    contexts: list[BrowserContext] = []

    def opened(width: int = 1000, scheme: Literal["light", "dark"] = "light", *, script: bool = True) -> Window:
        context = chromium.new_context(
            viewport={"width": width, "height": 700}, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        page = context.new_page()
        found = Window(page, site, f"http://127.0.0.1:{server.port}", [], [])

        def asked(request: Request) -> None:
            found.requests.append(request.url)

        def asked_by(dialog: Dialog) -> None:
            found.mishaps.append(f"dialog {dialog.message}")
            dialog.dismiss()

        page.on("request", asked)
        page.on("console", lambda message: found.mishaps.append(message.text))
        page.on("pageerror", lambda error: found.mishaps.append(str(error)))
        page.on("dialog", asked_by)
        page.goto(server.address)
        page.wait_for_url(f"**{site.keys.base}/")
        return found

    yield opened
    for context in contexts:
        context.close()


def places(snapshot: pykopia.SnapshotManifest, first: str) -> list[tuple[str, dict[str, str]]]:
    """Return all kinds of pages."""
    return [
        ("", {}),
        ("source", {"name": str(SOURCE)}),
        ("snapshot", {"id": snapshot.id}),
        ("snapshot", {"id": snapshot.id, "path": HARM}),
        ("snapshot", {"id": snapshot.id, "path": "page.html"}),
        ("snapshot", {"id": snapshot.id, "path": "active.svg"}),
        ("snapshot", {"id": snapshot.id, "path": "picture.html.png"}),
        ("snapshot", {"id": snapshot.id, "path": "big"}),
        ("compare", {"before": first, "after": snapshot.id}),
        ("find", {"name": "*"}),
        ("history", {"source": str(SOURCE), "path": "letters/first.txt"}),
        ("growth", {}),
        ("maintenance", {}),
        ("restore", {"id": snapshot.id}),
    ]


# ---------------------------------------------------------------------- use


def test_a_newcomer_finds_a_file_and_gets_it_back(window: Opener, tmp_path: Path) -> None:
    found = window()
    page = found.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Snapshots")
    page.get_by_role("link", name="ann@box:/home/ann").first.click()
    page.get_by_role("link", name="2026-09-22: 1 snapshot").click()
    page.get_by_role("table", name="Snapshots, the latest first").get_by_role("link", name="2026-09-22").click()
    page.get_by_role("link", name="letters", exact=True).click()
    page.get_by_role("link", name="first.txt").click()
    expect(page.get_by_label("Text of the file")).to_have_text("Dear reader")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "first.txt"
    assert Path(download.value.path()).read_bytes() == b"Dear reader"
    page.get_by_role("link", name="Find", exact=True).click()
    page.get_by_label("Name or part of it").fill("second")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("status")).to_have_text("1 path found for “*second*”")
    page.get_by_role("link", name="letters/second.txt", exact=True).click()
    page.get_by_role("link", name="All versions").click()
    page.get_by_role("link", name="Restore…").click()
    page.get_by_label("Folder to restore to").fill(f"{tmp_path}/restored")
    page.get_by_role("button", name="Show what would change").click()
    page.get_by_role("button", name="Restore now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Restored")
    assert (tmp_path / "restored" / "second.txt").read_text() == "Dear all"
    assert found.mishaps == []
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""


def test_everything_is_served_by_the_page_itself(
    window: Opener, snapshot: pykopia.SnapshotManifest, repository: pykopia.Repository
) -> None:
    found = window()
    for place, values in places(snapshot, repository.snapshots.list()[0].id):
        found.open(place, **values)
    assert found.mishaps == []
    assert {url.startswith(f"{found.origin}/") for url in found.requests} == {True}


def test_a_restore_is_done_by_the_keyboard_alone(
    window: Opener, snapshot: pykopia.SnapshotManifest, folder: Path, tmp_path: Path
) -> None:
    page = window().open("restore", id=snapshot.id)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "target":
            break
    page.keyboard.type(f"{tmp_path}/restored")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Replace files that differ")).to_be_checked()
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Restore now")
    button.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    while not button.evaluate("each => each === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Restored")
    assert (tmp_path / "restored" / "letters" / "second.txt").exists()


def test_the_page_works_without_its_script(
    window: Opener, snapshot: pykopia.SnapshotManifest, folder: Path, tmp_path: Path, site: Site
) -> None:
    found = window(script=False)
    page = found.open("restore", id=snapshot.id, path="letters")
    page.get_by_label("Folder to restore to").fill(f"{tmp_path}/restored")
    page.get_by_role("button", name="Show what would change").click()
    for name in ("Restore now", ""):
        for job in site.jobs.running():
            assert job.wait(30)
        page.reload()
        if name:
            page.get_by_role("button", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Restored")
    assert_trees_equal(folder / "letters", tmp_path / "restored")


def test_progress_is_followed_to_the_end(window: Opener) -> None:
    page = window().open("growth")
    page.get_by_role("button", name="Count now").click()
    expect(page.get_by_role("img", name="What each snapshot added")).to_be_visible()
    expect(page.get_by_text("All snapshots as copies", exact=True)).to_be_visible()


# ---------------------------------------------------------------------- harm


def test_nothing_in_a_snapshot_is_ever_run(window: Opener, snapshot: pykopia.SnapshotManifest) -> None:
    found = window()
    page = found.open("snapshot", id=snapshot.id)
    expect(page.get_by_role("link", name=HARM)).to_be_visible()
    page.get_by_role("link", name=HARM).click()
    name = "\\x1b]0;x\\x07\\u202egnp.exe"
    page.get_by_role("link", name=name).click()
    expect(page.get_by_label("Text of the file")).to_have_text("<script>alert(2)</script>")
    for active in ("page.html", "active.svg"):
        page = found.open("snapshot", id=snapshot.id, path=active)
        expect(page.get_by_label("Text of the file")).to_contain_text("<script>alert(")
        with page.expect_download():
            page.evaluate("place => { location.href = place }", site_file(found, snapshot.id, active))
    found.open("snapshot", id=snapshot.id, path="picture.html.png")
    picture = page.get_by_role("img", name="The picture picture.html.png")
    assert picture.evaluate("each => each.naturalWidth") == 1
    page = found.open("snapshot", id=snapshot.id)
    expect(page.get_by_role("link", name="\ufffd\ufffd")).to_be_visible()
    assert found.mishaps == []


def site_file(found: Window, snapshot_id: str, path: str) -> str:
    return found.origin + found.site.address.to("file", id=snapshot_id, path=path)


class Neighbor(BaseHTTPRequestHandler):
    """Another server of this machine, which is not to be trusted."""

    body: str = ""
    cookies: list[str | None] = []  # noqa: RUF012 -- of the one that a test runs

    def do_GET(self) -> None:
        self.cookies.append(self.headers["cookie"])
        data = self.body.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
        """Say nothing."""


@pytest.fixture
def neighbor() -> Iterator[ThreadingHTTPServer]:
    Neighbor.cookies = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Neighbor)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


def test_another_server_of_this_machine_gets_no_cookie_and_can_send_no_form(
    window: Opener, neighbor: ThreadingHTTPServer, snapshot: pykopia.SnapshotManifest, tmp_path: Path
) -> None:
    found = window()
    plan = found.origin + found.site.address.to("restore/plan")
    fields = {"id": snapshot.id, "path": "", "target": f"{tmp_path}/restored", "secret": found.site.keys.form}
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    home = found.origin + found.site.address.home()
    Neighbor.body = (
        f'<form method="post" action="{plan}">{inputs}<button>go</button></form>'
        f'<iframe src="{home}"></iframe><script src="{home}static/app.js"></script>'
        f"<script>window.read = fetch('{home}', {{credentials: 'include'}}).then(r => r.text(), () => 'refused')</script>"
    )
    for host in ("127.0.0.1", "localhost", FOREIGN):
        page = found.page
        page.goto(f"http://{host}:{neighbor.server_port}/")
        assert page.evaluate("window.read") == "refused"
        assert "Snapshots" not in page.frames[-1].content()
        page.get_by_role("button", name="go").click()
        page.wait_for_url("**/restore/plan")
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "This page is private" if host != "127.0.0.1" else "Refused"
        )
    assert not found.site.jobs.running()
    assert not (tmp_path / "restored").exists()
    assert Neighbor.cookies
    assert set(Neighbor.cookies) == {None}


def test_a_name_of_another_site_for_this_machine_is_refused(window: Opener, server: PageServer) -> None:
    found = window()
    for place in ("/", found.site.address.home(), f"/?token={found.site.keys.token}"):
        answer = found.page.goto(f"http://{FOREIGN}:{server.port}{place}")
        assert answer is not None
        assert answer.status == 421


# ---------------------------------------------------------------------- everybody

CONTRAST = """() => {
  const light = text => {
    const parts = text.match(/[\\d.]+/g).map(Number);
    if (parts.length > 3 && parts[3] === 0) return null;
    const [r, g, b] = parts.map(each => {
      const part = each / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = each => {
    for (; each; each = each.parentElement) {
      const found = light(getComputedStyle(each).backgroundColor);
      if (found !== null) return found;
    }
    return 1;
  };
  const weak = [];
  for (const each of document.querySelectorAll("body *")) {
    if (each.closest("svg, option")) continue;
    if (![...each.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const [ink, paper] = [light(getComputedStyle(each).color), ground(each)];
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) weak.push(`${each.tagName} ${each.className} ${each.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return weak;
}"""
"""Texts that differ too little from what is behind them (WCAG 2.2, 1.4.3)."""

UNNAMED = """() => {
  const found = [];
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  if (document.documentElement.lang !== "en") found.push("no language");
  if (!document.title.trim()) found.push("no title");
  for (const name of ["main", "header", "nav", "footer"])
    if (!document.querySelector(name)) found.push(`no ${name}`);
  for (const each of document.querySelectorAll("input:not([type=hidden]), select"))
    if (!each.labels.length && !each.getAttribute("aria-label")) found.push(`no label: ${each.outerHTML}`);
  for (const each of document.querySelectorAll("a, button, summary"))
    if (!each.textContent.trim() && !each.getAttribute("aria-label")) found.push(`no name: ${each.outerHTML}`);
  for (const each of document.querySelectorAll("img"))
    if (!each.alt) found.push(`no alternative: ${each.outerHTML}`);
  for (const each of document.querySelectorAll("svg"))
    if (!each.getAttribute("aria-label")) found.push("a plot without words");
  for (const each of document.querySelectorAll("table"))
    if (!each.caption || !each.querySelector("th[scope=col]")) found.push("a table without caption or headings");
  for (const each of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const name of ["aria-labelledby", "aria-describedby"])
      for (const id of (each.getAttribute(name) || "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) found.push(`no element ${id}`);
  const ids = [...document.querySelectorAll("[id]")].map(each => each.id);
  if (new Set(ids).size !== ids.length) found.push("an id twice");
  let last = 0;
  for (const each of document.querySelectorAll("h1, h2, h3")) {
    const level = Number(each.tagName[1]);
    if (level > last + 1) found.push(`a heading skips a level: ${each.textContent}`);
    last = level;
  }
  return found;
}"""
"""What a screen reader could not name, or not find its way by."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_window_and_can_be_read_by_everybody(
    window: Opener,
    snapshot: pykopia.SnapshotManifest,
    repository: pykopia.Repository,
    scheme: Literal["light", "dark"],
    tmp_path: Path,
) -> None:
    found = window(360, scheme)
    page = found.page
    for place in ("growth", "maintenance"):
        found.open(place).get_by_role("button", name="Count now").click()
        page.get_by_role("button", name="Count again").wait_for()
    pages = places(snapshot, repository.snapshots.list()[0].id)
    for place, values in [*pages, ("snapshot", {"id": "nothing"})]:
        found.open(place, **values)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, (place, values)
        assert page.evaluate(CONTRAST) == [], (place, values)
        assert page.evaluate(UNNAMED) == [], (place, values)
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(20, 25, 26)"
    assert dark == (scheme == "dark")
    target = tmp_path / "target"
    target.mkdir()
    (target / "extra").touch()
    for existing in ("Leave it alone", "Replace files that differ"):
        found.open("restore", id=snapshot.id).get_by_label("Folder to restore to").fill(str(target))
        page.get_by_label(existing).check()
        page.get_by_label("and delete what").check()
        page.get_by_role("button", name="Show what would change").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("What the restore would change")
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(UNNAMED) == []
    page.get_by_role("button", name="Restore now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Restored")
    assert page.evaluate(UNNAMED) == []
    assert sorted(os.listdir(target)) == sorted({each.name for each in repository.snapshots.tree(snapshot).iterdir()})
