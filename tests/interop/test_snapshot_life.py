"""What becomes of snapshots: either program expires, pins and moves what the other took, to the same end."""

import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.format.snapshot_manifest import UNSAVED
from pykopia.snapshot.upload_options import SnapshotOptions
from tests.cli_runner import Runner

from .kopia_cli import KopiaCLI
from .repositories import client_of, connect_ours, kopia_snapshot_ids

HOUR = 3600 * 1_000_000_000
SCHEDULES = {
    "hours": (120, 3 * HOUR),
    "days": (150, 31 * HOUR),
    "months": (100, 24 * 33 * HOUR),
}
"""Number of snapshots and about the time between two."""


def fill(kopia: KopiaCLI, location: Path, source: Path, count: int, step_ns: int) -> None:
    """Make a repository with many snapshots of two sources; some are incomplete, some pinned."""
    chance = random.Random(count)
    source.mkdir()
    (source / "file").write_text("x")
    with create(location, kopia.password, client=client_of(kopia)) as repository:
        repository.policies.set_defaults()
        first = repository.snapshots.create(source, options=SnapshotOptions()).manifest
        with repository.writer() as writer:
            writer.manifests.delete(first.id)
            for path in ("/one", "/two"):
                for number in range(count):
                    start = 1_500_000_000_000_000_000 + number * step_ns + chance.randrange(step_ns)
                    changed = replace(
                        first,
                        id=UNSAVED,
                        source=replace(first.source, path=path),
                        start_time_ns=start,
                        end_time_ns=start + chance.choice((0, 7 * 10**9, HOUR)),
                        incomplete="checkpoint" if chance.random() < 0.15 or number > count - 3 else "",
                        pins=("kept",) if chance.random() < 0.05 else (),
                    )
                    writer.manifests.put(changed.labels(), changed.to_json())


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_both_expire_the_same_snapshots(
    kopia: KopiaCLI, ours: Runner, tmp_path: Path, schedule: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, step_ns = SCHEDULES[schedule]
    for_kopia, for_us = tmp_path / "for-kopia", tmp_path / "for-us"
    fill(kopia, for_kopia, tmp_path / "source", count, step_ns)
    shutil.copytree(for_kopia, for_us)
    there = replace(kopia, extra_environment={"TZ": zone})
    there.connect(for_kopia)
    there.policy_set("/two", keep_latest=2, keep_hourly=5, keep_daily=30, keep_weekly=20, keep_monthly=3, keep_annual=9)
    connect_ours(ours, kopia, for_us)
    ours.ok("policy", "set", "/two", "--keep-latest=2", "--keep-hourly=5", "--keep-daily=30", "--keep-weekly=20",
            "--keep-monthly=3", "--keep-annual=9")  # fmt: skip
    before = kopia_snapshot_ids(there)
    assert len(before) == 2 * count

    there.run("snapshot", "expire", "--all", delete=True)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        ours.ok("snapshot", "expire", "--all", "--delete")
        listed = ours.ok("snapshot", "list", "--all", "--json", "--incomplete", "--show-identical").json
    time.tzset()
    left = kopia_snapshot_ids(there)
    assert {each["id"] for each in listed} == left
    assert 2 < len(left) < len(before)
    reasons = {each["id"]: each.get("retentionReason") for each in there.snapshot_list()}
    assert {each["id"]: each.get("retentionReason") for each in listed} == reasons
    # nothing is left to do for the other one
    other = there.client("other")
    other.connect(for_us)
    assert "would be deleted" not in other.run("snapshot", "expire", "--all").stderr
    assert kopia_snapshot_ids(other) == left


def test_pins_tags_and_sources_of_either_are_those_of_the_other(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    kopia.create_repository(tmp_path / "repository")
    connect_ours(ours, kopia, tmp_path / "repository")
    kopia.snapshot_create(source, pin=["a"], tags=["k:v"], description="theirs")
    (source / "x").write_text("x")
    ours.ok("snapshot", "create", str(source), "--pin=b", "--tags=k:w", "--description=mine")
    theirs, mine = kopia.snapshot_list()
    ours.ok("snapshot", "pin", theirs["id"], "--add=by-us", "--remove=a")
    kopia.run("snapshot", "pin", mine["id"], "--add=by-kopia")
    listed = kopia.snapshot_list()
    assert [(each["pins"], each["tags"], each["description"]) for each in listed] == [
        (["by-us"], {"tag:k": "v"}, "theirs"),
        (["b", "by-kopia"], {"tag:k": "w"}, "mine"),
    ]
    assert ours.ok("snapshot", "list", "--all", "--json", "--show-identical").json == listed

    owner = f"{kopia.username}@{kopia.hostname}"
    ours.ok("snapshot", "copy-history", owner, "other@elsewhere")
    told = kopia.run("snapshot", "copy-history", owner, "other@elsewhere").stderr
    assert told.count("already exists") == 2
    kopia.run("snapshot", "move-history", "other@elsewhere", "@here")
    told = ours.ok("snapshot", "move-history", owner, "other@here").stderr
    assert told.count("already exists - deleting source") == 2
    assert [each["source"]["host"] for each in kopia.snapshot_list()] == ["here", "here"]
