"""Flags of `snapshot migrate`."""

from pykopia.cli.parsing import Options, flag, flag_list
from pykopia.cli.values import existing_file, threads


class MigrateOptions(Options):
    """Flags of `snapshot migrate`."""

    source_config = flag("", "Connection file of the repository to copy from.", kind=existing_file, required=True)
    sources = flag_list("Source whose snapshots to copy.", placeholder="SOURCE")
    all = flag(False, "All sources.")
    policies = flag(True, "Copy policies too.")
    overwrite_policies = flag(False, "Replace policies that are defined here.")
    latest_only = flag(False, "Only the latest snapshot of each source.")
    parallel = flag(1, "Files copied at one time; as many as there are CPUs at least.", kind=threads)
    apply_ignore_rules = flag(False, "Leave out what the rules that hold here ignore.")


__all__ = ["MigrateOptions"]
