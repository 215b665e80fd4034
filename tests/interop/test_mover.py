"""What the mover makes, a real kopia lists and restores under the right identity; and the other way round."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mover.harness import EXAMPLES, PASSWORD, Mover, tree

from .kopia_cli import KopiaCLI


@pytest.fixture
def mover(tmp_path: Path) -> Mover:
    return Mover.below(tmp_path / "mover")


@pytest.fixture
def of_kopia(kopia: KopiaCLI) -> KopiaCLI:
    """Return a kopia that has the mover's password and identity."""
    return kopia.client("of-mover", username="ns", hostname="app", password=PASSWORD)


def connected(kopia: KopiaCLI, mover: Mover) -> KopiaCLI:
    kopia.connect(mover.repository_folder)
    return kopia


def test_rows_22_145_156_kopia_opens_what_the_mover_made_and_sees_the_overridden_path(
    mover: Mover, of_kopia: KopiaCLI, tmp_path: Path
) -> None:
    mover.write({"a.txt": "one", "d/b.bin": os.urandom(300_000)})
    for namespace in ("production", "staging"):
        mover.ok(
            "backup",
            VOLSYNC_OWNER_NAMESPACE=namespace,
            VOLSYNC_OWNER_NAME="mysql-primary",
            KOPIA_SOURCE_PATH_OVERRIDE=EXAMPLES["sources"][f"{namespace}/mysql-primary"]["kopia"]["sourcePathOverride"],
        )
    connected(of_kopia, mover)
    listed = of_kopia.snapshot_list()
    assert [each["source"] for each in listed] == [
        {"host": "mysql-primary", "userName": namespace, "path": "/var/lib/mysql"}
        for namespace in ("production", "staging")
    ]
    assert listed[0]["tags"] == {"tag:volsync-namespace": "production", "tag:volsync-name": "mysql-primary"}
    text = of_kopia.run("snapshot", "list", all=True).stdout
    assert "production@mysql-primary:/var/lib/mysql" in text
    of_kopia.restore(listed[0]["id"], tmp_path / "restored")
    assert tree(tmp_path / "restored") == tree(mover.data)
    of_kopia.verify_all()


@pytest.mark.parametrize("name", ["zstd", "gzip", "s2", "none"])
def test_rows_5_114_kopia_reads_what_each_compressor_made(
    mover: Mover, of_kopia: KopiaCLI, tmp_path: Path, name: str
) -> None:
    mover.write({"a.txt": "compressible " * 50_000})
    result = mover.ok("backup", KOPIA_COMPRESSION=name)
    connected(of_kopia, mover).restore(result.termination["snapshot"]["id"], tmp_path / "restored")
    assert tree(tmp_path / "restored") == tree(mover.data)


def test_row_113_kopia_sees_contents_compressed_with_zstd_where_nothing_is_said(
    mover: Mover, of_kopia: KopiaCLI
) -> None:
    mover.write({"a.txt": "compressible " * 50_000})
    mover.ok("backup")
    connected(of_kopia, mover)
    assert of_kopia.json("policy", "show", "ns@app:/data")["compression"]["compressorName"] == "zstd"
    contents = of_kopia.run("content", "list", "--compression").stdout
    assert re.search(r"\bzstd\b", contents), contents


def test_row_111_kopia_sees_the_retention_of_the_documented_source(mover: Mover, of_kopia: KopiaCLI) -> None:
    mover.write({"a": "b"})
    retain = {"HOURLY": "6", "DAILY": "7", "WEEKLY": "4", "MONTHLY": "6", "YEARLY": "2"}
    mover.ok("backup", **{f"KOPIA_RETAIN_{kind}": count for kind, count in retain.items()})
    stored = json.loads(connected(of_kopia, mover).run("policy", "export", "ns@app:/data").stdout)["ns@app:/data"]
    assert stored["retention"] == {
        "keepHourly": 6, "keepDaily": 7, "keepWeekly": 4, "keepMonthly": 6, "keepAnnual": 2,
    }  # fmt: skip


def test_rows_7_11_20_kopia_finds_whole_what_movers_and_maintenance_wrote_at_the_same_time(
    of_kopia: KopiaCLI, tmp_path: Path
) -> None:
    movers = [
        Mover.below(tmp_path / str(number)).with_environment(
            KOPIA_REPOSITORY=f"filesystem://{tmp_path}/shared", VOLSYNC_OWNER_NAME=f"app-{number}"
        )
        for number in range(2)
    ]
    for number, mover in enumerate(movers):
        mover.write({"who": str(number), "old": os.urandom(100_000)})
        mover.ok("backup")
        mover.write({"new": os.urandom(3_000_000), **{f"d/{each}": os.urandom(2_000) for each in range(200)}})
    jobs = [(movers[0], "backup"), (movers[1], "backup"), (movers[0], "maintenance")]
    processes = []
    for number, (mover, operation) in enumerate(jobs):
        environment = {
            **os.environ,
            **mover.environment,
            "DATA_DIR": str(mover.data),
            "TERMINATION_LOG": str(tmp_path / f"result-{number}"),
            "KOPIA_CACHE_DIR": str(tmp_path / f"cache-{number}"),
            "KOPIA_MAINTENANCE_FORCE": "true",
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "pykopia_mover", operation],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for process in processes:
        log, _ = process.communicate(timeout=120)
        assert process.returncode == 0, log
    of_kopia.connect(tmp_path / "shared")
    of_kopia.verify_all()
    listed = of_kopia.snapshot_list()
    assert sorted(each["source"]["host"] for each in listed) == ["app-0", "app-0", "app-1", "app-1"]
    for number, mover in enumerate(movers):
        newest = [each["id"] for each in listed if each["source"]["host"] == f"app-{number}"][-1]
        of_kopia.restore(newest, tmp_path / f"restored-{number}")
        assert tree(tmp_path / f"restored-{number}") == tree(mover.data)


def test_rows_252_259_274_kopia_shows_the_policies_that_the_mover_set(mover: Mover, of_kopia: KopiaCLI) -> None:
    mover.write({"a": "b"})
    mover.policy_files(
        {
            "global-policy.json": EXAMPLES["policies"]["documented policy"]["global-policy.json"],
            "repository.config": EXAMPLES["policies"]["documented repository.config"]["repository.config"].replace(
                "true", "false"
            ),
        }
    )
    mover.ok("backup", KOPIA_RETAIN_DAILY="7", KOPIA_COMPRESSION="gzip", KOPIA_RETAIN_HOURLY="6")
    connected(of_kopia, mover)
    shown = of_kopia.json("policy", "show", "ns@app:/data")
    assert shown["retention"]["keepDaily"] == 30
    assert shown["retention"]["keepHourly"] == 24
    assert shown["compression"]["compressorName"] == "zstd"
    assert shown["compression"]["neverCompress"] == [".jpg", ".mp4", ".png"]
    assert shown["compression"]["maxSize"] == 1073741824
    assert "node_modules/" in shown["files"]["ignore"]
    assert shown["files"]["ignoreCacheDirs"] is True
    assert shown["upload"]["maxParallelSnapshots"] == 4
    assert shown["actions"]["beforeSnapshotRoot"]["timeout"] == 300
    assert of_kopia.json("policy", "show", **{"global": True})["retention"]["keepAnnual"] == 3


def test_row_248_flags_on_parents_are_stored_as_kopia_stores_them(mover: Mover, of_kopia: KopiaCLI) -> None:
    mover.write({"a": "b"})
    mover.policy_files({"global-policy.json": json.dumps({"files": {"noParentIgnoreRules": True, "ignore": ["*.x"]}})})
    mover.ok("backup")
    stored = json.loads(connected(of_kopia, mover).run("policy", "export", "--global").stdout)
    assert stored["(global)"]["files"]["noParentIgnore"] is True


@pytest.mark.parametrize("maintained_by", ["kopia", "mover"])
def test_c3_c4_kopia_and_the_mover_take_turns_in_one_repository(
    mover: Mover, of_kopia: KopiaCLI, tmp_path: Path, maintained_by: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "by-kopia").write_bytes(os.urandom(100_000))
    of_kopia.create_repository(mover.repository_folder)
    of_kopia.snapshot_create(source, override_source="ns@app:/data")
    first = mover.ok("restore")
    assert first.termination["identity"] == "ns@app:/data"
    assert tree(mover.target) == tree(source)

    mover.write({"by-mover": os.urandom(100_000), "by-kopia": (source / "by-kopia").read_bytes()})
    second = mover.ok("backup")
    assert second.termination["snapshot"]["newBytes"] < 150_000  # what kopia had stored is not stored again
    if maintained_by == "kopia":
        of_kopia.maintenance_run()
    else:
        result = mover.ok("maintenance", KOPIA_OVERRIDE_MAINTENANCE_USERNAME="ns@app", KOPIA_MAINTENANCE_FORCE="true")
        assert result.termination["maintenance"]["ran"] == ["quick", "full"]
    of_kopia.restore(second.termination["snapshot"]["id"], tmp_path / "restored")
    assert tree(tmp_path / "restored") == tree(mover.data)
    assert len(of_kopia.snapshot_list()) == 2
    of_kopia.verify_all()
    mover.ok("backup")
    of_kopia.verify_all()


def test_c5_a_cache_volume_that_a_real_kopia_has_filled_is_put_up_with(
    mover: Mover, of_kopia: KopiaCLI, tmp_path: Path
) -> None:
    mover.write({"a": os.urandom(100_000)})
    mover.ok("backup")
    cache = mover.folder / "cache"
    of_kopia.connect(mover.repository_folder, cache_directory=cache)
    of_kopia.snapshot_list()
    (cache / "kopia.config").write_text('{"storage": {"type": "s3", "config": {"bucket": "elsewhere"}}}')
    mover.write({"b": "c"})
    mover.ok("backup")
    assert (cache / "kopia.config").exists()
    mover.ok("backup", KOPIA_CACHE_CAPACITY_BYTES="1000")
    assert not (cache / "kopia.config").exists()
    of_kopia.connect(mover.repository_folder)
    of_kopia.verify_all()


def test_row_131_kopia_sees_only_what_retention_kept(mover: Mover, of_kopia: KopiaCLI) -> None:
    keep = {f"KOPIA_RETAIN_{kind}": "0" for kind in ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
    for number in range(4):
        mover.write({"a": str(number)})
        mover.ok("backup", **keep, KOPIA_RETAIN_LATEST="2")
    assert len(connected(of_kopia, mover).snapshot_list()) == 2


@pytest.mark.parametrize(
    "section", ["Creating repository", "Starting backup", "Applying retention policy", "Starting maintenance"]
)
def test_c10_a_mover_that_is_killed_leaves_a_repository_that_works(
    mover: Mover, of_kopia: KopiaCLI, tmp_path: Path, section: str
) -> None:
    mover.write({f"f{number}": os.urandom(400_000) for number in range(40)})
    environment = {**os.environ, **mover.environment, "DATA_DIR": str(mover.data)}
    process = subprocess.Popen(
        [sys.executable, "-m", "pykopia_mover", "backup", "maintenance"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    assert any(f"=== {section} ===".encode() in line for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    result = mover.ok("backup", "maintenance")
    assert result.termination["op"] == "maintenance"
    connected(of_kopia, mover).verify_all()
    mover.ok("restore")
    assert tree(mover.target) == tree(mover.data)


def test_m_060_m_062_m_042_m_090_kopia_sees_overridden_identities_the_owner_and_the_policy_of_the_source(
    mover: Mover, kopia: KopiaCLI, tmp_path: Path
) -> None:
    mover.write({"a": "b"})
    overridden = {
        "KOPIA_OVERRIDE_USERNAME": "My User",
        "KOPIA_OVERRIDE_HOSTNAME": "prod.Cluster-1",
        "KOPIA_SOURCE_PATH_OVERRIDE": "/srv//db/",
        "KOPIA_RETAIN_DAILY": "5",
        "KOPIA_COMPRESSION": "s2",
        "KOPIA_ADDITIONAL_ARGS": "--pin=legal|VOLSYNC_ARG_SEP|--description=by hand",
    }
    mover.ok("backup", **overridden)
    same = kopia.client("same", username="My User", hostname="prod.Cluster-1", password=PASSWORD)
    connected(same, mover)
    [snapshot] = same.snapshot_list()
    assert snapshot["source"] == {"userName": "My User", "host": "prod.Cluster-1", "path": "/srv/db"}
    assert (snapshot["pins"], snapshot["description"]) == (["legal"], "by hand")
    of_source = same.json("policy", "show", "My User@prod.Cluster-1:/srv/db")
    assert (of_source["retention"]["keepDaily"], of_source["compression"]["compressorName"]) == (5, "s2-default")
    assert of_source["retention"]["keepLatest"] == 10  # Kopia's own, of the global policy
    assert same.json("maintenance", "info")["owner"] == "maintenance@volsync"
    assert same.json("maintenance", "info")["quick"]["enabled"] is True

    source = tmp_path / "source"
    source.mkdir()
    (source / "by-kopia").write_text("x")
    same.snapshot_create(source, override_source="My User@prod.Cluster-1:/srv/db")
    mover.ok("restore", **overridden | {"KOPIA_ADDITIONAL_ARGS": ""})
    assert tree(mover.target) == {"by-kopia": b"x"}
    mover.ok("restore", **overridden | {"KOPIA_ADDITIONAL_ARGS": "", "KOPIA_PREVIOUS": "1"})
    assert tree(mover.target) == {"by-kopia": b"x", "a": b"b"}


def test_m_141_the_owner_that_a_mover_becomes_is_the_one_that_kopia_sees(mover: Mover, of_kopia: KopiaCLI) -> None:
    of_kopia.create_repository(mover.repository_folder)
    assert of_kopia.json("maintenance", "info")["owner"] == "ns@app"
    mover.write({"a": "b"})
    left = mover.ok("backup", "maintenance")
    assert left.termination["result"] == "success"  # of the backup
    assert "owned by ns@app" in left.termination["maintenance"]["skipped"]
    assert of_kopia.json("maintenance", "info")["owner"] == "ns@app"
    of_kopia.maintenance_run()
    taken = mover.run((), {"DIRECTION": "maintenance", "KOPIA_MAINTENANCE_FORCE": "true"})
    assert taken.status == 0, taken.log
    assert of_kopia.json("maintenance", "info")["owner"] == "maintenance@volsync"
    of_kopia.verify_all()
