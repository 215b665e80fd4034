import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass, replace
from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pykopia
from pykopia import clock
from pykopia.cli import tree
from pykopia.cli.parsing import parse
from pykopia.cli.progress import SLOW_INTERVAL, Part, RestoreProgress, UploadProgress, VerifyProgress, fitted
from pykopia.cli.session import Session
from pykopia.format.directory import DirectorySummary
from pykopia.format.policy import DEFAULT_POLICY
from pykopia.format.policy_tree import PolicyTree
from pykopia.snapshot import estimating
from pykopia.snapshot.estimating import VolumeUse, estimated, rough_totals, volume_use
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore_options import RestoreCounters
from pykopia.snapshot.upload_options import EstimationType, UploadCounters
from pykopia.snapshot.verify import VerifyCounters
from tests.cli_runner import Runner


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
    assert line.endswith("(1 fatal errors) (2 errors ignored), estimated 20 KB (25.0%) 30s left, 500 B/s")


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
        "Processed 4 (5 KB) of 10 (10 KB), skipped 1 (10 B), ignored 3 errors 2.5 KB/s (50.1%) remaining 2s."
    )


def test_without_a_terminal_a_line_is_written_every_30_seconds(time: _Time) -> None:
    plain = session()
    progress = UploadProgress(plain)
    for _ in range(70):
        time.now += 1
        progress(UPLOAD)
    progress.finish()
    assert len(printed(plain).splitlines()) == 70 // SLOW_INTERVAL


def test_a_terminal_gets_ten_updates_a_second_at_most(time: _Time) -> None:
    shown = session("--progress", "--progress-update-interval=1ms")
    progress = UploadProgress(shown)
    for _ in range(1000):
        time.now += 0.001
        progress(UPLOAD)
    assert 9 <= len(printed(shown).splitlines()) <= 11


def test_progress_as_json_has_all_counters_and_the_estimate(time: _Time) -> None:
    shown = session("--progress=json")
    progress = UploadProgress(shown)
    time.now += 10
    progress(replace(UPLOAD, estimated_files=20, estimated_bytes=20000))
    progress.finish()
    first, last = map(json.loads, printed(shown).splitlines())
    assert first["type"] == "progress"
    assert first["operation"] == "snapshot list"
    assert (first["done"], last["done"]) == (False, True)
    assert (first["hashedBytes"], first["estimatedBytes"], first["percent"]) == (4000, 20000, 25.0)
    assert (first["secondsLeft"], first["bytesPerSecond"]) == (30, 500)


def test_a_verification_that_reads_is_as_far_as_what_is_read(time: _Time) -> None:
    shown = session("--progress")
    progress = VerifyProgress(shown, files_percent=100)
    time.now += 10
    progress(
        VerifyCounters(processed_objects=3, processed_bytes=900, read_bytes=300, expected_objects=3, expected_bytes=900)
    )
    assert "(33.3%) remaining 20s" in printed(shown)


@given(
    st.lists(st.builds(Part, st.integers(0, 9), st.text("abc ,()", max_size=30)), min_size=1, max_size=9),
    st.integers(0, 100),
)
def test_a_line_is_never_longer_than_the_terminal_is_wide(parts: list[Part], width: int) -> None:
    line = fitted(parts, width)
    assert len(line) <= width
    if sum(len(part.text) for part in parts) <= width:
        assert line == "".join(part.text for part in parts).removeprefix(", ")


# --- counters of the library ---


def test_a_large_file_moves_while_it_is_taken_and_restored(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    size = 64 << 20
    (tmp_path / "source" / "large").write_bytes(os.urandom(1 << 20) * 64)
    taken: list[UploadCounters] = []
    restored: list[RestoreCounters] = []
    with pykopia.create(tmp_path / "repository", "secret") as repository:
        result = repository.snapshots.create(tmp_path / "source", progress=taken.append)
        repository.snapshots.restore(result.manifest.id, tmp_path / "target", progress=restored.append)
    assert taken[-1].hashed_bytes == restored[-1].restored_bytes == size
    assert taken[-1].hashing_files == 0
    assert taken[-1].estimated_bytes == restored[-1].enqueued_bytes == size
    for counts in ([each.hashed_bytes for each in taken], [each.restored_bytes for each in restored]):
        assert counts == sorted(counts)


def test_a_second_snapshot_has_the_first_as_its_estimate(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for number in range(20):
        (tmp_path / "source" / str(number)).write_bytes(bytes(1000))
    told: list[UploadCounters] = []
    with pykopia.create(tmp_path / "repository", "secret") as repository:
        repository.snapshots.create(tmp_path / "source")
        repository.snapshots.create(tmp_path / "source", progress=told.append)
    assert {(each.estimated_files, each.estimated_bytes) for each in told} == {(20, 20_000)}
    assert (told[-1].cached_files, told[-1].hashed_files) == (20, 0)


@pytest.mark.parametrize(
    ("estimation", "files", "rough"),
    [("classic", 10**9, False), ("rough", 0, True), ("adaptive", 99, False), ("adaptive", 100, True)],
)
def test_a_volume_stands_for_the_total_where_that_is_asked_for(
    estimation: EstimationType, files: int, *, rough: bool
) -> None:
    volume = VolumeUse(files=files, size=5000)
    assert rough_totals(estimation, volume, adaptive_files=100) == (volume if rough else None)


def test_a_volume_that_tells_nothing_is_walked() -> None:
    assert rough_totals("rough", None, adaptive_files=0) is None
    assert rough_totals("rough", VolumeUse(files=0, size=0), adaptive_files=0) is None


@pytest.mark.parametrize("estimation", ["rough", "adaptive"])
def test_a_rough_estimate_is_there_at_once_and_what_was_done_in_the_end(
    tmp_path: Path, estimation: EstimationType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "volume_use", lambda _: VolumeUse(files=70, size=90_000))
    progress = Progress(UploadCounters(), lambda _: None)
    previous = DirectorySummary(files=3, size=3000)
    with estimated(str(tmp_path), tmp_path.stat(), PolicyTree(DEFAULT_POLICY, None), previous, progress,
                   estimation=estimation, adaptive_files=70):  # fmt: skip
        assert (progress.counters.estimated_files, progress.counters.estimated_bytes) == (70, 90_000)
        progress.add(hashed_files=2, hashed_bytes=1001)
    assert (progress.counters.estimated_files, progress.counters.estimated_bytes) == (2, 1001)


def test_the_command_line_takes_kopias_flags_of_the_estimate(
    cli: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[EstimationType, int]] = []

    def record(estimation: EstimationType, _: VolumeUse | None, *, adaptive_files: int) -> None:
        taken.append((estimation, adaptive_files))

    monkeypatch.setattr(estimating, "rough_totals", record)
    (tmp_path / "source").mkdir()
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "storage"))
    for flags in ([], ["--progress-estimation-type=rough"],
                  ["--progress-estimation-type=adaptive", "--adaptive-estimation-threshold=5"]):  # fmt: skip
        cli.ok("snapshot", "create", str(tmp_path / "source"), "--progress=json", *flags)
    assert taken == [("classic", 300_000), ("rough", 300_000), ("adaptive", 5)]


def test_the_use_of_a_volume_is_that_of_the_system(tmp_path: Path) -> None:
    volume = os.statvfs(tmp_path)
    found = volume_use(str(tmp_path))
    assert found is not None
    assert 0 < found.size <= volume.f_blocks * volume.f_frsize
    assert volume_use(str(tmp_path / "missing")) is None


def test_an_unknown_way_to_estimate_is_refused() -> None:
    with pytest.raises(pykopia.errors.UsageError, match="classic, rough, adaptive"):
        pykopia.SnapshotOptions(estimation="guess")  # type: ignore[arg-type]


# --- a real terminal ---


def on_terminal(columns: int, words: list[str], folder: Path) -> tuple[list[str], str]:
    """Run the program on a terminal; return the lines of the screen in the end, and all that was written."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "KOPIA_PASSWORD": "secret-of-the-test",
        "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "xterm",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "pykopia", *words], env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    screen = pyte.Screen(columns, 24)
    stream, written = pyte.ByteStream(screen), b""
    try:
        while piece := os.read(master, 65536):
            written += piece
            stream.feed(piece)
    except OSError:  # the program has ended
        pass
    os.close(master)
    assert process.wait() == 0, written
    return [line.rstrip() for line in screen.display if line.strip()], written.decode()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_progress_stays_on_one_line_of_the_terminal(columns: int, cli: Runner, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number in range(400):
        (source / str(number)).write_bytes(os.urandom(20_000))
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "storage"))
    words = ["--config-file", str(cli.config), "--log-dir", str(tmp_path / "logs"), "--progress-update-interval=100ms"]
    lines, written = on_terminal(columns, [*words, "snapshot", "create", str(source)], tmp_path)
    progress = [each for each in written.replace("\n", "\r").split("\r") if " hashed (" in each]
    assert progress
    assert max(map(len, progress)) < columns
    assert len([each for each in lines if " hashed (" in each]) == 1  # the last one; none scrolled away
