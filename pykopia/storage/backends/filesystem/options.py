"""A folder on this machine: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

import os
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidURLError, UsageError
from pykopia.storage.flags import PARALLELISM, Flag, FlagContext
from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    int_field,
    optional_int_field,
    retry_field,
    shards_field,
    text_field,
)
from pykopia.storage.url_parts import shown

DEFAULT_FILE_MODE = 0o600
DEFAULT_FOLDER_MODE = 0o700


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FilesystemOptions(StorageOptions):
    """A folder on this machine."""

    type: ClassVar[str] = "filesystem"
    required: ClassVar[tuple[str, ...]] = ("path",)
    url_form: ClassVar[str] = "filesystem:///ABSOLUTE/PATH, with three slashes"
    more_flags: ClassVar[Mapping[str, Flag]] = {
        "owner-uid": Flag("User ID that owns new files.", placeholder="USER"),
        "owner-gid": Flag("Group ID that owns new files.", placeholder="GROUP"),
        "file-mode": Flag("Mode of new files (0600).", placeholder="MODE"),
        "dir-mode": Flag("Mode of new folders (0700).", placeholder="MODE"),
    }

    path: str = text_field("path", flag=Flag("The folder.", required=True))
    file_mode: int = int_field("fileMode")
    """Permission bits of new files; zero: 0600."""
    dir_mode: int = int_field("dirMode")
    """Permission bits of new folders; zero: 0700."""
    uid: int | None = optional_int_field("uid")
    """Owner of new files, used by root when ``gid`` is given too."""
    gid: int | None = optional_int_field("gid")
    dir_shards: tuple[int, ...] | None = shards_field("dirShards")
    """Shards of a storage that has no ``.shards`` yet (format 03 §2.1)."""
    list_parallelism: int = int_field("listParallelism", flag=PARALLELISM)
    """Folders read at one time by a listing; zero: one."""
    throttling: ThrottlingLimits = NO_LIMITS
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        return f"{self.type} {self.path}"

    @classmethod
    def more_from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> dict[str, Any]:
        """Return the absolute path, and numbers: what is no number means the default, as it does to Kopia."""
        path = context.expanded(given["path"])
        if not os.path.isabs(path):
            raise UsageError(f"--path must be absolute; it is {path!r}")
        return {
            "path": path,
            "file_mode": _number(given["file-mode"], 8, DEFAULT_FILE_MODE),
            "dir_mode": _number(given["dir-mode"], 8, DEFAULT_FOLDER_MODE),
            "uid": _number(given["owner-uid"], 10, None),
            "gid": _number(given["owner-gid"], 10, None),
        }


def _number(text: str, base: int, default: int | None) -> int | None:
    try:
        return int(text, base)
    except ValueError:
        return default


def of_url(scheme: str, rest: str) -> FilesystemOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    if not rest.startswith("/"):
        raise InvalidURLError(f"the path of {scheme}://{shown(rest)} is not absolute: the form is {scheme}:///PATH")
    return FilesystemOptions(path=os.path.abspath("/" + rest.lstrip("/")))


__all__ = ["FilesystemOptions", "of_url"]
