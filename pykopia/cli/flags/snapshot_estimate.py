"""Flags of `snapshot estimate`."""

from pykopia.cli.parsing import Options, argument, flag
from pykopia.cli.values import existing_path


class EstimateOptions(Options):
    """Flags of `snapshot estimate`."""

    source = argument("Folder to look at.", kind=existing_path)
    show_files = flag(False, "Print examples of files.")
    quiet = flag(False, "Print no progress.", short="q")
    upload_speed = flag(10.0, "Speed to reckon with, in Mbit/s.", placeholder="mbit/s")
    max_examples_per_bucket = flag(10, "Examples of each size.")


__all__ = ["EstimateOptions"]
