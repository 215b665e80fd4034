"""Flags of `blob shards modify`."""

from pykopia.cli.parsing import Options, flag, flag_list
from pykopia.cli.values import existing_folder


class ShardsModifyOptions(Options):
    """Flags of `blob shards modify`."""

    i_am_sure_kopia_is_not_running = flag(
        False, "Confirm that no client uses the repository while its files are moved.", required=True
    )
    path = flag("", "Folder of the repository.", kind=existing_folder, required=True)
    default_shards = flag("", "Lengths of folder names, such as 1,3; flat: no folders.")
    override = flag_list("Other lengths for names with a prefix, such as q=2,2.", placeholder="PREFIX=LENGTHS")
    remove_override = flag_list("Prefix that gets the default lengths again.", placeholder="PREFIX")
    unsharded_length = flag(-1, "Names of at most so many characters stay in the folder itself.")
    dry_run = flag(False, "Only report what would be moved.")


__all__ = ["ShardsModifyOptions"]
