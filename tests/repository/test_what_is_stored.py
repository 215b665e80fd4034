"""What a reader of the storage learns who has no password."""

import base64
from pathlib import Path

import pykopia
from pykopia.storage.backends.memory.storage import MemoryStorage

PASSWORD = "a-password-like-no-other"
NAMES = ("a-file-name-like-no-other", "a-folder-name-like-no-other")
CONTENT = b"contents like no others, long enough to be found again"


def test_no_name_content_or_password_is_readable_in_the_storage(tmp_path: Path) -> None:
    source = tmp_path / NAMES[1]
    source.mkdir()
    (source / NAMES[0]).write_bytes(CONTENT)
    (source / "link").symlink_to(NAMES[0])
    storage = MemoryStorage()
    client = pykopia.ClientOptions(username="user-like-no-other", hostname="host-like-no-other")
    with pykopia.create(storage, PASSWORD, client=client) as repository:
        repository.policies.set_defaults()
        repository.snapshots.create(source, options=pykopia.SnapshotOptions(description="a-description-like-no-other"))
        repository.maintenance.run("full", safety="none")
    words = [PASSWORD.encode(), CONTENT, b"like-no-other", *(name.encode() for name in NAMES)]
    words += [base64.b64encode(word)[:-4] for word in words]
    blobs = {blob.blob_id: storage.get(blob.blob_id) for blob in storage.list()}
    assert len(blobs) > 5
    for blob_id, data in blobs.items():
        assert not [word for word in words if word in data or word in blob_id.encode()], blob_id
