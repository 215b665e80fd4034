"""Manifests: put, replaced, deleted, put together, and never in a shape that Kopia can't read."""

import gzip
import json
import re

import pytest

from pykopia import clock
from pykopia.errors import DamagedManifestError, ManifestNotFoundError, UsageError
from pykopia.format.manifest import COMPACTION_THRESHOLD
from pykopia.repository.opening import connect
from pykopia.repository.repository import Repository
from pykopia.storage.memory import MemoryStorage
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


def test_a_manifest_content_that_can_not_be_read_is_an_error_not_an_omission(repository: Repository) -> None:
    put(repository, 1)
    with repository.writer() as writer:
        writer.contents.write(gzip.compress(b'{"entries":[{"id":1}]}'), prefix="m")
    repository.manifests.forget()
    with pytest.raises(DamagedManifestError, match="manifest content m"):
        repository.manifests.find({"type": "test"})
