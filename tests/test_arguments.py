"""Wrong arguments are refused at the door, by an error that names them and what they take."""

import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pykopia
from pykopia import arguments
from pykopia.api.repository import Repository
from pykopia.errors import ClosedError, InvalidPolicyError, UsageError
from pykopia.policies import ActionsPolicy, FilesPolicy, Policy, RetentionPolicy, SchedulingPolicy, TimeOfDay
from pykopia.repository.index_recovery import RecoveryOptions
from pykopia.repository.sync import SyncOptions
from pykopia.snapshot.fix import FixOptions
from pykopia.storage.backends.memory.storage import MemoryStorage


@pytest.fixture(scope="module")
def repository() -> Repository:
    return pykopia.create(MemoryStorage(), "pw")


CALLS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "a location that is none": ("location", lambda _: pykopia.connect(None, "pw")),  # type: ignore[arg-type]
    "a hash that is not known": (
        "hash",
        lambda _: pykopia.create(MemoryStorage(), "pw", options=pykopia.NewRepositoryOptions(hash="MD5")),
    ),
    "a splitter that is not known": (
        "splitter",
        lambda _: pykopia.create(MemoryStorage(), "pw", options=pykopia.NewRepositoryOptions(splitter="x")),
    ),
    "a reference that is none": ("reference", lambda repository: repository.snapshots.resolve(None)),
    "no reference": ("reference", lambda repository: repository.snapshots.diff(1, 2)),
    "a text for bytes": ("source", lambda repository: repository.writer().objects.write("text")),
    "a text for a content": ("data", lambda repository: repository.writer().contents.write("text")),
    "a dictionary for a document": ("data", lambda repository: repository.writer().manifests.put({"type": "x"}, {})),
    "a kind that is none": ("kind", lambda repository: repository.snapshots.find("*", kind="x")),
    "a mode in other letters": ("mode", lambda repository: repository.maintenance.run("FULL")),
    "a safety that is none": ("safety", lambda repository: repository.maintenance.run("full", safety="some")),
    "an archive of no kind": ("mode", lambda _: pykopia.RestoreOptions(mode="rar")),  # type: ignore[arg-type]
    "a text for patterns": ("include", lambda _: pykopia.RestoreOptions(include="*.conf")),  # type: ignore[arg-type]
    "a number among patterns": ("exclude", lambda _: pykopia.RestoreOptions(exclude=(1,))),  # type: ignore[arg-type]
    "a text for names": ("keep_at_root", lambda _: pykopia.RestoreOptions(keep_at_root="ab")),  # type: ignore[arg-type]
    "no threads": ("parallel", lambda _: pykopia.RestoreOptions(parallel=0)),
    "a text for pins": ("pins", lambda _: pykopia.SnapshotOptions(pins="pin")),  # type: ignore[arg-type]
    "more than all files": ("force_hash_percent", lambda _: pykopia.SnapshotOptions(force_hash_percent=101)),
    "fewer than no threads": ("parallel", lambda _: pykopia.SnapshotOptions(parallel=-3)),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_wrong_argument_is_named(repository: Repository, case: str) -> None:
    name, call = CALLS[case]
    with pytest.raises(UsageError, match=name):
        call(repository)


def test_lists_are_taken_for_tuples(tmp_path: Path) -> None:
    options = pykopia.RestoreOptions(include=["*.conf"], keep_at_root={"lost+found"})  # type: ignore[arg-type]
    assert options.include == ("*.conf",)
    assert options.keep_at_root == frozenset({"lost+found"})


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()))
def test_a_number_is_taken_within_its_limits_only(value: object) -> None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    if fine:
        arguments.check_number("share", value, least=0, most=100)
    else:
        with pytest.raises(UsageError, match="share must be a number from 0 to 100"):
            arguments.check_number("share", value, least=0, most=100)


OPTIONS = (
    pykopia.ClientOptions,
    FixOptions,
    pykopia.NewRepositoryOptions,
    pykopia.ParameterChanges,
    RecoveryOptions,
    pykopia.RestoreOptions,
    pykopia.SnapshotOptions,
    SyncOptions,
    pykopia.VerifyOptions,
)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (options, field.name)
        for options in OPTIONS
        for field in dataclasses.fields(options)
        if field.type in (str, int, float, bool, int | None, str | None)
    ],
)
def test_no_option_takes_a_value_of_another_kind(options: Callable[..., object], name: str) -> None:
    with pytest.raises(UsageError, match=name):
        options(**{name: [1]})


# --- what a method takes, by its class ---


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pykopia.Repository]:
    source = tmp_path_factory.mktemp("source")
    (source / "file").write_bytes(b"0123456789")
    with pykopia.create(MemoryStorage(), "a good password") as repository:
        repository.snapshots.create(source)
        yield repository


MISTAKES: dict[str, Callable[[Any, Path], object]] = {
    "tags of latest": lambda repository, _: repository.snapshots.latest(tags="stage"),
    "tags of list": lambda repository, _: repository.snapshots.list(tags={"stage": 1}),
    "tags of a snapshot": lambda *_: pykopia.SnapshotOptions(tags=["stage"]),  # type: ignore[arg-type]
    "tags to add": lambda repository, _: repository.snapshots.tag(repository.snapshots.latest(), add=["stage"]),
    "source of a snapshot": lambda *_: pykopia.SnapshotOptions(source="ann@box:/data"),  # type: ignore[arg-type]
    "stdin": lambda *_: pykopia.SnapshotOptions(stdin="text"),  # type: ignore[arg-type]
    "checkpoints": lambda *_: pykopia.SnapshotOptions(checkpoint_interval_seconds=float("nan")),
    "path": lambda repository, _: repository.snapshots.create(None),
    "path of bytes": lambda repository, _: repository.snapshots.estimate(b"source"),
    "path with a NUL": lambda repository, _: repository.snapshots.create("a\0b"),
    "options of a snapshot": lambda repository, place: repository.snapshots.create(place, options={"tags": {}}),
    "options of another method": lambda repository, place: repository.snapshots.restore(
        "latest", place, options=pykopia.SnapshotOptions()
    ),
    "options of an export": lambda repository, _: repository.snapshots.export("latest", io.BytesIO(), options={}),
    "options of verify": lambda repository, _: repository.snapshots.verify(options={"parallel": 1}),
    "target": lambda repository, _: repository.snapshots.restore("latest", None),
    "target of a plan": lambda repository, _: repository.snapshots.plan_restore("latest", 7),
    "target with a NUL": lambda repository, _: repository.snapshots.restore("latest", "a\0b"),
    "sink": lambda repository, _: repository.snapshots.export("latest", None),
    "sink of texts": lambda repository, _: repository.snapshots.export("latest", io.StringIO()),
    "source of put": lambda repository, _: repository.snapshots.put("ann@box:/data", {}),
    "history": lambda repository, _: repository.snapshots.copy_history("a", "b"),
    "origin": lambda repository, _: repository.snapshots.migrate(None),
    "snapshots": lambda repository, _: list(repository.snapshots.storage_stats(["latest"])),
    "policy": lambda repository, place: repository.policies.set(place, {}),
    "maintenance": lambda repository, _: repository.maintenance.set({"owner": "me"}),
    "owner of maintenance": lambda *_: pykopia.MaintenanceChanges(owner=5),  # type: ignore[arg-type]
    "parameters": lambda repository, _: repository.set_parameters({"max_pack_size": 1}),
    "object": lambda repository, _: repository.objects.open(None),
    "object of bytes": lambda repository, _: repository.objects.read(b"00"),
    "chunk cache": lambda repository, _: repository.objects.open("00" * 16, chunk_cache_bytes=-1),
    "no ranges": lambda repository, _: repository.objects.read_ranges("00" * 16, None),
    "ranges of one number": lambda repository, _: repository.objects.read_ranges("00" * 16, [1]),
    "ranges of texts": lambda repository, _: repository.objects.read_ranges("00" * 16, ["ab"]),
    "labels": lambda repository, _: repository.manifests.find("type"),
    "password": lambda _, place: pykopia.connect(place, None),  # type: ignore[arg-type]
    "client": lambda _, place: pykopia.connect(place, "p", client={}),  # type: ignore[arg-type]
    "caching": lambda _, place: pykopia.connect(place, "p", caching={}),  # type: ignore[arg-type]
    "new repository": lambda _, place: pykopia.create(place, "p", options={}),  # type: ignore[arg-type]
    "location with a NUL": lambda *_: pykopia.connect("a\0b", "p"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_wrong_argument_is_refused_before_anything_happens(
    opened: pykopia.Repository, tmp_path: Path, mistake: Callable[[Any, Path], object]
) -> None:
    before = {each.blob_id for each in opened.storage.list()}
    with pytest.raises(UsageError):
        mistake(opened, tmp_path)
    assert {each.blob_id for each in opened.storage.list()} == before


def test_a_manifest_with_a_label_that_is_no_text_is_refused_before_the_flush(opened: pykopia.Repository) -> None:
    with opened.writer() as writer:
        with pytest.raises(UsageError, match="labels"):
            writer.manifests.put({"type": "mine", "count": 1}, b"{}")  # type: ignore[dict-item]
        kept = writer.manifests.put({"type": "mine"}, b"{}")
    assert opened.manifests.get(kept).type == "mine"


def test_ranges_may_come_from_a_generator(opened: pykopia.Repository) -> None:
    object_id = opened.snapshots.resolve("latest/file").object_id
    assert opened.objects.read_ranges(object_id, ((at, at + 2) for at in (0, 8))) == [b"01", b"89"]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(files=FilesPolicy(ignore="*.tmp")),  # type: ignore[arg-type]
        Policy(files=FilesPolicy(one_file_system="yes")),  # type: ignore[arg-type]
        Policy(retention=RetentionPolicy(keep_latest=1.5)),  # type: ignore[arg-type]
        Policy(retention=RetentionPolicy(keep_latest=True)),
        Policy(retention=RetentionPolicy(keep_latest=1 << 63)),
        Policy(retention=FilesPolicy()),  # type: ignore[arg-type]
        Policy(scheduling=SchedulingPolicy(cron="0 0 * * *")),  # type: ignore[arg-type]
        Policy(scheduling=SchedulingPolicy(times_of_day=("12:00",))),  # type: ignore[arg-type]
        Policy(scheduling=SchedulingPolicy(times_of_day=(TimeOfDay(hour="12"),))),  # type: ignore[arg-type]
        Policy(actions=ActionsPolicy(before_folder="echo")),  # type: ignore[arg-type]
        Policy(no_parent="yes"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_a_policy_that_could_not_be_read_again_is_not_stored(
    opened: pykopia.Repository, tmp_path: Path, policy: Policy
) -> None:
    with pytest.raises(InvalidPolicyError, match=r"can't be set: .*must be"):
        opened.policies.set(tmp_path, policy)
    assert opened.policies.defined(tmp_path) is None


def test_a_policy_of_any_values_of_the_right_types_can_be_set(opened: pykopia.Repository, tmp_path: Path) -> None:
    policy = Policy(
        files=FilesPolicy(ignore=["*.tmp"], one_file_system=False),  # type: ignore[arg-type]
        scheduling=SchedulingPolicy(times_of_day=(TimeOfDay(hour=12, minute=5),), interval_seconds=5),
        retention=RetentionPolicy(keep_latest=0),
    )
    opened.policies.set(tmp_path, policy)
    found = opened.policies.defined(tmp_path)
    assert found is not None
    assert found.policy.files.ignore == ("*.tmp",)
    assert found.policy.scheduling == policy.scheduling


def test_what_was_begun_before_a_repository_is_closed_is_no_empty_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    with pykopia.create(MemoryStorage(), "a good password") as repository:
        repository.snapshots.create(tmp_path)
        begun = (repository.snapshots.find("*"), repository.snapshots.history(tmp_path / "file"))
    for each in begun:
        with pytest.raises(ClosedError):
            list(each)


def test_a_repository_that_is_closed_can_not_be_restored_from(tmp_path: Path) -> None:
    with pykopia.create(MemoryStorage(), "a good password") as repository:
        root = repository.snapshots.create(tmp_path).manifest.root_entry
    assert root is not None
    with pytest.raises(ClosedError):
        repository.snapshots.restore(root, tmp_path / "target")
    with pytest.raises(ClosedError):
        repository.snapshots.export(root, io.BytesIO())


def test_each_object_of_the_library_names_itself(opened: pykopia.Repository, tmp_path: Path) -> None:
    snapshots = opened.snapshots
    for shown in (
        opened, snapshots, opened.policies, opened.maintenance, opened.writer(), snapshots.find("*"), snapshots.history("x"),
        snapshots.plan_restore("latest", tmp_path), snapshots.tree("latest"), snapshots.diff("latest", "latest"),
    ):  # fmt: skip
        assert " object at 0x" not in repr(shown)
