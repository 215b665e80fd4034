"""`cache prefetch` and `cache sync` on a storage that is another machine's: what they have fetched is read without it."""

import json
import os
from pathlib import Path

import pytest

from tests.cli_runner import Runner
from tests.servers.s3 import S3Server, admin
from tests.trees import TreeBuilder, assert_trees_equal, big_files, many_files, small_tree

BUCKET = "prefetched"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for build in (small_tree, many_files, big_files):
        build(folder / build.__name__)
    with TreeBuilder(folder):
        pass  # gives the root its time
    return folder


def _blobs(server: S3Server, kind: str) -> list[str]:
    return [name for name in admin(server).find(BUCKET) if name.rpartition("/")[2].startswith(kind)]


def test_what_is_prefetched_is_restored_without_the_packs(versitygw: S3Server, tmp_path: Path, source: Path) -> None:
    storage = admin(versitygw)
    if not storage.exists(BUCKET):
        storage.call_s3("create_bucket", Bucket=BUCKET)
    run = Runner(tmp_path / "client")
    run.ok(
        "repository", "create", "s3", f"--bucket={BUCKET}", f"--endpoint={versitygw.endpoint}", "--disable-tls",
        f"--access-key={versitygw.access_key}", f"--secret-access-key={versitygw.secret_key}", f"--prefix={os.getpid()}/",
    )  # fmt: skip
    run.ok("cache", "set", "--content-cache-size-mb=500", "--metadata-cache-size-mb=500")
    taken = json.loads(run.ok("snapshot", "create", str(source), "--json").stdout)
    run.ok("cache", "clear")
    told = run.ok("cache", "prefetch", taken["id"]).stderr
    assert "Prefetched" in told

    packs = [*_blobs(versitygw, "p"), *_blobs(versitygw, "q")]
    kept = {name: storage.cat_file(name) for name in packs}
    for name in packs:
        storage.rm_file(name)
    assert not _blobs(versitygw, "p")
    run.ok("restore", taken["id"], str(tmp_path / "target"))
    assert_trees_equal(source, tmp_path / "target")

    # and without the cache nothing is left to restore from: the packs were what was fetched
    run.ok("cache", "clear")
    run.fails("restore", taken["id"], str(tmp_path / "nothing"))
    for name, data in kept.items():
        storage.pipe_file(name, data)
    run.ok("cache", "sync")
    for name in _blobs(versitygw, "q"):
        storage.rm_file(name)
    assert run.ok("ls", taken["id"]).stdout.split() == ["big_files", "many_files", "small_tree"]
