import io
from dataclasses import dataclass, replace

import pytest

from pykopia import clock
from pykopia.cli import tree
from pykopia.cli.parsing import parse
from pykopia.cli.progress import RestoreProgress, UploadProgress
from pykopia.cli.session import Session
from pykopia.snapshot.restore_options import RestoreCounters
from pykopia.snapshot.upload_options import UploadCounters


@dataclass
class _Time:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> _Time:
    found = _Time()
    monkeypatch.setattr(clock, "monotonic", found)
    return found


def session(*flags: str) -> Session:
    invocation = parse(tree.ROOT, ["snapshot", "list", *flags], {})
    return Session(invocation, environment={}, stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())


def printed(of: Session) -> str:
    assert isinstance(of.stderr, io.StringIO)
    return of.stderr.getvalue()


UPLOAD = UploadCounters(hashed_files=3, hashed_bytes=4000, cached_files=2, cached_bytes=1000, uploaded_bytes=2500)


def test_nothing_is_shown_unless_wanted(time: _Time) -> None:
    quiet = session()
    progress = UploadProgress(quiet)
    progress(UPLOAD)
    progress.finish()
    assert printed(quiet) == ""


def test_uploads_are_told_in_kopias_words(time: _Time) -> None:
    shown = session("--progress")
    progress = UploadProgress(shown)
    progress(UPLOAD)
    progress(replace(UPLOAD, hashed_files=4))  # too soon
    progress.finish()
    assert printed(shown).splitlines() == [
        " | 0 hashing, 3 hashed (4 KB), 2 cached (1 KB), uploaded 2.5 KB, estimating...",
        " * 0 hashing, 4 hashed (4 KB), 2 cached (1 KB), uploaded 2.5 KB, estimating...",
    ]


def test_an_estimate_is_told_once_it_can_be_made(time: _Time) -> None:
    shown = session("--progress", "--progress-update-interval=1s")
    progress = UploadProgress(shown)
    time.now += 10
    progress(replace(UPLOAD, estimated_bytes=20000, fatal_errors=1, ignored_errors=2))
    (line,) = printed(shown).splitlines()
    assert line.endswith("(1 fatal errors) (2 errors ignored), estimated 20 KB (25.0%) 30s left")


def test_restores_are_told_in_kopias_words(time: _Time) -> None:
    shown = session("--progress")
    progress = RestoreProgress(shown)
    progress(RestoreCounters())  # nothing restored yet: nothing told
    time.now += 2
    progress(
        RestoreCounters(
            restored_files=2, restored_directories=1, restored_bytes=5000, enqueued_files=8, enqueued_directories=2,
            enqueued_bytes=10000, skipped_files=1, skipped_bytes=10, ignored_errors=3,
        )
    )  # fmt: skip
    progress.finish()
    assert printed(shown).splitlines()[-1] == (
        "Processed 4 (5 KB) of 10 (10 KB), skipped 1 (10 B), ignored 3 errors 2.5 KB/s (50.0%) remaining 2s."
    )
