"""`repository validate-provider`."""

from contextlib import ExitStack

from pykopia.cli.parsing import CommandLineError, Options, flag
from pykopia.cli.provider_check import ProviderCheckOptions, check_provider
from pykopia.cli.session import Session
from pykopia.cli.values import duration
from pykopia.storage.opening import open_storage

_SECOND = 1_000_000_000


class ValidateProviderOptions(Options):
    """Flags of `repository validate-provider`."""

    num_storage_connections = flag(5, "Connections to open to the storage.")
    concurrency_test_duration = flag(30 * _SECOND, "How long several threads work at the same time.", kind=duration)
    put_blob_workers = flag(3, "Threads that write.")
    get_blob_workers = flag(3, "Threads that read.")
    get_metadata_workers = flag(3, "Threads that ask for metadata.")


def validate_provider(session: Session, options: ValidateProviderOptions) -> None:
    """Test that the storage does what a repository needs."""
    if options.num_storage_connections < 1:
        message = "--num-storage-connections must be 1 or more"
        raise CommandLineError(message)
    with session.open() as repository, ExitStack() as stack:
        repository.check_writable("validate the storage")
        info = repository.storage.connection_info()
        connections = [stack.enter_context(open_storage(info)) for _ in range(options.num_storage_connections)]
        check_provider(
            connections,
            ProviderCheckOptions(
                seconds=options.concurrency_test_duration / _SECOND,
                writers=options.put_blob_workers,
                readers=options.get_blob_workers,
                metadata_readers=options.get_metadata_workers,
            ),
            lambda text: session.log.info("%s", text),
        )


__all__ = ["ValidateProviderOptions", "validate_provider"]
