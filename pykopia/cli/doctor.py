"""`doctor`: check everything that a backup needs, and say how to repair what is wrong."""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pykopia import __version__, clock
from pykopia.cli import colors, formatting
from pykopia.cli.flags.peers import DoctorOptions
from pykopia.cli.provider_check import PREFIX
from pykopia.cli.session import Session
from pykopia.errors import BlobNotFoundError, ClockError, PykopiaError, ReadOnlyStorageError, VerifyError
from pykopia.ids import BlobID
from pykopia.maintenance.lease import check_clocks
from pykopia.repository.connection_file import PASSWORD_SUFFIX
from pykopia.repository.view import contradictions

if TYPE_CHECKING:
    from pykopia.api.repository import Repository

_SECOND = 1_000_000_000
_DAY = 24 * 3600 * _SECOND
_MANY_INDEXES = 1000
_FULL = 0.95
_LITTLE = 1_000_000_000


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    level: str
    """``ok``, ``warning`` or ``error``."""
    text: str
    advice: str = ""


def doctor(session: Session, options: DoctorOptions) -> None:
    """Check client, permissions, clock, cache, storage, index and maintenance; errors give a status that is not 0.

    Raises:
        VerifyError: something is wrong.
    """
    printer = options.json_list(session) if options.json else None
    errors = 0
    for finding in examine(session):
        errors += finding.level == "error"
        if printer is not None:
            printer.add(finding._asdict())
        else:
            _write(session, finding)
    if printer is not None:
        printer.end()
    if errors:
        message = f"{errors} thing{'s are' if errors > 1 else ' is'} wrong: what to do is said above"
        raise VerifyError(message)


def _write(session: Session, finding: Finding) -> None:
    level = f"{finding.level:<7}"
    if session.colors(session.stdout):
        color = {"ok": colors.WELL, "warning": colors.WARNING}.get(finding.level, colors.ERROR)
        level = colors.colored(level, color)
    session.write(f"{level} {finding.what:<12} {session.escape(finding.text)}")
    if finding.advice:
        session.write(f"{'':<20} {session.escape(finding.advice)}")


def examine(session: Session) -> Iterator[Finding]:
    """Yield what is found, from the machine outward; what needs the repository only when it can be opened."""
    yield Finding("client", "ok", f"pykopia {__version__}")
    path = session.config_path
    if not path.exists():
        yield Finding("connection", "error", f"there is no {path}", "Connect: `pykopia repository connect`.")
        return
    yield from permissions([path, path.with_name(path.name + PASSWORD_SUFFIX)])
    try:
        repository = session.open()
    except PykopiaError as error:
        yield Finding("repository", "error", f"it can't be opened: {error}", "Nothing else can be checked before.")
        return
    with repository:
        yield Finding(
            "repository",
            "ok",
            f"{repository.username}@{repository.hostname} uses {repository.storage.display_name}",
        )
        for check in (_storage, _space, _cache, _index, _snapshots, _maintenance):
            yield from _guarded(check, repository)


def _guarded(check: "Callable[[Repository], Iterator[Finding]]", repository: "Repository") -> Iterator[Finding]:
    try:
        yield from check(repository)
    except PykopiaError as error:
        yield Finding(check.__name__.strip("_"), "error", str(error))
    except OSError as error:
        yield Finding(check.__name__.strip("_"), "error", f"{error.filename or ''}: {error.strerror or error}")


def permissions(paths: Sequence[Path]) -> Iterator[Finding]:
    """Yield whether others may read files that hold secrets."""
    for path in paths:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Finding(
                "permissions", "error", f"others may read {path}, which holds secrets", f"Run: chmod 600 {path}"
            )
        else:
            yield Finding("permissions", "ok", f"only its owner may read {path}")


def _storage(repository: "Repository") -> Iterator[Finding]:
    """Write, read and delete a blob, and compare the clocks."""
    storage = repository.storage
    if repository.read_only:
        yield Finding("storage", "ok", "it can be read; the repository is connected for reading")
        return
    blob_id, data = BlobID(f"{PREFIX}{secrets.token_hex(16)}-doctor"), secrets.token_bytes(1000)
    started = clock.monotonic()
    try:
        storage.put(blob_id, data)
        read, stored_ns, now_ns = bytes(storage.get(blob_id)), storage.metadata(blob_id).timestamp_ns, clock.now()
    except ReadOnlyStorageError as error:
        yield Finding("storage", "error", f"it can't be written to: {error}", "Give this client the right to write.")
        return
    finally:
        _delete(repository, blob_id)
    took = formatting.duration(round((clock.monotonic() - started) * 1000) * 1_000_000)
    if read != data:
        advice = "Use another storage: this one loses data."
        yield Finding("storage", "error", "a blob that was read again had other bytes", advice)
    else:
        yield Finding("storage", "ok", f"a blob was written, read and deleted in {took}")
    try:
        check_clocks(stored_ns, now_ns)
    except ClockError as error:
        yield Finding("clock", "error", str(error))
    else:
        yield Finding("clock", "ok", "this machine and the storage agree about the time")


def _delete(repository: "Repository", blob_id: BlobID) -> None:
    try:
        repository.storage.delete(blob_id)
    except BlobNotFoundError:
        return


def _space(repository: "Repository") -> Iterator[Finding]:
    capacity = repository.storage.capacity()
    if capacity is None or not capacity.size:
        return
    share = 1 - capacity.free / capacity.size
    text = f"{formatting.size(capacity.free)} of {formatting.size(capacity.size)} are free in the storage"
    if share > _FULL:
        yield Finding(
            "space", "warning", text, "Free space: `pykopia maintenance run --full`, or keep fewer snapshots."
        )
    else:
        yield Finding("space", "ok", text)


def _cache(repository: "Repository") -> Iterator[Finding]:
    config = repository.config_path
    from pykopia.repository.connection_file import read_config  # noqa: PLC0415

    folder = None if config is None else read_config(config).caching.folder(config)
    if folder is None:
        yield Finding("cache", "warning", "there is none: each command reads the index again", "`pykopia cache set`")
        return
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        yield Finding("cache", "error", f"{folder} can't be written to", f"Make it yours: chown {os.getuid()} {folder}")
        return
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    if free < _LITTLE:
        text = f"only {formatting.size(free)} are free where {folder} lies"
        yield Finding("cache", "warning", text, "Free space there, or `pykopia cache set --cache-directory=OTHER`.")
    else:
        yield Finding("cache", "ok", f"{folder} can be written to")


def _index(repository: "Repository") -> Iterator[Finding]:
    indexes = repository.contents.indexes
    damaged = [*indexes.damaged.values(), *repository.manifests.damaged.values()]
    for error in damaged:
        yield Finding("index", "error", str(error), "`pykopia index recover` lists what the packs hold.")
    found = contradictions(repository)
    for each in found:
        yield Finding("index", "error", str(each))
    count = indexes.active_count
    if count > _MANY_INDEXES:
        yield Finding(
            "index", "warning", f"it has {count} blobs, which is slow", "`pykopia maintenance run` compacts it."
        )
    elif not damaged and not found:
        yield Finding("index", "ok", f"its {count} blobs and the packs fit together")


def _snapshots(repository: "Repository") -> Iterator[Finding]:
    complete = [each for each in repository.snapshots.list() if not each.incomplete]
    mine = [
        each
        for each in complete
        if (each.source.host, each.source.user_name) == (repository.hostname, repository.username)
    ]
    if not mine:
        yield Finding("snapshots", "warning", "this client has none", "Take one: `pykopia snapshot create FOLDER`.")
        return
    age = clock.now() - max(each.start_time_ns for each in mine)
    text = f"{len(mine)} of this client, the newest {formatting.duration(max(0, age) // _SECOND * _SECOND)} old"
    failed = [each for each in mine if each.has_errors]
    if failed and failed[-1] is mine[-1]:
        yield Finding(
            "snapshots", "warning", f"{text}, with errors", "`pykopia info latest` shows what could not be read."
        )
    elif age > _DAY:
        yield Finding("snapshots", "warning", text, "Check that backups run: `pykopia snapshot create --all`.")
    else:
        yield Finding("snapshots", "ok", text)


def _maintenance(repository: "Repository") -> Iterator[Finding]:
    info = repository.maintenance.info()
    for warning in info.warnings:
        yield Finding("maintenance", "warning", str(warning))
    if not info.warnings:
        yield Finding("maintenance", "ok", f"done by {info.parameters.owner or 'nobody'}")


__all__ = ["Finding", "doctor", "examine", "permissions"]
