"""Programs that policies run before and after a snapshot or a folder of it: real shells, no stand-ins."""

import json
import logging
import os
import select
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pykopia import __version__, clock
from pykopia.api.repository import Repository
from pykopia.errors import ActionFailedError, CanceledError, SourceReadError, StorageUnavailableError
from pykopia.format.directory import DirectoryEntry
from pykopia.format.policy import Policy
from pykopia.format.policy_target import policy_labels
from pykopia.format.source import SourceInfo
from pykopia.snapshot.action_process import ActionProcess
from pykopia.snapshot.upload_options import SnapshotOptions, SnapshotResult
from pykopia.storage.backends.memory.storage import MemoryStorage

ENABLED = SnapshotOptions(enable_actions=True)


def act(repository: Repository, path: Path, **actions: Mapping[str, object] | str) -> None:
    """Give a folder actions; a text is an essential script."""
    full = {
        name: {"script": action, "mode": "essential"} if isinstance(action, str) else action
        for name, action in actions.items()
    }
    target = SourceInfo(host=repository.hostname, user_name=repository.username, path=str(path))
    repository.policies.set(target, Policy.from_json(json.dumps({"actions": full})))


def names(repository: Repository, result: SnapshotResult) -> set[str]:
    """Return the paths in a snapshot."""
    root = result.manifest.root_entry
    assert root is not None

    def below(entry: DirectoryEntry, path: str) -> Iterator[str]:
        for child in repository.objects.directory(entry.object_id).entries:
            yield path + child.name
            if child.type == "d":
                yield from below(child, f"{path}{child.name}/")

    return set(below(root, ""))


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A file that scripts append to."""
    return tmp_path / "told"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder to take instead."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "from-the-other").write_text("x")
    return folder


def variables(folder: Path, name: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / name).read_text().splitlines())


def test_actions_run_around_what_they_are_for(repository: Repository, source: Path, told: Path) -> None:
    (source / "a" / "b").mkdir(parents=True)
    script = f'echo "$KOPIA_ACTION $KOPIA_SOURCE_PATH" >> {told}'
    act(
        repository,
        source,
        beforeSnapshotRoot=script,
        afterSnapshotRoot=script,
        beforeFolder=script,
        afterFolder=script,
    )
    act(repository, source / "a", beforeFolder=script, afterFolder=script)
    repository.snapshots.create(source, options=ENABLED)
    assert told.read_text().splitlines() == [
        f"before-snapshot-root {source}",
        f"before-folder {source}",
        f"before-folder {source}/a",
        f"after-folder {source}/a",
        f"after-folder {source}",
        f"after-snapshot-root {source}",
    ]


def test_actions_get_the_environment_that_kopia_gives(repository: Repository, source: Path, tmp_path: Path) -> None:
    script = f"env > {tmp_path}/$KOPIA_ACTION; pwd > {tmp_path}/folder; touch here"
    act(repository, source, beforeSnapshotRoot=script, afterSnapshotRoot=script, beforeFolder=script)
    options = SnapshotOptions(enable_actions=True, action_environment={"MINE": "1", "KOPIA_ACTION": "overruled"})
    repository.snapshots.create(source, options=options)
    before, after = (variables(tmp_path, f"{when}-snapshot-root") for when in ("before", "after"))
    assert before["KOPIA_SOURCE_PATH"] == before["KOPIA_SNAPSHOT_PATH"] == str(source)
    assert (before["KOPIA_VERSION"], before["MINE"]) == (__version__, "1")
    assert len(bytes.fromhex(before["KOPIA_SNAPSHOT_ID"])) == 8
    assert after["KOPIA_SNAPSHOT_ID"] == before["KOPIA_SNAPSHOT_ID"]
    assert variables(tmp_path, "before-folder")["KOPIA_SNAPSHOT_ID"] != before["KOPIA_SNAPSHOT_ID"]
    assert "HOME" not in before  # nothing of this process but what was handed on
    assert not Path((tmp_path / "folder").read_text().strip()).exists()


@pytest.mark.parametrize(
    ("connected", "asked", "runs"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
def test_actions_run_only_where_the_client_allows_them(
    repository: Repository,
    source: Path,
    told: Path,
    caplog: pytest.LogCaptureFixture,
    connected: bool,
    asked: bool | None,
    runs: bool,
) -> None:
    act(repository, source, beforeSnapshotRoot=f"touch {told}", afterFolder=f"touch {told}")
    object.__setattr__(repository.client, "enable_actions", connected)
    with caplog.at_level(logging.INFO):
        repository.snapshots.create(source, options=SnapshotOptions(enable_actions=asked))
    assert told.exists() == runs
    if not runs:
        assert f"not running the before-snapshot-root action of {source}: disabled for this client" in caplog.text


def test_a_failing_essential_action_lets_no_snapshot_be_taken(
    repository: Repository, source: Path, told: Path, caplog: pytest.LogCaptureFixture
) -> None:
    act(repository, source, beforeSnapshotRoot="echo it is full >&2; exit 3", afterSnapshotRoot=f"touch {told}")
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(ActionFailedError, match=f"the before-snapshot-root action of {source} failed: exit status 3"),
    ):
        repository.snapshots.create(source, options=ENABLED)
    assert "it is full" in caplog.text
    assert repository.snapshots.list() == []
    assert not told.exists()


def test_a_failing_essential_folder_action_leaves_its_folder_out(repository: Repository, source: Path) -> None:
    (source / "a").mkdir()
    (source / "b").mkdir()
    act(repository, source / "a", beforeFolder="exit 1")
    result = repository.snapshots.create(source, options=ENABLED)
    assert names(repository, result) == {"b"}
    (error,) = result.problems
    assert (error.path, error.ignored) == ("a", False)
    assert "before-folder action" in error.message
    act(repository, source, beforeFolder="exit 1")
    with pytest.raises(SourceReadError, match="before-folder action"):
        repository.snapshots.create(source, options=ENABLED)


@pytest.mark.parametrize("mode", ["optional", ""])
def test_other_actions_may_fail_and_what_they_printed_counts(
    repository: Repository, source: Path, other: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = f"echo KOPIA_SNAPSHOT_PATH={other}; exit 7"
    act(repository, source, beforeSnapshotRoot={"script": script, "mode": mode})
    result = repository.snapshots.create(source, options=ENABLED)
    assert names(repository, result) == {"from-the-other"}
    assert "exit status 7; it is not essential" in caplog.text


def test_a_failing_after_action_is_logged_only(
    repository: Repository, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    act(repository, source, afterSnapshotRoot="exit 9", afterFolder="kill -9 $$")
    result = repository.snapshots.create(source, options=ENABLED)
    assert result.saved
    assert f"the after-snapshot-root action of {source} failed: exit status 9" in caplog.text
    assert f"the after-folder action of {source} failed: ended by SIGKILL" in caplog.text


@pytest.mark.parametrize("kind", ["SnapshotRoot", "Folder"])
def test_another_folder_is_taken_with_its_name_and_attributes(
    repository: Repository, source: Path, other: Path, tmp_path: Path, kind: str
) -> None:
    other.chmod(0o700)
    source.chmod(0o755)
    (source / "not-taken").write_text("")
    redirect = f"echo KOPIA_SNAPSHOT_PATH=/nowhere; echo ignored; echo KOPIA_SNAPSHOT_PATH={other}"
    act(
        repository,
        source,
        **{f"before{kind}": redirect, f"after{kind}": f"echo $KOPIA_SNAPSHOT_PATH > {tmp_path}/seen"},
    )
    result = repository.snapshots.create(source, options=ENABLED)
    root = result.manifest.root_entry
    assert root is not None
    assert (root.name, root.mode, root.mtime_ns) == ("other", 0o700, other.stat().st_mtime_ns)
    assert result.manifest.source.path == str(source)
    assert names(repository, result) == {"from-the-other"}
    assert (tmp_path / "seen").read_text().strip() == str(other)


def test_a_folder_below_keeps_its_name_and_gets_rules_of_its_own(
    repository: Repository, source: Path, other: Path
) -> None:
    (source / "db" / "inner").mkdir(parents=True)
    (source / ".kopiaignore").write_text("from-*\n")
    (other / "inner").mkdir()
    (other / "inner" / "deep").write_text("")
    (other / "inner" / "left-out").write_text("")
    policy = {
        "actions": {"beforeFolder": {"script": f"echo KOPIA_SNAPSHOT_PATH={other}", "mode": "essential"}},
        "files": {"ignore": ["/inner/left-out"]},
    }
    target = SourceInfo(host=repository.hostname, user_name=repository.username, path=f"{source}/db")
    repository.policies.set(target, Policy.from_json(json.dumps(policy)))
    result = repository.snapshots.create(source, options=ENABLED)
    assert names(repository, result) == {".kopiaignore", "db", "db/from-the-other", "db/inner", "db/inner/deep"}


def test_a_folder_to_take_instead_must_exist(repository: Repository, source: Path, tmp_path: Path) -> None:
    act(repository, source, beforeSnapshotRoot=f"echo KOPIA_SNAPSHOT_PATH={tmp_path}/none")
    with pytest.raises(ActionFailedError, match=r"named '.*/none' as the folder to take instead, and that is no fo"):
        repository.snapshots.create(source, options=ENABLED)


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ({"path": "/no/such/program", "mode": "essential"}, "can't be started: /no/such/program: No such file"),
        ({"mode": "optional"}, "neither a command nor a script"),
        ({"script": "#!/no/such/interpreter\n", "mode": "essential"}, "can't be started"),
    ],
)
def test_what_can_not_be_started_is_named(
    repository: Repository, source: Path, action: dict[str, object], problem: str
) -> None:
    # another program may have stored what can't be set here
    with repository.writer() as writer:
        target = SourceInfo(host=repository.hostname, user_name=repository.username, path=str(source))
        policy = json.dumps({"actions": {"beforeSnapshotRoot": action}})
        writer.manifests.replace(policy_labels(target), policy.encode())
    with pytest.raises(ActionFailedError, match=problem):
        repository.snapshots.create(source, options=ENABLED)


def test_commands_get_their_arguments_and_scripts_their_interpreter(
    repository: Repository, source: Path, told: Path
) -> None:
    command = {"path": "/bin/sh", "args": ["-c", f'echo "$1" >> {told}', "sh", "two words"], "mode": "essential"}
    act(repository, source, beforeSnapshotRoot=command, afterSnapshotRoot=f"#!/bin/cat\n{told}\n")
    repository.snapshots.create(source, options=ENABLED)
    assert told.read_text() == "two words\n"


def test_a_script_ends_at_its_first_failing_command(repository: Repository, source: Path, told: Path) -> None:
    act(repository, source, beforeSnapshotRoot=f"false\ntouch {told}")
    with pytest.raises(ActionFailedError):
        repository.snapshots.create(source, options=ENABLED)
    assert not told.exists()


def test_after_actions_run_when_the_snapshot_fails_or_is_canceled(
    repository: Repository, storage: MemoryStorage, source: Path, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "a").mkdir()
    (source / "a" / "file").write_text("x")
    script = f'echo "$KOPIA_ACTION" >> {told}'
    act(repository, source, beforeSnapshotRoot="true", afterSnapshotRoot=script)
    act(repository, source / "a", beforeFolder="true", afterFolder=script)

    def full(*_: object, **__: object) -> None:
        raise StorageUnavailableError("full")

    with monkeypatch.context() as patch:
        patch.setattr("pykopia.repository.object_writer.ObjectWriter.write_many", full)
        with pytest.raises(StorageUnavailableError):
            repository.snapshots.create(source, options=ENABLED)
    assert told.read_text().split() == ["after-folder", "after-snapshot-root"]
    told.unlink()
    result = repository.snapshots.create(source, options=ENABLED, cancel=iter([False, False, *[True] * 1000]).__next__)
    assert result.manifest.incomplete == "canceled"
    assert told.read_text().split()[-1] == "after-snapshot-root"


@pytest.mark.parametrize("first_line", ["", "#!/bin/sh\n"])
def test_nobody_waits_for_an_asynchronous_action(
    repository: Repository, source: Path, tmp_path: Path, first_line: str
) -> None:
    for name in ("to", "from"):
        os.mkfifo(tmp_path / name)
    script = (
        f"{first_line}echo KOPIA_SNAPSHOT_PATH=/nowhere; read line < {tmp_path}/to; echo got $line > {tmp_path}/from"
    )
    act(repository, source, beforeSnapshotRoot={"script": script, "mode": "async"})
    result = repository.snapshots.create(source, options=ENABLED)
    assert result.saved  # the action is still waiting
    (tmp_path / "to").write_text("a line\n")
    assert (tmp_path / "from").read_text() == "got a line\n"


def test_an_asynchronous_script_runs_although_its_file_goes_as_soon_as_it_was_started(tmp_path: Path) -> None:
    script, gate, told = (tmp_path / name for name in ("script", "gate", "told"))
    os.mkfifo(gate)
    os.mkfifo(told)
    script.write_text(f"echo it ran > {told}\n")
    # this shell waits for the gate before it has so much as opened the script
    process(["sh", "-c", f'read line < {gate}; exec sh -e "$0"', str(script)], tmp_path).start(str(script))
    script.unlink()
    gate.write_text("now\n")
    assert told.read_text() == "it ran\n"


# --- a process ---


def process(script: str | list[str], folder: Path) -> ActionProcess:
    return ActionProcess(
        label="the action",
        words=["sh", "-c", script] if isinstance(script, str) else script,
        folder=str(folder),
        environment={"PATH": os.defpath},
        timeout_seconds=60,
    )


def ended(pid: int) -> bool:
    """Wait until a process that is nobody's child here has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 30)[0])
    finally:
        os.close(handle)


class Clock:
    """Stands still, then runs fast."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.step = 0.0, 0.0
        monkeypatch.setattr(clock, "monotonic", self)

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds


@pytest.mark.parametrize("stubborn", ["", "trap '' TERM; "])
def test_an_action_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: str
) -> None:
    time, pids = Clock(monkeypatch), []

    def told(line: str) -> None:
        pids.append(int(line))
        if len(pids) == 2:
            time.step = 30.0

    script = f"{stubborn}sleep 600 & echo $!; echo $$; wait; sleep 600"
    with pytest.raises(ActionFailedError, match="the action was ended after 60 s, with all that it had started"):
        process(script, tmp_path).run(told, lambda: False)
    assert all(ended(pid) for pid in pids)


def test_an_action_is_ended_when_the_caller_asks_to_stop(tmp_path: Path) -> None:
    pids: list[str] = []
    with pytest.raises(CanceledError):
        process("echo $$; sleep 600", tmp_path).run(pids.append, lambda: bool(pids))
    assert ended(int(pids[0]))


def test_a_child_that_stays_is_not_waited_for(tmp_path: Path) -> None:
    lines: list[str] = []
    process("sleep 600 & echo $!; echo no end of line | tr -d '\\n'", tmp_path).run(lines.append, lambda: False)
    pid, last = lines
    os.kill(int(pid), signal.SIGKILL)
    assert last == "no end of line"


def test_much_output_on_both_streams_does_not_block(tmp_path: Path) -> None:
    lines: list[str] = []
    process("seq 20000; seq 20000 >&2; seq 20000 20001", tmp_path).run(lines.append, lambda: False)
    assert lines == [*map(str, range(1, 20001)), "20000", "20001"]


def test_a_line_without_end_comes_in_pieces(tmp_path: Path) -> None:
    lines: list[str] = []
    process("head -c 1000000 /dev/zero | tr '\\0' x", tmp_path).run(lines.append, lambda: False)
    assert "".join(lines) == "x" * 1_000_000
    assert max(map(len, lines)) < 200_000
