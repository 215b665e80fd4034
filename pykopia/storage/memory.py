"""The storage in memory, where programs and tests have always imported it from."""

from pykopia.storage.backends.memory.storage import MemoryStorage

__all__ = ["MemoryStorage"]
