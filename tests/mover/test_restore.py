"""Restores of a volume, and all the ways in which there is nothing to restore."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pykopia_mover.run import Stop

import pykopia
from pykopia.testing import FakeClock
from pykopia.testing.proxy import FaultyProxy
from tests.mover.harness import PASSWORD, Mover, tree

ROOT = Path(__file__).parents[2]


@pytest.fixture
def history(mover: Mover, time: FakeClock) -> list[str]:
    """Take a snapshot on each of four days at noon; return the days."""
    days = []
    time.advance(hours=12)
    for day in range(1, 5):
        mover.write({"day": str(day)})
        mover.ok("backup")
        days.append(f"2026-01-0{day}")
        time.advance(days=1)
    return days


def restored_day(mover: Mover, **environment: str) -> str:
    shutil.rmtree(mover.target)
    mover.target.mkdir()
    mover.ok("restore", **environment)
    return (mover.target / "day").read_text()


def test_a_warning_tells_that_a_newer_snapshot_may_be_lost(mover: Mover, history: list[str]) -> None:
    assert not any("newer snapshot" in line for line in mover.ok("restore").lines)
    flushed = set((mover.repository_folder / "x").rglob("*.f"))
    mover.write({"day": "5"})
    mover.ok("backup")
    for path in set((mover.repository_folder / "x").rglob("*.f")) - flushed:
        path.unlink()
    shutil.rmtree(mover.target)
    mover.target.mkdir()
    warned = mover.ok("restore")
    assert (mover.target / "day").read_text() == str(len(history))
    assert any("WARNING: there may be a newer snapshot" in line for line in warned.lines)


def test_rows_157_162_m_139_the_most_recent_backup_is_restored(mover: Mover, history: list[str]) -> None:
    result = mover.ok("restore")
    assert (mover.target / "day").read_text() == "4"
    taken = result.termination["snapshot"]["id"]
    assert f"Selected snapshot with id: {taken}" in result.lines
    told = f"Restoring snapshot {taken} (ns@app:/data, 2026-01-04T12:00:00Z) into {mover.target}"
    assert told in result.lines
    assert result.last.startswith("Kopia completed in")
    assert "Snapshot restore completed" in result.last


def test_rows_164_173_m_132_older_versions_are_reached_by_time_and_by_number(mover: Mover, history: list[str]) -> None:
    assert restored_day(mover, KOPIA_RESTORE_AS_OF=f"{history[1]}T23:00:00Z") == "2"
    assert restored_day(mover, KOPIA_RESTORE_AS_OF=f"{history[1]}T23:00:00Z", KOPIA_SHALLOW="1") == "2"
    assert restored_day(mover, KOPIA_RESTORE_AS_OF=f"{history[2]}T01:00:00-12:00") == "3"
    assert restored_day(mover, KOPIA_PREVIOUS="2") == "2"
    assert restored_day(mover, KOPIA_SHALLOW="3") == "4"


def test_row_178_a_time_before_everything_is_snapshot_not_found(mover: Mover, history: list[str]) -> None:
    result = mover.fails("no-snapshot", "restore", KOPIA_RESTORE_AS_OF="2024-01-15T18:30:00Z")
    assert result.status == 15
    assert "snapshot not found" in result.last
    assert "RFC 3339" in result.last
    assert "2026-01-01T12" in result.last
    assert "2026-01-04T12" in result.last
    assert tree(mover.target) == {}


def test_m_131_a_malformed_time_is_refused_before_anything_else(mover: Mover) -> None:
    result = mover.fails("config", "restore", KOPIA_RESTORE_AS_OF="2022-08-10 20:01:03-04:00")
    assert "2022-08-10T20:01:03-04:00" in result.last


def test_row_163_a_restore_without_identity_finds_the_only_backup(mover: Mover, history: list[str]) -> None:
    nobody = {"VOLSYNC_OWNER_NAMESPACE": "", "VOLSYNC_OWNER_NAME": "", "KOPIA_SOURCE_PATH_OVERRIDE": ""}
    assert mover.ok("restore", **nobody).termination["identity"] == "ns@app:/data"
    mover.write({"day": "other"})
    mover.ok("backup", VOLSYNC_OWNER_NAME="other")
    result = mover.fails("ambiguous", "restore", **nobody)
    assert result.status == 16
    assert "ns@app:/data, ns@other:/data" in result.last


def test_row_148_a_path_that_was_overridden_needs_no_setting(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="/var/lib/mysql")
    result = mover.ok("restore", KOPIA_SOURCE_PATH_OVERRIDE="")
    assert "Using the only path of ns@app: /var/lib/mysql" in result.lines


def test_row_154_data_lands_in_the_root_of_the_volume(mover: Mover) -> None:
    mover.write({"a": "b", "d/c": "e"})
    mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="/deep/down/there")
    mover.ok("restore", KOPIA_SOURCE_PATH_OVERRIDE="/deep/down/there")
    assert tree(mover.target) == {"a": b"b", "d/c": b"e"}


# ---------------------------------------------------------------------- nothing there


def test_m_133_no_repository_yet_is_a_success_that_says_so(mover: Mover) -> None:
    mover.repository_folder.mkdir()
    result = mover.ok("restore")
    assert result.termination["result"] == "no-data"
    assert "=== No data will be restored ===" in result.lines
    assert any("created by the first backup" in each for each in result.termination["warnings"])
    assert list(mover.repository_folder.iterdir()) == []
    failed = mover.fails("no-repository", "restore", KOPIA_ON_MISSING_SNAPSHOT="fail")
    assert failed.status == 12


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"KOPIA_RESTORE_AS_OF": "2024-01-15T18:30:00Z"}, "as of 2024-01-15T18:30:00Z"),
        ({"KOPIA_PREVIOUS": "2"}, "before the newest 2"),
    ],
)
def test_m_133_an_older_snapshot_that_is_asked_for_is_not_found_where_there_is_no_repository_yet(
    mover: Mover, asked: dict[str, str], told: str
) -> None:
    mover.repository_folder.mkdir()
    result = mover.fails("no-snapshot", "restore", **asked)
    assert result.status == 15
    assert "snapshot not found" in result.last
    assert f"ns@app:/data has none {told}" in result.last
    assert "no repository" in result.last
    assert "=== No data will be restored ===" not in result.lines
    for more in ({"KOPIA_ON_MISSING_SNAPSHOT": "continue"}, {"KOPIA_SHALLOW": "0"}):
        assert mover.ok("restore", **asked, **more).termination["result"] == "no-data"
    assert mover.fails("no-repository", "restore", **asked, KOPIA_ON_MISSING_SNAPSHOT="fail").status == 12
    assert list(mover.repository_folder.iterdir()) == []


def test_m_133_a_folder_whose_parent_is_missing_is_a_failure(mover: Mover) -> None:
    """A volume that is not mounted and a misspelt path look so; an empty volume would be called restored."""
    for operation in ("restore", "discover", "maintenance"):
        failed = mover.fails("no-repository", operation, KOPIA_REPOSITORY=f"filesystem://{mover.folder}/not/mounted")
        assert "nor does the one that should hold it" in failed.last


@pytest.mark.parametrize("kind", ["text/html", "text/plain"])
def test_m_133_a_web_server_that_knows_no_folder_is_no_empty_place(mover: Mover, kind: str) -> None:
    with FaultyProxy("127.0.0.1", 1) as server:
        server.answer(404, times=-1, headers={"Content-Type": kind}, body=b"<html>default backend - 404</html>")
        url = f"http://127.0.0.1:{server.port}/dav/kopia"
        mover.fails("no-repository", "restore", KOPIA_REPOSITORY="webdav://host/kopia", WEBDAV_URL=url)


def test_m_133_an_identity_without_snapshots_is_a_first_install(mover: Mover, history: list[str]) -> None:
    result = mover.ok("restore", VOLSYNC_OWNER_NAME="fresh")
    assert result.termination["result"] == "no-data"
    at = result.lines.index("No eligible snapshots found")
    assert result.lines[at + 1] == "No snapshots found for ns@fresh:/data"
    assert "ns@app:/data - 4 snapshots, latest 2026-01-04T12:00:00Z" in result.log
    (known,) = result.termination["identities"]
    assert known["identity"] == "ns@app"
    assert known["path"] == "/data"
    assert known["count"] == 4
    assert (
        mover.fails("no-snapshot", "restore", VOLSYNC_OWNER_NAME="fresh", KOPIA_ON_MISSING_SNAPSHOT="fail").status == 15
    )


def test_m_071_the_list_can_be_limited_and_left_out(mover: Mover, history: list[str]) -> None:
    result = mover.ok("restore", VOLSYNC_OWNER_NAMESPACE="other", KOPIA_DISCOVER_SCOPE="namespace")
    assert "identities" not in result.termination
    assert "ns@app" not in result.log
    quiet = mover.ok("restore", VOLSYNC_OWNER_NAMESPACE="other", KOPIA_DISCOVER_SNAPSHOTS="false")
    assert "Discovery Mode" not in quiet.log


def test_m_133_shallow_zero_and_continue_restore_nothing_on_request(mover: Mover, history: list[str]) -> None:
    assert mover.ok("restore", KOPIA_SHALLOW="0").termination["result"] == "no-data"
    past = {"KOPIA_RESTORE_AS_OF": "2020-01-01T00:00:00Z"}
    assert mover.ok("restore", **past, KOPIA_ON_MISSING_SNAPSHOT="continue").termination["result"] == "no-data"
    assert mover.fails("no-snapshot", "restore", KOPIA_PREVIOUS="9").status == 15


def test_m_133_never_a_success_when_the_repository_cannot_be_read(mover: Mover, history: list[str]) -> None:
    everything = {"KOPIA_ON_MISSING_SNAPSHOT": "continue"}
    assert mover.fails("auth", "restore", **everything, KOPIA_PASSWORD="wrong").status == 11
    for blob in mover.repository_folder.rglob("kopia.repository.f"):
        blob.unlink()
    failed = mover.fails("damaged", "restore", **everything)
    assert failed.status == 14
    assert "kopia.repository" in failed.last
    assert mover.fails("damaged", "backup").status == 14
    assert tree(mover.target) == {}


def test_m_133_a_damaged_index_is_never_an_empty_repository(mover: Mover, history: list[str]) -> None:
    with mover.open() as repository:
        damaged = [blob.blob_id for blob in repository.storage.list("xn")]
        for blob_id in damaged:
            repository.storage.put(blob_id, b"not an index")
    assert damaged
    shutil.rmtree(mover.folder / "cache")
    for mode in ("auto", "continue", "fail"):
        result = mover.fails("damaged", "restore", KOPIA_ON_MISSING_SNAPSHOT=mode)
        assert result.status == 14
        assert "can't tell that there is nothing to restore" in result.last
    assert tree(mover.target) == {}
    mover.fails("damaged", "backup")
    with mover.open() as repository:
        for blob_id in damaged:
            repository.storage.delete(blob_id)
    lost = mover.fails("damaged", "restore")
    assert "has packs and no index blob" in lost.last


# ---------------------------------------------------------------------- the target


def test_m_135_existing_files_are_replaced_and_others_stay(mover: Mover, history: list[str]) -> None:
    (mover.target / "day").write_text("old and longer")
    (mover.target / "mine").write_text("stays")
    (mover.target / ".pykopia-0123456789abcdef").write_text("of a restore that was killed")
    result = mover.ok("restore")
    assert tree(mover.target) == {"day": b"4", "mine": b"stays"}
    assert "Removed 1 unfinished files of a restore that was interrupted" in result.lines


def test_m_134_deletion_makes_the_target_equal_but_for_lost_and_found(mover: Mover, history: list[str]) -> None:
    (mover.target / "extra" / "deep").mkdir(parents=True)
    (mover.target / "extra" / "deep" / "x").write_text("y")
    (mover.target / "lost+found").mkdir()
    (mover.target / "lost+found" / "#1").write_text("z")
    mover.ok("restore", KOPIA_ENABLE_FILE_DELETION="true")
    assert tree(mover.target) == {"day": b"4", "lost+found/#1": b"z"}


def test_m_134_nothing_is_deleted_when_there_is_nothing_to_restore(mover: Mover, history: list[str]) -> None:
    (mover.target / "precious").write_text("x")
    for environment in ({"VOLSYNC_OWNER_NAME": "typo"}, {"KOPIA_PASSWORD": "wrong"}, {"KOPIA_PREVIOUS": "99"}):
        mover("restore", **environment, KOPIA_ENABLE_FILE_DELETION="true")
    assert tree(mover.target) == {"precious": b"x"}


def test_m_135_links_leave_nothing_outside_the_target(mover: Mover, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    mover.write({"d/file": "restored", "plain": "x"})
    os.symlink("/etc/passwd", mover.data / "link")
    mover.ok("backup")
    os.symlink(outside, mover.target / "d")
    mover.fails("target", "restore")
    assert list(outside.iterdir()) == []
    assert (mover.target / "plain").read_text() == "x"
    assert os.readlink(mover.target / "link") == "/etc/passwd"


def test_m_137_a_damaged_file_is_named_and_the_others_are_restored(mover: Mover) -> None:
    mover.write({"good": "fine"})
    mover.ok("backup")
    mover.write({"bad": os.urandom(100_000), "good": "fine"})
    blobs = {path: path.stat().st_size for path in mover.repository_folder.rglob("*.f")}
    mover.ok("backup")
    new = [path for path in mover.repository_folder.rglob("*.f") if path not in blobs and path.stat().st_size > 90_000]
    assert len(new) == 1
    data = bytearray(new[0].read_bytes())
    data[20_000:60_000] = bytes(40_000)
    new[0].write_bytes(data)
    shutil.rmtree(mover.folder / "cache")
    result = mover.fails("damaged", "restore")
    assert result.status == 14
    assert "bad" in result.last
    assert tree(mover.target) == {"good": b"fine"}


def test_rows_19_284_repositories_with_passwords_of_their_own_are_independent(tmp_path: Path) -> None:
    mover = Mover.below(tmp_path)
    mover.write({"a": "b"})
    first = mover.ok("backup", KOPIA_REPOSITORY=f"filesystem://{mover.folder}/one")
    second = mover.ok("backup", KOPIA_REPOSITORY=f"filesystem://{mover.folder}/two", KOPIA_PASSWORD="another-password")
    assert first.termination["repository"]["id"] != second.termination["repository"]["id"]
    wrong = mover.fails("auth", "restore", KOPIA_REPOSITORY=f"filesystem://{mover.folder}/two")
    assert "KOPIA_PASSWORD does not open this repository" in wrong.last


def test_m_043_a_line_break_at_the_end_of_the_password_is_forgiven_and_told(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    result = mover.ok("restore", KOPIA_PASSWORD=f"{PASSWORD}\n")
    assert any("line break" in each for each in result.termination["warnings"])


def test_row_286_m_040_a_password_that_was_changed_works_at_the_next_run(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    with mover.open() as repository:
        repository.change_password("the new password")
    mover.fails("auth", "backup")
    mover.ok("backup", KOPIA_PASSWORD="the new password")
    mover.ok("restore", KOPIA_PASSWORD="the new password")


def test_m_070_discover_lists_and_changes_nothing(mover: Mover, history: list[str]) -> None:
    before = tree(mover.repository_folder)
    result = mover.ok("discover")
    assert tree(mover.repository_folder) == before
    assert result.termination["identities"] == [
        {"identity": "ns@app", "path": "/data", "count": 4, "latest": "2026-01-04T12:00:00Z"}
    ]
    (line,) = [each for each in result.lines if each.startswith('{"id"')]
    assert '"userName": "ns", "hostName": "app", "path": "/data"' in line
    mover.fails("no-repository", "discover", KOPIA_REPOSITORY=f"filesystem://{mover.folder}/none")


def test_m_080h_the_library_can_open_what_the_mover_made(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    with pykopia.connect(str(mover.repository_folder), PASSWORD) as repository:
        (snapshot,) = repository.snapshots.list()
        assert snapshot.tags == {"tag:volsync-namespace": "ns", "tag:volsync-name": "app"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_row_179_m_136_a_target_without_room_is_named(mover: Mover) -> None:
    mover.write({"big": os.urandom(3 << 20)})
    mover.ok("backup")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mover.target)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        result = mover.fails("target", "restore")
        assert "can't restore big: No space left on device" in result.last
        assert "0 bytes were written, 3145728 bytes are still needed" in result.last
        assert "capacity of the PVC" in result.last
        assert list(mover.target.iterdir()) == []
    finally:
        subprocess.run(["umount", mover.target], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_file_that_is_written_over_for_lack_of_room_is_in_the_log_and_the_result(mover: Mover) -> None:
    mover.write({"big": os.urandom(3 << 20)})
    mover.ok("backup")
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(mover.target)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        (mover.target / "big").write_bytes(b"old" * (1 << 20))
        result = mover.ok("restore")
        assert tree(mover.target) == tree(mover.data)
        assert any(line.startswith("WARNING: big: there is no room for a second copy") for line in result.lines)
        assert any("no room for a second copy" in each for each in result.termination["warnings"])
    finally:
        subprocess.run(["umount", mover.target], check=True)


# ---------------------------------------------------------------------- what the contract says besides


SEEN = re.compile(
    r"error|failed|unable to|=== Discovery|=== End Discovery|Available identities|No snapshots found|No eligible snapshots"
    r"|\"userName\".*\"hostName\"",
    re.IGNORECASE,
)
"""What the filter of an older operator lets through of a restore."""


def test_m_070_what_is_there_stands_where_an_operator_of_old_sees_it(mover: Mover, time: FakeClock) -> None:
    mover.write({"a": "b"})
    for number in range(9):
        mover.ok("backup", VOLSYNC_OWNER_NAME=f"app-{number}")
        time.advance(hours=1)
    lines = mover.ok("restore", VOLSYNC_OWNER_NAME="none").lines
    at = lines.index("No eligible snapshots found")
    assert lines[at + 1 : at + 3] == [
        "No snapshots found for ns@none:/data", "=== Discovery Mode: Available Snapshots ===",
    ]  # fmt: skip
    documents = [json.loads(line) for line in lines[at:] if line.startswith("{")]
    assert [each["hostName"] for each in documents] == ["app-8", "app-7", "app-6"]
    assert all([*each] == ["id", "userName", "hostName", "path", "startTime", "endTime"] for each in documents)
    assert lines.index("Available identities (username@hostname combinations):") == at + 3 + len(documents)
    kept = "\n".join(line for line in lines if SEEN.search(line))[-1024:]
    assert "No snapshots found for ns@none:/data" in kept
    assert len(re.findall(r'^{"id".*}$', kept, re.MULTILINE)) == 3


def test_m_130_an_unfinished_snapshot_and_one_of_a_name_alike_are_not_eligible(
    mover: Mover, history: list[str]
) -> None:
    stop = Stop()
    stop.ask()
    mover.write({"day": "unfinished"})
    assert mover.run(("backup",), {}, stop).status == 143
    mover.write({"day": "of another host"})
    mover.ok("backup", VOLSYNC_OWNER_NAME="app2")
    assert restored_day(mover) == "4"


def test_m_101_a_restore_writes_no_policies_and_tells_of_the_files(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    before = tree(mover.repository_folder)
    mover.policy_files(
        {"global-policy.json": '{"retention": {"keepDaily": 1}}', "repository.config": '{"downloadSpeed": "50MB"}'}
    )
    result = mover.ok("restore", KOPIA_COMPRESSION="gzip", KOPIA_RETAIN_LATEST="1")
    assert "Policy configuration summary: 2 applied" in result.lines
    assert tree(mover.repository_folder) == before
    mover.policy_files({"global-policy.json": "{broken"})
    broken = mover.ok("restore")
    assert any("Policy import failed" in each for each in broken.termination["warnings"])
    assert tree(mover.repository_folder) == before
    assert mover.fails("config", "restore", KOPIA_STRICT_POLICY="true").status == 10


def test_m_135_a_folder_that_takes_no_other_files_is_written_in_place(mover: Mover) -> None:
    mover.write({"a": "one"})
    mover.ok("backup")
    (mover.target / "a").write_text("old")
    mover.ok("restore", KOPIA_ADDITIONAL_ARGS="--no-write-files-atomically")
    assert tree(mover.target) == {"a": b"one"}


def test_m_139_progress_is_told_with_figures(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykopia_mover.backup.TOLD_EVERY", 0)
    monkeypatch.setattr("pykopia_mover.restore.TOLD_EVERY", 0)
    mover.write({"a": "four", "b": "eight888"})
    assert "Backing up: 2 files, 12 bytes so far" in mover.ok("backup").lines
    assert "restoring: 2 files, 12 bytes so far" in mover.ok("restore").lines


RESTORE = """
import json, os, pathlib, sys
from tests.mover.harness import Mover
os.setgroups([4712])
done = Mover(folder=pathlib.Path(sys.argv[1]), environment=json.loads(sys.argv[2]))("restore")
print(json.dumps([done.status, done.log, done.termination]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="owners can be set by root alone, who can give the right up")
@pytest.mark.parametrize("privileged", ["0", "1"])
def test_m_011_owners_and_modes_that_could_not_be_set_are_counted_in_one_line(mover: Mover, privileged: str) -> None:
    small = {f"d/{number}": "small" for number in range(50)}
    mover.write({"mine": "1", "d/large": b"x" * (9 << 20), **small})
    (mover.data / "link").symlink_to("mine")
    strange = ["d", "d/large", "link", *small]
    for name in strange:
        os.chown(mover.data / name, 4711, 4712, follow_symlinks=False)
    mover.ok("backup")
    words = ["setpriv", "--bounding-set", "-chown", sys.executable, "-c", RESTORE, str(mover.folder)]
    environment = mover.with_environment(PRIVILEGED_MOVER=privileged).environment
    done = subprocess.run([*words, json.dumps(environment)], capture_output=True, text=True, check=True, cwd=ROOT)
    status, log, termination = json.loads(done.stdout)
    assert (status, termination["restore"].get("skippedMetadata")) == (0, len(strange)), log
    (line,) = [line for line in log.splitlines() if "could not be set" in line]
    assert f"The owner of {len(strange)} entries could not be set for lack of rights" in line
    assert any("could not be set" in each for each in termination.get("warnings", [])) is (privileged == "1")
    assert tree(mover.target) == tree(mover.data)
    # the group alone is set where the process has it
    assert {(mover.target / name).lstat().st_gid for name in strange} == {4712}


@pytest.mark.skipif(os.getuid() != 0, reason="root gives the right to write everywhere up")
@pytest.mark.parametrize("root_of_snapshot", [0o755, 0o555])
def test_m_136_a_volume_that_was_made_read_only_is_left_alone_and_one_that_a_restore_made_so_is_filled(
    mover: Mover, root_of_snapshot: int
) -> None:
    mover.write({"a": "one"})
    mover.data.chmod(root_of_snapshot)
    mover.ok("backup")
    mover.target.chmod(0o555)
    words = ["setpriv", "--bounding-set", "-all", sys.executable, "-c", RESTORE.replace("os.setgroups([4712])\n", "")]
    done = subprocess.run(
        [*words, str(mover.folder), json.dumps(mover.environment)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    status, log, _ = json.loads(done.stdout)
    assert status == (0 if root_of_snapshot == 0o555 else 19), log
    assert (mover.target / "a").exists() is (root_of_snapshot == 0o555)
    assert ("nothing could be restored" in log and "fsGroup" in log) is (root_of_snapshot == 0o755)
