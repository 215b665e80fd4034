"""All methods take the same references, sources and moments."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pykopia import Reference, SnapshotManifest, SourceInfo
from pykopia.api.repository import Repository
from pykopia.errors import SnapshotNotFoundError, UsageError
from pykopia.format.gotime import moment
from pykopia.snapshot.upload_options import SnapshotOptions

DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def nanoseconds(time: datetime) -> int:
    return int(time.timestamp()) * 1_000_000_000


@pytest.fixture
def three(repository: Repository, source: Path) -> list[SnapshotManifest]:
    made = []
    for number in range(3):
        (source / "file").write_text(f"state {number}")
        (source / "folder").mkdir(exist_ok=True)
        start = nanoseconds(FIRST + number * DAY)
        options = SnapshotOptions(start_time_ns=start, tags={"number": str(number)})
        made.append(repository.snapshots.create(source, options=options).manifest)
    return made


FORMS: dict[str, Callable[[Repository, SnapshotManifest], Reference]] = {
    "an ID": lambda _, snapshot: snapshot.id,
    "a snapshot": lambda _, snapshot: snapshot,
    "a root object": lambda _, snapshot: snapshot.root_object_id,
    "a shortened ID": lambda _, snapshot: snapshot.id[:12],
    "an entry": lambda repository, snapshot: repository.snapshots.resolve(snapshot.id),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_method_takes_each_form_of_a_reference(
    repository: Repository, three: list[SnapshotManifest], tmp_path: Path, form: str
) -> None:
    snapshots = repository.snapshots
    old, new = (FORMS[form](repository, each) for each in (three[0], three[2]))
    assert snapshots.resolve(old).object_id == three[0].root_object_id
    assert (snapshots.tree(new) / "file").read_text() == "state 2"
    assert [each.kind for each in snapshots.diff(old, new) if each.path == "./file" and each.kind == "changed"]
    assert snapshots.verify([old, new]).snapshots == 2
    assert list(snapshots.plan_restore(old, tmp_path / "out"))
    snapshots.restore(old, tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "state 0"


@pytest.mark.parametrize("wrong", [3, None, b"k123", ["latest"]])
def test_what_is_no_reference_is_refused_by_all(repository: Repository, tmp_path: Path, wrong: object) -> None:
    snapshots, reference = repository.snapshots, wrong
    calls: list[Callable[[], object]] = [
        lambda: snapshots.resolve(reference),  # type: ignore[arg-type]
        lambda: snapshots.tree(reference),  # type: ignore[arg-type]
        lambda: snapshots.restore(reference, tmp_path),  # type: ignore[arg-type]
        lambda: snapshots.plan_restore(reference, tmp_path),  # type: ignore[arg-type]
        lambda: snapshots.diff(reference, reference),  # type: ignore[arg-type]
        lambda: snapshots.verify([reference]),  # type: ignore[list-item]
        lambda: snapshots.delete(reference),  # type: ignore[arg-type]
        lambda: snapshots.pin(reference, add=["x"]),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(UsageError):
            call()


def test_a_reference_alone_is_no_list_of_references(repository: Repository, three: list[SnapshotManifest]) -> None:
    for wrong in ("latest", three[0]):
        with pytest.raises(UsageError, match="list of references"):
            repository.snapshots.verify(wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="list of references"):
            repository.snapshots.delete_all(wrong)  # type: ignore[arg-type]
    assert len(repository.snapshots.list()) == 3


def test_snapshots_are_deleted_and_pinned_by_what_lists_return(
    repository: Repository, three: list[SnapshotManifest]
) -> None:
    pinned = repository.snapshots.pin(three[0], add=["keep"])
    assert pinned.pins == ("keep",)
    repository.snapshots.delete(pinned)
    repository.snapshots.delete_all(three[1:])
    assert repository.snapshots.list() == []


def test_sources_are_listed(repository: Repository, three: list[SnapshotManifest], tmp_path: Path) -> None:
    assert three
    other = tmp_path / "another"
    other.mkdir()
    repository.snapshots.create(other)
    assert [each.path for each in repository.snapshots.sources()] == [str(other), str(tmp_path / "source")]


def test_the_latest_snapshot_is_found(repository: Repository, three: list[SnapshotManifest], source: Path) -> None:
    latest = repository.snapshots.latest
    assert latest() == latest(source) == latest(str(source)) == latest(f"ann@box:{source}") == latest(three[0].source)
    assert latest() == three[2]
    assert latest(before=FIRST + 2 * DAY) == three[1]
    assert latest(before=nanoseconds(FIRST + 2 * DAY)) == three[1]
    assert latest(before=(FIRST + 2 * DAY).astimezone(timezone(timedelta(hours=5)))) == three[1]
    assert latest(before=FIRST + 2 * DAY + timedelta(microseconds=1)) == three[2]
    assert latest(tags={"number": "0"}) == three[0]
    for wanted, before, tags in (
        (None, FIRST, {}),
        (SourceInfo(host="elsewhere"), None, {}),
        (None, None, {"number": "7"}),
    ):
        with pytest.raises(SnapshotNotFoundError, match="there is no complete snapshot"):
            latest(wanted, before=before, tags=tags)


def test_an_incomplete_snapshot_is_the_latest_only_if_asked_for(repository: Repository, source: Path) -> None:
    for number in range(4):
        (source / f"file {number}").write_text("x" * 100_000)
    complete = repository.snapshots.create(source).manifest
    (source / "more").write_text("y" * 300_000)
    (source / "most").write_text("z" * 300_000)
    cut = repository.snapshots.create(source, options=SnapshotOptions(upload_limit_bytes=1)).manifest
    assert cut.incomplete
    assert repository.snapshots.latest(source) == complete
    assert repository.snapshots.latest(source, incomplete=True) == cut


@pytest.mark.parametrize("wrong", [datetime(2026, 1, 1), "2026-01-01", 1.5, True])  # noqa: DTZ001 -- that is the point
def test_a_moment_without_a_zone_or_of_another_kind_is_refused(repository: Repository, wrong: object) -> None:
    with pytest.raises(UsageError, match="before must be"):
        repository.snapshots.latest(before=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda snapshots, source: len(snapshots.list(source)),
        lambda snapshots, source: len(list(snapshots.find("file", source=source))),
        lambda snapshots, source: len(list(snapshots.history(source))) - 2,
        lambda snapshots, source: len({each.source for each in snapshots.expire(source)}),
    ],
)
def test_a_source_may_be_a_path(
    repository: Repository, three: list[SnapshotManifest], source: Path, call: Callable[..., int]
) -> None:
    assert three
    snapshots = repository.snapshots
    assert call(snapshots, source) == call(snapshots, str(source)) == call(snapshots, three[0].source) > 0
    with pytest.raises(UsageError, match="a source must be"):
        call(snapshots, 3)


@pytest.mark.parametrize("ns", [None, -62_135_596_800_000_000_000, -(1 << 70), 1 << 80])
def test_a_time_that_is_never_or_out_of_range_is_none(ns: int | None) -> None:
    assert moment(ns) is None


@pytest.mark.parametrize("text", ["a", "k", "abc", "/"])
def test_a_text_that_is_too_short_is_a_wrong_argument_and_not_found(
    repository: Repository, three: list[SnapshotManifest], text: str
) -> None:
    assert three
    for kind in (UsageError, SnapshotNotFoundError):
        with pytest.raises(kind, match="at least 4 characters"):
            repository.snapshots.diff(text, text)
