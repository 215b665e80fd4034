"""Creating, connecting to and opening a repository."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from pykopia.api.repository import Repository
from pykopia.arguments import StrPath, absolute, check_kind, given, path_text
from pykopia.errors import ConnectionFileError, UsageError
from pykopia.format.blob_names import BLOBCFG_ID, EPOCH_PREFIX, FORMAT_BLOB_ID
from pykopia.format.local_config import (
    DEFAULT_CACHE_SIZE,
    CachingOptions,
    LocalConfig,
    default_cache_directory_name,
)
from pykopia.ids import BlobID
from pykopia.index.first_blobs import first_index_blobs
from pykopia.private_file import write_private
from pykopia.repository import format_blobs
from pykopia.repository.cache import index_is_cached
from pykopia.repository.connection_file import default_cache_root, default_config_path, read_config, read_password
from pykopia.repository.format_blobs import FormatBlobs
from pykopia.repository.options import ClientOptions, NewRepositoryOptions
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_ahead
from pykopia.storage.options import StorageOptions, ThrottlingLimits
from pykopia.storage.storage_options import with_options
from pykopia.storage.url import storage_from_url

Location: TypeAlias = StrPath | StorageOptions | ConnectionInfo | BlobStorage
"""Where a repository is: a URL, a folder, the options or the connection of a storage, or a storage itself."""


# ---------------------------------------------------------------------- create


def create(
    location: Location,
    password: str,
    *,
    storage_options: Mapping[str, object] | None = None,
    options: NewRepositoryOptions | None = None,
    config: StrPath | None = None,
    client: ClientOptions | None = None,
    caching: CachingOptions | None = None,
    cache_root: StrPath | None = None,
    defaults: bool = True,
    on_created: Callable[[Repository], None] | None = None,
) -> Repository:
    """Make a new repository and return it open.

    It gets what Kopia gives a new one: the global policy, and this client as the owner of its maintenance. Maintenance
    runs by itself at the end of commands only; a program that takes snapshots calls ``repository.maintenance.run()``.

    Args:
        location: a URL such as ``/backups``, ``filesystem:///backups`` or ``memory://name``, or a storage; a storage that
            the caller has opened stays open when the repository is closed.
        storage_options: what a URL can't say, by the field names of the type's class of options in ``pykopia.storage``:
            ``{"endpoint": "s3.example.com", "access_key_id": …, "secret_access_key": …}``.
        password: opens the repository; without it nothing in it can ever be read.
        options: what is fixed at creation; Kopia's defaults when not given.
        config: connection file to write, None for none (then nothing is kept on disk).
        client: who uses the repository.
        caching: cache folder and limits.
        cache_root: folder of the cache folders of all connections, Kopia's default one when not given.
        defaults: False leaves the repository without a policy and without an owner, so that no client maintains it.
        on_created: called with the open repository before the connection file is written: for first policies.

    Raises:
        RepositoryExistsError: there is a repository already.
        UsageError: an option that makes no sense.
        UnsupportedOptionError: ``config`` is given, and no connection file can name the storage; nothing was written.
    """
    from pykopia.repository.creation import new_blobs, require_empty  # noqa: PLC0415 -- opening does without

    client, caching = _checked(password, client, caching)
    blobs = new_blobs(given("options", options, NewRepositoryOptions), password)
    config = absolute("config", config)
    with _opened(location, storage_options, create=True) as storage:
        _check_can_be_saved(storage, config)
        require_empty(storage)
        blobs = format_blobs.write_new(storage, blobs)
        with _populating(storage, blobs, client, config) as repository:
            if defaults:
                repository.policies.set_defaults()
            if on_created is not None:
                on_created(repository)
        owned = storage is not location
        return _connected(
            storage, blobs, config, client, caching, absolute("cache_root", cache_root), owns_storage=owned
        )


@contextlib.contextmanager
def _opened(
    location: Location, storage_options: Mapping[str, object] | None, *, create: bool, gets: Sequence[BlobID] = ()
) -> Iterator[BlobStorage]:
    """Open a storage; close it again when the block fails, unless it is the caller's."""
    storage = _storage(location, storage_options, create=create, gets=gets)
    try:
        yield storage
    except BaseException:
        if storage is not location:
            storage.close()
        raise


def _checked(
    password: object, client: ClientOptions | None, caching: CachingOptions | None
) -> tuple[ClientOptions, CachingOptions | None]:
    """Return who uses the repository, and its cache, after a look at what the caller gives.

    Raises:
        UsageError: a value is of the wrong type.
    """
    _check_password(password)
    if caching is not None:
        check_kind("caching", caching, CachingOptions)
    return given("client", client, ClientOptions).resolved(), caching


def _check_password(password: object) -> None:
    if not isinstance(password, str | bytes):
        raise UsageError(f"the password must be a text, not a {type(password).__name__}")


def _check_can_be_saved(storage: BlobStorage, config: Path | None) -> None:
    """Refuse a connection file for a storage that no file can name, before anything is written.

    Raises:
        UnsupportedOptionError: the storage was made from an object of the caller.
    """
    if config is not None:
        storage.connection_info()


def _populating(storage: BlobStorage, blobs: FormatBlobs, client: ClientOptions, config: Path | None) -> Repository:
    """Return a new repository to be filled, also by a client that will only read it."""
    return Repository(storage, blobs, client=replace(client, read_only=False), config_path=config, owns_storage=False)


# ---------------------------------------------------------------------- connect and open


def connect(
    location: Location,
    password: str,
    *,
    storage_options: Mapping[str, object] | None = None,
    config: StrPath | None = None,
    client: ClientOptions | None = None,
    caching: CachingOptions | None = None,
    cache_root: StrPath | None = None,
    close_storage: bool = False,
) -> Repository:
    """Open a repository; with ``config`` also write the connection file that ``open`` and Kopia use later.

    Args:
        location: a URL, a folder, options, a connection or a storage.
        password: of the repository.
        storage_options: what a URL can't say, see ``create``.
        config: connection file to write, None for none (then nothing is kept on disk).
        client: who uses the repository.
        caching: cache folder and limits.
        cache_root: folder of the cache folders of all connections, Kopia's default one when not given.
        close_storage: close the storage with the repository even if the caller has opened it.

    Raises:
        RepositoryNotFoundError: there is no repository.
        InvalidPasswordError: the password does not open it.
        StorageError: the storage can't be used.
        UnsupportedOptionError: ``config`` is given, and no connection file can name the storage.
    """
    config = absolute("config", config)
    client, caching = _checked(password, client, caching)
    with _opened(location, storage_options, create=False, gets=(FORMAT_BLOB_ID, BLOBCFG_ID)) as storage:
        _check_can_be_saved(storage, config)
        blobs = format_blobs.read(storage, password)
        owned = close_storage or storage is not location
        return _connected(
            storage, blobs, config, client, caching, absolute("cache_root", cache_root), owns_storage=owned
        )


def _connected(
    storage: BlobStorage,
    blobs: FormatBlobs,
    config: Path | None,
    client: ClientOptions,
    caching: CachingOptions | None,
    cache_root: Path | None,
    *,
    owns_storage: bool,
) -> Repository:
    if config is not None:
        caching = caching or CachingOptions()
        if not caching.content_cache_size_bytes:
            # Kopia has no defaults for what is missing here, and fails with a cache folder and no size
            caching = replace(
                caching,
                content_cache_size_bytes=DEFAULT_CACHE_SIZE,
                metadata_cache_size_bytes=caching.metadata_cache_size_bytes or DEFAULT_CACHE_SIZE,
            )
        if not caching.cache_directory:
            folder = (cache_root or default_cache_root()) / default_cache_directory_name(
                blobs.blob.unique_id, str(config)
            )
            caching = replace(caching, cache_directory=str(folder))
    repository = Repository(
        storage, blobs, client=client, caching=caching, config_path=config, owns_storage=owns_storage
    )
    repository.caches.forget_format_blobs()  # those of another repository that used the folder before
    if config is not None:
        local = LocalConfig(
            storage=storage.connection_info().to_json(),
            caching=caching or CachingOptions(),
            hostname=client.hostname,
            username=client.username,
            description=client.description,
            readonly=client.read_only,
            permissive_cache_loading=client.permissive_cache_loading,
            enable_actions=client.enable_actions,
            format_blob_cache_duration_ns=client.format_blob_cache_duration_ns,
        )
        write_private(config, local.to_bytes(), durable=True)
    return repository


def open_connected(
    config: StrPath | None = None,
    password: str | None = None,
    *,
    storage_options: Mapping[str, object] | None = None,
    upgrade_owner_id: str = "",
) -> Repository:
    """Open the repository that a connection file names.

    Args:
        config: connection file, Kopia's default one when not given.
        password: of the repository; read from the password file beside the connection file when not given.
        storage_options: what replaces options of the connection file for this once, such as new keys; see ``create``.
        upgrade_owner_id: owner of a format upgrade that is going on, if that is this client.

    Raises:
        NotConnectedError: there is no connection file.
        ConnectionFileError: it can't be used.
        InvalidPasswordError: no password, or a wrong one.
    """
    return open_for(config, password, storage_options=storage_options, upgrade_owner_id=upgrade_owner_id)


def open_for(
    config: StrPath | None = None,
    password: str | None = None,
    *,
    storage_options: Mapping[str, object] | None = None,
    upgrade_owner_id: str = "",
    gets: Sequence[BlobID] = (),
    lists: Sequence[str] = (EPOCH_PREFIX,),
    meanwhile: Callable[[], object] | None = None,
) -> Repository:
    """Open the repository that a connection file names, for a program that knows what it does next; see ``open_connected``.

    Args:
        config: connection file.
        password: of the repository.
        storage_options: what replaces options of the connection file for this once.
        upgrade_owner_id: owner of a format upgrade.
        gets: blobs that will be read soon, which is begun at once, besides those of the format.
        lists: prefixes of blobs that will be listed soon, which is begun at once; by default those of the index.
        meanwhile: called while the first requests are under way, such as to import modules.
    """
    config = absolute("config", config) or default_config_path().absolute()
    local = read_config(config)
    if password is None:
        password = read_password(config)
    else:
        _check_password(password)
    if local.storage is None:
        raise ConnectionFileError(
            f"{config} connects to an API server; pykopia works on the storage itself: connect to that"
        )
    limits = None
    try:
        if local.throttling is not None:
            limits = ThrottlingLimits.from_config(local.throttling)
        info = ConnectionInfo.from_json(local.storage)
        info = ConnectionInfo.from_options((with_options(info, storage_options) if storage_options else info).options())
        copies = format_blobs.cached_copies(local.caching.folder(config), info)
        duration_ns = local.format_blob_cache_duration_ns
        gets = [*format_blobs.not_copied(copies, duration_ns), *gets]
        following = {} if index_is_cached(local.caching.folder(config)) else {EPOCH_PREFIX: first_index_blobs}
        storage = open_ahead(info, limits=limits, gets=gets, lists=lists, following=following, meanwhile=meanwhile)
    except ConnectionFileError as error:
        raise ConnectionFileError(f"{config}: {error}") from error
    client = ClientOptions(
        username=local.username,
        hostname=local.hostname,
        description=local.description,
        read_only=local.readonly,
        enable_actions=local.enable_actions,
        permissive_cache_loading=local.permissive_cache_loading,
        format_blob_cache_duration_ns=local.format_blob_cache_duration_ns,
        upgrade_owner_id=upgrade_owner_id,
    )
    try:
        blobs = format_blobs.read(storage, password, cache=copies, cache_duration_ns=duration_ns)
        return Repository(storage, blobs, client=client, caching=local.caching, config_path=config)
    except BaseException:
        storage.close()
        raise


def _storage(
    location: Location, storage_options: Mapping[str, object] | None, *, create: bool, gets: Sequence[BlobID] = ()
) -> BlobStorage:
    if isinstance(location, BlobStorage):
        if storage_options:
            raise UsageError("storage_options are for a storage that is still to be opened; this one is open")
        return location
    if isinstance(location, os.PathLike):
        location = Path(location).as_posix()
    if isinstance(location, str):
        location = storage_from_url(path_text("location", location))
    elif isinstance(location, StorageOptions):
        location = ConnectionInfo.from_options(location)
    if not isinstance(location, ConnectionInfo):
        raise UsageError(f"location must be a URL, a path or a storage, not a {type(location).__name__}")
    info = with_options(location, storage_options) if storage_options else location
    return open_ahead(info, create=create, gets=gets)


__all__ = ["Location", "connect", "create", "open_connected", "open_for"]
