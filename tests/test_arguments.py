"""Wrong arguments are refused at the door, by an error that names them and what they take."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pykopia
from pykopia import arguments
from pykopia.api.repository import Repository
from pykopia.errors import UsageError
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
