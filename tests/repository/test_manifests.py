"""Manifests: put, replaced, deleted, put together, and never in a shape that Kopia can't read."""

import gzip
import json
import re

import pytest

from pykopia import clock
from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import (
    BlobNotFoundError,
    DamagedManifestError,
    ManifestNotFoundError,
    StorageUnavailableError,
    UsageError,
)
from pykopia.format.manifest import COMPACTION_THRESHOLD
from pykopia.ids import ContentID
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.testing import FaultyStorage
from tests.repository.conftest import CLIENT, PASSWORD

LABELS = {"type": "test", "color": "red"}


def put(repository: Repository, number: int) -> str:
    with repository.writer() as writer:
        return writer.manifests.put({"type": "test", "number": str(number)}, b'{"n":%d}' % number)


def manifest_contents(repository: Repository) -> list[str]:
    return [entry.content_id for entry in repository.contents.list("m", "m{")]


def test_a_manifest_is_found_by_its_labels_in_another_session(repository: Repository, storage: MemoryStorage) -> None:
    with repository.writer() as writer:
        manifest_id = writer.manifests.put(LABELS, b'{"x": [1, 2]}')
        assert [each.id for each in writer.manifests.find({"color": "red"})] == [manifest_id]
    with connect(storage, PASSWORD, client=CLIENT) as other:
        (found,) = other.manifests.find({"type": "test"})
        assert found.id == manifest_id
        assert dict(found.labels) == LABELS
        assert json.loads(found.data) == {"x": [1, 2]}
        assert not other.manifests.find({"type": "test", "color": "blue"})
        assert other.manifests.get(manifest_id) == found


def test_a_deleted_manifest_is_gone_even_when_the_clock_went_back(repository: Repository) -> None:
    manifest_id = put(repository, 1)
    with clock.replaced(lambda: 1_000_000_000 * 10**9), repository.writer() as writer:
        assert writer.manifests.delete(manifest_id)
        with pytest.raises(ManifestNotFoundError):
            writer.manifests.get(manifest_id)
    with pytest.raises(ManifestNotFoundError):
        repository.manifests.get(manifest_id)
    with repository.writer() as writer:
        assert not writer.manifests.delete(manifest_id)


def test_replacing_leaves_one(repository: Repository) -> None:
    for number in range(3):
        with repository.writer() as writer:
            writer.manifests.replace(LABELS, b"%d" % number)
    (found,) = repository.manifests.find(LABELS)
    assert found.data == b"2"


def test_many_manifest_contents_are_put_together_in_one_commit(repository: Repository, storage: MemoryStorage) -> None:
    ids = [put(repository, number) for number in range(COMPACTION_THRESHOLD - 1)]
    with repository.writer() as writer:
        writer.manifests.delete(ids[0])
    before = {blob.blob_id for blob in storage.list("x")}
    with connect(storage, PASSWORD, client=CLIENT) as other:
        with other.writer():
            pass
        (only,) = manifest_contents(other)
        assert only
        assert {each.id for each in other.manifests.find({"type": "test"})} == set(ids[1:])
    (added,) = {blob.blob_id for blob in storage.list("x")} - before
    assert added.startswith("xn0_")
    repository.refresh()
    assert {each.id for each in repository.manifests.find({"type": "test"})} == set(ids[1:])


def test_a_read_only_client_puts_nothing_together(repository: Repository, storage: MemoryStorage) -> None:
    for number in range(COMPACTION_THRESHOLD + 1):
        put(repository, number)
        repository.manifests.forget()
    before = sorted(blob.blob_id for blob in storage.list())
    with connect(storage, PASSWORD, client=CLIENT) as other:
        assert other.manifests.find({"type": "test"})
    assert sorted(blob.blob_id for blob in storage.list()) == before


@pytest.mark.parametrize("labels", [{}, {"type": ""}, {"color": "red"}])
def test_a_manifest_without_a_type_is_refused(repository: Repository, labels: dict[str, str]) -> None:
    with repository.writer() as writer, pytest.raises(UsageError, match="type"):
        writer.manifests.put(labels, b"{}")


@pytest.mark.parametrize("data", [b"", b"{", b"nonsense", b'{"a":1} {"b":2}'])
def test_data_that_is_no_json_is_never_stored(repository: Repository, data: bytes) -> None:
    with pytest.raises((UsageError, DamagedManifestError)), repository.writer() as writer:
        writer.manifests.put(LABELS, data)
    repository.refresh()
    assert not repository.manifests.find(LABELS)


def test_a_manifest_content_has_nothing_but_entries(repository: Repository) -> None:
    put(repository, 7)
    (content_id,) = manifest_contents(repository)
    document = json.loads(gzip.decompress(repository.contents.get(content_id)))
    assert list(document) == ["entries"]
    (entry,) = document["entries"]
    assert list(entry) == ["id", "labels", "modified", "data"]
    assert re.fullmatch("[0-9a-f]{32}", entry["id"])


def lose(storage: MemoryStorage, repository: Repository, content_id: str) -> str:
    pack = repository.contents.entry(content_id).pack_blob
    storage.delete(pack)
    return pack


def two_with_their_contents(repository: Repository) -> tuple[str, str, str]:
    """Put two manifests; return their IDs and the content of the second."""
    first = put(repository, 1)
    before = set(manifest_contents(repository))
    second = put(repository, 2)
    (content,) = set(manifest_contents(repository)) - before
    return first, second, content


def test_a_content_that_can_not_be_read_hides_only_what_it_holds(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    manifest_id = put(repository, 1)
    with repository.writer() as writer:
        broken = writer.contents.write(gzip.compress(b'{"entries":[{"id":1}]}'), prefix="m")
    repository.manifests.forget()
    assert [each.id for each in repository.manifests.find({"type": "test"})] == [manifest_id]
    assert list(repository.manifests.damaged) == [broken]
    assert broken in caplog.text
    repository.manifests.forget()
    repository.manifests.entries()
    assert caplog.text.count(broken) == 1


def test_a_lost_pack_with_manifests_hides_only_what_it_holds(storage: MemoryStorage, repository: Repository) -> None:
    first, _, content = two_with_their_contents(repository)
    pack = lose(storage, repository, content)
    with connect(storage, PASSWORD, client=CLIENT) as other:
        assert [each.id for each in other.manifests.find({"type": "test"})] == [first]
        (error,) = other.manifests.damaged.values()
        assert isinstance(error.__cause__, BlobNotFoundError)
        with pytest.raises(DamagedManifestError, match=f"can't tidy up: .*{pack} is missing.*content delete"):
            other.manifests.check_complete("tidy up")


def test_damage_that_is_gone_at_the_second_look_refuses_nothing(storage: MemoryStorage, repository: Repository) -> None:
    _, second, content = two_with_their_contents(repository)
    pack = repository.contents.entry(content).pack_blob
    kept = storage.get(pack)
    storage.delete(pack)
    with connect(storage, PASSWORD, client=CLIENT) as other:
        assert other.manifests.damaged
        storage.put(pack, kept)
        other.manifests.check_complete("tidy up")
        assert second in other.manifests.entries()
        assert not other.manifests.known_damage


def test_a_storage_that_can_not_be_reached_is_no_damage(storage: MemoryStorage, repository: Repository) -> None:
    put(repository, 1)
    away = FaultyStorage(storage)
    with connect(away, PASSWORD, client=CLIENT) as other:
        assert list(other.contents.list())
        away.fail("get", prefix="q")
        with pytest.raises(StorageUnavailableError):
            other.manifests.entries()
        assert not other.manifests.damaged


def test_giving_a_lost_content_up_ends_the_damage(storage: MemoryStorage, repository: Repository) -> None:
    first, _, content = two_with_their_contents(repository)
    lose(storage, repository, content)
    with connect(storage, PASSWORD, client=CLIENT) as other:
        with other.writer() as writer:
            assert writer.manifests.damaged
            writer.contents.delete(ContentID(content))
        assert not other.manifests.known_damage
        assert list(other.manifests.entries()) == [first]


def test_nothing_is_put_together_while_a_content_can_not_be_read(
    storage: MemoryStorage, repository: Repository
) -> None:
    for number in range(COMPACTION_THRESHOLD - 1):
        put(repository, number)
    *_, last = manifest_contents(repository)
    lose(storage, repository, last)
    with connect(storage, PASSWORD, client=CLIENT) as other:
        put(other, 100)
        put(other, 101)
        assert len(manifest_contents(other)) == COMPACTION_THRESHOLD + 1
        assert list(other.manifests.damaged) == [last]


def test_labels_can_not_be_changed_by_those_who_get_or_gave_them(repository: Repository) -> None:
    labels = {"type": "test", "name": "a"}
    with repository.writer() as writer:
        manifest_id = writer.manifests.put(labels, b"{}")
        labels["name"] = "b"
        assert writer.manifests.get(manifest_id).labels["name"] == "a"
    with pytest.raises(TypeError):
        repository.manifests.get(manifest_id).labels["name"] = "c"  # type: ignore[index]
    assert repository.manifests.find({"name": "a"})


def test_data_is_given_back_alike_before_and_after_the_flush(repository: Repository) -> None:
    with repository.writer() as writer:
        manifest_id = writer.manifests.put(LABELS, b'{ "b": [1,\n 2], "a": "<" }')
        before = writer.manifests.get(manifest_id).data
    assert before == repository.manifests.get(manifest_id).data == b'{"b":[1,2],"a":"\\u003c"}'
