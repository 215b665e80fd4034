"""The memory of this process, for tests; Kopia has no such type."""

from pykopia.storage.registry import Backend

BACKEND = Backend(
    kind="memory",
    opener=f"{__name__}.storage:MemoryStorage.from_options",
    options=f"{__name__}.options:MemoryOptions",
    url=f"{__name__}.options:of_url",
    schemes=("memory",),
    retries=False,
)

__all__ = ["BACKEND"]
