"""Flags of `mount`."""

from pykopia.cli.parsing import Options, argument, flag
from pykopia.cli.values import integer


class MountOptions(Options):
    """Flags of `mount`."""

    path = argument("Snapshot (ID, latest, SOURCE@latest, a path), a source, or `all`.", required=False)
    mount_point = argument(
        "Folder to mount at; a new one below the folder for temporary files if it is *.", required=False
    )
    foreground = flag(False, "Stay until the mount is gone; the default.")
    background = flag(False, "Return once files can be opened; `umount` ends the mount.")
    ready_descriptor = flag(
        -1, "Descriptor that a byte is written to once files can be opened.", kind=integer, hidden=True
    )
    fuse_allow_other = flag(False, "Allow other users to read, as far as the modes of files let them.")
    fuse_allow_non_empty_mount = flag(False, "Hide what is in the folder.")


__all__ = ["MountOptions"]
