"""Flags of `snapshot verify`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import arguments, flag, flag_list
from pykopia.cli.values import percentage, threads


class VerifyFlags(JsonFlags):
    """Flags of `snapshot verify`."""

    snapshot_ids = arguments("Snapshots to verify; all when nothing is named.")
    max_errors = flag(-1, "Errors after which to stop; 0 means one, a negative number never.")
    directory_id = flag_list("Folder to verify.")
    file_id = flag_list("File to verify.")
    all_sources = flag(False, "Ignored: without a source all are verified.", hidden=True)
    sources = flag_list("Source whose snapshots to verify.")
    parallel = flag(8, "Objects looked at at one time.", kind=threads)
    file_queue_length = flag(20000, "Ignored.")
    file_parallelism = flag(0, "Files read at one time; 0 is the same number as --parallel.", kind=threads)
    verify_files_percent = flag(0.0, "Share of files to read, in percent.", kind=percentage)


__all__ = ["VerifyFlags"]
