"""`repository repair`."""

from pykopia.cli.flags.repository_repair import RepairFlags
from pykopia.cli.session import Session
from pykopia.cli.storage_flags import StorageFlags


def repair(session: Session, options: StorageFlags) -> None:
    """Bring back the format blob from a copy in a pack of format version 1."""
    from pykopia.errors import RepositoryExistsError  # noqa: PLC0415
    from pykopia.format.blob_names import PACK_PREFIXES  # noqa: PLC0415
    from pykopia.repository.format_recovery import recover_format_blob  # noqa: PLC0415
    from pykopia.storage.opening import open_storage  # noqa: PLC0415

    session.require_dangerous_commands()
    flags = session.options(RepairFlags)
    if flags.recover_format == "no":
        return
    log = session.log
    with open_storage(options.connection(session, create=False)) as storage:
        log.info("looking for format blob...")
        try:
            found = recover_format_blob(
                storage,
                prefixes=flags.recover_format_block_prefixes or PACK_PREFIXES,
                replace=flags.recover_format == "yes",
                dry_run=flags.dry_run,
                progress=lambda pack: log.info("looking for replica of format blob in %s...", pack),
            )
        except RepositoryExistsError:
            log.info("format blob already exists, not recovering, pass --recover-format=yes")
            return
    if flags.dry_run:
        log.info("found replica block in %s; nothing was changed", found.pack)
    else:
        log.info("recovered replica block from %s", found.pack)


__all__ = ["repair"]
