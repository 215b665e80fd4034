"""Whole runs, and what one leaves for the next: identities, policies, compressors, actions, files with holes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pykopia_mover.commands import advice
from pykopia_mover.compression import compressor

from pykopia import SourceInfo
from tests.mover.harness import EXAMPLES, Mover, tree

ROOT = Path(__file__).parents[2]


def test_m_064_a_backup_and_a_restore_go_on_with_the_snapshots_of_an_older_mover_and_say_so(mover: Mover) -> None:
    mover.write({"a": "of the older mover"})
    older = {"VOLSYNC_OWNER_NAMESPACE": "", "VOLSYNC_OWNER_NAME": ""}
    mover.ok("backup", **older, KOPIA_OVERRIDE_USERNAME="volsync", KOPIA_OVERRIDE_HOSTNAME="ns-app")
    listed = {"KOPIA_LEGACY_IDENTITIES": "app@ns,volsync@ns-app"}
    restored = mover.ok("restore", **listed)
    assert tree(mover.target) == {"a": b"of the older mover"}
    backed_up = mover.ok("backup", **listed)
    for result in (restored, backed_up):
        assert "Adopting existing snapshot identity volsync@ns-app:/data" in result.lines
        assert (result.termination["identity"], result.termination["adopted"]) == ("volsync@ns-app:/data", True)
    assert backed_up.termination["snapshot"]["cachedFiles"] == 1
    assert mover.sources() == ["volsync@ns-app:/data"] * 2
    assert "adopted" not in mover.ok("backup").termination
    assert mover.sources()[-1] == "ns@app:/data"


def test_m_093_runs_with_the_same_settings_write_no_policy_again(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.policy_files(EXAMPLES["policies"]["kopia-policies"])
    written = []
    for _ in range(2):
        mover.ok("backup", KOPIA_RETAIN_HOURLY="3")
        with mover.open() as repository:
            written.append({entry.id for entry in repository.manifests.find({"type": "policy"})})
    assert written[0] == written[1]


def test_m_042_the_global_policy_of_a_new_repository_is_that_of_kopia(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    with mover.open() as repository:
        defined = repository.policies.defined(SourceInfo())
        assert defined is not None
        assert (defined.policy.retention.keep_latest, defined.policy.retention.keep_hourly) == (10, 48)
        assert defined.policy.compression.compressor_name == "none"


def test_m_095_every_name_of_kopia_is_a_compressor_and_an_unknown_one_is_refused_with_the_list() -> None:
    names = (
        "none", "s2-default", "s2-better", "s2-parallel-4", "s2-parallel-8", "zstd", "zstd-fastest",
        "zstd-better-compression", "zstd-best-compression", "gzip", "gzip-best-speed", "gzip-best-compression", "pgzip",
        "pgzip-best-speed", "pgzip-best-compression", "deflate-best-speed", "deflate-default", "deflate-best-compression",
    )  # fmt: skip
    assert tuple(compressor(name, setting="x") for name in names) == names
    with pytest.raises(Exception, match="unknown compression 'lzma'") as caught:
        compressor("lzma", setting="KOPIA_COMPRESSION")
    assert [name for name in names if name not in str(caught.value)] == []


def test_row_209_both_commands_are_shell_with_pipes_redirections_and_sequences(mover: Mover) -> None:
    mover.write({"a": "b"})
    text = "cd {folder} && printf 'one\\ntwo\\n' | grep two > {name} && test -s {name} || exit 9"
    mover.ok(
        "backup",
        KOPIA_BEFORE_SNAPSHOT=text.format(folder=mover.data, name="before"),
        KOPIA_AFTER_SNAPSHOT=text.format(folder=mover.data, name="after"),
    )
    assert tree(mover.data) == {"a": b"b", "before": b"two\n", "after": b"two\n"}


@pytest.mark.skipif(os.getuid() != 0, reason="root gives the right to write to the kernel's settings up")
def test_rows_210_300_the_documented_command_that_only_the_node_may_run_is_explained() -> None:
    action = "true && echo 3 > /proc/sys/vm/drop_caches"
    words = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--bounding-set",
        "-all",
        "--inh-caps",
        "-all",
    ]
    done = subprocess.run([*words, "sh", "-c", action], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode != 0
    told = advice(done.returncode, done.stderr.splitlines())
    assert "with its rights and without any to the node's kernel" in told
    assert "with its rights and without any to the node's kernel" in advice(
        1, ["sh: 1: cannot create /x: Read-only file system"]
    )
    assert "node's kernel" not in advice(3, ["why"])


def test_m_135_long_runs_of_zeros_come_back_as_holes_unless_a_flag_says_otherwise(mover: Mover) -> None:
    with (mover.data / "image").open("wb") as file:
        file.write(b"begin")
        file.truncate(30 << 20)
    mover.ok("backup")
    allocated = []
    for flags in ("", "--no-write-sparse-files"):
        mover.ok("restore", KOPIA_ADDITIONAL_ARGS=flags)
        allocated.append((mover.target / "image").stat().st_blocks * 512)
        assert (mover.target / "image").read_bytes() == (mover.data / "image").read_bytes()
        (mover.target / "image").unlink()
    assert allocated[0] < 9 << 20
    assert allocated[1] >= 30 << 20


def test_m_080a_rules_and_the_compressor_that_were_changed_hold_in_the_same_run(mover: Mover) -> None:
    mover.write({"a.log": "x", "b.txt": "compressible " * 40_000})
    mover.ok("backup", KOPIA_COMPRESSION="none")
    mover.write({"b.txt": "of another text " * 40_000})
    mover.policy_files(
        {"global-policy.json": '{"files": {"ignore": ["*.log"]}, "compression": {"compressorName": "zstd"}}'}
    )
    taken = mover.ok("backup", KOPIA_COMPRESSION="none").termination["snapshot"]
    assert (taken["files"], taken["newBytes"] < 50_000) == (1, True)


@pytest.mark.skipif(os.getuid() != 0, reason="root gives the right to read everything up")
def test_rows_249_250_m_080d_errors_are_counted_in_the_snapshot_and_left_out_entries_are_warnings(mover: Mover) -> None:
    script = (
        "import json, pathlib, sys\n"
        "from tests.mover.harness import Mover\n"
        "done = Mover(folder=pathlib.Path(sys.argv[1]), environment=json.loads(sys.argv[2]))('backup')\n"
        "print(json.dumps([done.status, done.lines, done.termination]))\n"
    )
    mover.write({"a": "b", "locked": "x", "folder/inside": "y"})
    (mover.data / "locked").chmod(0)
    (mover.data / "folder").chmod(0)
    found = []
    for ignored in (False, True):
        handling = dict.fromkeys(("ignoreFileErrors", "ignoreDirectoryErrors"), ignored)
        mover.policy_files({"global-policy.json": json.dumps({"errorHandling": handling})})
        words = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", sys.executable, "-c", script]
        done = subprocess.run(
            [*words, str(mover.folder), json.dumps(mover.environment)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        found.append(json.loads(done.stdout))
    (failed, lines, result), (passed, warned, _) = found
    assert (failed, passed, result["snapshot"]["errors"]) == (18, 0, 2)
    for name in ("locked", "folder"):
        assert any(line.startswith(f"not in the snapshot: {name}: ") for line in lines)
        assert any(line.startswith(f"WARNING: left out: {name}: ") for line in warned)
    (mover.data / "folder").chmod(0o700)
    with mover.open() as repository:
        summaries = [each.root_entry.summary for each in repository.snapshots.list() if each.root_entry is not None]
    assert [(each.num_failed, each.num_ignored_errors) for each in summaries if each is not None] == [
        (2, 0),
        (0, 2),
    ]
