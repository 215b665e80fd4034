"""Flags of `restore`, `snapshot restore`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import arguments, flag, flag_list
from pykopia.cli.values import boolean, integer, threads

_MODES = ("auto", "local", "zip", "zip-nocompress", "tar", "tgz")


class RestoreFlags(JsonFlags):
    """Flags of `restore`."""

    sources = arguments(
        "What to restore and where to: SOURCE TARGET, where SOURCE is a snapshot or object ID with a path inside, or a "
        "path, and TARGET may be - for standard output; a path alone is restored to its place; placeholders alone are "
        "replaced by what they stand for.",
        required=True,
    )
    overwrite_directories = flag(True, "Put into folders that exist.")
    overwrite_files = flag(True, "Replace files that exist.")
    overwrite_symlinks = flag(True, "Replace symbolic links that exist.")
    write_sparse_files: bool | None = flag(
        None,
        "Leave holes for all blocks of zeros, or for none; only for long runs of them when not given.",
        kind=boolean,
    )
    consistent_attributes = flag(
        False,
        "Fail when snapshots that share a root disagree about its attributes.",
        env="KOPIA_RESTORE_CONSISTENT_ATTRIBUTES",
    )
    mode = flag("auto", "What to write; auto goes by the ending of the target.", choices=_MODES)
    parallel = flag(8, "Files written at one time.", kind=threads)
    skip_owners = flag(False, "Don't restore owners.")
    skip_permissions = flag(False, "Don't restore permissions.")
    skip_times = flag(False, "Don't restore times.")
    extended_attributes = flag(
        False,
        "Restore extended attributes, ACLs and hard links where `snapshot create --extended-attributes` recorded them.",
    )
    ignore_permission_errors = flag(True, "Go on where attributes can't be set for lack of rights.")
    write_files_atomically = flag(True, "Replace a file only when the new one is complete.")
    ignore_errors = flag(False, "Go on after entries that can't be restored.")
    skip_existing = flag(False, "Leave files alone that seem to be there already.")
    delete_extra = flag(False, "Delete what the snapshot does not have.")
    shallow: int | None = flag(None, "Levels to restore in full; deeper ones become placeholders.", kind=integer)
    shallow_minsize = flag(0, "Files below this size are restored in full at any depth.", placeholder="BYTES")
    snapshot_time = flag("latest", "Which snapshot of a path: latest, oldest, or the newest before a time.")
    flush_files = flag(False, "Wait until each file is on disk.")
    include = flag_list("Restore only what matches, with all below it, as in ignore rules.", placeholder="PATTERN")
    exclude = flag_list("Leave out what matches.", placeholder="PATTERN")
    only_differences = flag(False, "Compare what is there by its contents and write only what differs.")
    dry_run = flag(False, "Only tell what would be changed.", short="n")


__all__ = ["RestoreFlags"]
