"""Sources of snapshots, ``user@host:path``, and which snapshots of one help the next (format 04 §9, §10)."""

import posixpath
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, TypeVar

from pykopia.dataclass import dataclass
from pykopia.errors import UsageError
from pykopia.format.manifest import TYPE_LABEL

SNAPSHOT_TYPE: Final = "snapshot"
"""Type label of snapshot manifests."""
SNAPSHOT_LABELS: Final[Mapping[str, str]] = {TYPE_LABEL: SNAPSHOT_TYPE}
"""Labels that all snapshot manifests have."""

HOST_LABEL: Final = "hostname"
USER_LABEL: Final = "username"
PATH_LABEL: Final = "path"

GLOBAL: Final = "(global)"
"""Text form of the source without host, user and path."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class SourceInfo:
    """Source of snapshots. Each part may be empty; an empty part matches any value."""

    host: str = ""
    user_name: str = ""
    path: str = ""

    def __str__(self) -> str:
        if not (self.host or self.user_name or self.path):
            return GLOBAL
        return f"{self.user_name}@{self.host}:{self.path}" if self.path else f"{self.user_name}@{self.host}"

    @classmethod
    def parse(cls, text: str, default_host: str, default_user: str, cwd: str) -> "SourceInfo":
        """Return the source that a user typed.

        Args:
            text: ``user@host:path``, ``user@host``, ``@host``, ``(global)``, or else a local path. A local path with
                ``@`` and without ``:`` is taken for user and host, as Kopia takes it.
            default_host: Host of a local path.
            default_user: User of a local path.
            cwd: Absolute path of the folder that a relative path starts from.

        Raises:
            UsageError: There is nothing behind the ``@``.

        >>> SourceInfo.parse("u@h:/p/", "here", "me", "/")
        SourceInfo(host='h', user_name='u', path='/p/')
        >>> str(SourceInfo.parse("../lib", "here", "me", "/usr/share"))
        'me@here:/usr/lib'
        >>> str(SourceInfo.parse("s3://bucket/prefix/", "here", "me", "/"))
        'me@here:s3://bucket/prefix'
        """
        if text == GLOBAL:
            return cls()
        at, colon = text.find("@"), text.find(":")
        if 0 < at < colon:
            return cls(user_name=text[:at], host=text[at + 1 : colon], path=text[colon + 1 :])
        if at >= 0 and colon < 0:
            if at + 1 == len(text):
                raise UsageError(f"{text!r} is no source: a host must follow the @, as in user@host:/path")
            return cls(user_name=text[:at], host=text[at + 1 :])
        path = text.rstrip("/") if "://" in text else absolute_path(text, cwd)  # a URL of another filesystem
        return cls(host=default_host, user_name=default_user, path=path)

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> "SourceInfo":
        """Return the source that the labels of a snapshot manifest name."""
        return cls(
            host=labels.get(HOST_LABEL, ""), user_name=labels.get(USER_LABEL, ""), path=labels.get(PATH_LABEL, "")
        )

    def labels(self) -> dict[str, str]:
        """Return the labels that all snapshot manifests of the source have.

        User and path are left out when they are empty, so that a search finds those of all users or paths.
        """
        labels = {TYPE_LABEL: SNAPSHOT_TYPE, HOST_LABEL: self.host}
        if self.user_name:
            labels[USER_LABEL] = self.user_name
        if self.path:
            labels[PATH_LABEL] = self.path
        return labels


def absolute_path(path: str, cwd: str) -> str:
    """Return a local path absolute and without ``.``, ``..``, repeated and final slashes; symlinks are not looked at.

    >>> absolute_path("//a/./b/../c/", "/")
    '/a/c'
    """
    joined = posixpath.normpath(posixpath.join(cwd, path))
    return "/" + joined.lstrip("/")


class _Snapshot(Protocol):
    @property
    def start_time_ns(self) -> int: ...
    @property
    def incomplete(self) -> str: ...


SnapshotT = TypeVar("SnapshotT", bound=_Snapshot)


def previous_snapshots(snapshots: Iterable[SnapshotT], not_after: int | None = None) -> list[SnapshotT]:
    """Return the snapshots that a new one of the same source is compared with (format 04 §10).

    They are the latest complete one, and behind it the incomplete ones that began later; without a complete one all
    incomplete ones.

    Args:
        snapshots: Those of one source, in the order of their manifests.
        not_after: Leave out what began later than this: nanoseconds since 1970.
    """
    candidates = [each for each in snapshots if not_after is None or each.start_time_ns <= not_after]
    complete = max((each for each in candidates if not each.incomplete), key=_start, default=None)
    incomplete = [
        each for each in candidates if each.incomplete and (complete is None or _start(each) > _start(complete))
    ]
    return incomplete if complete is None else [complete, *incomplete]


def _start(snapshot: _Snapshot) -> int:
    return snapshot.start_time_ns


__all__ = [
    "GLOBAL",
    "HOST_LABEL",
    "PATH_LABEL",
    "SNAPSHOT_LABELS",
    "SNAPSHOT_TYPE",
    "USER_LABEL",
    "SourceInfo",
    "absolute_path",
    "previous_snapshots",
]
