"""Make the pictures of the page in docs/pictures: serve the page of a made-up repository, look at it with Chromium.

    python scripts/page_pictures.py

It needs the extra `ui`, `playwright` (tests/requirements.txt) and Debian's package `chromium`. Contents, times and names are
the same in each run; how letters are drawn depends on the fonts of the machine.
"""

# ruff: noqa: INP001, T201, S311 -- a program; its random numbers are the same each time

import os
import random
import shutil
import struct
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import pykopia
from pykopia import clock
from pykopia.ui.page import PageServer
from pykopia.ui.site import Site

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SOURCE = pykopia.SourceInfo(user_name="ann", host="laptop", path="/home/ann/documents")
NOW = 1_795_867_200_000_000_000
"""2026-11-28T12:00:00Z."""
DAY = 86_400_000_000_000
DAYS = 75
KEPT = pykopia.policies.RetentionPolicy(
    keep_latest=5, keep_hourly=0, keep_daily=7, keep_weekly=4, keep_monthly=3, keep_annual=0
)
WORDS = (
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "rain",
    "falls",
    "on",
    "quiet",
    "garden",
)


def picture(width: int, height: int) -> bytes:
    """Return a picture of hills at dusk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            hill = height * 0.65 + 18 * ((x * 7 // 40) % 3 - 1) * (abs(x - width / 2) / width)
            sky = (250 - y // 2, 180 - y // 3, 140 + y // 4)
            rows += bytes(sky if y < hill else (30 + y // 8, 70 + y // 8, 60))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows))) + chunk(b"IEND", b"")
    )


def change(folder: Path, day: int, chance: random.Random) -> None:
    """Make the folder what it is on some day."""
    letters = folder / "letters"
    letters.mkdir(parents=True, exist_ok=True)
    (folder / "photos").mkdir(exist_ok=True)
    if day % 5 == 0:
        text = "\n".join(" ".join(chance.choices(WORDS, k=12)) for _ in range(400))
        (letters / f"letter-{day:02}.txt").write_text(f"Dear reader,\n\n{text}\n")
    if day % 9 == 0:
        (folder / "photos" / f"hills-{day:02}.png").write_bytes(picture(320, 200) + chance.randbytes(120_000))
    with (folder / "accounts.csv").open("a") as file:
        file.write(f"2026-{9 + day // 30:02}-{day % 30 + 1:02},{chance.randint(100, 9999) / 100}\n")
    (folder / "notes.md").write_text("# Notes\n\n- water the garden\n- call Bob\n" + f"- day {day}\n")
    if day == 40:
        (folder / "plan.odt").write_bytes(chance.randbytes(300_000))
    for path in [*folder.rglob("*"), folder]:
        known = path.stat().st_mtime_ns
        if known > NOW:
            os.utime(path, ns=(NOW, NOW - (DAYS - day) * DAY - 3_600_000_000_000))


@contextmanager
def repository(folder: Path) -> Iterator[pykopia.Repository]:
    """Make a repository with snapshots of some months."""
    chance = random.Random(4)
    client = pykopia.ClientOptions(username="ann", hostname="laptop")
    with pykopia.create(pykopia.storage.MemoryStorage(), "a good password", client=client) as opened:
        keep_all = pykopia.policies.RetentionPolicy(keep_latest=1000)
        compressed = pykopia.policies.CompressionPolicy(compressor_name="zstd")
        opened.policies.set(SOURCE, pykopia.Policy(retention=keep_all, compression=compressed))
        for day in range(DAYS):
            change(folder, day, chance)
            if day % 11 == 6:
                continue
            began = NOW - (DAYS - day) * DAY + chance.randrange(3_600_000_000_000)
            options = pykopia.SnapshotOptions(source=SOURCE, start_time_ns=began, end_time_ns=began + 10**9)
            opened.snapshots.create(folder, options=options)
        opened.policies.set(SOURCE, pykopia.Policy(retention=KEPT, compression=compressed))
        yield opened


def look(browser: Browser, server: PageServer, site: Site, target: Path) -> None:
    """Take the pictures."""
    base = f"http://127.0.0.1:{server.port}"
    last = site.snapshots()[-1]
    page = browser.new_page(viewport={"width": 960, "height": 800}, color_scheme="light")
    page.goto(server.address)
    page.wait_for_url(f"**{site.keys.base}/")

    def shot(name: str, address: str, height: int) -> None:
        page.set_viewport_size({"width": page.viewport_size["width"] if page.viewport_size else 960, "height": height})
        page.goto(base + address)
        page.screenshot(path=PICTURES / f"ui-{name}.png")

    shot("source", site.address.to("source", name=str(SOURCE)), 1010)
    shot("folder", site.address.to("snapshot", id=last.id), 520)
    page.goto(base + site.address.to("growth"))
    page.get_by_role("button", name="Count now").click()
    page.get_by_role("heading", name="In all, over time").wait_for()
    shot("growth", site.address.to("growth"), 620)
    page.goto(base + site.address.to("restore", id=last.id))
    page.get_by_label("Folder to restore to").fill(str(target))
    page.get_by_label("Replace files that differ").check()
    page.get_by_role("button", name="Show what would change").click()
    page.get_by_role("button", name="Restore now").wait_for()
    page.evaluate(
        "([path, shown]) => { for (const each of document.querySelectorAll('code, td')) "
        "if (each.textContent === path) each.textContent = shown }",
        [str(target), "/home/ann/documents"],
    )
    page.set_viewport_size({"width": 960, "height": 520})
    page.screenshot(path=PICTURES / "ui-plan.png")
    narrow = browser.new_page(viewport={"width": 360, "height": 640}, color_scheme="dark")
    narrow.goto(server.address)
    narrow.wait_for_url(f"**{site.keys.base}/")
    narrow.goto(base + site.address.to("snapshot", id=last.id, path="letters/letter-70.txt"))
    narrow.screenshot(path=PICTURES / "ui-narrow.png")


def main() -> int:
    """Write the pictures."""
    program = shutil.which("chromium")
    if program is None:
        print("chromium is missing: apt-get install chromium")
        return 1
    with tempfile.TemporaryDirectory() as name, clock.replaced(lambda: NOW):
        folder, target = Path(name) / "documents", Path(name) / "target"
        with repository(folder) as opened:
            shutil.copytree(folder, target)
            (target / "notes.md").write_text("a mistake")
            (target / "plan.odt").unlink()
            site = Site(opened, now=clock.now, zone=UTC)
            server = PageServer(site)
            serving = threading.Thread(target=server.run)
            serving.start()
            try:
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
                    look(browser, server, site, target)
                    browser.close()
            finally:
                server.stop()
                serving.join()
    print("written:", ", ".join(sorted(path.name for path in PICTURES.glob("ui-*.png"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
