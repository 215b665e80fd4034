"""Flags of `repository throttle get`, `repository throttle set`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Options, flag


class ThrottleGetOptions(JsonFlags):
    """Flags of `repository throttle get`."""


class ThrottleSetOptions(Options):
    """Flags of `repository throttle set`; ``unlimited`` or ``-`` takes a limit away."""

    download_bytes_per_second = flag("", "Bytes read a second.")
    upload_bytes_per_second = flag("", "Bytes written a second.")
    read_requests_per_second = flag("", "Read requests a second.")
    write_requests_per_second = flag("", "Write requests a second.")
    list_requests_per_second = flag("", "List requests a second.")
    concurrent_reads = flag("", "Reads at one time.")
    concurrent_writes = flag("", "Writes at one time.")


__all__ = ["ThrottleGetOptions", "ThrottleSetOptions"]
