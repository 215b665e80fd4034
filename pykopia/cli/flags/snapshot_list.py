"""Flags of `snapshot list`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import argument, flag, flag_list


class SnapshotListOptions(JsonFlags):
    """Flags of `snapshot list`."""

    source = argument("Source whose snapshots to list.", required=False)
    incomplete = flag(False, "Also snapshots that ended early.", short="i")
    human_readable = flag(True, "Print sizes with units.")
    delta = flag(False, "Print how much larger each is than the one before.", short="d")
    manifest_id = flag(False, "Print the IDs of snapshots.", short="m")
    retention = flag(True, "Print why each is kept.")
    mtime = flag(False, "Print modification times.")
    owner = flag(False, "Print owners.")
    show_identical = flag(False, "Don't put equal snapshots into one line.", short="l")
    storage_stats = flag(False, "Compute and print what each adds to the repository.")
    reverse = flag(False, "Newest first.")
    all = flag(False, "Also those of other users and hosts.", short="a")
    max_results = flag(0, "Snapshots to print of each source.", short="n")
    tags = flag_list("Only snapshots with this tag.", placeholder="KEY:VALUE")


__all__ = ["SnapshotListOptions"]
