"""Each page: what it shows, and what it says where something is wrong."""

import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import pykopia
from pykopia.testing import CountingStorage
from pykopia.ui.site import KNOWN_NS, Site
from tests.ui.browsing import CLIENT, DAY_NS, PASSWORD, SOURCE, Page, Take, links, words

WRITES = ("put", "delete", "extend_retention")


def test_a_repository_without_snapshots_says_how_to_take_one(browser: Page) -> None:
    assert "pykopia snapshot create" in browser.shows("")
    for place in ("find", "growth", "maintenance"):
        browser.shows(place)
    assert "bar" not in browser.job("growth/count")


def test_sources_are_listed_with_their_latest_snapshot(browser: Page, take: Take) -> None:
    for day in (0, 3):
        take(day)
    take(1, source=pykopia.SourceInfo(user_name="bob", host="box", path="/srv"))
    shown = words(browser.shows(""))
    assert "3 snapshots of 2 sources" in shown
    assert shown.index("ann@box:/home/ann") < shown.index("bob@box:/srv")
    assert "Last backup 27 days ago, 2026-09-24 14:13" in shown
    assert "3 files, 4.0 MB · 2 snapshots" in shown


def keep(repository: pykopia.Repository, latest: int, monthly: int) -> None:
    """Set a policy that keeps so many snapshots, and one of each of so many months."""
    retention = pykopia.policies.RetentionPolicy(
        keep_latest=latest, keep_hourly=0, keep_daily=0, keep_weekly=0, keep_monthly=monthly, keep_annual=0
    )
    repository.policies.set(SOURCE, pykopia.Policy(retention=retention))


def test_a_source_has_a_calendar_and_says_what_retention_keeps(
    browser: Page, take: Take, repository: pykopia.Repository
) -> None:
    keep(repository, 100, 0)
    for day in range(0, 60, 2):
        take(day)
    keep(repository, 2, 2)
    shown = browser.shows("source", name=str(SOURCE))
    text = words(shown)
    assert "November 2026 9 snapshots" in text
    assert "September 2026 5 snapshots" in text
    assert shown.index("November 2026") < shown.index("September 2026")
    assert "latest-1, monthly-1" in text
    assert "Retention will delete 27 of them at its next run" in text
    assert shown.count("<td>goes at the next run</td>") == 27
    assert 'aria-label="2026-09-21: 1 snapshot, which retention will delete"' in shown
    assert 'aria-label="What retention keeps of the snapshots. latest: 2; monthly: 2; goes: 27"' in shown


def test_the_plan_of_retention_is_that_of_the_library(
    browser: Page, take: Take, repository: pykopia.Repository
) -> None:
    keep(repository, 100, 0)
    for day in range(0, 40, 3):
        take(day)
    keep(repository, 2, 2)
    [expiration] = repository.snapshots.expire(SOURCE)
    shown = browser.shows("source", name=str(SOURCE))
    rows = shown.partition("<tbody>")[2].split("<tr")
    gone = {each.id for each in expiration.plan.expired}
    assert gone
    for snapshot in repository.snapshots.list():
        [row] = [each for each in rows if f"snapshot?id={snapshot.id}" in each]
        assert ("goes at the next run" in row) == (snapshot.id in gone)


def test_the_calendar_shows_one_day_or_one_year(browser: Page, take: Take) -> None:
    first = take(0)
    second = take(0)
    other = take(-300)
    shown = browser.shows("source", name=str(SOURCE), day="2026-09-21")
    assert {first.id, second.id} <= {each.partition("id=")[2] for each in links(shown)}
    assert f"id={other.id}" not in shown
    assert "September 2026" in shown
    shown = browser.shows("source", name=str(SOURCE), year="2025")
    assert "November 2025" in shown
    assert "September 2026" not in shown
    for odd in ("x", "²", "9" * 30, "-1"):
        browser.shows("source", name=str(SOURCE), year=odd)
        browser.shows("source", name=str(SOURCE), day=odd)


def test_a_folder_is_listed_and_sorted(browser: Page, take: Take) -> None:
    snapshot = take()
    shown = browser.shows("snapshot", id=snapshot.id)
    text = words(shown)
    assert "ann@box:/home/ann As it was at 2026-09-21 14:13, 1 month ago: 3 files, 4.0 MB" in text
    names = [text.index(f" {name} (") for name in ("letters", "big", "empty", "link")]
    assert names == sorted(names)
    text = words(browser.shows("snapshot", id=snapshot.id, sort="size", down="1"))
    names = [text.index(f" {name} (") for name in ("letters", "big", "link", "empty")]
    assert names == sorted(names)
    text = words(browser.shows("snapshot", id=snapshot.id, path="letters"))
    assert "first.txt (file) 11 B" in text


def test_a_large_folder_is_shown_in_parts(browser: Page, take: Take, folder: Path) -> None:
    for number in range(1001):
        (folder / "letters" / f"{number:04}").touch()
    snapshot = take()
    first = browser.shows("snapshot", id=snapshot.id, path="letters")
    assert "1,002 entries, part 1 of 2" in words(first)
    second = words(browser.shows("snapshot", id=snapshot.id, path="letters", page="2"))
    assert "1000 (file)" in second
    assert "first.txt (file)" in second
    assert "0999 (file)" not in second
    browser.shows("snapshot", id=snapshot.id, path="letters", page="nonsense")


def test_a_text_is_shown_in_the_page(browser: Page, take: Take) -> None:
    snapshot = take()
    assert "Dear reader" in browser.shows("snapshot", id=snapshot.id, path="letters/first.txt")
    assert "The file is empty" in browser.shows("snapshot", id=snapshot.id, path="empty")
    assert "The file goes on" in browser.shows("snapshot", id=snapshot.id, path="big")
    assert "A symbolic link to letters/first.txt" in words(browser.shows("snapshot", id=snapshot.id, path="link"))


def test_a_file_is_downloaded_as_it_is(browser: Page, take: Take, folder: Path) -> None:
    snapshot = take()
    answer = browser.get("file", id=snapshot.id, path="big")
    assert answer.content == (folder / "big").read_bytes()
    assert answer.headers["content-length"] == "4000000"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''big"
    assert browser.get("file", id=snapshot.id, path="empty").content == b""
    browser.fails(400, "file", id=snapshot.id, path="letters")
    browser.fails(400, "file", id=snapshot.id, path="link")


def test_a_folder_is_downloaded_as_a_zip(browser: Page, take: Take, folder: Path) -> None:
    snapshot = take()
    answer = browser.get("zip", id=snapshot.id)
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''ann-2026-09-21.zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {"big", "empty", "letters/", "letters/first.txt", "link"}
        assert archive.read("big") == (folder / "big").read_bytes()
    answer = browser.get("zip", id=snapshot.id, path="letters")
    assert "letters-2026-09-21.zip" in answer.headers["content-disposition"]


def test_two_snapshots_are_compared_by_what_a_person_asks(browser: Page, take: Take, folder: Path) -> None:
    before = take(0)
    (folder / "letters" / "first.txt").write_text("Dear readers")
    (folder / "letters" / "second.txt").write_text("Dear all")
    (folder / "empty").unlink()
    (folder / "big").chmod(0o600)
    after = take(1)
    text = words(browser.shows("compare", before=before.id, after=after.id))
    assert "1 added 1 removed 1 changed 1 other attributes" in text
    for line in (
        "added letters/second.txt 8 B",
        "removed empty 0 B",
        "changed letters/first.txt 11 B 12 B",
        "mode big",
    ):
        assert line in text
    assert text == words(browser.shows("compare", before=after.id, after=before.id))  # the older one is always first
    text = words(browser.shows("compare", before=before.id, after=after.id, kind="added"))
    assert "letters/second.txt" in text
    assert "first.txt" not in text
    text = words(browser.shows("compare", before=before.id, after=after.id, path="letters"))
    assert "1 added 0 removed 1 changed 0 other attributes" in text
    assert "There is no difference" in browser.shows("compare", before=after.id, after=after.id)


def test_a_name_is_found_in_all_snapshots(browser: Page, take: Take, folder: Path) -> None:
    take(0)
    (folder / "letters" / "first.txt").write_text("Dear readers")
    take(1)
    (folder / "letters" / "first.txt").unlink()
    take(2)
    for typed in ("FIRST", "first.txt", "letters/*.txt", "/home/ann/letters/first.txt"):
        shown = browser.shows("find", name=typed)
        text = words(shown)
        assert "1 path found for" in text, typed
        assert "letters/first.txt ann@box:/home/ann 2026-09-22 14:13 2026-09-21 14:13 12 B 2 2 versions" in text
    assert "0 paths found" in browser.shows("find", name="first", case="1", kind="d")
    text = words(browser.shows("history", source=str(SOURCE), path="letters/first.txt"))
    assert "2026-09-23 14:13 it was not there 2026-09-22 14:13 12 B" in text
    browser.fails(400, "find", name="[")


def test_growth_is_counted_when_somebody_asks(browser: Page, take: Take, folder: Path) -> None:
    take(0)
    (folder / "more").write_bytes(b"x" * 500_000)
    take(1)
    assert "Count now" in browser.shows("growth")
    shown = browser.job("growth/count")
    text = words(shown)
    assert "All snapshots as copies 8.5 MB" in text
    assert "Each piece of data once 2.4 MB" in text  # the big file has one block three times
    assert shown.count("<svg") == 2
    take(2)
    browser.site.snapshots()


def test_maintenance_says_what_it_can_free(browser: Page, take: Take, repository: pykopia.Repository) -> None:
    take(0)
    with repository.writer() as writer:
        writer.objects.write(b"of an application" * 1000)
    shown = browser.shows("maintenance")
    assert "Done by ann@box (this client)" in words(shown)
    shown = browser.job("maintenance/count")
    assert "in use" in words(shown)
    assert "contents that no snapshot needs are left alone for 24 hours" in shown


def test_nothing_is_written_to_the_storage_also_by_a_read_only_connection(
    storage: CountingStorage, take: Take, opened: Callable[[Site], Page], tmp_path: Path, moment: list[int]
) -> None:
    first, last = take(0), take(1)
    storage.clear()
    reader = pykopia.ClientOptions(username="ann", hostname="box", read_only=True)
    for client in (CLIENT, reader):
        with pykopia.connect(storage, PASSWORD, client=client) as repository:
            browser = opened(Site(repository, now=lambda: moment[0]))
            assert ("read-only" in browser.shows("")) == client.read_only
            browser.shows("source", name=str(SOURCE))
            browser.shows("snapshot", id=last.id)
            browser.shows("snapshot", id=last.id, path="letters/first.txt")
            browser.get("file", id=last.id, path="big")
            browser.get("zip", id=last.id)
            browser.shows("compare", before=first.id, after=last.id)
            browser.shows("find", name="first")
            browser.shows("history", source=str(SOURCE), path="big")
            assert "<svg" in browser.job("growth/count")
            assert "<svg" in browser.job("maintenance/count")
            plan = browser.job("restore/plan", id=last.id, target=f"{tmp_path}/restored-{client.read_only}")
            job = plan.partition('name="id" value="')[2].partition('"')[0]
            assert "Restored" in browser.job("restore/run", id=job)
            assert (tmp_path / f"restored-{client.read_only}" / "letters" / "first.txt").read_text() == "Dear reader"
            moment[0] += 2 * KNOWN_NS
            browser.shows("")
    assert {name: storage.count(name) for name in WRITES} == dict.fromkeys(WRITES, 0)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- what is wrong


def test_snapshots_that_come_and_go_are_seen(
    browser: Page, take: Take, storage: CountingStorage, moment: list[int], repository: pykopia.Repository
) -> None:
    gone = take(0)
    browser.shows("snapshot", id=gone.id)
    with pykopia.connect(storage, PASSWORD, client=CLIENT) as other:
        other.snapshots.delete(gone.id)
        options = pykopia.SnapshotOptions(source=SOURCE, start_time_ns=moment[0], end_time_ns=moment[0])
        come = other.snapshots.create(Path(__file__).parent, options=options).manifest
    browser.shows("snapshot", id=gone.id)  # as the list was read a moment ago
    moment[0] += KNOWN_NS + 1
    shown = browser.fails(404, "snapshot", id=gone.id)
    assert f"there is no snapshot {gone.id}" in shown
    assert "expired meanwhile" in shown
    assert come.id in browser.shows("source", name=str(SOURCE))
    for place in ("file", "zip", "picture", "restore"):
        browser.fails(404, place, id=gone.id)


@pytest.mark.parametrize("place", ["snapshot", "file", "picture", "zip", "restore"])
def test_a_wrong_path_is_a_page_that_says_so(browser: Page, take: Take, place: str) -> None:
    snapshot = take()
    for path in ("nothing", "letters/nothing", "big/x", "..", "letters/../big", "letters//first.txt", "/etc/passwd"):
        shown = browser.fails(404, place, id=snapshot.id, path=path)
        assert "is not in this snapshot" in shown
    browser.fails(404, place)


def test_wrong_values_are_pages_too(browser: Page, take: Take) -> None:
    snapshot = take()
    for place in ("source", "snapshot", "compare", "history", "job", "job/state", "nonsense", "static/../page.py"):
        browser.fails(404, place)
    browser.fails(404, "compare", before=snapshot.id, after="x")
    browser.fails(404, "history", source=str(SOURCE), path="nothing")
    browser.fails(400, "compare", before=snapshot.id, after=snapshot.id, path="big")
    browser.fails(404, "growth/count")  # only forms lead there


def test_a_lost_pack_is_a_page_with_our_message(
    browser: Page, take: Take, storage: CountingStorage, repository: pykopia.Repository
) -> None:
    snapshot = take()
    lost = repository.snapshots.tree(snapshot)
    storage.delete(
        repository.contents.entry(pykopia.ContentID(str((lost / "letters/first.txt").entry.object_id))).pack_blob
    )
    shown = browser.fails(500, "snapshot", id=snapshot.id, path="letters/first.txt")
    assert "is missing from" in shown
    assert "docs/repair.md" in shown
    assert "is missing from" in browser.fails(500, "file", id=snapshot.id, path="letters/first.txt")
    browser.shows("snapshot", id=snapshot.id)  # folders are in another pack


def test_a_download_that_breaks_off_is_no_whole_answer_and_is_told(
    browser: Page, take: Take, storage: CountingStorage, folder: Path, repository: pykopia.Repository
) -> None:
    (folder / "big").write_bytes(random.Random(1).randbytes(4 << 20))
    take(0)
    with (folder / "big").open("ab") as file:
        file.write(b"more")
    snapshot = take(1)
    last = repository.objects.chunks(repository.snapshots.tree(snapshot).joinpath("big").entry.object_id)[-1]
    storage.delete(repository.contents.entry(last.content_id).pack_blob)
    for place, path in (("file", "big"), ("zip", "")):
        answer = browser.get(place, id=snapshot.id, path=path)
        assert answer.status_code == 200, answer.text  # what came first could be read
        assert len(answer.content) <= 4 << 20
        assert f"The download of {'big' if path else 'ann.zip'} broke off: " in browser.shows("")


def test_a_storage_that_does_not_answer_is_a_page_that_asks_to_try_again(
    browser: Page, take: Take, monkeypatch: pytest.MonkeyPatch, moment: list[int]
) -> None:
    take()
    browser.shows("")
    moment[0] += KNOWN_NS + 1

    def fail(self: pykopia.Repository) -> None:
        raise pykopia.errors.StorageUnavailableError("the bucket can't be reached: no route to host")

    monkeypatch.setattr(pykopia.Repository, "refresh", fail)
    shown = browser.fails(503, "")
    assert "no route to host" in shown


def test_an_internal_error_shows_nothing_of_the_inside(
    browser: Page, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(Site, "snapshots", fail)
    shown = browser.fails(500, "")
    assert "secret detail" not in shown
    assert "ZeroDivisionError" in shown


def test_a_snapshot_that_can_not_be_read_is_told_on_the_first_page(
    browser: Page, take: Take, repository: pykopia.Repository, moment: list[int]
) -> None:
    take()
    assert "missing here" not in browser.shows("")
    with repository.writer() as writer:
        writer.manifests.put(SOURCE.labels(), b'{"source": 5}')
    moment[0] += DAY_NS
    shown = words(browser.shows(""))
    assert "1 snapshot can't be read, and missing here" in shown
    assert "1 snapshot of 1 source" in shown


def test_lost_manifests_are_told_on_the_first_page(
    storage: CountingStorage, take: Take, opened: Callable[[Site], Page], repository: pykopia.Repository
) -> None:
    take(0)
    kept = {blob.blob_id for blob in storage.list("q")}
    take(1)
    [lost] = [
        each.pack_blob
        for each in repository.contents.list("m", "m{")
        if each.pack_blob not in kept and each.content_id.startswith("m")
    ][:1]
    storage.delete(lost)
    with pykopia.connect(storage, PASSWORD, client=CLIENT) as again:
        browser = opened(Site(again, now=lambda: 0))
        assert "snapshots may be missing here" in words(browser.shows(""))
        assert "What retention keeps is not known" in words(browser.shows("source", name=str(SOURCE)))


def test_a_source_with_many_snapshots_lists_the_latest(
    browser: Page, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykopia.ui.browsing.MOST_LISTED", 3)
    for day in range(5):
        take(day)
    assert "And 2 earlier snapshots: choose a day in the calendar" in words(browser.shows("source", name=str(SOURCE)))
    assert "earlier" not in browser.shows("source", name=str(SOURCE), day="2026-09-21")


def test_a_file_is_sent_as_it_is_stored_whatever_its_entry_says(
    browser: Page, take: Take, repository: pykopia.Repository
) -> None:
    snapshot = take()
    with repository.writer() as writer:
        inner = writer.objects.write(b"12345")
        entry = pykopia.DirectoryEntry(name="wrong", type="f", mode=0o644, size=3, object_id=inner)
        root = writer.objects.write(pykopia.Directory((entry,)).to_bytes(), prefix="k")
        folder = pykopia.DirectoryEntry(name="root", type="d", mode=0o755, object_id=root)
        made = replace(snapshot, id=pykopia.ManifestID(""), root_entry=folder)
        made = replace(made, id=writer.manifests.put(made.labels(), made.to_json()))
    assert browser.get("file", id=made.id, path="wrong").content == b"12345"
    assert "12345" in browser.shows("snapshot", id=made.id, path="wrong")


def test_a_source_that_is_a_single_file_is_shown_found_and_sent(
    browser: Page, repository: pykopia.Repository, folder: Path, tmp_path: Path
) -> None:
    path = folder / "letters" / "first.txt"
    options = pykopia.SnapshotOptions(source=replace(SOURCE, path="/home/ann/first.txt"))
    snapshot = repository.snapshots.create(path, options=options).manifest
    assert "1 file, 11 B" in words(browser.shows(""))
    shown = browser.shows("snapshot", id=snapshot.id)
    assert "Dear reader" in shown
    assert all(browser.client.get(each).status_code == 200 for each in links(shown) if each.startswith("/"))
    assert browser.get("file", id=snapshot.id).content == b"Dear reader"
    assert "1 path found" in browser.shows("find", name="first")
    plan = browser.job("restore/plan", id=snapshot.id, target=f"{tmp_path}/restored")
    job = plan.partition('restore/run">')[2].partition('name="id" value="')[2].partition('"')[0]
    assert "Restored" in browser.job("restore/run", id=job)
    assert (tmp_path / "restored" / "first.txt").read_text() == "Dear reader"


def test_all_links_of_all_pages_lead_somewhere(browser: Page, take: Take, folder: Path) -> None:
    take(0)
    (folder / "letters" / "second.txt").write_text("Dear all")
    take(1)
    begin, found = browser.site.address.home(), browser.site.address.to("find", name="t")
    waiting, seen = [begin, found], {begin, found}
    while waiting:
        address = waiting.pop()
        answer = browser.client.get(address)
        assert answer.status_code == 200, address
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        for each in links(answer.text):
            place = each.partition("#")[0]
            if place and place not in seen and not place.endswith(("/count", "/plan", "/compare")):  # forms
                seen.add(place)
                waiting.append(place)
    kinds = {each.partition("?")[0].rpartition("/")[2] for each in seen}
    assert {"snapshot", "source", "file", "zip", "compare", "history", "restore", "growth", "maintenance"} <= kinds
