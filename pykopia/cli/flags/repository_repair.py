"""Flags of `repository repair`."""

from pykopia.cli.parsing import Options, flag, flag_list


class RepairFlags(Options):
    """Flags of `repository repair`, before the storage."""

    recover_format = flag(
        "auto",
        "Whether to bring back the format blob from a copy; auto: when it is missing.",
        choices=("auto", "yes", "no"),
    )
    recover_format_block_prefixes = flag_list("What the names of the packs to look into begin with.")
    dry_run = flag(False, "Change nothing.", short="n")


__all__ = ["RepairFlags"]
