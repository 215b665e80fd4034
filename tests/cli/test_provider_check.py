import pytest

from pykopia.cli.provider_check import ProviderCheckOptions, check_provider
from pykopia.errors import StorageError
from pykopia.format.blob import BlobMetadata
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, BlobStorage, Capacity, PutOptions, StorageWrapper

QUICK = ProviderCheckOptions(seconds=0.05, writers=1, readers=1, metadata_readers=1, listers=1)


def check(storage: BlobStorage) -> list[str]:
    told: list[str] = []
    check_provider([storage, storage], QUICK, told.append)
    return told


def test_a_good_storage_passes_and_is_left_empty() -> None:
    storage = MemoryStorage()
    assert check(storage)[-1] == "All good."
    assert list(storage.list()) == []


class _Overwriting(StorageWrapper):
    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> BlobMetadata | None:
        return super().put(blob_id, data)


class _Truncating(StorageWrapper):
    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        return super().get(blob_id, offset, length)[:-1]


class _Inventing(StorageWrapper):
    def get(self, blob_id: BlobID, offset: int = 0, length: int = -1) -> bytes:
        return b"anything"


class _Late(StorageWrapper):
    def metadata(self, blob_id: BlobID) -> BlobMetadata:
        found = super().metadata(blob_id)
        return BlobMetadata(blob_id=blob_id, length=found.length, timestamp_ns=found.timestamp_ns + 600_000_000_000)


class _Roomy(StorageWrapper):
    def capacity(self) -> Capacity | None:
        return Capacity(size=1, free=2)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_Overwriting, "replaced although that was forbidden"),
        (_Truncating, "returns other bytes"),
        (_Inventing, "does not exist succeeds"),
        (_Late, "clocks"),
        (_Roomy, "2 free bytes out of 1"),
    ],
)
def test_a_fault_is_found_told_and_cleaned_up(fault: type[StorageWrapper], told: str) -> None:
    storage = MemoryStorage()
    with pytest.raises(StorageError, match=told):
        check(fault(storage))
    assert list(storage.list()) == []
