"""Restoring by the page: the plan first, then what it said, and nothing anywhere else."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import pykopia
from pykopia.errors import UsageError
from pykopia.testing import CountingStorage
from pykopia.ui.jobs import MOST_RUNNING, Job
from pykopia.ui.restoring import check_target, options_of
from pykopia.ui.site import Site
from tests.trees import assert_trees_equal
from tests.ui.browsing import CLIENT, NEW, PASSWORD, SOURCE, Page, Take, words


def plan_id(page: str) -> str:
    """Return the plan that the button of a page carries out."""
    assert "Restore now" in page, words(page)
    return page.partition('restore/run">')[2].partition('name="id" value="')[2].partition('"')[0]


def test_a_snapshot_is_restored_after_its_plan_was_shown(
    browser: Page, take: Take, folder: Path, tmp_path: Path
) -> None:
    snapshot = take()
    target = tmp_path / "restored" / "here"
    shown = browser.job("restore/plan", id=snapshot.id, target=f" {target} ")
    text = words(shown)
    assert f"In {target}. Nothing has been written yet." in text
    assert "create 6" in text
    assert "to be written 4.0 MB" in text
    assert not target.parent.exists()
    text = words(browser.job("restore/run", id=plan_id(shown)))
    assert f"Restored To {target}: 3 files, 2 folders, 1 link, 4.0 MB." in text
    assert_trees_equal(folder, target)


def test_a_file_or_folder_is_restored_by_itself(browser: Page, take: Take, tmp_path: Path) -> None:
    snapshot = take()
    for path, found in (("letters/first.txt", "first.txt"), ("letters", "first.txt")):
        target = tmp_path / path.replace("/", "-")
        shown = browser.job("restore/plan", id=snapshot.id, path=path, target=str(target))
        browser.job("restore/run", id=plan_id(shown))
        assert os.listdir(target) == [found]
        assert (target / found).read_text() == "Dear reader"


def test_what_exists_is_left_alone_unless_somebody_chose_otherwise(
    browser: Page, take: Take, folder: Path, tmp_path: Path
) -> None:
    snapshot = take()
    target = tmp_path / "target"
    target.mkdir()
    (target / "big").write_text("mine")
    (target / "extra").write_text("mine too")
    shown = words(browser.job("restore/plan", id=snapshot.id, target=str(target)))
    assert "refuse 1" in shown
    assert "There is nothing to do" in shown
    assert "the folder exists and is not empty" in shown
    shown = browser.job("restore/plan", id=snapshot.id, target=str(target), existing="replace")
    assert "replace 1" in words(shown)
    assert "delete" not in words(shown)
    browser.job("restore/run", id=plan_id(shown))
    assert (target / "extra").read_text() == "mine too"
    assert (target / "big").read_bytes() == (folder / "big").read_bytes()
    shown = browser.job("restore/plan", id=snapshot.id, target=str(target), existing="replace", delete="1")
    assert "delete 1" in words(shown)
    assert "danger" in shown
    text = words(browser.job("restore/run", id=plan_id(shown)))
    assert "1 entry deleted" in text
    assert_trees_equal(folder, target)


def test_deleting_needs_replacing() -> None:
    assert not options_of({"delete": "1"}).delete_extra
    assert options_of({"delete": "1", "existing": "replace"}).delete_extra
    assert not options_of({}).overwrite_files
    assert not options_of({"existing": "nonsense"}).overwrite_files


def test_a_plan_is_carried_out_once(browser: Page, take: Take, tmp_path: Path) -> None:
    snapshot = take()
    shown = browser.job("restore/plan", id=snapshot.id, target=f"{tmp_path}/restored")
    browser.job("restore/run", id=plan_id(shown))
    assert browser.send("restore/run", id=plan_id(shown)).status_code == 400
    assert browser.send("restore/run", id="nonsense").status_code == 400
    assert "This plan was carried out" in browser.shows("job", id=plan_id(shown))


@pytest.mark.parametrize("target", ["", "  ", "relative", "./x", "~/x", "a\0b", "\\x"])
def test_a_target_that_is_no_absolute_path_comes_back_with_the_reason(browser: Page, take: Take, target: str) -> None:
    snapshot = take()
    answer = browser.send("restore/plan", id=snapshot.id, target=target, existing="replace", delete="1")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert answer.text.count(" checked") == 2
    assert not browser.site.jobs.running()


def test_nothing_is_restored_over_the_repository(tmp_path: Path, folder: Path, opened: Callable[[Site], Page]) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "repository")
    with pykopia.create(tmp_path / "repository", PASSWORD, options=NEW, client=CLIENT) as repository:
        snapshot = repository.snapshots.create(folder, options=pykopia.SnapshotOptions(source=SOURCE)).manifest
        browser = opened(Site(repository, now=lambda: snapshot.end_time_ns))
        for target in ("repository", "repository/p", "", "link", "link/x", "x/../repository", "../"):
            answer = browser.send("restore/plan", id=snapshot.id, target=f"{tmp_path}/{target}", existing="replace")
            assert answer.status_code == 400, target
            assert "could write over the repository" in words(answer.text)
        assert browser.send("restore/plan", id=snapshot.id, target=f"{tmp_path}/repository-2").status_code == 303


def test_a_target_is_made_plain() -> None:
    assert check_target("//a/./b/../c/", "") == "/a/c"
    assert check_target("/a/c", "/b") == "/a/c"
    with pytest.raises(UsageError, match="one in the other"):
        check_target("/", "/b")


def test_what_can_not_be_restored_is_listed_and_all_else_is_restored(
    browser: Page,
    take: Take,
    tmp_path: Path,
    folder: Path,
    storage: CountingStorage,
    repository: pykopia.Repository,
) -> None:
    take(0)
    (folder / "letters" / "second.txt").write_text("in another pack")
    snapshot = take(1)
    entry = repository.snapshots.tree(snapshot).joinpath("letters/second.txt").entry
    storage.delete(repository.contents.entry(pykopia.ContentID(str(entry.object_id))).pack_blob)
    shown = browser.job("restore/plan", id=snapshot.id, target=f"{tmp_path}/restored")
    text = words(browser.job("restore/run", id=plan_id(shown)))
    assert "Restored, but not everything" in text
    assert "What could not be restored" in text
    assert "letters/second.txt" in text
    assert (tmp_path / "restored" / "letters" / "first.txt").read_text() == "Dear reader"


def test_a_target_that_can_not_be_written_is_refused_before_the_plan(
    browser: Page, take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = take()
    (tmp_path / "file").write_text("x")
    for below in ("", "/below", "/below/that"):
        answer = browser.send("restore/plan", id=snapshot.id, target=f"{tmp_path}/file{below}")
        assert answer.status_code == 400
        assert f"{tmp_path}/file is no folder" in words(answer.text)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    answer = browser.send("restore/plan", id=snapshot.id, target=f"{tmp_path}/new")
    assert f"this user may not write to {tmp_path}" in words(answer.text)


def test_a_restore_that_fails_as_a_whole_is_a_page(browser: Page, take: Take, tmp_path: Path) -> None:
    snapshot = take()
    shown = browser.job("restore/plan", id=snapshot.id, target=f"{tmp_path}/restored/below")
    (tmp_path / "restored").write_text("in the way")
    text = words(browser.job("restore/run", id=plan_id(shown)))
    assert "This did not go well" in text
    assert "Traceback" not in text


def test_a_task_can_be_canceled_and_there_are_not_too_many(browser: Page, take: Take) -> None:
    begun, jobs = threading.Event(), []

    def work(job: Job[None]) -> None:
        job.report("half of it", 0.5)
        begun.set()
        while not job.wait(0.01):
            job.check()

    for number in range(MOST_RUNNING):
        job: Job[None] = Job(f"Work {number}", "work")
        browser.site.jobs.start(job, work)
        jobs.append(job)
    assert begun.wait(30)
    shown = browser.shows("job", id=jobs[0].id)
    assert 'value="0.500"' in shown
    assert browser.get("job/state", id=jobs[0].id).json() == {"running": True, "text": "half of it", "share": 0.5}
    answer = browser.send("growth/count")
    assert answer.status_code == 400
    assert "tasks are running" in answer.text
    for job in jobs:
        assert browser.send("job/cancel", id=job.id).status_code == 303
        assert job.wait(30)
        assert "Canceled" in browser.shows("job", id=job.id)
    assert browser.send("job/cancel", id="nonsense").status_code == 404


def test_two_restores_to_one_folder_do_not_run_at_once(browser: Page, take: Take, tmp_path: Path) -> None:
    snapshot = take()
    shown = browser.job("restore/plan", id=snapshot.id, target=f"{tmp_path}/restored")
    running: Job[bool] = Job(f"Restoring to {tmp_path}/restored", "restore")
    ended = threading.Event()
    browser.site.jobs.start(running, lambda _: ended.wait(30))
    answer = browser.send("restore/run", id=plan_id(shown))
    assert answer.status_code == 400
    assert "is running already" in answer.text
    assert "Show the progress" in browser.shows("")
    ended.set()
    assert running.wait(30)
    browser.job("restore/run", id=plan_id(shown))
