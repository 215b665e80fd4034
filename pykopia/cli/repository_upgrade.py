"""`repository upgrade begin`, `rollback`, `validate`."""

from pykopia.cli import formatting
from pykopia.cli.flags.repository_upgrade import UpgradeBeginOptions, UpgradeRollbackOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.errors import DamagedIndexError
from pykopia.repository.upgrade import Upgrade, UpgradeTimes, check_indexes

ENABLED = "KOPIA_UPGRADE_LOCK_ENABLED"
_SECOND = 1_000_000_000


def begin(session: Session, options: UpgradeBeginOptions) -> None:
    """Lock the repository, wait for all others, move the index to epochs, compare, and unlock."""
    _require_enabled(session)
    log = session.log
    with session.open() as repository:
        upgrade = Upgrade(repository)
        lock = upgrade.place_lock(
            UpgradeTimes(
                io_drain_timeout_ns=options.io_drain_timeout,
                status_poll_interval_ns=options.status_poll_interval,
                max_clock_drift_ns=options.max_permitted_clock_drift,
                unsafe=options.allow_unsafe_upgrade,
            )
        )
        if lock is None:
            log.info("Repository format is already upto date.")
            return
        log.info("Repository upgrade lock intent has been placed.")
        if options.lock_only:
            return
        upgrade.drain(
            lambda left: log.info(
                "Waiting for %s to allow all other kopia clients to drain ...",
                formatting.duration(left // _SECOND * _SECOND),
            )
        )
        log.info("Successfully drained all repository clients, the lock has been fully-established now.")
        if upgrade.migrate():
            log.info("Repository indices have been upgraded.")
        try:
            _validate(session)
        except DamagedIndexError as error:
            if options.commit_mode != "always":
                raise
            log.error("%s", error)  # noqa: TRY400 -- a person reads the message
        if options.commit_mode == "never":
            log.info("Commit mode is set to 'never'.  Skipping commit.")
            return
        upgrade.commit()
    log.info("Repository has been successfully upgraded.")


def rollback(session: Session, options: UpgradeRollbackOptions) -> None:
    """Put the format block of before the upgrade back and unlock."""
    _require_enabled(session)
    if not options.force:
        message = "repository upgrade lock can only be revoked unsafely; please use the --force flag"
        raise CommandLineError(message)
    with session.open() as repository:
        Upgrade(repository).roll_back()
    session.log.info("Repository upgrade lock has been revoked.")


def validate(session: Session) -> None:
    """Compare the index in epochs with that of format version 1."""
    _require_enabled(session)
    with session.open():
        _validate(session)


def _validate(session: Session) -> None:
    assert session.repository is not None
    if check_indexes(session.repository):
        session.log.info("index validation succeeded")
    else:
        session.log.info("old index is empty (possibly due to upgrade), nothing to compare against")


def _require_enabled(session: Session) -> None:
    if not session.environment.get(ENABLED):
        message = f"please set {ENABLED!r} env variable to use this feature"
        raise CommandLineError(message)


__all__ = ["ENABLED", "begin", "rollback", "validate"]
