"""What verify says of entries that no restore could make as they are: sizes, kinds and names that lie."""

from typing import Any

import pytest

import pykopia
from pykopia.api.repository import Repository
from pykopia.repository.writer import RepositoryWriter
from pykopia.storage.backends.memory.storage import MemoryStorage
from tests.snapshot.hostile import entry, folder, snapshot_of

CLIENT = pykopia.ClientOptions(username="u", hostname="h")


@pytest.fixture(scope="module")
def repository() -> Repository:
    return pykopia.create(MemoryStorage(), "pw", client=CLIENT)


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
