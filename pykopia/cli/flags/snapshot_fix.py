"""Flags of `snapshot fix invalid-files`, `snapshot fix remove-files`."""

from pykopia.cli.parsing import Options, flag, flag_list
from pykopia.cli.values import threads


class FixFlags(Options):
    """Flags that both commands have."""

    manifest_id = flag_list("Snapshot to fix; all when neither snapshots nor sources are named.")
    source = flag_list("Source whose snapshots to fix (user@host:/path).")
    commit = flag(False, "Save what changed.")
    parallel = flag(0, "Ignored.", kind=threads)
    invalid_directory_handling = flag(
        "stub", "What becomes of folders that can't be read.", choices=("fail", "stub", "keep")
    )


class FixInvalidFilesOptions(FixFlags):
    """Flags of `snapshot fix invalid-files`."""

    invalid_file_handling = flag(
        "stub", "What becomes of files that can't be read.", choices=("fail", "stub", "keep", "remove")
    )
    verify_files_percent = flag(0.0, "Share of files to read in full, in percent.")


class FixRemoveFilesOptions(FixFlags):
    """Flags of `snapshot fix remove-files`."""

    object_id = flag_list("Object of a file or folder to remove.")
    filename = flag_list("Name of files and folders to remove; wildcards are understood.")


__all__ = ["FixFlags", "FixInvalidFilesOptions", "FixRemoveFilesOptions"]
