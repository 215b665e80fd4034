"""`repository create`, `connect`, `disconnect`."""

from importlib import import_module
from typing import TYPE_CHECKING

from pykopia.cli import passwords
from pykopia.cli.connect_flags import ConnectFlags, CreateFlags
from pykopia.cli.session import Session
from pykopia.cli.storage_flags import StorageFlags
from pykopia.errors import InvalidPasswordError, RepositoryExistsError
from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.repository.options import NewRepositoryOptions
    from pykopia.storage.base import BlobStorage

VALIDATION_NOTE = """\
NOTE: To test that the storage does what a repository needs, run:

$ pykopia repository validate-provider
"""


def create(session: Session, options: StorageFlags) -> None:
    """Create a repository in an empty storage, connect to it and set the first policies."""
    from pykopia.api import opening  # noqa: PLC0415
    from pykopia.storage.opening import open_storage  # noqa: PLC0415

    flags = session.options(CreateFlags)
    repository_options = flags.repository_options()
    with open_storage(options.connection(session, create=True), create=True) as storage:
        _require_empty(storage)
        password = passwords.for_creating(session)
        _tell_options(session, flags, repository_options)
        if flags.create_only:
            opening.create(storage, password, options=repository_options, defaults=False).close()
            return
        with opening.create(
            storage,
            password,
            options=repository_options,
            config=session.config_path,
            client=flags.client_options(storage.display_name),
            caching=flags.caching_options(),
            cache_root=session.cache_root,
        ) as repository:
            passwords.remember(session, password)
            session.log.info("Connected to repository.")
            _populate(session, repository)
    session.write(VALIDATION_NOTE)


def connect(session: Session, options: StorageFlags) -> None:
    """Connect to a repository and store its password."""
    from pykopia.storage.opening import open_ahead  # noqa: PLC0415

    flags = session.options(ConnectFlags)
    with open_ahead(
        options.connection(session, create=False),
        gets=(FORMAT_BLOB_ID, BLOBCFG_ID),
        meanwhile=lambda: import_module("pykopia.api.opening"),
    ) as storage:
        from pykopia.api import opening  # noqa: PLC0415 -- the requests are under way

        password = passwords.for_connecting(session)
        try:
            repository = opening.connect(
                storage,
                password,
                config=session.config_path,
                client=flags.client_options(storage.display_name),
                caching=flags.caching_options(),
                cache_root=session.cache_root,
            )
        except InvalidPasswordError:
            passwords.forget(session)
            raise
        repository.close()
    passwords.remember(session, password)
    session.log.info("Connected to repository.")


def disconnect(session: Session) -> None:
    """Forget the connection: its file, cache and stored password. The repository is not touched."""
    from pykopia.repository import connection_file  # noqa: PLC0415

    connection_file.disconnect(session.config_path)
    passwords.forget(session)


def _require_empty(storage: "BlobStorage") -> None:
    from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID  # noqa: PLC0415

    # a creation that was cut off leaves this one blob
    if any(blob.blob_id != BLOBCFG_ID for blob in storage.list()):
        message = f"can't create a repository in {storage.display_name}: found existing data in storage location"
        if any(blob.blob_id == FORMAT_BLOB_ID for blob in storage.list(FORMAT_BLOB_ID)):
            message += "; there is a repository, `pykopia repository connect` with the same flags connects to it"
        else:
            message += "; choose an empty place"
        raise RepositoryExistsError(message)


def _tell_options(session: Session, flags: CreateFlags, options: "NewRepositoryOptions") -> None:
    log = session.log
    if flags.ignores_ecc:
        log.warning("--ecc-overhead-percent has no effect: format version 1 has no error correction")
    log.info("Initializing repository with:")
    if flags.format_version:
        log.info("  format version:      %d", options.format_version)
    log.info("  block hash:          %s", options.hash)
    log.info("  encryption:          %s", options.encryption)
    log.info("  key derivation:      %s", options.key_derivation)
    if options.ecc_overhead_percent > 0:
        log.info("  ecc:                 %s with %d%% overhead", options.ecc, options.ecc_overhead_percent)
    log.info("  splitter:            %s", options.splitter)


def _populate(session: Session, repository: "Repository") -> None:
    """Print the default policy and the owner of maintenance."""
    from pykopia.cli.policy_table import retention_and_compression  # noqa: PLC0415
    from pykopia.format.policy import DEFAULT_POLICY  # noqa: PLC0415

    for line in retention_and_compression(DEFAULT_POLICY):
        session.write(line)
    session.log.info(
        "\n`pykopia policy show --global` shows the default policy; `pykopia policy set --global` changes it."
    )
    session.log.info(
        "Maintenance of this repository is owned by %s@%s and runs at the end of its commands when it is due.",
        repository.username,
        repository.hostname,
    )


__all__ = ["VALIDATION_NOTE", "connect", "create", "disconnect"]
