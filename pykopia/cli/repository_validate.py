"""`repository validate-provider`."""

from contextlib import ExitStack

from pykopia.cli.flags.repository_validate import ValidateProviderOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.provider_check import ProviderCheckOptions, check_provider
from pykopia.cli.session import Session
from pykopia.storage.opening import open_storage

_SECOND = 1_000_000_000


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


__all__ = ["validate_provider"]
