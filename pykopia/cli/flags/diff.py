"""Flags of `diff`."""

from pykopia.cli.parsing import Options, argument, flag


class DiffOptions(Options):
    """Flags of `diff`."""

    object_path1 = argument("First folder: snapshot or object ID, and a path inside.")
    object_path2 = argument("Second folder: snapshot or object ID, and a path inside.")
    files = flag(False, "Compare the contents of changed files with a program.", short="f")
    stats_only = flag(False, "Print the counts alone.")
    diff_command = flag("diff -u", "The program that compares two files.", env="KOPIA_DIFF")


__all__ = ["DiffOptions"]
