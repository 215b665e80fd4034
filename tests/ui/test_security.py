"""Who may use the page: the token, the cookie, forms of other sites, names of other hosts, names of files."""

import io
import logging
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

import pykopia
from pykopia.ui import text
from pykopia.ui.forms import MOST_BYTES
from pykopia.ui.page import page
from pykopia.ui.security import FILE_POLICY, HEADERS, Secrets, is_loopback
from pykopia.ui.site import Site
from tests.ui.browsing import BEGIN_NS, ORIGIN, SOURCE, Page, Take, links

PLACES = ["", "find", "growth", "maintenance", "static/app.css", "nothing"]


@pytest.fixture
def stranger(site: Site) -> TestClient:
    """Return a browser that never had the token."""
    return TestClient(page(site), base_url="http://127.0.0.1:8000", follow_redirects=False)


# ---------------------------------------------------------------------- the token


def test_nothing_is_shown_without_the_token(stranger: TestClient, site: Site, take: Take) -> None:
    take()
    for place in PLACES:
        answer = stranger.get(site.address.to(place))
        assert answer.status_code == 403
        assert "ann@box" not in answer.text
        assert "pykopia ui" in answer.text
    for wrong in ("", "x", site.keys.token[:-1], f"{site.keys.token}x", "\u00fc", site.keys.cookie, site.keys.form):
        answer = stranger.get("/", params={"token": wrong})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_the_token_is_exchanged_for_a_cookie_that_scripts_and_other_sites_do_not_get(
    stranger: TestClient, site: Site
) -> None:
    answer = stranger.get("/", params={"token": site.keys.token})
    assert (
        answer.headers["set-cookie"] == f"pykopia={site.keys.cookie}; HttpOnly; Path={site.keys.base}/; SameSite=strict"
    )
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert site.keys.token not in answer.text
    assert stranger.get(site.address.home()).status_code == 200


@pytest.mark.parametrize(
    "cookie", ["", "pykopia=", "pykopia=x", "other={cookie}", "pykopia={token}", "=;=;;", "\u00ff"]
)
def test_a_wrong_cookie_opens_nothing(stranger: TestClient, site: Site, cookie: str) -> None:
    sent = cookie.format(cookie=site.keys.cookie, token=site.keys.token).encode("latin-1")
    assert stranger.get(site.address.home(), headers={b"cookie": sent}).status_code == 403


def test_each_run_has_secrets_of_its_own_that_no_representation_shows() -> None:
    keys = Secrets()
    every = {keys.token, keys.cookie, keys.form, keys.base}
    assert len(every) == 4
    assert every.isdisjoint({Secrets().token, Secrets().base})
    assert not any(each in repr(keys) for each in every)


def test_no_log_has_a_secret(browser: Page, stranger: TestClient, take: Take, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    snapshot = take()
    browser.shows("")
    browser.get("snapshot", id=snapshot.id, path="nothing")
    browser.job("growth/count")
    stranger.get("/", params={"token": browser.site.keys.token})
    stranger.post(browser.site.address.to("growth/count"), data={"secret": browser.site.keys.form})
    keys = browser.site.keys
    written = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert written
    assert not any(each in line for line in written for each in (keys.token, keys.cookie, keys.form))


# ---------------------------------------------------------------------- the host


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "evil.example:8000", "10.0.0.1", "127.0.0.2",
     "", "127.0.0.1:x", "a@127.0.0.1", "127.0.0.1/", "[::2]", "127.0.0.1 evil.example", "[::1"],
)  # fmt: skip
def test_a_foreign_name_for_this_machine_is_refused(browser: Page, host: str) -> None:
    answer = browser.client.get(browser.site.address.home(), headers={"host": host})
    assert answer.status_code == 421
    answer = browser.client.get("/", params={"token": browser.site.keys.token}, headers={"host": host})
    assert answer.status_code == 421
    assert "set-cookie" not in answer.headers


@given(st.text())
def test_no_text_but_a_loopback_name_is_one(host: str) -> None:
    if is_loopback(host):
        assert host.lower().startswith(("127.0.0.1", "localhost", "[::1]"))


# ---------------------------------------------------------------------- forms

FORMS = ["growth/count", "maintenance/count", "restore/plan", "restore/run", "job/cancel"]


@pytest.mark.parametrize("place", FORMS)
def test_a_form_of_another_site_changes_nothing(browser: Page, take: Take, tmp_path: Path, place: str) -> None:
    snapshot = take()
    address = browser.site.address.to(place)
    fields = {"id": snapshot.id, "target": f"{tmp_path}/restored", "secret": browser.site.keys.form}
    for headers in (
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "https://127.0.0.1:8000"},
        {"origin": "http://localhost:8000"},
        {**ORIGIN, "sec-fetch-site": "cross-site"},
        {**ORIGIN, "sec-fetch-site": "same-site"},
    ):
        assert browser.client.post(address, data=fields, headers=headers).status_code == 403
    for secret in ("", "x", browser.site.keys.token, browser.site.keys.cookie):
        assert browser.client.post(address, data={**fields, "secret": secret}, headers=ORIGIN).status_code == 403
    assert browser.client.post(address, data={"id": snapshot.id}, headers=ORIGIN).status_code == 403
    assert not browser.site.jobs.running()
    assert not (tmp_path / "restored").exists()


def test_what_is_no_form_is_refused(browser: Page) -> None:
    address = browser.site.address.to("growth/count")
    large = {"secret": browser.site.keys.form, "x": "x" * MOST_BYTES}
    assert browser.client.post(address, data=large, headers=ORIGIN).status_code == 413
    assert browser.client.post(address, content=iter([b"secret=x"]), headers=ORIGIN).status_code == 413
    assert browser.client.post(address, json={"secret": browser.site.keys.form}, headers=ORIGIN).status_code == 415
    files = {"secret": (None, browser.site.keys.form)}
    assert browser.client.post(address, files=files, headers=ORIGIN).status_code == 415
    many = {f"field{number}": "x" for number in range(1000)}
    answer = browser.client.post(address, data=many, headers=ORIGIN)
    assert answer.status_code in (400, 403)  # early versions of Starlette read them all, and there is no secret
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert browser.client.request(method, address, headers=ORIGIN).status_code == 405


# ---------------------------------------------------------------------- what a browser may do


def test_every_answer_tells_the_browser_to_run_nothing_from_elsewhere(
    browser: Page, stranger: TestClient, take: Take
) -> None:
    snapshot = take()
    answers = [browser.get(place) for place in PLACES]
    answers += [stranger.get("/"), browser.get("snapshot", id=snapshot.id), browser.get("snapshot", id="x")]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    for place in ("file", "zip"):
        answer = browser.get(place, id=snapshot.id, path="letters/first.txt" if place == "file" else "")
        assert answer.headers["content-security-policy"] == FILE_POLICY
        assert "sandbox" in FILE_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("attachment")


def test_pages_work_without_anything_from_another_server(browser: Page, take: Take) -> None:
    snapshot = take()
    for place, values in (
        ("", {}),
        ("source", {"name": str(SOURCE)}),
        ("snapshot", {"id": snapshot.id}),
        ("snapshot", {"id": snapshot.id, "path": "big"}),
        ("find", {"name": "first"}),
        ("restore", {"id": snapshot.id}),
    ):
        shown = browser.shows(place, **values)
        for address in links(shown):
            assert address.startswith((browser.site.keys.base, "#")), address
        assert " style=" not in shown
        assert "<script>" not in shown
        assert " on" not in {part[:3] for part in shown.split("<") if "=" in part[:3]}
    for name in ("app.css", "app.js", "icon.svg"):
        assert "://" not in browser.get(f"static/{name}").text.replace("http://www.w3.org/2000/svg", "")


# ---------------------------------------------------------------------- hostile names

HOSTILE = [
    "<script>alert(1)<script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "{{ 1234 * 1000 }}{% include 'x' %}",
    "line\nbreak\r\nSet-Cookie: a=b",
    "\x1b[31mred\x07",
    "\u202etxt.exe",
    "%2e%2e%2fetc",
    "a&b=c?d#e;f+g",
    "nul",
    "javascript:alert(1)",
    "\ufffd\ufffd",
    "\U0001f600",
    "a b ",
    "..a",
    "...",
    "\\..\\x",
    "~",
    "-rf",
]


@pytest.fixture
def hostile(folder: Path, take: Take) -> pykopia.SnapshotManifest:
    """Return a snapshot whose files and folders have names that break pages."""
    for name in HOSTILE:
        (folder / name).mkdir()
        (folder / name / name).write_text(f"{HOSTILE.index(name)}")
    with open(bytes(folder) + b"/bytes\xff\xfe", "wb") as file:
        file.write(b"not UTF-8")
    source = replace(SOURCE, path="/<b>\"'&\n\u202e")
    return take(source=source, description="<i>&\x1b")


def test_hostile_names_are_shown_and_can_be_opened(browser: Page, hostile: pykopia.SnapshotManifest) -> None:
    every = [
        browser.shows(""),
        browser.shows("source", name=str(hostile.source)),
        browser.shows("snapshot", id=hostile.id),
        browser.shows("find", name="*"),
        browser.shows("restore", id=hostile.id),
        browser.shows("compare", before=hostile.id, after=hostile.id),
    ]
    every.append(browser.shows("snapshot", id=hostile.id, path="bytes\ufffd\ufffd"))
    for number, name in enumerate(HOSTILE):
        path = f"{name}/{name}"
        every.append(browser.shows("snapshot", id=hostile.id, path=name))
        every.append(browser.shows("history", source=str(hostile.source), path=path))
        assert browser.get("file", id=hostile.id, path=path).content == f"{number}".encode()
        listed = browser.shows("snapshot", id=hostile.id, path=name)
        inside = [each for each in links(listed) if each.startswith(f"{browser.site.keys.base}/snapshot?")]
        assert browser.site.address.to("snapshot", id=hostile.id, path=path) in inside
        every.append(browser.client.get(browser.site.address.to("snapshot", id=hostile.id, path=path)).text)
    for shown in every:
        for harm in ("<script>alert", "<img src=x", '<b>"', "<i>&", "1234000", "\x1b", "\x07", "\u202e"):
            assert harm not in shown, harm
        assert "'onmouseover='" not in shown


def test_names_of_downloads_are_one_header(browser: Page, hostile: pykopia.SnapshotManifest) -> None:
    for name in HOSTILE:
        for place, path in (("file", f"{name}/{name}"), ("zip", name)):
            answer = browser.get(place, id=hostile.id, path=path)
            header = answer.headers["content-disposition"]
            assert header.isascii()
            assert header.isprintable()
            assert "set-cookie" not in answer.headers
            assert '"' not in header
    with zipfile.ZipFile(io.BytesIO(browser.get("zip", id=hostile.id).content)) as archive:
        assert {f"{name}/{name}" for name in HOSTILE} <= set(archive.namelist())


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../etc/passwd", "/etc/passwd"])
def test_an_entry_that_would_leave_its_folder_is_shown_and_never_opened(
    browser: Page, repository: pykopia.Repository, take: Take, name: str
) -> None:
    snapshot = take()
    with repository.writer() as writer:
        inner = writer.objects.write(b"x")
        listing = (
            b'{"stream":"kopia:directory","entries":[{"name":"REPLACED","type":"f","mode":"0644","size":1,'
            b'"mtime":"2026-01-01T00:00:00Z","obj":"%s"}],"summary":null}\n' % inner.encode()
        )
        root = writer.objects.write(listing.replace(b"REPLACED", name.encode()), prefix="k")
        entry = pykopia.DirectoryEntry(name="root", type="d", mode=0o755, object_id=root)
        made = replace(snapshot, id=pykopia.ManifestID(""), root_entry=entry, start_time_ns=BEGIN_NS + 1)
        made = replace(made, id=writer.manifests.put(made.labels(), made.to_json()))
    shown = browser.shows("snapshot", id=made.id)
    assert "this name can&#39;t be opened" in shown or "this name can't be opened" in shown
    for place in ("file", "snapshot", "picture", "restore"):
        if name:
            browser.fails(404, place, id=made.id, path=name)
    browser.shows("find", name="*")


# ---------------------------------------------------------------------- previews

ACTIVE = {
    "page.html": b"<html><script>alert(1)</script></html>",
    "picture.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "picture.png": b"<script>alert(1)</script>",
    "feed.xml": b'<?xml version="1.0"?><?xml-stylesheet href="javascript:alert(1)"?><x/>',
    "script.js": b"alert(1)",
    "utf7.txt": b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "bom.txt": b"\xff\xfe<\x00s\x00c\x00r\x00i\x00p\x00t\x00>\x00",
    "mixed.gif": b"GIF89a/*<script>alert(1)</script>*/",
}


def test_a_preview_never_is_active(browser: Page, take: Take, folder: Path) -> None:
    for name, data in ACTIVE.items():
        (folder / name).write_bytes(data)
    snapshot = take()
    for name in ACTIVE:
        shown = browser.shows("snapshot", id=snapshot.id, path=name)
        assert "<script>" not in shown
        assert "onload=" not in shown.replace("&#34;", '"').replace('onload="alert', "") or "&lt;svg" in shown
        answer = browser.get("file", id=snapshot.id, path=name)
        assert answer.headers["content-type"] == "application/octet-stream"
        answer = browser.get("picture", id=snapshot.id, path=name)
        if name == "mixed.gif":
            assert answer.headers["content-type"] == "image/gif"
            assert answer.headers["content-security-policy"] == FILE_POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
        else:
            assert answer.status_code == 400


@given(st.text())
def test_every_character_of_a_name_can_be_seen(name: str) -> None:
    shown = text.visible(name)
    assert not any(each < " " or 0x7F <= ord(each) < 0xA0 or 0xD800 <= ord(each) < 0xE000 for each in shown)
    shown.encode()


def test_a_listing_of_a_target_with_bytes_that_are_no_text_is_shown(
    browser: Page, take: Take, tmp_path: Path, opened: Callable[[Site], Page]
) -> None:
    snapshot = take()
    target = tmp_path / "target"
    target.mkdir()
    with open(bytes(target) + b"/\xff<b>", "wb"):
        pass
    shown = browser.job("restore/plan", id=snapshot.id, target=str(target), existing="replace", delete="1")
    assert "\\xff&lt;b&gt;" in shown
