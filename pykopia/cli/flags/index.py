"""Flags of `index list`, `index inspect`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Options, arguments, flag, flag_list
from pykopia.cli.values import threads


class IndexListOptions(JsonFlags):
    """Flags of `index list`."""

    summary = flag(False, "Print their number at the end.")
    superseded = flag(False, "Also those that are not used any more.")
    sort = flag("time", "Order.", choices=("time", "size", "name"))


class IndexInspectOptions(Options):
    """Flags of `index inspect`."""

    all = flag(False, "All index blobs, also those that are not used any more.")
    active = flag(False, "All index blobs in use.")
    content_id = flag_list("Only entries of this content.")
    parallel = flag(8, "Index blobs read at one time.", kind=threads)
    blobs = arguments("Index blobs to print.")


__all__ = ["IndexInspectOptions", "IndexListOptions"]
