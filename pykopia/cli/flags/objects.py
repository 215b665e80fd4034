"""Flags of `list` (`ls`), `show` (`cat`)."""

from pykopia.cli.parsing import Options, argument, flag


class ListOptions(Options):
    """Flags of `list`."""

    long = flag(False, "Print mode, size, time and object ID too.", short="l")
    human_readable = flag(False, "Print sizes with units.", short="h")
    recursive = flag(False, "Also what lies in the folders within.", short="r")
    show_object_id = flag(False, "Print object IDs too.", short="o")
    error_summary = flag(True, "Print what could not be read when the snapshot was taken.")
    object_path = argument("A folder: snapshot or object ID, and a path inside.")


class ShowOptions(Options):
    """Arguments of `show`."""

    object_path = argument("A file: snapshot or object ID, and a path inside.")


__all__ = ["ListOptions", "ShowOptions"]
