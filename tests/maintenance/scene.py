"""A repository in memory under a clock that tests turn, and snapshots made of given contents."""

import random
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from pykopia.api.opening import connect, create
from pykopia.api.repository import Repository
from pykopia.errors import BlobNotFoundError, ContentNotFoundError
from pykopia.format.directory import DirectoryEntry, encode_directory, summarize
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import BlobID, ContentID, ManifestID, ObjectID
from pykopia.maintenance.report import MaintenanceResult
from pykopia.repository.options import ClientOptions, NewRepositoryOptions, ParameterChanges
from pykopia.repository.writer import RepositoryWriter
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage
from pykopia.testing.clock import FakeClock
from pykopia.testing.eventual import EventuallyConsistentStorage

PASSWORD = "correct horse"
UNIQUE_ID = b"the same, so keys are cached ..."
OWNER = ClientOptions(username="ann", hostname="box")
OTHER = ClientOptions(username="bob", hostname="den")
SOURCE = SourceInfo(host="box", user_name="ann", path="/data")


@dataclass
class Scene:
    """One repository; use it as a context manager."""

    version: int = 3
    clock: FakeClock = field(default_factory=FakeClock)
    max_pack_size: int = 0
    storage: BlobStorage = field(init=False)
    repository: Repository = field(init=False)

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(self.clock.installed())
        self.storage = self.make_storage()
        self.repository = self._stack.enter_context(
            create(self.storage, PASSWORD, options=self.options(), client=OWNER)
        )
        self.repository.policies.set_defaults()
        if self.max_pack_size:
            self.repository.set_parameters(ParameterChanges(max_pack_size=self.max_pack_size))
        return self

    def options(self) -> NewRepositoryOptions:
        return NewRepositoryOptions(unique_id=UNIQUE_ID, format_version=self.version)

    def make_storage(self) -> BlobStorage:
        return MemoryStorage(clock=self.clock, object_lock=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def connect(self, client: ClientOptions = OTHER) -> Repository:
        """Return the repository as another client opens it."""
        return self._stack.enter_context(connect(self.storage, PASSWORD, client=client))

    def write(self, *contents: bytes, prefix: str = "") -> list[ContentID]:
        """Store contents in one pack."""
        with self.repository.writer() as writer:
            return [writer.contents.write(data, prefix=prefix) for data in contents]

    def snapshot(self, contents: Iterable[ContentID], repository: Repository | None = None) -> ManifestID:
        """Save a snapshot that needs some contents, each a file."""
        with (repository or self.repository).writer() as writer:
            return self.snapshot_by(writer, contents)

    def snapshot_by(self, writer: RepositoryWriter, contents: Iterable[ContentID]) -> ManifestID:
        """Write a snapshot that needs some contents."""
        entries = [
            DirectoryEntry(f"f{number:04}", "f", 0o644, 1, 0, 0, 0, ObjectID(content_id))
            for number, content_id in enumerate(contents)
        ]
        summary = summarize(entries, own_mtime_ns=0)
        root = writer.objects.write(encode_directory(entries, summary), prefix="k")
        now = self.clock.now_ns
        manifest = SnapshotManifest(
            source=SOURCE,
            start_time_ns=now,
            end_time_ns=now,
            root_entry=DirectoryEntry("data", "d", 0o755, 0, 0, 0, 0, root, summary),
        )
        return writer.manifests.put(manifest.labels(), manifest.to_json())

    def content_id(self, content: bytes) -> ContentID:
        """Return the ID that a content has, or would have."""
        return ContentID(self.repository.sealer.hash(content).hex())

    def settle_listings(self) -> None:
        """Let listings show all changes, where they are late."""
        if isinstance(self.storage, EventuallyConsistentStorage):
            self.storage.settle()

    def maintain(
        self,
        mode: Literal["auto", "quick", "full"] = "full",
        repository: Repository | None = None,
        safety: str = "full",
        force: bool = False,
    ) -> MaintenanceResult:
        """Run maintenance; time stands still meanwhile."""
        return (repository or self.repository).maintenance.run(
            mode, safety=safety, force=force, monotonic=self.monotonic
        )

    def monotonic(self) -> float:
        return self.clock.now_ns / 1e9

    def blobs(self, prefix: str = "") -> list[BlobID]:
        return sorted(blob.blob_id for blob in self.storage.list(prefix))

    def state(self, content_id: ContentID) -> str:
        """Return ``live``, ``deleted`` or ``absent``; what is live can be read."""
        with connect(self.storage, PASSWORD, client=OTHER) as other:
            try:
                entry = other.contents.entry(content_id)
            except ContentNotFoundError:
                return "absent"
            if entry.deleted:
                return "deleted"
            try:
                other.contents.get(content_id, check=True)
            except BlobNotFoundError:
                return "lost"
            return "live"


def data(size: int, seed: int = 0) -> bytes:
    """Return bytes that can't be compressed, the same each time."""
    return random.Random(seed * 1_000_003 + size).randbytes(size)
