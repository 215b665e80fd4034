"""The memory of this process: its configuration and its URLs."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidURLError
from pykopia.storage.options import NO_LIMITS, StorageOptions, ThrottlingLimits, text_field


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class MemoryOptions(StorageOptions):
    """A storage in the memory of this process, for tests; Kopia has no such type."""

    type: ClassVar[str] = "memory"

    name: str = text_field("name")
    """Storages of one name share their blobs."""
    throttling: ThrottlingLimits = NO_LIMITS
    extra: Mapping[str, Any] = field(default_factory=dict)


def of_url(scheme: str, rest: str) -> MemoryOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    if "/" in rest:
        raise InvalidURLError(f"the form is {scheme}://NAME, and a name has no slash")
    return MemoryOptions(name=rest)


__all__ = ["MemoryOptions", "of_url"]
