"""Two clients that create a repository in one place at the same time: one repository comes of it."""

import threading

import pytest

from pykopia.errors import RepositoryExistsError, UnsupportedOptionError
from pykopia.format.blob import BlobMetadata
from pykopia.format.repository_blob import BLOBCFG_ID, FORMAT_BLOB_ID
from pykopia.ids import BlobID, Buffer
from pykopia.repository.opening import connect, create
from pykopia.repository.options import NewRepositoryOptions
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, PutOptions, StorageWrapper
from pykopia.storage.memory import MemoryStorage

PASSWORD = "correct horse"


class SlowFirstPut(StorageWrapper):
    """Lets another client go ahead before the first put, when the place has been found empty already."""

    def __init__(self, inner: MemoryStorage, before: threading.Event, *, conditional: bool) -> None:
        super().__init__(inner)
        self._before, self._conditional = before, conditional
        self.other_is_done = threading.Event()

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        if not self._before.is_set():
            self._before.set()
            assert self.other_is_done.wait(30)
        if options.do_not_recreate and not self._conditional:
            raise UnsupportedOptionError("no such thing here")
        return super().put(blob_id, data, options)


def test_whoever_stores_the_format_block_first_has_made_the_repository() -> None:
    storage = MemoryStorage()
    slow = SlowFirstPut(storage, threading.Event(), conditional=True)
    caught: list[BaseException] = []

    def late() -> None:
        try:
            create(slow, PASSWORD)
        except RepositoryExistsError as error:
            caught.append(error)

    thread = threading.Thread(target=late)
    thread.start()
    assert slow._before.wait(30)
    first = create(storage, PASSWORD)
    stored = storage.get(FORMAT_BLOB_ID), storage.get(BLOBCFG_ID)
    slow.other_is_done.set()
    thread.join()
    assert len(caught) == 1
    assert (storage.get(FORMAT_BLOB_ID), storage.get(BLOBCFG_ID)) == stored
    assert connect(storage, PASSWORD).unique_id == first.unique_id


def test_a_storage_that_can_not_put_if_absent_is_asked_what_it_has_afterwards() -> None:
    storage = MemoryStorage()
    slow = SlowFirstPut(storage, threading.Event(), conditional=False)
    slow.other_is_done.set()
    created = create(slow, PASSWORD)
    assert connect(storage, PASSWORD).unique_id == created.unique_id


def test_a_creation_that_is_cut_off_behind_the_first_blob_leaves_a_repository() -> None:
    storage = MemoryStorage()
    create(storage, PASSWORD)
    storage.delete(BLOBCFG_ID)
    assert connect(storage, PASSWORD).blob_configuration.retention_mode == ""


def test_object_lock_is_never_forgotten_by_a_creation_that_is_cut_off() -> None:
    order: list[str] = []

    class Recording(StorageWrapper):
        def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
            order.append(blob_id)
            return super().put(blob_id, data, PutOptions(do_not_recreate=options.do_not_recreate))

    day = 24 * 3600 * 1_000_000_000
    options = NewRepositoryOptions(retention_mode="GOVERNANCE", retention_period_ns=2 * day)
    create(Recording(MemoryStorage()), PASSWORD, options=options)
    assert order[:2] == [BLOBCFG_ID, FORMAT_BLOB_ID]


def test_an_existing_repository_is_left_as_it_is() -> None:
    storage = MemoryStorage()
    create(storage, PASSWORD)
    before = storage.get(FORMAT_BLOB_ID)
    with pytest.raises(RepositoryExistsError):
        create(storage, "another password")
    assert storage.get(FORMAT_BLOB_ID) == before
