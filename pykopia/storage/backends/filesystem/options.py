"""A folder on this machine: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pykopia.errors import InvalidURLError
from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    int_field,
    optional_int_field,
    shards_field,
    text_field,
)
from pykopia.storage.url_parts import shown


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FilesystemOptions(StorageOptions):
    """A folder on this machine."""

    type: ClassVar[str] = "filesystem"
    required: ClassVar[tuple[str, ...]] = ("path",)

    path: str = text_field("path")
    file_mode: int = int_field("fileMode")
    """Permission bits of new files; zero: 0600."""
    dir_mode: int = int_field("dirMode")
    """Permission bits of new folders; zero: 0700."""
    uid: int | None = optional_int_field("uid")
    """Owner of new files, used by root when ``gid`` is given too."""
    gid: int | None = optional_int_field("gid")
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism")
    """Folders read at one time by a listing; zero: one."""
    throttling: ThrottlingLimits = NO_LIMITS
    extra: Mapping[str, Any] = field(default_factory=dict)


def of_url(scheme: str, rest: str) -> FilesystemOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    if not rest.startswith("/"):
        raise InvalidURLError(f"the path of {scheme}://{shown(rest)} is not absolute: the form is {scheme}:///PATH")
    return FilesystemOptions(path=os.path.abspath("/" + rest.lstrip("/")))


__all__ = ["FilesystemOptions", "of_url"]
