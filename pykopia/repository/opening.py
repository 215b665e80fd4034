"""Creating, connecting to and opening a repository."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeAlias

from pykopia import __version__
from pykopia.arguments import check_choice
from pykopia.errors import (
    ConnectionFileError,
    DamagedFormatBlobError,
    NotConnectedError,
    RepositoryExistsError,
    UsageError,
)
from pykopia.format.ecc import DEFAULT_ECC, ECC_ALGORITHMS
from pykopia.format.encryption import ENCRYPTIONS
from pykopia.format.hashing import HASHES
from pykopia.format.local_config import (
    DEFAULT_CACHE_SIZE,
    CachingOptions,
    LocalConfig,
    decode_password_file,
    default_cache_directory_name,
    encode_password_file,
)
from pykopia.format.repository_blob import (
    BLOBCFG_ID,
    FORMAT_BLOB_ID,
    FORMAT_ENCRYPTION,
    BlobConfiguration,
    FormatBlob,
)
from pykopia.format.repository_format import RepositoryFormat
from pykopia.repository import format_blobs
from pykopia.repository.cache import TAG_NAME
from pykopia.repository.creation_claim import CLAIM_PREFIX
from pykopia.repository.format_blobs import FormatBlobs
from pykopia.repository.options import ClientOptions, NewRepositoryOptions
from pykopia.repository.private_file import write_private
from pykopia.repository.repository import Repository
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.opening import open_storage
from pykopia.storage.options import ThrottlingLimits
from pykopia.storage.url import storage_from_url

Location: TypeAlias = str | Path | ConnectionInfo | BlobStorage
"""Where a repository is: a URL, a folder, the connection of a storage, or a storage itself."""

SECRET_LENGTH = 32
TOOL = "pykopia"
"""What the format block names as its maker; Kopia shows it and nothing more."""
PASSWORD_SUFFIX = ".kopia-password"  # noqa: S105 -- the name of a file
LOCK_SUFFIX = ".mlock"


def default_config_path() -> Path:
    """Return the connection file that Kopia uses when none is named (Linux; spec 01 §7.1)."""
    return _home() / ".config" / "kopia" / "repository.config"


def default_cache_root() -> Path:
    """Return the folder that holds the cache folders of all connections."""
    return _home() / ".cache" / "kopia"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError(
            "can't find the folder of the connection file: this user has no home folder; set HOME, or name the file"
        ) from None


# ---------------------------------------------------------------------- create


def create(
    location: Location,
    password: str,
    *,
    options: NewRepositoryOptions | None = None,
    config: Path | None = None,
    client: ClientOptions | None = None,
    caching: CachingOptions | None = None,
    cache_root: Path | None = None,
    defaults: bool = True,
    on_created: Callable[[Repository], None] | None = None,
) -> Repository:
    """Make a new repository and return it open.

    It gets what Kopia gives a new one: the global policy, and this client as the owner of its maintenance. Maintenance
    runs by itself at the end of commands only; a program that takes snapshots calls ``repository.maintenance.run()``.

    Args:
        location: a URL such as ``/backups``, ``filesystem:///backups`` or ``memory://name``, or a storage; a storage that
            the caller has opened stays open when the repository is closed.
        password: opens the repository; without it nothing in it can ever be read.
        options: what is fixed at creation; Kopia's defaults when not given.
        config: connection file to write, None for none (then nothing is kept on disk).
        client: who uses the repository.
        caching: cache folder and limits.
        cache_root: folder of the cache folders of all connections, Kopia's default one when not given.
        defaults: False leaves the repository without a policy and without an owner, so that nobody maintains it.
        on_created: called with the open repository before the connection file is written: for first policies.

    Raises:
        RepositoryExistsError: there is a repository already.
        UsageError: an option that makes no sense.
    """
    options = options or NewRepositoryOptions()
    repository_format = new_format(options)
    configuration = BlobConfiguration(
        retention_mode=options.retention_mode, retention_period_ns=options.retention_period_ns
    )
    configuration.validate()
    if not password:
        raise UsageError("can't create a repository without a password")
    blob = FormatBlob(
        tool=TOOL,
        build_version=__version__,
        unique_id=options.unique_id or secrets.token_bytes(SECRET_LENGTH),
        key_derivation=options.key_derivation,
        encryption=FORMAT_ENCRYPTION,
    )
    blobs = FormatBlobs(
        raw=b"",
        blob=blob,
        format_key=blob.derive_key(password),
        format=repository_format,
        configuration=configuration,
    )
    client = (client or ClientOptions()).resolved()
    with _opened(location, create=True) as storage:
        _require_empty(storage)
        blobs = format_blobs.write_new(storage, blobs)
        with _populating(storage, blobs, client, config) as repository:
            if defaults:
                repository.policies.set_defaults()
            if on_created is not None:
                on_created(repository)
        owned = storage is not location
        return _connected(storage, blobs, config, client, caching, cache_root, owns_storage=owned)


@contextlib.contextmanager
def _opened(location: Location, *, create: bool) -> Iterator[BlobStorage]:
    """Open a storage; close it again when the block fails, unless it is the caller's."""
    storage = _storage(location, create=create)
    try:
        yield storage
    except BaseException:
        if storage is not location:
            storage.close()
        raise


def _populating(storage: BlobStorage, blobs: FormatBlobs, client: ClientOptions, config: Path | None) -> Repository:
    """Return a new repository to be filled, also by a client that will only read it."""
    return Repository(storage, blobs, client=replace(client, read_only=False), config_path=config, owns_storage=False)


def new_format(options: NewRepositoryOptions) -> RepositoryFormat:
    """Return the parameters of a new repository, with fresh secrets.

    Raises:
        UnsupportedFormatError: a format version that is not known.
        UsageError: an algorithm that is not known, or options that exclude each other.
    """
    check_choice("hash", options.hash, HASHES)
    check_choice("encryption", options.encryption, ENCRYPTIONS)
    from pykopia.chunking.splitters import SPLITTERS  # noqa: PLC0415 -- only a new repository names one

    check_choice("splitter", options.splitter, SPLITTERS)
    if not 0 <= options.ecc_overhead_percent <= 100:
        raise UsageError(f"error correction overhead must be 0 to 100 percent, not {options.ecc_overhead_percent}")
    ecc = options.ecc or DEFAULT_ECC
    if options.ecc_overhead_percent:
        check_choice("error correction", ecc, ECC_ALGORITHMS)
        if options.format_version == 1:
            raise UsageError("error correction needs format version 2 or 3")
    return RepositoryFormat.new(
        secret=secrets.token_bytes(SECRET_LENGTH),
        master_key=secrets.token_bytes(SECRET_LENGTH),
        version=options.format_version,
        hash=options.hash,
        encryption=options.encryption,
        splitter=options.splitter,
        ecc=ecc,
        ecc_overhead_percent=options.ecc_overhead_percent,
    )


def _require_empty(storage: BlobStorage) -> None:
    if format_blobs.has_blob(storage, FORMAT_BLOB_ID):
        raise RepositoryExistsError(
            f"there is a repository in {storage.display_name} already: connect to it, or choose another place"
        )
    # a creation that was cut off leaves this one blob, and nothing depends on it
    if format_blobs.has_blob(storage, BLOBCFG_ID) and any(
        blob.blob_id != BLOBCFG_ID and not blob.blob_id.startswith(CLAIM_PREFIX) for blob in storage.list()
    ):
        if format_blobs.has_blob(storage, FORMAT_BLOB_ID):  # another client has made it between these looks
            raise RepositoryExistsError(f"a repository has just been made in {storage.display_name}: connect to it")
        raise DamagedFormatBlobError(
            f"{storage.display_name} has {BLOBCFG_ID} and no {FORMAT_BLOB_ID}: the format block of a repository seems to be "
            "lost; restore it from a copy, nothing was changed"
        )


# ---------------------------------------------------------------------- connect and open


def connect(
    location: Location,
    password: str,
    *,
    config: Path | None = None,
    client: ClientOptions | None = None,
    caching: CachingOptions | None = None,
    cache_root: Path | None = None,
    close_storage: bool = False,
) -> Repository:
    """Open a repository; with ``config`` also write the connection file that ``open`` and Kopia use later.

    Args:
        location: a URL, a folder, a connection or a storage.
        password: of the repository.
        config: connection file to write, None for none (then nothing is kept on disk).
        client: who uses the repository.
        caching: cache folder and limits.
        cache_root: folder of the cache folders of all connections, Kopia's default one when not given.
        close_storage: close the storage with the repository even if the caller has opened it.

    Raises:
        RepositoryNotFoundError: there is no repository.
        InvalidPasswordError: the password does not open it.
        StorageError: the storage can't be used.
    """
    with _opened(location, create=False) as storage:
        blobs = format_blobs.read(storage, password)
        client = (client or ClientOptions()).resolved()
        owned = close_storage or storage is not location
        return _connected(storage, blobs, config, client, caching, cache_root, owns_storage=owned)


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
        config = config.absolute()
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
    config: Path | None = None, password: str | None = None, *, upgrade_owner_id: str = ""
) -> Repository:
    """Open the repository that a connection file names.

    Args:
        config: connection file, Kopia's default one when not given.
        password: of the repository; read from the password file beside the connection file when not given.
        upgrade_owner_id: owner of a format upgrade that is going on, if that is this client.

    Raises:
        NotConnectedError: there is no connection file.
        ConnectionFileError: it can't be used.
        InvalidPasswordError: no password, or a wrong one.
    """
    config = (config or default_config_path()).absolute()
    local = read_config(config)
    if password is None:
        password = read_password(config)
    if local.storage is None:
        raise ConnectionFileError(
            f"{config} connects to an API server; pykopia works on the storage itself: connect to that"
        )
    limits = None
    if local.throttling is not None:
        names = (each.name for each in fields(ThrottlingLimits))
        limits = ThrottlingLimits(**{name: getattr(local.throttling, name) for name in names})
    storage = open_storage(ConnectionInfo.from_json(local.storage), limits=limits)
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
    blobs = format_blobs.read(
        storage,
        password,
        cache=format_blobs.cached_copies(local.caching.folder(config), storage.connection_info()),
        cache_duration_ns=local.format_blob_cache_duration_ns,
    )
    return Repository(storage, blobs, client=client, caching=local.caching, config_path=config)


def read_config(config: Path) -> LocalConfig:
    """Return the connection file.

    Raises:
        NotConnectedError: there is none.
        ConnectionFileError: it can't be read.
    """
    try:
        data = config.read_bytes()
    except FileNotFoundError:
        raise NotConnectedError(
            f"not connected to a repository: {config} does not exist; run `repository connect` or `repository create`"
        ) from None
    except OSError as error:
        raise ConnectionFileError(f"connection file {config} can't be read: {error.strerror}") from error
    return LocalConfig.from_bytes(data)


def read_password(config: Path) -> str:
    """Return the password kept beside a connection file.

    Raises:
        NotConnectedError: none is kept.
    """
    try:
        return decode_password_file(_beside(config, PASSWORD_SUFFIX).read_bytes())
    except FileNotFoundError:
        raise NotConnectedError(
            f"no password for the repository: none was given and none is kept beside {config}"
        ) from None


def keep_password(config: Path, password: str) -> None:
    """Keep a password beside a connection file, readable by its owner alone."""
    write_private(_beside(config.absolute(), PASSWORD_SUFFIX), encode_password_file(password))


def forget_password(config: Path) -> None:
    """Remove a kept password."""
    _beside(config, PASSWORD_SUFFIX).unlink(missing_ok=True)


def disconnect(config: Path | None = None) -> None:
    """Forget a connection: cache, password, maintenance lock and connection file; the repository is not touched."""
    config = (config or default_config_path()).absolute()
    with contextlib.suppress(NotConnectedError):
        folder = read_config(config).caching.folder(config)
        if folder is not None and (folder / TAG_NAME).exists():
            shutil.rmtree(folder, ignore_errors=True)
    forget_password(config)
    _beside(config, LOCK_SUFFIX).unlink(missing_ok=True)
    config.unlink(missing_ok=True)


def _beside(config: Path, suffix: str) -> Path:
    return config.with_name(config.name + suffix)


def _storage(location: Location, *, create: bool) -> BlobStorage:
    if isinstance(location, BlobStorage):
        return location
    if isinstance(location, os.PathLike):
        location = Path(location).as_posix()
    if isinstance(location, str):
        return open_storage(storage_from_url(location), create=create)
    if not isinstance(location, ConnectionInfo):
        raise UsageError(f"location must be a URL, a path or a storage, not a {type(location).__name__}")
    return open_storage(location, create=create)


__all__ = [
    "Location",
    "connect",
    "create",
    "default_cache_root",
    "default_config_path",
    "disconnect",
    "forget_password",
    "keep_password",
    "new_format",
    "open_connected",
    "read_config",
    "read_password",
]
