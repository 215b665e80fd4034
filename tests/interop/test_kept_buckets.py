"""Buckets that lock objects and keep versions, written by real kopia and pykopia."""

import itertools
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli_runner import Runner
from tests.servers.s3 import S3Server, admin, until_later
from tests.trees import changing_tree

from .kopia_cli import Flag, KopiaCLI, spell_flags
from .repositories import assert_restored_by_kopia, assert_restored_by_pykopia

_numbers = itertools.count()
_LOCKED = ("p", "q", "x", "kopia.repository", "kopia.blobcfg")
"""Beginnings of what a repository locks."""


@pytest.fixture
def flags(versitygw: S3Server) -> dict[str, Flag]:
    """Return the flags that name a new bucket with object lock, which keeps versions too."""
    bucket = f"kept-{os.getpid()}-{next(_numbers)}"
    admin(versitygw).call_s3("create_bucket", Bucket=bucket, ObjectLockEnabledForBucket=True)
    return {
        "bucket": bucket,
        "endpoint": versitygw.endpoint,
        "disable_tls": True,
        "access_key": versitygw.access_key,
        "secret_access_key": versitygw.secret_key,
    }


def reach(kopia: KopiaCLI, verb: str, **flags: Flag) -> None:
    kopia.folder.mkdir(exist_ok=True)
    client: dict[str, Flag] = {
        "cache_directory": kopia.cache_directory,
        "override_username": kopia.username,
        "override_hostname": kopia.hostname,
        "check_for_updates": False,
    }
    kopia.run("repository", verb, "s3", *spell_flags({**client, **flags}))


def reach_ours(ours: Runner, kopia: KopiaCLI, verb: str, **flags: Flag) -> None:
    client: dict[str, Flag] = {"override_username": kopia.username, "override_hostname": kopia.hostname}
    ours.ok("repository", verb, "s3", *spell_flags({**client, **flags}))


def locks(server: S3Server, flags: dict[str, Flag]) -> dict[str, Any]:
    """Return mode and end of each object's lock."""
    fs = admin(server)
    names = [item["Key"] for item in fs.call_s3("list_objects_v2", Bucket=flags["bucket"])["Contents"]]
    found = {}
    for name in names:
        head = fs.call_s3("head_object", Bucket=flags["bucket"], Key=name)
        if "ObjectLockMode" in head:
            found[name] = (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"])
    assert {name for name in names if name.startswith(_LOCKED)} <= found.keys()
    return found


@pytest.mark.parametrize("creator", ["kopia", "ours"])
def test_each_locks_what_it_writes_and_sees_the_past_as_the_other_does(
    creator: str, kopia: KopiaCLI, ours: Runner, versitygw: S3Server, flags: dict[str, Flag], tmp_path: Path
) -> None:
    source, lock = tmp_path / "source", {"retention_mode": "GOVERNANCE", "retention_period": "48h"}
    changing_tree(source, 1)
    if creator == "kopia":
        reach(kopia, "create", **flags, **lock)
        reach_ours(ours, kopia, "connect", **flags)
    else:
        reach_ours(ours, kopia, "create", **flags, **lock)
        reach(kopia, "connect", **flags)
    kopia.snapshot_create(source)
    by_kopia = locks(versitygw, flags)
    ours.ok("snapshot", "create", str(source))
    changing_tree(source, 2)
    ours.ok("snapshot", "create", str(source))
    by_both = locks(versitygw, flags)
    assert len(by_both) > len(by_kopia)
    moment = until_later(versitygw, str(flags["bucket"]))
    for mode, until in by_both.values():
        assert mode == "GOVERNANCE"
        assert timedelta(hours=47) < until - moment <= timedelta(hours=48, seconds=1)  # the server has whole seconds

    for snapshot in kopia.snapshot_list():
        kopia.snapshot_delete(snapshot["id"])
    assert ours.ok("snapshot", "list", "--all", "--json").json == []

    past_kopia, past = kopia.client("past"), Runner(tmp_path / "our-past", password=kopia.password)
    at: dict[str, Flag] = {**flags, "point_in_time": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
    reach(past_kopia, "connect", **at)
    reach_ours(past, kopia, "connect", **at)
    snapshots = sorted(past_kopia.snapshot_list(), key=lambda each: str(each["startTime"]))
    seen = past.ok("snapshot", "list", "--all", "--show-identical", "--json").json
    assert {each["id"] for each in seen} == {each["id"] for each in snapshots}
    assert len(snapshots) == 3
    past_kopia.restore(snapshots[-1]["id"], tmp_path / "by-kopia")
    assert_restored_by_kopia(source, tmp_path / "by-kopia")
    past.ok("snapshot", "restore", snapshots[-1]["id"], str(tmp_path / "by-us"))
    assert_restored_by_pykopia(source, tmp_path / "by-us")
