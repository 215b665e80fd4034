"""Flags of `snapshot delete`."""

from pykopia.cli.parsing import Options, arguments, flag


class DeleteOptions(Options):
    """Flags of `snapshot delete`."""

    id = arguments("Snapshots to delete, by their ID or that of their root; or sources.", required=True)
    all_snapshots_for_source = flag(False, "The arguments are sources: delete all their snapshots.")
    delete = flag(False, "Delete; without this only tell what would be deleted.")
    unsafe_ignore_source = flag(False, "The same as --delete.", hidden=True)


__all__ = ["DeleteOptions"]
