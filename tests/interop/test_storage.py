"""Folders that real kopia and pykopia write are one and the same storage to both."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from pykopia.ids import BlobID
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from pykopia.storage.base import PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from tests.trees import small_tree

from .kopia_cli import Flag, KopiaCLI

EXAMPLE = BlobID("z123456789012345678901234567890")


@pytest.mark.parametrize("flags", [{}, {"flat": True}, {"format_version": 1}], ids=["default", "flat", "version 1"])
def test_the_blobs_that_kopia_lists_are_listed_with_its_lengths_and_times(
    kopia: KopiaCLI, tmp_path: Path, flags: dict[str, Flag]
) -> None:
    kopia.create_repository(tmp_path / "repository", **flags)
    small_tree(tmp_path / "source")
    kopia.snapshot_create(tmp_path / "source")
    found = {
        blob["id"]: (blob["length"], datetime.fromisoformat(blob["timestamp"]).timestamp())
        for blob in kopia.blob_list()
    }
    storage = FilesystemStorage(tmp_path / "repository")
    ours = {blob.blob_id: (blob.length, round(blob.timestamp_ns / 1e9, 6)) for blob in storage.list()}
    assert ours.keys() == found.keys()
    for blob_id, (length, seconds) in ours.items():
        assert found[blob_id][0] == length == len(storage.get(blob_id))
        assert found[blob_id][1] == pytest.approx(seconds, abs=1e-5)


def test_kopia_opens_what_its_connection_file_says_and_so_does_pykopia(kopia: KopiaCLI, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository", file_mode="640", dir_mode="750", max_upload_speed=1_000_000)
    document = json.loads(kopia.config_file.read_bytes())["storage"]
    info = ConnectionInfo.from_json(document)
    assert info.options().extra == {}
    assert info.options().to_config() == document["config"]
    with open_storage(info) as storage:
        assert storage.metadata(BlobID("kopia.repository")).length > 0


@pytest.mark.parametrize("shards", [(), (2, 2), (1, 3)], ids=str)
def test_kopia_reads_a_copy_of_its_repository_in_any_layout(
    kopia: KopiaCLI, tmp_path: Path, shards: tuple[int, ...]
) -> None:
    kopia.create_repository(tmp_path / "repository")
    small_tree(tmp_path / "source")
    snapshot = kopia.snapshot_create(tmp_path / "source")
    source = FilesystemStorage(tmp_path / "repository")
    copy = FilesystemStorage(tmp_path / "copy", create=True, options=FilesystemOptions(dir_shards=shards))
    for blob in source.list():
        copy.put(blob.blob_id, source.get(blob.blob_id), PutOptions(set_mtime_ns=blob.timestamp_ns))
    assert sorted(copy.list(), key=lambda blob: blob.blob_id) == sorted(source.list(), key=lambda blob: blob.blob_id)
    other = kopia.client("other")
    other.connect(tmp_path / "copy")
    assert [found["id"] for found in other.snapshot_list()] == [snapshot["id"]]
    other.verify_all()
    (tmp_path / "source" / "new").write_bytes(b"new")
    other.snapshot_create(tmp_path / "source")
    assert {blob["id"] for blob in other.blob_list()} == {blob.blob_id for blob in copy.list()}


def test_a_blob_of_pykopia_is_shown_and_deleted_by_kopia(kopia: KopiaCLI, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository")
    storage = FilesystemStorage(tmp_path / "repository")
    storage.put(EXAMPLE, b"hello")
    assert kopia.run_bytes("blob", "show", EXAMPLE).stdout == b"hello"
    kopia.run("blob", "delete", EXAMPLE)
    assert [*storage.list("z")] == []
