"""What a Python prompt and a notebook show."""

import re
from pathlib import Path

import pytest

import pykopia
from pykopia.format.policy import CompressionPolicy, Policy, RetentionPolicy, SchedulingPolicy, TimeOfDay
from pykopia.format.policy_merge import EffectivePolicy
from pykopia.format.snapshot_manifest import SnapshotList
from pykopia.html_table import MOST_ROWS, html_table, size_text
from pykopia.snapshot.upload_options import SnapshotOptions

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def repository(tmp_path: Path) -> pykopia.Repository:
    client = pykopia.ClientOptions(username="ann", hostname="box")
    return pykopia.create(pykopia.storage.MemoryStorage(), "correct horse", client=client)


@pytest.fixture
def snapshots(repository: pykopia.Repository, tmp_path: Path) -> list[pykopia.SnapshotManifest]:
    source = tmp_path / "source"
    source.mkdir()
    made = []
    for number in range(2):
        (source / "a&b").write_text("x" * 1500 * (number + 1))
        options = SnapshotOptions(start_time_ns=1_767_225_600 * 10**9 + number, description=HOSTILE)
        made.append(repository.snapshots.create(source, options=options).manifest)
    return made


def test_a_snapshot_says_what_it_is_in_one_line(snapshots: list[pykopia.SnapshotManifest], tmp_path: Path) -> None:
    first = snapshots[0]
    assert repr(first) == (
        f"<SnapshotManifest {first.id} of ann@box:{tmp_path}/source at 2026-01-01 00:00:00 UTC: 1 files, 1.5 kB>"
    )
    assert (first.files, first.size) == (1, 1500)
    pinned = first.with_pins(["keep"])
    assert repr(pinned).endswith(", pinned: keep>")


def test_a_list_of_snapshots_is_a_table_without_active_content(
    repository: pykopia.Repository, snapshots: list[pykopia.SnapshotManifest]
) -> None:
    listed = repository.snapshots.list()
    assert listed == snapshots
    assert isinstance(listed, SnapshotList)
    for shown in (listed._repr_html_(), repository.snapshots._repr_html_()):
        assert shown.count("<tr>") == 3
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
        assert all(each.id in shown for each in snapshots)
    assert snapshots[0]._repr_html_().count("<tr>") == 2
    assert "Memory" in repr(repository.snapshots)


def test_a_comparison_is_a_table_and_stays_usable(
    repository: pykopia.Repository, snapshots: list[pykopia.SnapshotManifest]
) -> None:
    comparison = repository.snapshots.diff(*snapshots)
    assert snapshots[0].root_object_id in repr(comparison)
    shown = comparison._repr_html_()
    assert "./a&amp;b" in shown
    assert "1.5 kB" in shown
    assert "3.0 kB" in shown
    first = [*comparison], comparison.statistics
    assert first == ([*comparison], comparison.statistics)
    assert comparison.statistics.files.modified > 0


def test_a_policy_shows_what_is_set_alone() -> None:
    policy = Policy(
        retention=RetentionPolicy(keep_latest=3),
        scheduling=SchedulingPolicy(times_of_day=(TimeOfDay(hour=5, minute=0),)),
    )
    assert repr(policy) == (
        "Policy(retention=RetentionPolicy(keep_latest=3), "
        "scheduling=SchedulingPolicy(times_of_day=(TimeOfDay(hour=5),)))"
    )
    assert repr(Policy()) == "Policy()"
    assert (
        eval(repr(policy), vars(pykopia.policies) | {n: getattr(pykopia.policies, n) for n in pykopia.policies.__all__})
        == policy
    )
    assert policy.values_set() == [
        ("retention.keep_latest", 3),
        ("scheduling.times_of_day", (TimeOfDay(hour=5, minute=0),)),
    ]


def test_policies_are_tables_with_where_each_value_comes_from(repository: pykopia.Repository) -> None:
    source = pykopia.SourceInfo(user_name="ann", host="box", path=f"/{HOSTILE}")
    repository.policies.set(source, Policy(compression=CompressionPolicy(compressor_name="zstd")))
    effective = repository.policies.effective(source)
    assert isinstance(effective, EffectivePolicy)
    assert "CompressionPolicy(compressor_name='zstd'" in repr(effective)
    shown = effective._repr_html_()
    assert "<script" not in shown
    assert re.search(r"compression.compressor_name</td><td>zstd</td><td>ann@box:/&lt;script", shown)
    assert "(global)" in shown
    assert "zstd" in repository.policies._repr_html_()
    assert "(global)" in repository.policies._repr_html_()
    defined = repository.policies.defined(source)
    assert defined is not None
    assert "zstd" in defined._repr_html_()


def test_a_long_table_is_cut() -> None:
    shown = html_table(("number",), ([each] for each in range(MOST_ROWS + 7)))
    assert "and 7 more" in shown
    assert shown.count("<tr>") == MOST_ROWS + 2


@pytest.mark.parametrize(
    ("length", "text"), [(0, "0 B"), (1000, "1.0 kB"), (1_500_000_000, "1.5 GB"), (10**19, "10000.0 PB")]
)
def test_sizes_have_units(length: int, text: str) -> None:
    assert size_text(length) == text


def test_a_ledger_is_a_table_that_says_why_space_is_not_free_yet(
    repository: pykopia.Repository, snapshots: list[pykopia.SnapshotManifest]
) -> None:
    repository.snapshots.delete(snapshots[0].id)
    with repository.writer() as writer:
        writer.objects.write(b"of an application")
    shown = repository.maintenance.ledger()._repr_html_()
    assert "<td>in use</td>" in shown
    assert "contents that no snapshot needs are left alone for 24 hours" in shown
    assert re.search(r"<td>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ</td>", shown)
