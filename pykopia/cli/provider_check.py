"""Tests whether a storage does what a repository relies on (format 03 §1), with blobs of its own that it removes again."""

import random
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from pykopia import clock
from pykopia.errors import BlobExistsError, BlobNotFoundError, PykopiaError, StorageError, UnsupportedOptionError
from pykopia.ids import BlobID
from pykopia.storage.base import BlobStorage, PutOptions

PREFIX = "z"
"""First letter of the blobs written here: one that no kind of blob of a repository has."""

_LENGTH = 1_000_000
_MAX_LENGTH = 10_000_000
_MAX_DRIFT_NS = 3 * 60 * 1_000_000_000
_RANGES = ((0, 10), (1, 10), (2, 1), (5, 0), (999_990, 10), (500_000, 400_000))


class ProviderCheckOptions(NamedTuple):
    """Flags for the extent of the test."""

    seconds: float = 30.0
    """How long several threads work at the same time."""
    writers: int = 3
    readers: int = 3
    metadata_readers: int = 3
    listers: int = 3


def check_provider(
    connections: Sequence[BlobStorage], options: ProviderCheckOptions, tell: Callable[[str], None]
) -> None:
    """Test a storage through several connections to it.

    Args:
        connections: One or more, all to the same storage.
        options: How hard to try.
        tell: Told what is being tested.

    Raises:
        StorageError: It does not do what it must; the message says what.
    """
    prefix = f"{PREFIX}{secrets.token_hex(16)}"
    with _cleaned_up(connections[0], prefix, tell):
        _check_capacity(connections[0], tell)
        _check_missing(connections, BlobID(f"{prefix}-missing"), tell)
        _check_one_blob(connections, prefix, tell)
        tell(f"Running concurrency test for {options.seconds:g} s...")
        _Concurrency(connections, f"{prefix}-many-", options).run()
    tell("All good.")


@contextmanager
def _cleaned_up(storage: BlobStorage, prefix: str, tell: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    finally:
        tell("Cleaning up temporary data...")
        for blob in list(storage.list(prefix)):
            storage.delete(blob.blob_id)


def _check_capacity(storage: BlobStorage, tell: Callable[[str], None]) -> None:
    tell("Validating storage capacity and usage")
    capacity = storage.capacity()
    if capacity is not None and capacity.free > capacity.size:
        message = f"the volume tells of {capacity.free} free bytes out of {capacity.size}"
        raise StorageError(message)


def _check_missing(connections: Sequence[BlobStorage], blob_id: BlobID, tell: Callable[[str], None]) -> None:
    tell("Validating non-existent blob responses")
    for storage in connections:
        for name, length in (("get", -1), ("get of a range", 5), ("metadata", None)):
            try:
                storage.metadata(blob_id) if length is None else storage.get(blob_id, 0, length)
            except BlobNotFoundError:
                continue
            message = f"{name} of a blob that does not exist succeeds"
            raise StorageError(message)
        if list(storage.list(blob_id)):
            message = "a blob that does not exist is listed"
            raise StorageError(message)


def _check_one_blob(connections: Sequence[BlobStorage], prefix: str, tell: Callable[[str], None]) -> None:
    blob_id, data = BlobID(f"{prefix}-one"), secrets.token_bytes(_LENGTH)
    tell(f"Writing blob ({_LENGTH} bytes)")
    connections[0].put(blob_id, data)
    tell("Validating conditional creates...")
    for storage in connections:
        try:
            storage.put(blob_id, b"replaced", PutOptions(do_not_recreate=True))
        except (BlobExistsError, UnsupportedOptionError):
            continue
        message = "a blob that exists was replaced although that was forbidden"
        raise StorageError(message)
    tell("Validating list responses...")
    for storage in connections:
        found = [(blob.blob_id, blob.length) for blob in storage.list(prefix)]
        if found != [(blob_id, _LENGTH)]:
            message = f"a blob that was just written is listed as {found}"
            raise StorageError(message)
    tell("Validating partial and full reads...")
    for storage in connections:
        for offset, length in _RANGES:
            if bytes(storage.get(blob_id, offset, length)) != data[offset : offset + length]:
                message = f"a read of {length} bytes from {offset} on returns other bytes than were written"
                raise StorageError(message)
        if bytes(storage.get(blob_id)) != data:
            message = "a full read returns other bytes than were written"
            raise StorageError(message)
    tell("Validating metadata...")
    for storage in connections:
        metadata = storage.metadata(blob_id)
        if metadata.length != _LENGTH:
            message = f"the metadata of a blob of {_LENGTH} bytes tell of {metadata.length}"
            raise StorageError(message)
        drift = abs(clock.now() - metadata.timestamp_ns)
        if drift > _MAX_DRIFT_NS:
            message = (
                f"the clocks of this machine and of the storage differ by {drift // 1_000_000_000} s: set them right"
            )
            raise StorageError(message)


class _Concurrency:
    """Threads that write, read, ask for and list blobs at the same time and compare what they get."""

    def __init__(self, connections: Sequence[BlobStorage], prefix: str, options: ProviderCheckOptions) -> None:
        self._connections, self._prefix, self._options = connections, prefix, options
        self._end = clock.monotonic() + options.seconds
        self._lock = threading.Lock()
        self._written: dict[BlobID, bytes] = {}
        self._errors: list[Exception] = []

    def run(self) -> None:
        options = self._options
        work = (
            [self._write] * options.writers
            + [self._read] * options.readers
            + [self._ask] * options.metadata_readers
            + [self._list] * options.listers
        )
        threads = [threading.Thread(target=self._repeat, args=(each,), daemon=True) for each in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _repeat(self, work: Callable[[BlobStorage], None]) -> None:
        while clock.monotonic() < self._end and not self._errors:
            try:
                work(random.choice(self._connections))  # noqa: S311 -- no secret depends on it
            except (PykopiaError, OSError) as error:
                self._errors.append(error)

    def _write(self, storage: BlobStorage) -> None:
        data = random.randbytes(random.randrange(1000, _MAX_LENGTH))  # noqa: S311
        blob_id = BlobID(self._prefix + secrets.token_hex(8))
        storage.put(blob_id, data)
        with self._lock:
            self._written[blob_id] = data
            surplus = next(iter(self._written)) if len(self._written) > 16 else None  # bounds memory
            if surplus is not None:
                del self._written[surplus]

    def _one(self) -> tuple[BlobID, bytes] | None:
        with self._lock:
            return random.choice(list(self._written.items())) if self._written else None  # noqa: S311

    def _read(self, storage: BlobStorage) -> None:
        chosen = self._one()
        if chosen is not None and bytes(storage.get(chosen[0])) != chosen[1]:
            message = f"blob {chosen[0]} was read with other bytes than were written while others worked"
            raise StorageError(message)

    def _ask(self, storage: BlobStorage) -> None:
        chosen = self._one()
        if chosen is not None and storage.metadata(chosen[0]).length != len(chosen[1]):
            message = f"the metadata of blob {chosen[0]} tell a wrong length while others worked"
            raise StorageError(message)

    def _list(self, storage: BlobStorage) -> None:
        with self._lock:
            expected = {blob_id: len(data) for blob_id, data in self._written.items()}
        found = {blob.blob_id: blob.length for blob in storage.list(self._prefix)}
        missing = {blob_id for blob_id, length in expected.items() if found.get(blob_id) != length}
        if missing:
            message = f"{len(missing)} blobs that were written are not listed, or with a wrong length"
            raise StorageError(message)


__all__ = ["PREFIX", "ProviderCheckOptions", "check_provider"]
