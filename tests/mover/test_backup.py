"""Backups of a volume into a repository in a folder, from the environment to the snapshot."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from pykopia_mover.memory import memory_of

import pykopia
from pykopia import Policy, Repository, SourceInfo
from pykopia.errors import StorageError
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.testing import FakeClock
from tests.mover.harness import EXAMPLES, PASSWORD, Mover, tree

AS_ROOT = os.geteuid() == 0
ROOT = Path(__file__).parents[2]


def source(text: str = "ns@app:/data") -> SourceInfo:
    return SourceInfo.parse(text, "", "", "/")


def effective(repository: Repository, text: str = "ns@app:/data") -> Policy:
    return repository.policies.effective(source(text)).policy


def test_rows_21_22_40_the_first_backup_makes_the_repository(mover: Mover) -> None:
    mover.write({"a.txt": "one", "d/b.txt": "two"})
    result = mover.ok("backup", KOPIA_FS_PATH=f"{mover.folder}/elsewhere")
    assert "=== Creating repository ===" in result.lines
    assert (mover.folder / "elsewhere").is_dir()
    assert not mover.repository_folder.exists()
    assert result.termination["repository"]["created"] is True
    again = mover.ok("backup", KOPIA_FS_PATH=f"{mover.folder}/elsewhere")
    assert again.termination["repository"] == result.termination["repository"] | {"created": False}
    assert any("KOPIA_FS_PATH" in line for line in result.lines if line.startswith("WARNING"))
    alone = mover.ok("backup", KOPIA_FS_PATH=f"{mover.folder}/elsewhere", KOPIA_REPOSITORY="")
    assert alone.termination["repository"] == again.termination["repository"]


def test_m_042_maintenance_belongs_to_nobody_who_will_be_gone(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    with mover.open() as repository:
        (entry,) = repository.manifests.find({"type": "maintenance"})
        assert json.loads(entry.data)["owner"] == "maintenance@volsync"


def test_rows_134_135_140_141_142_the_recorded_source(mover: Mover) -> None:
    mover.write({"a": "b"})
    plain = mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="")
    assert plain.termination["identity"] == f"ns@app:{mover.data}"
    overridden = mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="/var/lib/postgresql/data")
    assert "Using source path override: /var/lib/postgresql/data" in overridden.lines
    assert overridden.termination["identity"] == "ns@app:/var/lib/postgresql/data"
    mysql = {"VOLSYNC_OWNER_NAME": "mysql-primary", "KOPIA_SOURCE_PATH_OVERRIDE": "/var/lib/mysql"}
    for namespace in ("production", "staging"):
        mover.ok("backup", **mysql, VOLSYNC_OWNER_NAMESPACE=namespace)
    assert mover.sources() == [
        f"ns@app:{mover.data}",
        "ns@app:/var/lib/postgresql/data",
        "production@mysql-primary:/var/lib/mysql",
        "staging@mysql-primary:/var/lib/mysql",
    ]


def test_row_155_m_062_the_log_has_a_line_on_the_override(mover: Mover) -> None:
    mover.write({"a": "b"})
    lines = [line for line in mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="/app").lines if "override" in line.lower()]
    assert "Using source path override: /app" in lines


def test_rows_138_143_144_153_sources_of_one_repository_stay_apart(mover: Mover, time: FakeClock) -> None:
    for key in ("web-tier/frontend-backup", "api-tier/api-backup", "data-tier/database-backup"):
        namespace, _, name = key.partition("/")
        spec = EXAMPLES["sources"][key]["kopia"]
        mover.write({"who": name})
        for _ in range(3):
            mover.ok(
                "backup",
                VOLSYNC_OWNER_NAMESPACE=namespace,
                VOLSYNC_OWNER_NAME=name,
                KOPIA_SOURCE_PATH_OVERRIDE=spec["sourcePathOverride"],
                KOPIA_RETAIN_LATEST="1" if name == "api-backup" else "5",
                KOPIA_RETAIN_HOURLY="0", KOPIA_RETAIN_DAILY="0", KOPIA_RETAIN_WEEKLY="0", KOPIA_RETAIN_MONTHLY="0",
                KOPIA_RETAIN_YEARLY="0",
            )  # fmt: skip
            time.advance(hours=1)
    found = mover.sources()
    assert len(set(found)) == 3
    assert sorted(map(found.count, set(found))) == [1, 3, 3]
    result = mover.ok(
        "restore",
        VOLSYNC_OWNER_NAMESPACE="api-tier",
        VOLSYNC_OWNER_NAME="api-backup",
        KOPIA_SOURCE_PATH_OVERRIDE="",
    )
    assert (mover.target / "who").read_text() == "api-backup"
    assert result.termination["identity"] == "api-tier@api-backup:/services/api/data"


def test_rows_143_144_two_namespaces_with_one_name_and_path_never_see_each_other(mover: Mover, time: FakeClock) -> None:
    zeros = {f"KOPIA_RETAIN_{kind}": "0" for kind in ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
    spec = {"VOLSYNC_OWNER_NAME": "mysql-primary", "KOPIA_SOURCE_PATH_OVERRIDE": "/var/lib/mysql"}
    empty = mover.ok("backup", VOLSYNC_OWNER_NAMESPACE="testing", **spec)  # there is nothing to take yet
    assert empty.termination["result"] == "skipped"
    for latest in ("5", "1"):
        for namespace, keep in (("production", "5"), ("staging", latest)):
            for number in range(2):
                mover.write({"who": f"{namespace} {latest} {number}"})
                mover.ok("backup", VOLSYNC_OWNER_NAMESPACE=namespace, **spec, **zeros, KOPIA_RETAIN_LATEST=keep)
                time.advance(hours=1)
    found = mover.sources()
    assert [found.count(f"{each}@mysql-primary:/var/lib/mysql") for each in ("production", "staging")] == [4, 1]
    for namespace in ("production", "staging"):
        mover.ok("restore", VOLSYNC_OWNER_NAMESPACE=namespace, **spec)
        assert (mover.target / "who").read_text() == f"{namespace} 1 1"
    # neither is taken for another with the same name and path, also without the path
    for path in ("/var/lib/mysql", ""):
        other = mover.ok("restore", **spec | {"KOPIA_SOURCE_PATH_OVERRIDE": path}, VOLSYNC_OWNER_NAMESPACE="testing")
        assert other.termination["result"] == "no-data"


def stored(mover: Mover) -> int:
    """Return the bytes of a repository in a folder."""
    return sum(map(len, tree(mover.repository_folder).values()))


def test_row_2_equal_files_of_one_volume_and_of_two_are_stored_once(mover: Mover, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    mover.write({"a": content, "b": content})
    first = mover.ok("backup").termination["snapshot"]["newBytes"]
    assert 300_000 < first < 310_000
    size = stored(mover)
    assert size < 330_000
    other = Mover.below(tmp_path / "other").with_environment(
        KOPIA_REPOSITORY=mover.environment["KOPIA_REPOSITORY"], VOLSYNC_OWNER_NAME="other"
    )
    other.write({"in/another/place": content})
    assert other.ok("backup").termination["snapshot"]["newBytes"] < 10_000
    assert stored(mover) - size < 20_000
    other.ok("restore")
    assert tree(other.target) == {"in/another/place": content}


def data_packs(mover: Mover) -> set[BlobID]:
    with mover.open() as repository:
        return {blob.blob_id for blob in repository.storage.list("p")}


def test_rows_8_9_m_080c_an_unchanged_volume_uploads_nothing_and_a_changed_file_itself(mover: Mover) -> None:
    mover.write({f"f{number}": os.urandom(200_000) for number in range(5)})
    mover.ok("backup")
    before = data_packs(mover)
    unchanged = mover.ok("backup").termination["snapshot"]
    assert unchanged["cachedFiles"] == 5
    assert unchanged["newBytes"] < 5_000
    assert data_packs(mover) == before
    mover.write({"f3": os.urandom(200_001)})
    changed = mover.ok("backup").termination["snapshot"]
    assert changed["cachedFiles"] == 4
    assert 200_000 < changed["newBytes"] < 210_000


def test_row_9_of_a_changed_file_only_the_changed_chunks_are_uploaded(mover: Mover) -> None:
    content = bytearray(os.urandom(40 << 20))
    mover.write({"large": bytes(content)})
    assert mover.ok("backup").termination["snapshot"]["newBytes"] > 40 << 20
    content[20 << 20] ^= 1
    mover.write({"large": bytes(content)})
    changed = mover.ok("backup").termination["snapshot"]
    assert 0 < changed["newBytes"] < 17 << 20  # two chunks of at most 8 MiB, where the byte is a boundary
    mover.ok("restore")
    assert (mover.target / "large").read_bytes() == content


def test_m_012_an_empty_volume_is_skipped_without_a_look_at_the_repository(mover: Mover) -> None:
    (mover.data / "lost+found").mkdir()
    result = mover.ok("backup", KOPIA_REPOSITORY="s3://no-such-bucket/x")
    assert "== Directory is empty skipping backup ==" in result.lines
    assert result.termination["result"] == "skipped"
    assert not mover.repository_folder.exists()


def test_a_volume_that_is_not_there_is_an_error(mover: Mover) -> None:
    result = mover.fails("source", "backup", DATA_DIR=f"{mover.folder}/nothing")
    assert result.status == 18
    assert "DATA_DIR" in result.last


# ---------------------------------------------------------------------- policies


def test_rows_240_241_242_243_244_245_retention_of_the_file_is_that_of_the_source(
    mover: Mover, time: FakeClock
) -> None:
    kinds = ("Latest", "Hourly", "Daily", "Weekly", "Monthly", "Annual")
    wanted = {f"keep{kind}": number for number, kind in enumerate(kinds, 1)}
    mover.policy_files({"global-policy.json": json.dumps({"retention": wanted})})
    mover.write({"a": "b"})
    mover.ok("backup")
    with mover.open() as repository:
        found = json.loads(effective(repository).to_json())["retention"]
    assert {name: found[name] for name in wanted} == wanted
    only = dict.fromkeys(wanted, 0)
    for name, kept, hours in (("keepLatest", 2, 1), ("keepHourly", 3, 1), ("keepDaily", 3, 24)):
        time.advance(days=40)
        mover.policy_files({"global-policy.json": json.dumps({"retention": only | {name: kept}})})
        for number in range(5):
            time.advance(hours=hours)
            mover.write({"a": f"{name} {number}"})
            result = mover.ok("backup")
        assert result.termination["retention"]["kept"] == kept, name


def test_row_111_retention_of_the_spec_is_that_of_the_source(mover: Mover) -> None:
    mover.write({"a": "b"})
    kinds = ("LATEST", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
    mover.ok("backup", **{f"KOPIA_RETAIN_{kind}": str(number) for number, kind in enumerate(kinds, 1)})
    with mover.open() as repository:
        found = effective(repository).retention
        defined = repository.policies.defined(source())
    assert defined is not None
    assert replace(defined.policy.retention, ignore_identical_snapshots=False) == found
    assert [
        found.keep_latest, found.keep_hourly, found.keep_daily, found.keep_weekly, found.keep_monthly, found.keep_annual,
    ] == [1, 2, 3, 4, 5, 6]  # fmt: skip


def test_rows_131_132_m_094_old_snapshots_go_beyond_the_counts_and_none_below(mover: Mover, time: FakeClock) -> None:
    mover.write({"a": "b"})
    zeros = {f"KOPIA_RETAIN_{kind}": "0" for kind in ("HOURLY", "WEEKLY", "MONTHLY", "YEARLY", "LATEST")}
    counts = []
    for day in range(5):
        mover.write({"a": f"day {day}"})
        result = mover.ok("backup", **zeros, KOPIA_RETAIN_DAILY="3")
        counts.append(result.termination["retention"])
        time.advance(days=1)
    assert [each["kept"] for each in counts] == [1, 2, 3, 3, 3]
    assert [each["deleted"] for each in counts] == [0, 0, 0, 1, 1]
    assert "Retention: kept 3, deleted 1" in result.lines
    assert len(mover.sources()) == 3


def test_rows_269_270_271_the_file_wins_where_it_says_something(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.policy_files({"global-policy.json": '{"retention": {"keepDaily": 14}}'})
    mover.ok("backup", KOPIA_RETAIN_DAILY="7", KOPIA_RETAIN_WEEKLY="4")
    with mover.open() as repository:
        found = effective(repository).retention
    assert (found.keep_daily, found.keep_weekly) == (14, 4)


def test_row_272_a_policy_file_added_later_keeps_the_spec_as_fall_back_and_old_backups(mover: Mover) -> None:
    mover.write({"a": "b"})
    spec = {"KOPIA_RETAIN_DAILY": "7", "KOPIA_RETAIN_WEEKLY": "4", "KOPIA_COMPRESSION": "zstd"}
    mover.ok("backup", **spec)
    mover.policy_files(EXAMPLES["policies"]["kopia-policies"])
    result = mover.ok("backup", **spec)
    with mover.open() as repository:
        found = effective(repository).retention
    assert (found.keep_daily, found.keep_weekly, found.keep_monthly) == (14, 8, 6)
    assert len(mover.sources()) == 2
    assert "Policy configuration summary: 2 applied" in result.lines


def test_row_273_the_log_tells_where_each_value_comes_from(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.policy_files({"global-policy.json": '{"retention": {"keepDaily": 14}}'})
    (line,) = [
        each
        for each in mover.ok("backup", KOPIA_RETAIN_WEEKLY="4").lines
        if each.startswith("Retention policy in effect")
    ]
    assert "daily 14 (policy file)" in line
    assert "weekly 4 (spec)" in line
    assert "annual 3 (built-in)" in line


def test_rows_225_235_m_097_success_and_failure_of_a_policy_file_are_told(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.policy_files({"global-policy.json": '{"files": {"ignore": ["*.log"]}}'})
    good = mover.ok("backup")
    assert any("policy imported successfully" in line for line in good.lines)
    with mover.open() as repository:
        stored = repository.policies.defined(SourceInfo())
    assert stored is not None
    assert stored.policy.files.ignore == ("*.log",)
    mover.policy_files({"global-policy.json": '{"files": {"ignore": ["*.log"],}}'})
    bad = mover.ok("backup")
    (warning,) = [line for line in bad.lines if "Policy import failed" in line]
    assert "line 1, column" in warning
    assert any("Policy import failed" in each for each in bad.termination["warnings"])
    with mover.open() as repository:
        assert repository.policies.defined(SourceInfo()) == stored
    assert mover.fails("config", "backup", KOPIA_STRICT_POLICY="true").status == 10


def test_row_232_m_097_a_file_that_is_not_there_is_told_with_what_is(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.policy_files({"other.json": "{}"})
    folder = mover.folder / "kopia-config"
    result = mover.ok("backup", KOPIA_GLOBAL_POLICY_FILE=str(folder / "global-policy.json"))
    (warning,) = [line for line in result.lines if "not found" in line]
    assert "global-policy.json" in warning
    assert "found: other.json" in warning


def test_rows_227_228_files_have_names_of_their_own(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.policy_files({"my.json": '{"retention": {"keepDaily": 5}}', "my.config": '{"enableActions": true}'})
    folder = mover.folder / "kopia-config"
    mover.ok(
        "backup",
        KOPIA_GLOBAL_POLICY_FILE=str(folder / "my.json"),
        KOPIA_REPOSITORY_CONFIG_FILE=str(folder / "my.config"),
    )
    with mover.open() as repository:
        assert effective(repository).retention.keep_daily == 5


@pytest.mark.parametrize("name", [name for name in EXAMPLES["policies"] if not re.search("dev|prod", name)])
def test_rows_274_294_documented_policies_run_as_they_are_printed(mover: Mover, name: str) -> None:
    mover.write({"keep.txt": "x", "a.log": "y", "mysql-bin.1": "z"})
    mover.policy_files(EXAMPLES["policies"][name])
    result = mover("backup")
    if "enableActions" in json.dumps(EXAMPLES["policies"][name]) or "actions" not in json.dumps(
        EXAMPLES["policies"][name]
    ):
        assert result.status == 0, result.log
    assert not any("Policy import failed" in line for line in result.lines)


def test_rows_223_246_ignore_rules_of_the_file_hold(mover: Mover) -> None:
    mover.write(
        {"keep.txt": "x", "a.log": "y", "node_modules/m.js": "z", "d/b.tmp": "t", ".DS_Store": "d", "d/keep.txt": "k"}
    )
    mover.policy_files({"global-policy.json": EXAMPLES["policies"]["documented policy"]["global-policy.json"]})
    mover.ok("backup")
    mover.ok("restore")
    assert sorted(path.name for path in mover.target.rglob("*")) == ["d", "keep.txt", "keep.txt"]


@pytest.mark.parametrize("skipped", [True, False])
def test_row_247_cache_directories_are_skipped_or_kept(mover: Mover, skipped: bool) -> None:
    mover.write({"c/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n", "c/x": "y", "a": "b"})
    mover.policy_files({"global-policy.json": json.dumps({"files": {"ignoreCacheDirectories": skipped}})})
    mover.ok("backup")
    mover.ok("restore")
    assert (mover.target / "c" / "x").exists() is not skipped


@pytest.mark.parametrize(
    ("name", "stored"), [("zstd", "zstd"), ("gzip", "gzip"), ("s2", "s2-default"), ("none", "none")]
)
def test_rows_5_112_237_each_compressor_is_used(mover: Mover, name: str, stored: str) -> None:
    mover.write({"a.txt": "compressible " * 40_000})
    result = mover.ok("backup", KOPIA_COMPRESSION=name)
    assert f"Compression policy in effect: {stored}" in result.lines
    with mover.open() as repository:
        assert effective(repository).compression.compressor_name == stored
    size = result.termination["snapshot"]["newBytes"]
    assert (size > 500_000) is (name == "none")


def test_rows_113_114_zstd_is_the_default_and_none_stores_as_it_is(mover: Mover) -> None:
    mover.write({"a.txt": "compressible " * 40_000})
    result = mover.ok("backup")
    assert result.termination["snapshot"]["newBytes"] < 50_000
    assert "Compression policy in effect: zstd" in result.lines
    with mover.open() as repository:
        assert effective(repository).compression.compressor_name == "zstd"
    mover.write({"a.txt": "other text of the file " * 40_000})
    assert mover.ok("backup", KOPIA_COMPRESSION="none").termination["snapshot"]["newBytes"] > 500_000


def test_an_unknown_compressor_is_refused_before_anything_is_written(mover: Mover) -> None:
    mover.write({"a": "b"})
    result = mover.fails("config", "backup", KOPIA_COMPRESSION="lz5")
    assert "zstd, gzip, s2, none" in result.last
    assert not mover.repository_folder.exists()


@pytest.mark.parametrize(
    ("compression", "compressed"),
    [
        ({}, True),
        ({"minSize": 1_000_000}, False),
        ({"maxSize": 1_000}, False),
        ({"neverCompress": ["*.txt"]}, False),
        ({"neverCompress": ["*.jpg"]}, True),
        ({"onlyCompress": [".txt"]}, True),
    ],
)
@pytest.mark.parametrize("file", ["global-policy.json", "repository.config"])
def test_rows_238_239_265_266_267_sizes_and_extensions_decide_what_is_compressed(
    mover: Mover, compression: dict[str, object], compressed: bool, file: str
) -> None:
    mover.write({"a.txt": "compressible " * 40_000})
    mover.policy_files({file: json.dumps({"compression": compression})})
    assert (mover.ok("backup").termination["snapshot"]["newBytes"] < 100_000) is compressed


def test_rows_150_152_policies_hold_for_the_overridden_source(mover: Mover) -> None:
    mover.write({"a.log": "x", "b.txt": "y"})
    mover.policy_files({"global-policy.json": '{"files": {"ignore": ["*.log"]}, "retention": {"keepDaily": 14}}'})
    mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="/var/lib/mysql", KOPIA_RETAIN_WEEKLY="8")
    with mover.open() as repository:
        found = effective(repository, "ns@app:/var/lib/mysql")
        assert (found.retention.keep_daily, found.retention.keep_weekly) == (14, 8)
        assert repository.policies.defined(source("ns@app:/data")) is None
        (snapshot,) = repository.snapshots.list()
        assert snapshot.root_entry is not None
        assert snapshot.root_entry.summary is not None
        assert snapshot.root_entry.summary.files == 1


def test_row_150_retention_counts_the_snapshots_of_the_overridden_source(mover: Mover, time: FakeClock) -> None:
    zeros = {f"KOPIA_RETAIN_{kind}": "0" for kind in ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
    for number in range(3):
        mover.write({"a": str(number)})
        mover.ok("backup")
        kept = mover.ok("backup", KOPIA_SOURCE_PATH_OVERRIDE="/var/lib/mysql", **zeros, KOPIA_RETAIN_LATEST="2")
        time.advance(hours=1)
    assert kept.termination["retention"] == {"kept": 2, "deleted": 1}
    found = mover.sources()
    assert (found.count("ns@app:/var/lib/mysql"), found.count("ns@app:/data")) == (2, 3)


def test_row_224_m_090_more_specific_policies_win(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", KOPIA_RETAIN_WEEKLY="1")
    with mover.open() as repository:
        for target, count in (("@app", 2), ("ns@app", 3)):
            user, _, host = target.partition("@")
            at = SourceInfo(user_name=user, host=host)
            repository.policies.set(at, Policy.from_json(json.dumps({"retention": {"keepDaily": count}})))
    (line,) = [each for each in mover.ok("backup").lines if each.startswith("Retention policy in effect")]
    assert "daily 3 (policy of ns@app)" in line


UNPRIVILEGED = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Makes root what it is in an unprivileged container: it may not read everything."""

BACKUP = """
import json, pathlib, sys
from tests.mover.harness import Mover
done = Mover(folder=pathlib.Path(sys.argv[1]), environment=json.loads(sys.argv[2]))("backup")
print(done.log)
sys.exit(done.status)
"""


def unprivileged(mover: Mover) -> "subprocess.CompletedProcess[str]":
    """Run a backup in a process that may not read everything."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(["", *sys.path])}
    words = [
        *(UNPRIVILEGED if AS_ROOT else ()),
        sys.executable,
        "-c",
        BACKUP,
        mover.folder,
        json.dumps(mover.environment),
    ]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(("kind", "name"), [("File", "a"), ("Directory", "folder")])
@pytest.mark.parametrize(("ignored", "status"), [(False, 18), (True, 0)])
def test_rows_249_250_m_080d_m_011_what_can_not_be_read_fails_the_run_or_is_a_warning(
    mover: Mover, kind: str, name: str, ignored: bool, status: int
) -> None:
    mover.write({"a": "b", "folder/inside": "x"})
    (mover.data / name).chmod(0)
    mover.policy_files({"global-policy.json": json.dumps({"errorHandling": {f"ignore{kind}Errors": ignored}})})
    done = unprivileged(mover)
    (mover.data / name).chmod(0o700)
    assert done.returncode == status, done.stdout + done.stderr
    assert name in done.stdout
    assert "ermission denied" in done.stdout
    assert ("volsync.backube/privileged-movers" in done.stdout) is (status == 18)
    assert "Traceback" not in done.stdout + done.stderr


def test_a_restore_of_a_snapshot_that_lacks_entries_names_the_one_that_has_all(mover: Mover) -> None:
    mover.write({"a": "b", "locked": "x"})
    assert unprivileged(mover).returncode == 0
    assert not mover.ok("restore").termination.get("warnings")
    whole = mover.ok("restore").termination["snapshot"]["start"]
    (mover.data / "locked").chmod(0)
    mover.write({"a": "changed"})
    assert unprivileged(mover).returncode == 18
    (warning,) = mover.ok("restore").termination["warnings"]
    assert "lacks entries that could not be read when it was taken" in warning
    assert f"before it that has all of its entries is of {whole}" in warning
    mover.ok("restore", KOPIA_RESTORE_AS_OF=whole)


class Streams:
    """Counts at a slow storage how many blobs are on their way to it at one time, and how many files are being read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *, awaited: int, patience: float) -> None:
        self.most = self.files = self._now = 0
        self._folder, self._ended = folder, threading.Event()
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        real = FilesystemStorage.put

        def put(storage: FilesystemStorage, blob_id: BlobID, data: Buffer, *more: Any) -> object:  # noqa: ANN401
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
                if self._now >= awaited:
                    self._enough.set()
            if blob_id.startswith("p"):
                self._enough.wait(patience)
            try:
                return real(storage, blob_id, data, *more)
            finally:
                with self._lock:
                    self._now -= 1

        monkeypatch.setattr(FilesystemStorage, "put", put)

    def _watch(self) -> None:
        while not self._ended.wait(0.001):
            self.files = max(self.files, open_below(self._folder))

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()


def open_below(folder: Path) -> int:
    """Return how many files below a folder this process has open."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if folder in path.parents and path.is_file():
                found.add(path)
    return len(found)


@pytest.mark.parametrize(
    ("parallelism", "uploads", "least", "most", "files"),
    [("", None, 1, 1, 1), ("1", None, 1, 1, 1), ("3", None, 3, 3, 3), ("3", 1, 1, 1, 3), ("1", 3, 1, 3, 1)],
)
def test_rows_3_100_115_208_253_streams_to_the_storage_follow_the_parallelism(
    mover: Mover,
    monkeypatch: pytest.MonkeyPatch,
    parallelism: str,
    uploads: int | None,
    least: int,
    most: int,
    files: int,
) -> None:
    if uploads:
        mover.policy_files({"global-policy.json": json.dumps({"upload": {"parallelUploads": uploads}})})
    mover.write({f"f{number}": os.urandom(11 << 20) for number in range(8)})
    with Streams(monkeypatch, mover.data, awaited=max(least, 2), patience=0.2 if least == 1 else 20) as streams:
        mover.ok("backup", KOPIA_PARALLELISM=parallelism)
    assert least <= streams.most <= most
    assert streams.files == files
    with mover.open() as repository:
        assert max(blob.length for blob in repository.storage.list()) < 30 << 20


def test_m_120_a_flag_for_parallel_streams_wins_over_the_spec(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    mover.write({f"f{number}": os.urandom(11 << 20) for number in range(8)})
    with Streams(monkeypatch, mover.data, awaited=3, patience=20) as streams:
        mover.ok("backup", KOPIA_PARALLELISM="1", KOPIA_ADDITIONAL_ARGS="--parallel=3")
    assert (streams.most, streams.files) == (3, 3)


def test_row_208_with_a_parallelism_of_one_no_call_of_the_storage_begins_before_another_has_ended(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, waits = threading.Lock(), threading.Event()
    now, overlaps = [0], []

    def watch(name: str) -> None:
        real = getattr(FilesystemStorage, name)

        def call(*arguments: Any) -> object:  # noqa: ANN401
            with lock:
                now[0] += 1
                if now[0] > 1:
                    overlaps.append(name)
            waits.wait(0.005)  # a slow storage: another call may come meanwhile
            try:
                return real(*arguments)
            finally:
                with lock:
                    now[0] -= 1

        monkeypatch.setattr(FilesystemStorage, name, call)

    mover.write({f"d{number}/{name}": os.urandom(5 << 20) for number in range(4) for name in "ab"})
    mover.ok("backup")
    mover.ok("backup")
    for name in ("get", "get_into", "put", "delete", "metadata"):
        watch(name)
    for operation, parallelism in (("backup", "1"), ("restore", "1"), ("restore", "4")):
        for number in range(4):
            mover.write({f"d{number}/a": os.urandom(5 << 20)})
        shutil.rmtree(mover.folder / "cache")
        (mover.folder / "cache").mkdir()
        overlaps.clear()
        mover.ok(operation, KOPIA_PARALLELISM=parallelism)
        assert bool(overlaps) is (parallelism != "1"), (operation, overlaps)


# ---------------------------------------------------------------------- actions


def test_rows_10_123_124_209_213_214_m_110_commands_run_before_and_after(mover: Mover) -> None:
    mover.write({"a": "b"})
    result = mover.ok(
        "backup",
        KOPIA_BEFORE_SNAPSHOT=f"cd {mover.data} && echo dump | tr d D > dump.sql; echo told",
        KOPIA_AFTER_SNAPSHOT=f"rm -f {mover.data}/dump.sql && touch {mover.data}/after",
    )
    assert "[before-snapshot] told" in result.lines
    assert not (mover.data / "dump.sql").exists()
    mover.ok("restore")
    assert (mover.target / "dump.sql").read_text() == "Dump\n"
    assert not (mover.target / "after").exists()


def test_row_122_without_actions_nothing_is_run(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    mover.write({"a": "b"})
    assert not [line for line in mover.ok("backup").lines if " action" in line and "[" not in line]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo why; exit 3", "exit status 3"),
        ("mysqldump-is-not-here --all > /dev/null", "127"),
        ("echo 3 > /proc/sys/kernel/no-such-thing", "rights|mover's container"),
    ],
)
def test_rows_210_298_300_m_110_an_action_that_fails_is_explained_and_nothing_is_taken(
    mover: Mover, command: str, told: str
) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    result = mover.fails(
        "action", "backup", KOPIA_BEFORE_SNAPSHOT=command, KOPIA_AFTER_SNAPSHOT=f"touch {mover.data}/ran"
    )
    assert result.status == 17
    assert re.search(told, result.last)
    assert len(mover.sources()) == 1
    assert not (mover.data / "ran").exists()


def test_row_211_an_action_that_takes_too_long_is_ended_with_all_it_started(mover: Mover) -> None:
    mover.write({"a": "b"})
    command = f"sleep 300 & echo $! > {mover.folder}/child; echo before the end; sleep 300"
    result = mover.fails("action", "backup", KOPIA_BEFORE_SNAPSHOT=command, KOPIA_ACTION_TIMEOUT="1")
    assert "timed out after 1 seconds" in result.last
    assert "KOPIA_ACTION_TIMEOUT" in result.last
    child = Path("/proc") / (mover.folder / "child").read_text().strip() / "stat"
    assert not child.exists() or child.read_text().rpartition(") ")[2].startswith("Z")


def test_an_after_action_that_fails_is_a_warning(mover: Mover) -> None:
    mover.write({"a": "b"})
    result = mover.ok("backup", KOPIA_AFTER_SNAPSHOT="exit 4")
    assert any("exit status 4" in each for each in result.termination["warnings"])


def test_row_215_long_text_with_quotes_and_options_arrives_unchanged(mover: Mover) -> None:
    mover.write({"a": "b"})
    text = "x" * 5000
    mover.ok("backup", KOPIA_BEFORE_SNAPSHOT=f"printf '%s --single-transaction \"q\"' '{text}' > {mover.data}/out")
    assert (mover.data / "out").read_text() == f'{text} --single-transaction "q"'


def test_row_212_an_action_gets_a_shell_the_volume_and_no_secret(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", KOPIA_BEFORE_SNAPSHOT=f"env > {mover.data}/env", AWS_SECRET_ACCESS_KEY="canary-key")
    seen = (mover.data / "env").read_text()
    assert f"KOPIA_SOURCE_PATH={mover.data}" in seen
    assert "KOPIA_ACTION=before-snapshot" in seen
    assert PASSWORD not in seen
    assert "canary-key" not in seen


@pytest.mark.parametrize(("enable", "runs"), [(True, True), (False, False), (None, False)])
def test_rows_263_264_282_m_100_policy_actions_run_only_when_enabled(
    mover: Mover, enable: bool | None, runs: bool
) -> None:
    mover.write({"a": "b"})
    action = {"script": f"touch {mover.data}/ran", "timeout": "1m", "mode": "essential"}
    mover.policy_files({"global-policy.json": json.dumps({"actions": {"beforeSnapshotRoot": action}})})
    if enable is not None:
        mover.policy_files({"repository.config": json.dumps({"enableActions": enable})})
    result = mover.ok("backup")
    assert (mover.data / "ran").exists() is runs
    assert (
        any("1 policy actions are defined but enableActions is not true" in line for line in result.lines) is not runs
    )


@pytest.mark.parametrize(("mode", "status"), [("essential", 17), ("optional", 0)])
def test_row_276_m_111_a_policy_action_that_fails_ends_the_backup_only_if_it_is_essential(
    mover: Mover, mode: str, status: int
) -> None:
    mover.write({"a": "b"})
    actions = {"beforeSnapshotRoot": {"script": "exit 5", "mode": mode}}
    mover.policy_files(
        {"global-policy.json": json.dumps({"actions": actions}), "repository.config": '{"enableActions": true}'}
    )
    result = mover("backup")
    assert result.status == status
    assert len(mover.sources()) == (0 if status else 1)


def test_row_151_override_and_actions_go_together(mover: Mover) -> None:
    mover.write({"a": "b"})
    spec = EXAMPLES["sources"]["mysql-backup"]["kopia"]
    result = mover.ok(
        "backup",
        KOPIA_SOURCE_PATH_OVERRIDE=spec["sourcePathOverride"],
        KOPIA_BEFORE_SNAPSHOT=spec["actions"]["beforeSnapshot"]
        .replace("mysqldump", "echo")
        .replace("/var/lib/mysql", str(mover.data)),
        KOPIA_AFTER_SNAPSHOT=spec["actions"]["afterSnapshot"].replace("/var/lib/mysql", str(mover.data)),
        KOPIA_RETAIN_DAILY=str(spec["retain"]["daily"]),
    )
    assert result.termination["identity"] == "ns@app:/var/lib/mysql"
    assert result.termination["snapshot"]["files"] == 2
    assert not (mover.data / "backup.sql").exists()


# ---------------------------------------------------------------------- parallel, memory, together


def test_row_115_m_080b_parallelism_defaults_to_one_and_is_reduced_to_what_fits(mover: Mover) -> None:
    mover.write({f"f{number}": os.urandom(1000) for number in range(20)})
    mover.ok("backup")
    (mover.folder / "memory.max").write_text(str(memory_of(3)))
    result = mover.ok("backup", KOPIA_PARALLELISM="16")
    assert any("parallelism 16 does not fit" in line and "3 is used" in line for line in result.lines)


def test_rows_7_20_288_289_m_080g_movers_at_the_same_time_in_one_repository_all_succeed(tmp_path: Path) -> None:
    movers = []
    for number in range(4):
        mover = Mover.below(tmp_path / str(number)).with_environment(
            KOPIA_REPOSITORY=f"filesystem://{tmp_path}/shared", VOLSYNC_OWNER_NAME=f"app-{number}"
        )
        mover.write({"who": str(number), "blob": os.urandom(100_000)})
        movers.append(mover)
    results = {}

    def work(number: int) -> None:
        results[number] = [movers[number]("backup").status for _ in range(2)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [0, 0] for number in range(4)}
    with pykopia.connect(str(tmp_path / "shared"), PASSWORD) as repository:
        assert len(repository.snapshots.list()) == 8
        assert repository.snapshots.verify().errors == ()
    for number, mover in enumerate(movers):
        mover.ok("restore")
        assert (mover.target / "who").read_text() == str(number)


# ---------------------------------------------------------------------- signals


def test_m_006_sigterm_ends_the_process_with_its_status_and_a_message(mover: Mover) -> None:
    mover.write({"a": "b"})
    environment = {
        **os.environ,
        **mover.environment,
        "DATA_DIR": str(mover.data),
        "KOPIA_BEFORE_SNAPSHOT": "echo started; sleep 60",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pykopia_mover", "backup"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "started" in line:
            process.terminate()
            break
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 143
    assert rest.splitlines()[-1].startswith("ERROR: ")
    assert json.loads((mover.folder / "termination.json").read_text())["code"] == "terminated"


# ---------------------------------------------------------------------- what the contract says besides


def test_m_094_m_080a_retention_that_was_changed_holds_in_the_same_run(mover: Mover, time: FakeClock) -> None:
    zeros = {f"KOPIA_RETAIN_{kind}": "0" for kind in ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
    for number in range(4):
        mover.write({"a": str(number)})
        mover.ok("backup", **zeros, KOPIA_RETAIN_LATEST="9")
        time.advance(hours=1)
    assert mover.ok("backup", **zeros, KOPIA_RETAIN_LATEST="2").termination["retention"] == {"kept": 2, "deleted": 3}


def test_m_094a_all_zero_keeps_what_is_there_and_pins_outlive_every_rule(mover: Mover, time: FakeClock) -> None:
    counts = {f"KOPIA_RETAIN_{kind}": "0" for kind in ("LATEST", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
    mover.write({"a": "pinned"})
    mover.ok("backup", **counts, KOPIA_ADDITIONAL_ARGS="--pin=legal")
    for number in range(2):
        time.advance(days=1)
        mover.write({"a": str(number)})
        assert mover.ok("backup", **counts).termination["retention"]["deleted"] == 0
    time.advance(days=1)
    assert mover.ok("backup", **counts | {"KOPIA_RETAIN_LATEST": "1"}).termination["retention"]["kept"] == 2
    with mover.open() as repository:
        assert [each.pins for each in repository.snapshots.list()] == [("legal",), ()]


def test_m_095_another_compressor_stores_nothing_anew(mover: Mover) -> None:
    mover.write({"a.txt": "".join(f"line {number}\n" for number in range(60_000))})
    mover.ok("backup", KOPIA_COMPRESSION="gzip")
    again = mover.ok(
        "backup", KOPIA_COMPRESSION="zstd", KOPIA_ADDITIONAL_ARGS="--force-hash=100", KOPIA_LOG_LEVEL="debug"
    ).termination["snapshot"]
    assert (again["cachedFiles"], again["newBytes"] < 5_000) == (0, True)


def test_m_080d_a_file_that_goes_while_it_is_backed_up_is_a_warning(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.write({"a": "b", "zz": "x" * 5_000_000})
    real = os.open

    def opened(path: Any, *more: Any, **named: Any) -> int:  # noqa: ANN401
        if str(path).endswith("/zz"):
            (mover.data / "zz").unlink(missing_ok=True)
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", opened)
    result = mover.ok("backup")
    assert result.termination["snapshot"]["files"] == 1
    assert any("left out: zz" in each for each in result.termination["warnings"])


def test_m_080f_an_unreadable_lost_and_found_is_no_error(mover: Mover) -> None:
    mover.write({"a": "b", "lost+found/x": "y"})
    (mover.data / "lost+found").chmod(0)
    done = unprivileged(mover)
    (mover.data / "lost+found").chmod(0o700)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: lost+found" in done.stdout


def test_m_110_the_after_action_runs_when_the_snapshot_fails_and_knows_it(
    mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")

    def put(*_: object) -> None:
        raise StorageError("the storage went away")

    monkeypatch.setattr(FilesystemStorage, "put", put)
    mover.write({"a": "c"})
    after = f'echo "$KOPIA_SNAPSHOT_RESULT $KOPIA_SNAPSHOT_ID." > {mover.folder}/after'
    mover.fails("unreachable", "backup", KOPIA_BEFORE_SNAPSHOT="true", KOPIA_AFTER_SNAPSHOT=after)
    assert (mover.folder / "after").read_text() == "failure .\n"
    monkeypatch.undo()
    taken = mover.ok("backup", KOPIA_AFTER_SNAPSHOT=after).termination["snapshot"]["id"]
    assert (mover.folder / "after").read_text() == f"success {taken}.\n"


def test_m_110_a_talkative_action_fills_no_log(mover: Mover) -> None:
    mover.write({"a": "b"})
    result = mover.ok("backup", KOPIA_BEFORE_SNAPSHOT="yes 0123456789012345678901234567890123456789 | head -c 400000")
    assert 60_000 < len(result.log) < 120_000
    assert "the rest of the output is left out" in result.log


def test_m_111_actions_of_the_spec_enclose_those_of_policies(mover: Mover) -> None:
    mover.write({"a": "b"})
    order = mover.folder / "order"
    actions = {
        name: {"script": f"echo policy-{name} >> {order}; echo told by {name}"}
        for name in ("beforeSnapshotRoot", "afterSnapshotRoot")
    }
    mover.policy_files(
        {"global-policy.json": json.dumps({"actions": actions}), "repository.config": '{"enableActions": true}'}
    )
    spec = {f"KOPIA_{when}_SNAPSHOT": f"echo spec-{when} >> {order}" for when in ("BEFORE", "AFTER")}
    result = mover.ok("backup", **spec)
    assert any("told by beforeSnapshotRoot" in line for line in result.lines)
    assert order.read_text().split() == [
        "spec-BEFORE", "policy-beforeSnapshotRoot", "policy-afterSnapshotRoot", "spec-AFTER",
    ]  # fmt: skip


def test_m_111_an_action_of_a_policy_may_name_another_place_to_read(mover: Mover) -> None:
    mover.write({"a": "b"})
    frozen = mover.folder / "frozen"
    frozen.mkdir()
    (frozen / "of-the-copy").write_text("x")
    actions = {"beforeSnapshotRoot": {"script": f"echo KOPIA_SNAPSHOT_PATH={frozen}"}}
    mover.policy_files(
        {"global-policy.json": json.dumps({"actions": actions}), "repository.config": '{"enableActions": true}'}
    )
    mover.ok("backup")
    mover.ok("restore")
    assert [path.name for path in mover.target.iterdir()] == ["of-the-copy"]


def test_m_100_enable_actions_false_switches_those_of_the_spec_off_too_and_another_type_is_told(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.policy_files({"repository.config": '{"enableActions": false, "storage": {"type": "s3"}}'})
    result = mover.ok("backup", KOPIA_BEFORE_SNAPSHOT=f"touch {mover.data}/ran")
    assert not (mover.data / "ran").exists()
    assert any("switched off by enableActions: false" in line for line in result.lines)
    assert any("names storage of type s3" in each for each in result.termination["warnings"])


def test_m_145_a_backup_warns_when_maintenance_is_missing(mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    mover.write({"a": "b"})
    for _ in range(3):
        assert not [line for line in mover.ok("backup").lines if "maintenance is not running" in line]
    monkeypatch.setattr("pykopia_mover.backup.MANY_INDEXES", 2)
    [told] = [line for line in mover.ok("backup").lines if "maintenance is not running" in line]
    assert re.search(r"has \d+ index blobs in use", told)


@pytest.mark.parametrize(
    ("modes", "expected"), [({}, (0o600, 0o700)), ({"FILE": "0660", "DIR": "0770"}, (0o660, 0o770))]
)
def test_m_011_files_of_a_repository_have_the_modes_that_are_asked_for(
    mover: Mover, modes: dict[str, str], expected: tuple[int, int]
) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", **{f"KOPIA_FS_{kind}_MODE": mode for kind, mode in modes.items()})
    found = {path.is_dir(): path.stat().st_mode & 0o777 for path in mover.repository_folder.rglob("[!.]*")}
    assert (found[False], found.get(True, expected[1])) == expected
