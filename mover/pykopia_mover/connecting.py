"""Finds, opens and, for a backup, creates the repository."""

import base64
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

import pykopia
from pykopia import ClientOptions, NewRepositoryOptions, Repository, SourceInfo, clock
from pykopia.core import BLOBCFG_ID, EPOCH_PREFIX, FORMAT_BLOB_ID, METADATA_PACK_PREFIX
from pykopia.errors import (
    BlobNotFoundError,
    ConnectionFileError,
    InvalidPasswordError,
    PykopiaError,
    RepositoryExistsError,
    RepositoryNotFoundError,
    StorageAccessDeniedError,
    StorageNotFoundError,
    UnsupportedOptionError,
    UsageError,
)
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.environment import legacy_connections
from pykopia.storage.opening import open_ahead, retry_schedule
from pykopia.storage.options import StorageOptions
from pykopia.storage.retrying import Retries
from pykopia_mover import sections
from pykopia_mover.cache import cache_size, caching_options, make_room, rebuild
from pykopia_mover.certificates import issuer_of, server_of
from pykopia_mover.clocks import ClockWatch
from pykopia_mover.explain import is_about_certificate
from pykopia_mover.failures import MoverError, config_error
from pykopia_mover.identity import Wanted
from pykopia_mover.loading import storage_limits
from pykopia_mover.memory import give_back
from pykopia_mover.run import Context
from pykopia_mover.sequential import SequentialStorage
from pykopia_mover.settings import Environment

OWNER_USER, OWNER_HOST = "maintenance", "volsync"
ONE_AT_A_TIME: Final = frozenset({"backup", "restore"})
"""Operations with one call of the storage at a time where ``parallelism`` is 1; the lease of maintenance can't wait."""

_GETS_AHEAD: Final = (FORMAT_BLOB_ID, FORMAT_BLOB_ID, BLOBCFG_ID)
"""The format block is looked at here before the repository is opened."""
_LISTS_AHEAD: Final = {"restore": (EPOCH_PREFIX, METADATA_PACK_PREFIX)}
"""Listings that an operation begins with, besides that of the index."""
_KOPIA_BLOB: Final = re.compile(
    r"kopia\.(?:blobcfg|maintenance|advlock|lock)|[pq][0-9a-f]{16,}|[nm][0-9a-f]{16,}|x[nsenrw]\d*_|_log_|s[0-9a-f]{8,}"
)
"""Names of blobs that only a repository has."""


# ---------------------------------------------------------------------- where


def find_connection(run: Context) -> ConnectionInfo:
    """Return the place of the repository: that of a connection document, else that of the variables (rules M-030, M-046).

    Raises:
        MoverError: nowhere, or a connection document that can't be used.
        PykopiaError: variables that make no sense.
    """
    if run.environment.authorities():
        run.output.line("Using custom CA.")
    connection, warnings = named_connection(run.environment, run.document)
    for warning in warnings:
        run.output.warning(warning)
    wanted_type = run.files.config.storage_type if run.files.config is not None else ""
    if wanted_type and wanted_type.lower() != connection.type.lower():
        run.output.warning(
            f"repository.config names storage of type {wanted_type}, the repository is of type "
            f"{connection.type}; the latter counts"
        )
    additions: dict[str, Any] = storage_limits(run.settings, run.files) | dict(run.additional.storage)
    additions.setdefault("concurrentWrites", run.uploads)
    connection = connection.with_fields(additions)
    place = replace(
        run.place,
        type=connection.type,
        name=_location(connection),
        credentials=run.environment.credentials(connection.type),
    )
    run.notes.add(place=place)
    return connection


def named_connection(environment: Environment, document: Mapping[str, Any]) -> tuple[ConnectionInfo, Sequence[str]]:
    """Return the connection that a document or else the variables name, and warnings.

    Raises:
        MoverError: the document can't be used.
        PykopiaError: variables that make no sense.
    """
    if not document:
        found = environment.storage()
        return found.connection, found.warnings
    try:
        connection = _trusting(ConnectionInfo.from_json(document["storage"]), environment.authorities())
        connection.options().check()
    except ConnectionFileError as error:
        raise config_error(str(error), "Correct the connection document, or name the repository by a URL") from None
    return connection, ()


def _trusting(connection: ConnectionInfo, authorities: bytes) -> ConnectionInfo:
    """Return a connection that trusts more authorities than it names, if its type speaks TLS."""
    options: Any = connection.options()
    if not authorities or not hasattr(options, "root_ca"):
        return connection
    return ConnectionInfo.from_options(
        replace(options, root_ca=b"\n".join(filter(None, (options.root_ca, authorities))))
    )


def _location(connection: ConnectionInfo) -> str:
    """Return the place for messages: no secrets, and host and port where there is a server."""
    options = _options(connection)
    return connection.type if options is None else options.location


def _options(connection: ConnectionInfo) -> StorageOptions | None:
    """Return the configuration typed; None where it can't be, which opening the storage then explains."""
    with contextlib.suppress(ConnectionFileError, UnsupportedOptionError):
        return connection.options()
    return None


def _is_folder(connection: ConnectionInfo) -> bool:
    """Return True for storages in a folder, which a backup makes where it is missing."""
    options = _options(connection)
    return options is not None and options.holder == "folder"


# ---------------------------------------------------------------------- opening


def open_repository(run: Context, wanted: Wanted, *, may_create: bool = False) -> Repository:
    """Return the repository that the settings name; create it if it is missing and ``may_create`` is set.

    Args:
        run: its context.
        wanted: whose snapshots the run is about: the client of the repository.
        may_create: whether a repository may be made.

    Raises:
        MoverError: none is there, its place holds something else, or the settings contradict each other.
        PykopiaError: it can't be reached or opened.
    """
    connection = find_connection(run)
    run.output.line("=== Connecting to existing repository ===")
    if connection.type == "s3":
        run.output.lines(sections.s3_connection(run.environment, str(connection.config.get("prefix") or "")))
    storage, raw = _look(run, connection)
    if raw is None:
        older = _older_place(run, connection)
        if older is not None:
            if storage is not None:
                storage.close()
            storage, raw = older
    created = False
    if raw is None:
        if storage is not None:
            raw = _created_since(run, storage)
        if raw is None and not may_create:
            if storage is None:
                _require_parent(run, connection)  # an answer from a wrong server is no proof of an empty place
            raise RepositoryNotFoundError(f"there is no repository in {run.place.name}: {FORMAT_BLOB_ID} is missing")
        if raw is None and not run.settings.auto_create:
            raise MoverError(
                "no-repository",
                f"there is no repository in {run.place.name}, and KOPIA_AUTO_CREATE forbids to make one",
            )
    if raw is None:
        if storage is not None:
            storage.close()
        storage, raw, created = _create(run, connection)
    assert storage is not None
    if _one_at_a_time(run):
        storage = SequentialStorage(storage)
    if may_create and not storage.is_local:
        storage = ClockWatch(storage, run.output.warning)
    repository = _connect(run, wanted, storage, raw)
    give_back()
    identifier = repository.unique_id.hex()[:8]
    run.notes.add(repository={"type": connection.type, "id": identifier, "created": created})
    run.output.line(f"Connected to repository {run.place.name} (id {identifier}, format v{repository.format.version})")
    return repository


def _one_at_a_time(run: Context) -> bool:
    return run.parallelism == 1 and run.op in ONE_AT_A_TIME


def _open(run: Context, connection: ConnectionInfo, *, create: bool = False, ahead: bool = False) -> BlobStorage:
    """Open a storage; a network that is not up yet, or a server that asks for patience, is tried again (rule M-044).

    Once it is open, the storage itself does that. With ``ahead``, what is read to open a repository is asked for at once.
    """
    ahead = ahead and not _one_at_a_time(run)
    gets = _GETS_AHEAD if ahead else ()
    lists = _LISTS_AHEAD.get(run.op, (EPOCH_PREFIX,)) if ahead else ()
    retries = Retries(retry_schedule(connection.options()))
    while True:
        try:
            return open_ahead(connection, create=create, gets=gets, lists=lists)
        except PykopiaError as error:
            pause = retries.pause_after(error)
            if pause is None:
                _note_failure(run, connection, error, f"{retries.attempts} attempts in {retries.seconds:.0f} s")
                raise
            # why is for the debug level: a run that ends well must not have words that operators take for a failure
            run.output.line(
                f"{run.place.name} is not reached yet, trying again in {pause:.1f} s (attempt {retries.attempts})"
            )
            run.output.debug(str(error))
            if run.stop.wait(pause):
                raise


def _note_failure(run: Context, connection: ConnectionInfo, error: PykopiaError, tried: str) -> None:
    """Record facts for the message on a storage that can't be opened: attempts, and the issuer of a refused certificate."""
    issuer = issuer_of(server_of(_options(connection))) if is_about_certificate(error) else ""
    run.notes.add(place=replace(run.place, tried=tried, issuer=issuer))


def _look(run: Context, connection: ConnectionInfo) -> tuple[BlobStorage | None, bytes | None]:
    """Return the storage, and the format block if it has one; no storage if it is a folder that is not there yet."""
    try:
        storage = _open(run, connection, ahead=True)
    except StorageNotFoundError:
        if not _is_folder(connection):
            raise
        return None, None
    try:
        return storage, storage.get(FORMAT_BLOB_ID)
    except BlobNotFoundError:
        return storage, None
    except StorageNotFoundError:
        storage.close()
        if _is_folder(connection):
            return None, None
        raise
    except BaseException:
        storage.close()
        raise


def _older_place(run: Context, connection: ConnectionInfo) -> tuple[BlobStorage, bytes] | None:
    """Return the place where older movers put the repository, if the password opens the one there (rule M-033)."""
    if not run.settings.legacy_location_probe:
        return None
    found = []
    for older in legacy_connections(connection):
        try:
            storage, raw = _look(run, older)
        except StorageAccessDeniedError:
            run.output.debug(f"the older place {_location(older)} may not be looked at")
            continue
        if storage is None:
            continue
        if raw is not None and _opens(storage, run.settings.password):
            found.append((older, storage, raw))
            continue
        if raw is not None:
            run.output.warning(
                f"{_location(older)}, where older movers put the repository, holds one that KOPIA_PASSWORD does not open: it is "
                "passed over. If it is yours, correct KOPIA_PASSWORD; otherwise KOPIA_LEGACY_LOCATION_PROBE=false leaves it alone"
            )
        storage.close()
    if not found:
        return None
    if len(found) > 1:
        for _, storage, _ in found:
            storage.close()
        listed = " and ".join(_location(older) for older, _, _ in found)
        raise config_error(
            f"repositories of older movers lie in {listed}", "Name the one that is meant by KOPIA_REPOSITORY"
        )
    older, storage, raw = found[0]
    run.output.warning(
        f"using the repository of an older mover in {_location(older)} instead of {run.place.name}; name that place in "
        "KOPIA_REPOSITORY, or set KOPIA_LEGACY_LOCATION_PROBE=false to pass over it"
    )
    run.notes.add(place=replace(run.place, name=_location(older)))
    return storage, raw


def _opens(storage: BlobStorage, password: str) -> bool:
    """Return True if the password opens the repository in a storage. The storage stays open."""
    for each in password_forms(password):
        with contextlib.suppress(InvalidPasswordError):
            pykopia.connect(storage, each, client=ClientOptions(username=OWNER_USER, hostname=OWNER_HOST))
            return True
    return False


def _created_since(run: Context, storage: BlobStorage) -> bytes | None:
    """Return the format block that another mover has written since it was looked for; None if a repository may be created.

    ``kopia.blobcfg`` alone is no repository: its writer is creating one right now, or was killed before it had.

    Raises:
        MoverError: there are blobs of a repository without a format block: it is damaged, not empty (E-NOTEMPTY).
    """
    storage.flush_caches()  # what was asked for ahead is as old as the first look
    names = {blob.blob_id for blob in storage.list("") if _KOPIA_BLOB.match(blob.blob_id)}
    if names <= {BLOBCFG_ID}:
        return None
    try:
        return storage.get(FORMAT_BLOB_ID)
    except BlobNotFoundError:
        example = min(names - {BLOBCFG_ID})
        raise MoverError(
            "damaged",
            f"{run.place.name} holds blobs of a repository, such as {example}, but no {FORMAT_BLOB_ID}: its format block "
            "is lost; nothing was created there",
            "Restore that blob from a copy, `pykopia repository repair` may find one in a pack; or use another place",
        ) from None


def _connect(run: Context, wanted: Wanted, storage: BlobStorage, raw: bytes) -> Repository:
    if run.settings.force_cache_rebuild:
        rebuild(run.cache)
    removed = make_room(run.cache, now_ns=clock.now())
    if removed:
        run.output.line(f"Removed from the cache to make room: {', '.join(removed)}")
    caching = caching_options(
        run.cache,
        _unique_id(raw),
        run.settings,
        run.files.config,
        run.manual.cache_size or cache_size(run.document),
    )
    client = _client(run, wanted)
    first, *others = password_forms(run.settings.password)
    try:
        return pykopia.connect(storage, first, client=client, caching=caching, close_storage=True)
    except InvalidPasswordError:
        for password in others:
            with contextlib.suppress(InvalidPasswordError):
                repository = pykopia.connect(storage, password, client=client, caching=caching, close_storage=True)
                run.output.warning(_other_form(first, password))
                return repository
        raise


def password_forms(password: str) -> tuple[str, ...]:
    r"""Return the passwords to try: as it is, then without a line break at the end, then with one.

    Who makes a Secret with ``echo PASSWORD | base64`` gives a line break that is not visible.

    >>> password_forms("word"), password_forms("word\r\n")
    (('word', 'word\n'), ('word\r\n', 'word', 'word\n'))
    """
    plain = password.rstrip("\r\n")
    return tuple(dict.fromkeys((password, plain, f"{plain}\n")))


def _other_form(given: str, found: str) -> str:
    if len(found) < len(given):
        return "KOPIA_PASSWORD ends in a line break, which is not part of the password: remove it from the Secret"
    return (
        "the password of this repository ends in a line break, and KOPIA_PASSWORD does not: other programs will refuse it; "
        "change the password of the repository"
    )


def _client(run: Context, wanted: Wanted) -> ClientOptions:
    document, config = run.document, run.files.config
    enable = config.enable_actions if config is not None else None
    if enable is None:
        enable = run.settings.actions_enabled
    options = ClientOptions(
        username=wanted.user or OWNER_USER,
        hostname=wanted.host or OWNER_HOST,
        enable_actions=bool(document.get("enableActions")) if enable is None else enable,
        read_only=bool(document.get("readonly")),
    )
    return replace(options, **run.additional.client)


def _unique_id(raw: bytes) -> str:
    """Return the unique ID in a format block, in hex; it only names a folder, so anything odd is no error."""
    try:
        return base64.b64decode(json.loads(raw)["uniqueID"]).hex()[:32] or "unknown"
    except (ValueError, KeyError, TypeError):
        return "unknown"


# ---------------------------------------------------------------------- creating


def _create(run: Context, connection: ConnectionInfo) -> tuple[BlobStorage, bytes, bool]:
    """Make the repository, or find that another mover has just done so; return the storage and the format block."""
    options = creation_options(run)
    _require_parent(run, connection)
    run.output.line("=== Creating repository ===")
    if connection.type == "s3":
        run.output.lines(sections.s3_creation(run.environment, str(connection.config.get("prefix") or "")))
    storage = _open(run, connection, create=True)
    if run.settings.password != run.settings.password.rstrip("\r\n"):
        run.output.warning(
            "KOPIA_PASSWORD ends in a line break, which becomes part of the password of this new repository: whoever types "
            "the password will be refused. Make the Secret anew without it (printf instead of echo), and use another place"
        )
    created = True
    try:
        pykopia.create(
            storage,
            run.settings.password,
            options=options,
            # the owner of maintenance is no pod that will be gone (rule M-042)
            client=ClientOptions(username=OWNER_USER, hostname=OWNER_HOST),
            on_created=lambda repository: _first_policies(run, repository),
        )
        run.output.line("Repository created")
    except RepositoryExistsError:
        run.output.line("Another mover has just created the repository; using that one")
        created = False
    except UsageError as error:
        if run.manual.creation or run.additional.creation:
            given = "KOPIA_MANUAL_CONFIG" if run.manual.creation else "KOPIA_ADDITIONAL_ARGS"
            raise config_error(f"no repository can be made as {given} says: {error}") from error
        raise
    return storage, storage.get(FORMAT_BLOB_ID), created


def _first_policies(run: Context, repository: Repository) -> None:
    """Add the compression settings of the volume to the global policy of a new repository."""
    if run.manual.compression:
        defined = repository.policies.defined(SourceInfo())
        assert defined is not None
        compression = replace(defined.policy.compression, **run.manual.compression)
        repository.policies.set(SourceInfo(), replace(defined.policy, compression=compression))


def _require_parent(run: Context, connection: ConnectionInfo) -> None:
    """Refuse a folder whose parent is missing: the path is misspelt, or a volume is not mounted."""
    fix = {
        "filesystem": "Check that the volume is mounted there",
        "sftp": "SFTP_PATH must exist and be writable for SFTP_USERNAME; its last part is made",
        "webdav": "WEBDAV_URL must exist; its last part is made",
    }
    key = "url" if connection.type == "webdav" else "path"
    place = str(connection.config.get(key) or "").rstrip("/")
    above = place.rpartition("/")[0] or "/"
    if connection.type not in fix or above.endswith(":/"):
        return
    try:
        _open(run, connection.with_fields({key: above})).close()
    except StorageNotFoundError:
        raise MoverError(
            "no-repository",
            f"the folder of the repository, {place}, does not exist, nor does the one that should hold it",
            fix[connection.type],
        ) from None
    except StorageAccessDeniedError:
        return  # the folders above may be hidden from us


def creation_options(run: Context) -> NewRepositoryOptions:
    """Return the parameters of a new repository.

    Raises:
        MoverError: they can't be used.
    """
    if run.manual.wrong is not None:
        raise run.manual.wrong
    known = {each.name for each in fields(NewRepositoryOptions)}
    flags = {name: value for name, value in run.additional.creation.items() if name in known}
    return NewRepositoryOptions(**{**run.manual.creation, **flags})


__all__ = ["creation_options", "find_connection", "named_connection", "open_repository", "password_forms"]
