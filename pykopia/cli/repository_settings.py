"""`repository change-password`, `set-client`, `set-parameters`."""

from pykopia.cli import formatting, passwords
from pykopia.cli.connection_file import change_connection
from pykopia.cli.flags.repository_settings import ChangePasswordOptions, SetClientOptions, SetParametersOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session

_MIB = 1 << 20


def change_password(session: Session, options: ChangePasswordOptions) -> None:
    """Change the password of the repository and the one that is stored for this connection."""
    with session.open() as repository:
        new = options.new_password or passwords.ask_twice(session, "Enter new password: ")
        repository.change_password(new)
    session.log.info("NOTE: Repository password has been changed.")
    passwords.remember(session, new)


def set_client(session: Session, options: SetClientOptions) -> None:
    """Change how this client uses the repository."""
    session.open().close()  # refuses a connection that does not work
    changes: dict[str, object] = {}
    log = session.log
    if options.read_only:
        changes["readonly"] = True
        log.info("Setting repository to read-only mode.")
    if options.read_write:
        changes["readonly"] = False
        log.info("Setting repository to read-write mode.")
    if options.permissive_cache_loading:
        changes["permissive_cache_loading"] = True
        log.info("Damaged cached indexes will be passed over.")
    for name, label in (("description", "description"), ("username", "local username"), ("hostname", "local hostname")):
        given = getattr(options, name)
        if given:
            changes[name] = given[0]
            log.info("Setting %s to %s", label, given[0])
    if options.repository_format_cache_duration:
        changes["format_blob_cache_duration_ns"] = options.repository_format_cache_duration
        log.info(
            "Setting format blob cache duration to %s", formatting.duration(options.repository_format_cache_duration)
        )
    if options.disable_repository_format_cache:
        changes["format_blob_cache_duration_ns"] = -1
        log.info("Disabling format blob cache")
    if not changes:
        message = "no changes: name what to set, such as --readonly or --description=TEXT"
        raise CommandLineError(message)
    change_connection(session.config_path, **changes)


def set_parameters(session: Session, options: SetParametersOptions) -> None:
    """Change parameters of the repository itself."""
    from pykopia.repository.options import ParameterChanges  # noqa: PLC0415

    with session.open() as repository:
        changes = ParameterChanges(
            max_pack_size=options.max_pack_size_mb * _MIB or None,
            index_version=options.index_version or None,
            upgrade=options.upgrade,
            epoch_refresh_frequency_ns=options.epoch_refresh_frequency or None,
            epoch_min_duration_ns=options.epoch_min_duration or None,
            epoch_cleanup_safety_margin_ns=options.epoch_cleanup_safety_margin or None,
            epoch_advance_on_count=options.epoch_advance_on_count or None,
            epoch_advance_on_size=options.epoch_advance_on_size_mb * _MIB or None,
            epoch_delete_parallelism=options.epoch_delete_parallelism or None,
            epoch_checkpoint_frequency=options.epoch_checkpoint_frequency or None,
            add_required_features=(options.add_required_feature,) if options.add_required_feature else (),
            remove_required_features=(options.remove_required_feature,) if options.remove_required_feature else (),
            warn_on_missing_features=options.warn_on_missing_required_feature,
            retention_mode=options.retention_mode or None,
            retention_period_ns=options.retention_period or None,
        )
        if changes == ParameterChanges(warn_on_missing_features=options.warn_on_missing_required_feature):
            session.log.info("no changes")
            return
        repository.set_parameters(changes)
    session.log.info(
        "NOTE: Repository parameters updated; disconnect and connect all other clients again, so that they see them."
    )


__all__ = ["change_password", "set_client", "set_parameters"]
