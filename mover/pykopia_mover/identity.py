"""The source whose snapshots a run takes or restores: ``user@host:path``.

Everything here is a decision: what the settings ask for, and which of the sources in a repository that means.
"""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Final, Protocol

from pykopia import SourceInfo
from pykopia.dataclass import dataclass
from pykopia_mover.failures import MoverError, config_error
from pykopia_mover.settings import Settings

DEFAULT_PATH: Final = "/data"
RESTORE_DATA_DIR: Final = "/restore/data"
ANY: Final = "*"
NAMESPACE_TAG: Final = "tag:volsync-namespace"
NAME_TAG: Final = "tag:volsync-name"


class Snapshot(Protocol):
    """The part of a snapshot that identities need."""

    @property
    def source(self) -> SourceInfo:
        """The source."""

    @property
    def start_time_ns(self) -> int:
        """Nanoseconds since 1970."""

    @property
    def incomplete(self) -> str:
        """Why it ended early; empty when it is complete."""

    @property
    def tags(self) -> Mapping[str, str]:
        """By the keys of the labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The source that the settings select."""

    user: str
    """Empty: any."""
    host: str
    """Empty: any."""
    path: str
    path_given: bool
    """Whether the settings require the path; otherwise it is only preferred."""
    legacy: tuple[tuple[str, str], ...] = ()
    """Users and hosts that older movers used, in the order of preference; ``*`` is any, for a restore."""
    owner: tuple[str, str] | None = None
    """Namespace and name of the owning object."""
    lines: tuple[str, ...] = field(default=())
    """Lines for the log."""

    @property
    def source(self) -> SourceInfo:
        """The primary source; its empty parts stand for any."""
        return SourceInfo(user_name=self.user, host=self.host, path=self.path)

    def __str__(self) -> str:
        return f"{self.user or ANY}@{self.host or ANY}:{self.path}"

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the snapshots of this owner (rule M-080h)."""
        if self.owner is None:
            return {}
        return {
            NAMESPACE_TAG.removeprefix("tag:"): self.owner[0],
            NAME_TAG.removeprefix("tag:"): self.owner[1],
        }


def recorded_path(settings: Settings) -> str:
    """Return the path that is recorded for snapshots (rule M-062).

    Raises:
        MoverError: the override is not an absolute path.
    """
    override = settings.source_path_override
    if not override:
        return DEFAULT_PATH if settings.data_dir == RESTORE_DATA_DIR else settings.data_dir.rstrip("/") or "/"
    if not override.startswith("/"):
        raise config_error(
            f"the source path override {override!r} must be an absolute path, starting with /",
            "For example: sourcePathOverride: /var/lib/mysql",
        )
    if {".", ".."} & set(override.split("/")):
        raise config_error(f"the source path override {override!r} must not hold . or ..")
    return "/" + posixpath.normpath(override).lstrip("/")


def wanted_by(
    settings: Settings, document: Mapping[str, Any] | None = None, *, pod_user: str = "", pod_host: str = ""
) -> Wanted:
    """Return the source that the settings select; parts that they leave open are empty.

    Args:
        settings: of the run.
        document: a connection document, whose user and host count where the settings name neither (rule M-046).
        pod_user: user of the process, taken only when the settings allow it.
        pod_host: host name of the process, likewise.

    Raises:
        MoverError: a setting is malformed.
    """
    lines = []
    user, host = settings.override_username, settings.override_hostname
    owner = None
    if settings.owner_namespace and settings.owner_name:
        owner = (settings.owner_namespace, settings.owner_name)
    if user:
        lines.append(f"Using username override: {user}")
    if host:
        lines.append(f"Using hostname override: {host}")
    if owner is not None and not user and not host:
        user, host = owner
    if document and not user and not host:
        user, host = (str(document.get(name) or "") for name in ("username", "hostname"))
    if settings.allow_pod_identity:
        user, host = user or pod_user, host or pod_host
    path = recorded_path(settings)
    if settings.source_path_override:
        lines.append(f"Using source path override: {path}")
    for part, name in ((user, "user"), (host, "host")):
        if any(mark in part for mark in "\0\n\r"):
            raise config_error(f"the {name} of the identity holds a control character")
        require_utf8(part, f"the {name} of the identity")
    require_utf8(path, "the path that is recorded for the snapshots")
    return Wanted(
        user=user,
        host=host,
        path=path,
        path_given=bool(settings.source_path_override),
        legacy=_legacy(settings.legacy_identities),
        owner=owner,
        lines=tuple(lines),
    )


def require_utf8(text: str, what: str) -> None:
    """Refuse a name that would be stored as another one, under which nothing would ever find its snapshots.

    Raises:
        MoverError: the name holds bytes that are not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise config_error(f"{what} is not UTF-8", "Write it in UTF-8 in the Secret or the spec") from None


def _legacy(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        user, at, host = item.partition("@")
        if not (user and at and host) or ":" in host:
            raise config_error(
                f"KOPIA_LEGACY_IDENTITIES holds {item!r}, which is not user@host", "Write user@host,user@host"
            )
        found.append((user, host))
    return tuple(found)


def require_complete(wanted: Wanted) -> Wanted:
    """Refuse an identity with a missing half: a backup would begin a new line of snapshots in every pod (rule M-061).

    Raises:
        MoverError: user or host is missing.
    """
    if wanted.user and wanted.host:
        return wanted
    raise config_error(
        "no identity for the snapshots: set KOPIA_OVERRIDE_USERNAME and KOPIA_OVERRIDE_HOSTNAME, or "
        "VOLSYNC_OWNER_NAMESPACE and VOLSYNC_OWNER_NAME",
        "KOPIA_ALLOW_POD_IDENTITY=true takes user and host of this process instead, which in a pod change with every run",
    )


def by_source(snapshots: Iterable[Snapshot]) -> dict[SourceInfo, list[Snapshot]]:
    """Return the complete snapshots of each source, oldest first."""
    found: dict[SourceInfo, list[Snapshot]] = {}
    for each in sorted(snapshots, key=lambda snapshot: snapshot.start_time_ns):
        if not each.incomplete:
            found.setdefault(each.source, []).append(each)
    return found


def source_to_back_up(wanted: Wanted, sources: Mapping[SourceInfo, Sequence[Snapshot]]) -> SourceInfo:
    """Return the source of a backup: the wanted one, or that of an older mover which is continued (rule M-064)."""
    if wanted.source in sources:
        return wanted.source
    for user, host in wanted.legacy:
        older = SourceInfo(user_name=user, host=host, path=wanted.path)
        if older in sources and not _is_anothers(sources[older][-1], wanted.owner):
            return older
    return wanted.source


def source_to_restore(
    wanted: Wanted, sources: Mapping[SourceInfo, Sequence[Snapshot]]
) -> tuple[SourceInfo | None, tuple[str, ...]]:
    """Return the source of a restore, None without one, and lines for the log.

    Raises:
        MoverError: several sources match; all are listed.
    """
    for user, host in [(wanted.user, wanted.host), *wanted.legacy]:
        matching = [
            source
            for source, snapshots in sources.items()
            if user in {"", ANY, source.user_name}
            and host in {"", ANY, source.host}
            and ((user, host) == (wanted.user, wanted.host) or not _is_anothers(snapshots[-1], wanted.owner))
        ]
        found, lines = _one_path(wanted, matching)
        if found is not None:
            if (user, host) != (wanted.user, wanted.host):
                lines = (f"Adopting existing snapshot identity {found}", *lines)
            return found, lines
    return None, ()


def _one_path(wanted: Wanted, matching: Sequence[SourceInfo]) -> tuple[SourceInfo | None, tuple[str, ...]]:
    """Return the one source with the required path, or the only source if no path is required (rule M-138)."""
    exact = [source for source in matching if source.path == wanted.path]
    if len(exact) == 1:
        return exact[0], ()
    if not exact and wanted.path_given:
        return None, ()
    candidates = exact or matching
    if not candidates:
        return None, ()
    if len(candidates) > 1:
        listed = ", ".join(str(each) for each in sorted(candidates)[:10])
        raise MoverError(
            "ambiguous",
            f"{len(candidates)} sources match {wanted}: {listed}",
            "Set username and hostname, or sourceIdentity, and sourcePathOverride if the paths differ",
        )
    found = candidates[0]
    return found, (f"Using the only path of {found.user_name}@{found.host}: {found.path}",)


def _is_anothers(newest: Snapshot, owner: tuple[str, str] | None) -> bool:
    """Return True if the tags of a snapshot name another object."""
    tagged = (newest.tags.get(NAMESPACE_TAG), newest.tags.get(NAME_TAG))
    return tagged not in {(None, None), owner}


__all__ = [
    "ANY",
    "DEFAULT_PATH",
    "NAMESPACE_TAG",
    "NAME_TAG",
    "RESTORE_DATA_DIR",
    "Snapshot",
    "Wanted",
    "by_source",
    "recorded_path",
    "require_complete",
    "require_utf8",
    "source_to_back_up",
    "source_to_restore",
    "wanted_by",
]
