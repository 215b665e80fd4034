"""Flags of `repository change-password`, `set-client`, `set-parameters`."""

from pykopia.cli.parsing import Options, flag, flag_list
from pykopia.cli.values import duration, integer, threads


class ChangePasswordOptions(Options):
    """Flags of `repository change-password`."""

    new_password = flag("", "The new password; asked for when it is not given.", env="KOPIA_NEW_PASSWORD")


class SetClientOptions(Options):
    """Flags of `repository set-client`."""

    read_only = flag(False, "Refuse to write to the repository.")
    read_write = flag(False, "Allow to write to the repository.")
    permissive_cache_loading = flag(False, "Go on when cached indexes are damaged.", hidden=True)
    description = flag_list("What this repository is, for people.")
    username = flag_list("User name in sources.")
    hostname = flag_list("Host name in sources.")
    repository_format_cache_duration = flag(
        0, "Time for which the local copy of the format blob is used.", kind=duration
    )
    disable_repository_format_cache = flag(False, "Keep no local copy of the format blob.")


class SetParametersOptions(Options):
    """Flags of `repository set-parameters`; 0 leaves a parameter as it is."""

    max_pack_size_mb = flag(0, "Size of packs, 10 to 120.", placeholder="MB")
    index_version = flag(0, "Version of index blobs to write.")
    retention_mode = flag("", "Object lock of the storage.", choices=("none", "COMPLIANCE", "GOVERNANCE"))
    retention_period = flag(0, "Time for which blobs are locked.", kind=duration)
    upgrade = flag(False, "Upgrade the repository to format version 2.")
    epoch_refresh_frequency = flag(0, "Time after which indexes are looked up again.", kind=duration)
    epoch_min_duration = flag(0, "Least duration of an epoch.", kind=duration)
    epoch_cleanup_safety_margin = flag(0, "Age below which no superseded index is deleted.", kind=duration)
    epoch_advance_on_count = flag(0, "Number of index blobs that ends an epoch.")
    epoch_advance_on_size_mb = flag(0, "Size of index blobs that ends an epoch.", kind=integer, placeholder="MB")
    epoch_delete_parallelism = flag(0, "Index blobs deleted at one time.", kind=threads)
    epoch_checkpoint_frequency = flag(0, "Epochs between two range checkpoints.", placeholder="NUMBER")
    add_required_feature = flag("", "Feature that a client must have to open the repository.", hidden=True)
    remove_required_feature = flag("", "Feature that a client need not have any more.", hidden=True)
    warn_on_missing_required_feature = flag(False, "Let clients without the feature in, with a warning.", hidden=True)


__all__ = ["ChangePasswordOptions", "SetClientOptions", "SetParametersOptions"]
