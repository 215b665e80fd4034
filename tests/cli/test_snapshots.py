import json
import os
import secrets
import stat
import tarfile
from pathlib import Path

import pytest

from pykopia.errors import StorageAccessDeniedError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, PutOptions
from tests.cli_runner import Runner


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "storage"), "--override-hostname=h",
           "--override-username=u")  # fmt: skip
    return cli


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "hello.txt").write_text("hello\n")
    (folder / "sub" / "data").write_bytes(bytes(range(256)) * 100)
    (folder / "link").symlink_to("hello.txt")
    return folder


def snapshots(client: Runner, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.ok("snapshot", "list", "--json", *words).json
    return found


def test_a_snapshot_tells_root_and_id_on_stderr_and_nothing_on_stdout(client: Runner, source: Path) -> None:
    result = client.ok("snapshot", "create", str(source))
    (manifest,) = snapshots(client)
    assert result.stdout == ""
    root = manifest["rootEntry"]
    assert isinstance(root, dict)
    assert f"Created snapshot with root {root['obj']} and ID {manifest['id']} in 0s" in result.stderr
    assert f"Snapshotting u@h:{source} ..." in result.stderr


def test_json_of_a_new_snapshot_has_no_stats_unless_asked_for(client: Runner, source: Path) -> None:
    made = client.ok("snapshot", "create", str(source), "--json", "--description=d", "--tags=a:b", "--pin=p").json
    assert made["description"] == "d"
    assert made["tags"] == {"tag:a": "b"}
    assert made["pins"] == ["p"]
    assert "stats" not in made
    assert "stats" in client.ok("snapshot", "create", str(source), "--json", "--json-verbose").json


def test_one_snapshot_makes_one_index_and_one_metadata_pack(client: Runner, source: Path) -> None:
    before = {kind: len(client.ok("blob", "list", f"--prefix={kind}").lines) for kind in "qx"}
    client.ok("snapshot", "create", str(source))
    after = {kind: len(client.ok("blob", "list", f"--prefix={kind}").lines) for kind in "qx"}
    assert {kind: after[kind] - before[kind] for kind in "qx"} == {"q": 1, "x": 1}


def test_several_snapshots_make_one_index_and_are_told_when_they_are_stored(
    client: Runner, source: Path, tmp_path: Path
) -> None:
    before = len(client.ok("index", "list").lines)
    others = [tmp_path / name for name in ("b", "c")]
    for other in others:
        other.mkdir()
    result = client.ok("snapshot", "create", str(source), *map(str, others), "--json")
    assert len(client.ok("index", "list").lines) == before + 1
    assert len(result.lines) == 3
    result = client.ok("snapshot", "create", "--flush-per-source", str(source), *map(str, others))
    assert len(client.ok("index", "list").lines) == before + 4
    assert result.stderr.count("Created snapshot with root") == 3


def test_a_source_that_is_named_twice_is_taken_twice(client: Runner, source: Path) -> None:
    client.ok("policy", "set", "--global", "--ignore-identical-snapshots=true")
    result = client.ok("snapshot", "create", str(source), str(source))
    assert result.stderr.count("Created snapshot") == result.stderr.count("Not saving snapshot") == 1


def test_times_can_be_given(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source), "--start-time", "2020-01-02 03:04:05 UTC")
    assert snapshots(client)[0]["startTime"] == "2020-01-02T03:04:05Z"
    result = client.fails("snapshot", "create", str(source), "--start-time", "2020-01-02 03:04:05 UTC", "--end-time",
                          "2019-01-02 03:04:05 UTC")  # fmt: skip
    assert "--start-time can't be after" in result.stderr


def test_another_source_can_be_recorded(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source), "--override-source", "x@y:/z")
    assert client.ok("snapshot", "list").lines == []
    assert client.ok("snapshot", "list", "--all").lines[0] == "x@y:/z"
    assert "must name user, host and path" in client.fails(
        "snapshot", "create", str(source), "--override-source", "x@y"
    ).stderr  # fmt: skip


def test_all_takes_every_source_of_this_client_again(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source / "sub"), str(source / "hello.txt"))
    client.ok("policy", "set", "--manual", str(source / "sub"))
    client.ok("snapshot", "create", "--all")
    paths = [str(each["source"]["path"]) for each in snapshots(client)]  # type: ignore[index]
    assert sorted(paths) == sorted([f"{source}/hello.txt"] * 2 + [f"{source}/sub"])
    assert "--all can't be used" in client.fails("snapshot", "create", "--all", str(source)).stderr


def test_a_source_that_fails_does_not_stop_the_others(client: Runner, source: Path, tmp_path: Path) -> None:
    result = client.fails("snapshot", "create", str(tmp_path / "missing"), str(source))
    assert "does not exist" in result.stderr
    assert len(snapshots(client)) == 1


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_source_whose_data_could_not_be_stored_is_the_end_of_all_of_the_command(
    client: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The sources share contents: what the first could not store must not count as stored for the second."""
    client.ok("repository", "set-parameters", "--max-pack-size-mb=10")
    data = secrets.token_bytes(45 << 20)
    sources = [tmp_path / name / "large" for name in ("one", "two")]
    for source in sources:
        source.parent.mkdir()
        source.write_bytes(data)
    put = FilesystemStorage.put
    failures = [StorageAccessDeniedError("the server was asleep")]

    def failing(
        self: FilesystemStorage, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS
    ) -> BlobMetadata:
        if blob_id.startswith("p") and failures:
            raise failures.pop()
        return put(self, blob_id, data, options)

    monkeypatch.setattr(FilesystemStorage, "put", failing)
    result = client("snapshot", "create", *(str(each.parent if kind == "folder" else each) for each in sources))
    assert result.status
    assert "the server was asleep" in result.stderr
    assert "can't read" not in result.stderr
    client.ok("snapshot", "verify", "--verify-files-percent=100")
    client.ok("content", "verify", "--full")


def test_without_a_source_nothing_happens(client: Runner) -> None:
    assert "no snapshot sources" in client.fails("snapshot", "create").stderr


def test_descriptions_and_tags_are_checked(client: Runner, source: Path) -> None:
    assert "too long" in client.fails("snapshot", "create", str(source), "--description", "x" * 1025).stderr
    assert "<key>:<value>" in client.fails("snapshot", "create", str(source), "--tags", "x").stderr
    assert "more than once" in client.fails("snapshot", "create", str(source), "--tags=a:b", "--tags=a:c").stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_fail_the_command_but_not_the_snapshot(client: Runner, source: Path) -> None:
    (source / "sub" / "data").chmod(0)
    result = client.fails("snapshot", "create", str(source))
    assert "Found 1 fatal error(s) while snapshotting" in result.stderr
    assert len(snapshots(client)) == 1


def test_progress_is_shown_when_asked_for(client: Runner, source: Path) -> None:
    result = client.ok("snapshot", "create", str(source), "--progress")
    assert " * 0 hashing, 2 hashed (" in result.stderr
    assert "uploaded" in result.stderr
    assert "hashing" not in client.ok("snapshot", "create", str(source)).stderr


def test_progress_on_a_terminal_rewrites_its_line(client: Runner, source: Path) -> None:
    told = client("snapshot", "create", str(source), terminal=True).stderr
    assert "\r * " in told
    assert "2 hashed (" in told.rpartition("\r * ")[2]


def test_lists_are_filtered_by_tag_source_and_number(client: Runner, source: Path) -> None:
    for tag in ("one", "two", "three"):
        client.ok("snapshot", "create", str(source), f"--tags=name:{tag}")
    assert [each["tags"] for each in snapshots(client, "--tags=name:two")] == [{"tag:name": "two"}]
    assert [each["tags"] for each in snapshots(client, "-n1")] == [{"tag:name": "three"}]
    assert [each["tags"] for each in snapshots(client, "-n1", "--reverse")] == [{"tag:name": "one"}]
    assert len(snapshots(client, str(source / "sub"))) == 3
    assert snapshots(client, str(source.parent / "other")) == []


def test_equal_snapshots_share_a_line(client: Runner, source: Path) -> None:
    for _ in range(3):
        client.ok("snapshot", "create", str(source))
    lines = client.ok("snapshot", "list").lines
    assert lines[0] == f"u@h:{source}"
    assert "files:2 dirs:2 (latest-1..3,hourly-1,daily-1,weekly-1,monthly-1,annual-1)" in lines[1]
    assert lines[2].startswith("  + 2 identical snapshots until ")
    assert len(client.ok("snapshot", "list", "-l").lines) == 4


def test_storage_statistics_tell_what_each_snapshot_adds(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source))
    (source / "sub" / "more").write_bytes(bytes(5000))
    (source / "sub" / "copy of hello").write_text("hello\n")
    client.ok("snapshot", "create", str(source))
    first, second = (each["storageStats"] for each in snapshots(client, "--storage-stats"))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["newData"] == first["runningTotal"]
    assert (first["newData"]["fileObjects"], first["newData"]["dirObjects"]) == (3, 2)
    assert (second["newData"]["fileObjects"], second["newData"]["dirObjects"]) == (1, 2)
    assert second["newData"]["objectBytes"] == 5000
    assert second["runningTotal"]["contents"] == first["newData"]["contents"] + 3
    assert "new-files:1 new-dirs:2" in client.ok("snapshot", "list", "--storage-stats").lines[2]


def test_a_folder_inside_is_listed_with_its_own_root(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source))
    words = client.ok("snapshot", "list", str(source / "sub")).lines[1].split()
    listed = {
        line.split()[-1]: line.split() for line in client.ok("ls", "-o", words[3].replace(words[3], root(client))).lines
    }
    assert words[3] == listed["sub"][0]


def root(client: Runner) -> str:
    entry = snapshots(client)[-1]["rootEntry"]
    assert isinstance(entry, dict)
    return str(entry["obj"])


def test_a_restored_tree_is_the_source(client: Runner, source: Path, tmp_path: Path) -> None:
    client.ok("snapshot", "create", str(source))
    result = client.ok("restore", str(snapshots(client)[0]["id"]), str(tmp_path / "out"))
    assert "Restored 2 files, 2 directories and 1 symbolic links (25.6 KB)." in result.stderr
    assert result.stdout == ""
    assert (tmp_path / "out" / "sub" / "data").read_bytes() == (source / "sub" / "data").read_bytes()
    assert (tmp_path / "out" / "link").readlink() == Path("hello.txt")
    assert (tmp_path / "out").stat().st_mtime_ns == source.stat().st_mtime_ns


def test_a_path_restores_its_latest_snapshot(client: Runner, source: Path, tmp_path: Path) -> None:
    client.ok("snapshot", "create", str(source))
    (source / "hello.txt").write_text("changed")
    client.ok("snapshot", "create", str(source))
    client.ok("restore", str(source / "hello.txt"), str(tmp_path / "new"))
    client.ok("restore", str(source / "hello.txt"), str(tmp_path / "old"), "--snapshot-time=oldest")
    assert ((tmp_path / "new").read_text(), (tmp_path / "old").read_text()) == ("changed", "hello\n")
    result = client.fails("restore", str(source), str(tmp_path / "none"), "--snapshot-time=2001")
    assert "no snapshots contain data" in result.stderr
    assert "is no time" in client.fails("restore", str(source), str(tmp_path / "none"), "--snapshot-time=soon").stderr


def test_a_path_alone_is_restored_to_its_place(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source))
    (source / "hello.txt").unlink()
    client.ok("restore", str(source))
    assert (source / "hello.txt").read_text() == "hello\n"
    assert "needs a target" in client.fails("restore", "a@b:/c").stderr


def test_archives_are_told_by_the_name_of_the_target(client: Runner, source: Path, tmp_path: Path) -> None:
    client.ok("snapshot", "create", str(source))
    assert "to an uncompressed tar file" in client.ok("restore", root(client), str(tmp_path / "out.tar")).stderr
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert "sub/data" in archive.getnames()


def test_shallow_restores_leave_placeholders_that_can_be_filled(client: Runner, source: Path, tmp_path: Path) -> None:
    client.ok("snapshot", "create", str(source))
    client.ok("restore", root(client), str(tmp_path / "out"), "--shallow=0")
    placeholder = tmp_path / "out" / "hello.txt.kopia-entry"
    assert placeholder.is_file()
    client.ok("restore", str(placeholder))
    assert (tmp_path / "out" / "hello.txt").read_text() == "hello\n"
    assert not placeholder.exists()


def test_a_file_that_must_not_be_replaced_stops_a_restore(client: Runner, source: Path, tmp_path: Path) -> None:
    client.ok("snapshot", "create", str(source))
    client.ok("restore", root(client), str(tmp_path / "out"))
    client.fails("restore", root(client), str(tmp_path / "out"), "--no-overwrite-files")
    assert (
        "Restored 0 files, 2 directories and 0 symbolic links (0 B), skipped 3 ("
        in client.ok("restore", root(client), str(tmp_path / "out"), "--skip-existing").stderr
    )


def test_modes_survive(client: Runner, source: Path, tmp_path: Path) -> None:
    (source / "hello.txt").chmod(0o4750)
    client.ok("snapshot", "create", str(source))
    client.ok("restore", root(client), str(tmp_path / "out"))
    assert stat.S_IMODE((tmp_path / "out" / "hello.txt").stat().st_mode) == 0o4750
    assert any(line.startswith("urwxr-x---") for line in client.ok("ls", "-l", root(client)).lines)


def test_files_are_printed_byte_for_byte(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source))
    assert client.ok("show", f"{root(client)}/sub/data").stdout_bytes == (source / "sub" / "data").read_bytes()
    assert "not in this snapshot" in client.fails("cat", f"{root(client)}/missing").stderr
    assert "not a folder" in client.fails("ls", f"{root(client)}/hello.txt").stderr


def test_names_that_are_not_utf8_pass_through(client: Runner, source: Path) -> None:
    (source / os.fsdecode(b"caf\xc3\xa9")).touch()
    client.ok("snapshot", "create", str(source))
    assert "caf\xe9" in client.ok("ls", root(client)).lines


def test_differences_are_told(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source))
    before = root(client)
    (source / "hello.txt").write_text("other text\n")
    (source / "new").write_text("new")
    client.ok("snapshot", "create", str(source))
    lines = client.ok("diff", before, root(client)).lines
    assert "added file ./new (3 bytes)" in lines
    assert any(line.startswith("changed ./hello.txt at ") and line.endswith("(size 6 -> 11)") for line in lines)
    statistics = json.loads(lines[-1])
    assert statistics["fileEntries"]["added"] == 1
    assert client.ok("diff", "--stats-only", before, root(client)).json == statistics
    shown = client.ok("diff", "--files", before, root(client)).stdout
    assert "-hello\n" in shown
    assert "+other text\n" in shown
    assert "both be folders" in client.fails("diff", before, f"{before}/hello.txt").stderr


def test_deleting_needs_a_confirmation(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source))
    snapshot_id = str(snapshots(client)[0]["id"])
    assert "Would delete snapshot" in client.ok("snapshot", "delete", snapshot_id).stderr
    assert len(snapshots(client)) == 1
    client.ok("snapshot", "delete", snapshot_id, "--delete")
    assert snapshots(client) == []
    client.fails("snapshot", "delete", snapshot_id, "--delete")


def test_all_snapshots_of_a_source_or_root_can_be_deleted(client: Runner, source: Path) -> None:
    for _ in range(2):
        client.ok("snapshot", "create", str(source))
    client.ok("snapshot", "create", str(source / "sub"))
    client.ok("snapshot", "delete", "--all-snapshots-for-source", str(source), "--delete")
    assert len(snapshots(client)) == 1
    client.ok("snapshot", "delete", root(client), "--delete")
    assert snapshots(client) == []
    assert "no snapshots" in client.fails("snapshot", "delete", "--all-snapshots-for-source", str(source)).stderr


def test_verification_tells_what_it_did(client: Runner, source: Path) -> None:
    client.ok("snapshot", "create", str(source))
    result = client.ok("snapshot", "verify", "--verify-files-percent=100")
    assert "Finished processing 5 objects" in result.stderr
    assert result.stdout == ""
    assert client.ok("snapshot", "verify", "--sources", str(source), "--json").json["errorCount"] == 0
    client.fails("snapshot", "verify", "no-such-snapshot")


def test_verification_finds_a_missing_pack(client: Runner, source: Path, tmp_path: Path) -> None:
    client.ok("snapshot", "create", str(source))
    for pack in (tmp_path / "storage").rglob("p*.f"):
        pack.unlink()
    for index in (tmp_path / "storage" / "p").rglob("*.f"):
        index.unlink()
    result = client.fails("snapshot", "verify", "--json", "--max-errors=-1")
    assert result.json["errorCount"] == len(result.json["errorStrings"]) > 0


def test_estimates_count_files_and_exclusions(client: Runner, source: Path) -> None:
    client.ok("policy", "set", str(source), "--add-ignore=*.txt")
    lines = client.ok("snapshot", "estimate", str(source)).lines
    assert lines[0] == "Snapshot includes 1 file(s), total size 25.6 KB"
    assert "Snapshot excludes 1 file(s), total size 6 B" in lines
    assert lines[-1].startswith("Estimated upload time: 0s at 10 Mbit/s")
    client.fails("snapshot", "estimate", str(source / "missing"))


def test_standard_input_is_taken_as_a_file(client: Runner) -> None:
    client.ok("snapshot", "create", "/virtual", "--stdin-file=in.txt", stdin=b"from stdin\n")
    assert client.ok("show", f"{root(client)}/in.txt").stdout == "from stdin\n"


def test_parts_are_restored_and_a_dry_run_tells_what_would_change(client: Runner, source: Path, tmp_path: Path) -> None:
    (source / "keep.txt").write_text("kept")
    (source / "drop.bin").write_text("dropped")
    snapshot = client.ok("snapshot", "create", str(source), "--json").json["id"]
    target = tmp_path / "target"
    words = ("restore", snapshot, str(target), "--include=keep.*", "--exclude=*.bin")
    told = client.ok(*words, "--dry-run")
    assert told.lines == ["create     .", "create     keep.txt"]
    assert "Would create 2 entries in" in told.stderr
    assert not target.exists()
    assert client.ok(*words, "--json").json["restoredFiles"] == 1
    assert [path.name for path in target.iterdir()] == ["keep.txt"]
    assert "Would change nothing" in client.ok(*words, "-n").stderr
    (target / "keep.txt").write_text("KEPT")
    assert client.ok(*words, "-n", "--json").json[0]["change"] == "replace"
    restored = client.ok(*words, "--only-differences", "--json").json
    assert (restored["restoredFiles"], restored["skippedFiles"]) == (1, 0)
    restored = client.ok(*words, "--only-differences", "--json").json
    assert (restored["restoredFiles"], restored["skippedFiles"]) == (0, 1)
    assert "is an archive" in client.fails("restore", snapshot, str(tmp_path / "x.zip"), "-n").stderr
    assert "pattern '[' can't be used" in client.fails(*words, "--exclude=[").stderr
