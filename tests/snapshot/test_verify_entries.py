"""What verify says of entries that no restore could make as they are: sizes, kinds and names that lie."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pykopia
from pykopia.api.repository import Repository
from pykopia.errors import PykopiaError
from pykopia.repository.writer import RepositoryWriter
from pykopia.storage.backends.memory.storage import MemoryStorage

CLIENT = pykopia.ClientOptions(username="u", hostname="h")
TIME = "2024-01-01T00:00:00Z"
Make = Callable[[RepositoryWriter], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def repository() -> Repository:
    return pykopia.create(MemoryStorage(), "pw", client=CLIENT)


def entry(name: str, object_id: str, kind: str = "f", size: int = 5) -> dict[str, Any]:
    return {"name": name, "type": kind, "mode": "0755", "mtime": TIME, "obj": object_id, "size": size}


def folder(writer: RepositoryWriter, entries: list[dict[str, Any]]) -> str:
    summary = {"size": 1, "files": 1, "symlinks": 0, "dirs": 1, "maxTime": TIME, "numFailed": 0}
    listing = {"stream": "kopia:directory", "entries": entries, "summary": summary}
    return writer.objects.write(json.dumps(listing).encode(), prefix="k")


def snapshot_of(repository: Repository, make: Make) -> str:
    source = {"host": "h", "userName": "u", "path": "/source"}
    with repository.writer() as writer:
        root = entry("source", folder(writer, make(writer)), "d", 0)
        manifest = {"source": source, "startTime": TIME, "endTime": TIME, "rootEntry": root}
        labels = {"type": "snapshot", "hostname": "h", "username": "u", "path": "/source"}
        return writer.manifests.put(labels, json.dumps(manifest).encode())


def test_each_entry_of_an_object_is_compared_with_its_length(repository: Repository) -> None:
    def make(writer: RepositoryWriter) -> list[dict[str, Any]]:
        object_id = writer.objects.write(b"hello")
        return [entry("a", object_id), entry("b", object_id, size=7), entry("c", object_id, size=4)]

    snapshot = snapshot_of(repository, make)
    found = repository.snapshots.verify([snapshot]).problems
    assert [(each.path, "its entry says" in str(each.error)) for each in found] == [("b", True), ("c", True)]


def test_a_file_that_is_a_folders_object_hides_nothing_below_that_folder(repository: Repository) -> None:
    def make(writer: RepositoryWriter) -> list[dict[str, Any]]:
        inner = folder(writer, [entry("lost", "ab" * 16)])
        size = len(repository.objects.read(inner)) if repository.contents.exists(inner) else 0
        return [entry("a", inner, size=size), entry("z", inner, "d", 0)]

    snapshot = snapshot_of(repository, make)
    assert any("/z/lost" in line for line in repository.snapshots.verify([snapshot]).errors)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\0b"])
def test_names_that_no_restore_can_give_are_reported(repository: Repository, name: str) -> None:
    snapshot = snapshot_of(repository, lambda writer: [entry(name, writer.objects.write(b"hello"))])
    assert "would leave the target" in " ".join(repository.snapshots.verify([snapshot]).errors)


def test_two_entries_of_one_name_are_reported(repository: Repository) -> None:
    def make(writer: RepositoryWriter) -> list[dict[str, Any]]:
        return [entry("a", writer.objects.write(b"hello")), entry("a", writer.objects.write(b"other"))]

    assert "two entries" in " ".join(repository.snapshots.verify([snapshot_of(repository, make)]).errors)


def test_an_entry_of_an_unknown_kind_is_reported(repository: Repository) -> None:
    snapshot = snapshot_of(repository, lambda writer: [entry("a", writer.objects.write(b"hello"), "x")])
    assert "its type is 'x'" in " ".join(repository.snapshots.verify([snapshot]).errors)


names = st.sampled_from(["a", "b", "..", "a/b", "a\0", "x" * 300, "\u00fc", "c"])
kinds = st.sampled_from(["f", "f", "f", "d", "s", "x"])
sizes = st.sampled_from([0, 4, 5, 5, 5, 7, 1 << 40])
contents = st.sampled_from([b"hello", b"other", b"", b"x" * 5000, None])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(st.tuples(names, kinds, sizes, contents), max_size=4), data=st.data())
def test_what_verify_finds_well_can_be_restored(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory, entries: list[Any], data: st.DataObject
) -> None:
    def make(writer: RepositoryWriter) -> list[dict[str, Any]]:
        made = []
        for name, kind, size, content in entries:
            object_id: str = "cd" * 16 if content is None else writer.objects.write(content)
            if kind == "d":
                object_id = folder(writer, []) if data.draw(st.booleans()) else object_id
            made.append(entry(name, object_id, kind, size))
        return made

    snapshot = snapshot_of(repository, make)
    options = pykopia.VerifyOptions(files_percent=100)
    if not repository.snapshots.verify([snapshot], options=options).problems:
        target: Path = tmp_path_factory.mktemp("restored")
        try:
            repository.snapshots.restore(snapshot, target)
        except PykopiaError as error:
            pytest.fail(f"verify found nothing wrong, and restore did: {error}")
        assert len(list(target.iterdir())) == len(entries)
