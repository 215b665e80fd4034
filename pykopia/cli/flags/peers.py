"""Flags of `info`, `dump`, `tag`, `copy`, `rewrite`, `check`, `doctor`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Options, argument, arguments, flag, flag_list
from pykopia.cli.values import existing_file, percentage, threads


class InfoOptions(JsonFlags):
    """Flags of `info`."""

    snapshot = argument("Snapshot: ID, latest, SOURCE@latest~2, a time, or a path.")


class DumpOptions(Options):
    """Flags of `dump`."""

    object_path = argument("File or folder: snapshot or object ID with a path inside, latest, or a path.")
    format = flag("tar", "Archive that a folder becomes.", choices=("tar", "tar.gz", "zip"))
    output = flag("", "Write to this file instead of standard output.", short="o", placeholder="FILE")


class TagOptions(Options):
    """Flags of `tag`."""

    snapshot = arguments("Snapshots: IDs, latest, SOURCE@latest.", required=True)
    set = flag_list("Tag to add or to change.", placeholder="KEY:VALUE")
    remove = flag_list("Tag to remove.", placeholder="KEY")


class CopyOptions(Options):
    """Flags of `copy`."""

    snapshot = arguments("Snapshots to copy: IDs, latest, SOURCE@latest.", required=True)
    to_config = flag("", "Connection file of the other repository.", kind=existing_file, required=True)
    to_password = flag(
        "", "Password of the other repository, unless it is kept beside its connection file.", env="PYKOPIA_TO_PASSWORD"
    )
    parallel = flag(0, "Files copied at one time; the number of CPUs when not given.", kind=threads)


class RewriteOptions(Options):
    """Flags of `rewrite`."""

    snapshot = arguments("Snapshots: IDs, latest, SOURCE@latest.")
    exclude = flag_list(
        "What to take out, as in ignore rules: /var/cache, *.iso, node_modules/.", placeholder="PATTERN"
    )
    source = flag_list("Source all of whose snapshots are rewritten (path or user@host:/path).")
    all = flag(False, "All snapshots.")
    commit = flag(False, "Save the changed snapshots; without it the plan is printed.")


class CheckOptions(JsonFlags):
    """Flags of `check`."""

    read_data_percent = flag(0.0, "Share of the files to read in full, in percent.", kind=percentage)
    parallel = flag(8, "Objects looked at at one time.", kind=threads)
    max_errors = flag(0, "Errors after which the check of snapshots stops; 0: none.")


class DoctorOptions(JsonFlags):
    """Flags of `doctor`."""


__all__ = ["CheckOptions", "CopyOptions", "DoctorOptions", "DumpOptions", "InfoOptions", "RewriteOptions", "TagOptions"]
