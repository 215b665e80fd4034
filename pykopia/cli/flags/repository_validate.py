"""Flags of `repository validate-provider`."""

from pykopia.cli.parsing import Options, flag
from pykopia.cli.values import duration

_SECOND = 1_000_000_000


class ValidateProviderOptions(Options):
    """Flags of `repository validate-provider`."""

    num_storage_connections = flag(5, "Connections to open to the storage.")
    concurrency_test_duration = flag(30 * _SECOND, "How long several threads work at the same time.", kind=duration)
    put_blob_workers = flag(3, "Threads that write.")
    get_blob_workers = flag(3, "Threads that read.")
    get_metadata_workers = flag(3, "Threads that ask for metadata.")


__all__ = ["ValidateProviderOptions"]
