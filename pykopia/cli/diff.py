"""`diff`."""

from pykopia.cli.parsing import CommandLineError, Options, argument, flag
from pykopia.cli.session import Session


class DiffOptions(Options):
    """Flags of `diff`."""

    object_path1 = argument("First folder: snapshot or object ID, and a path inside.")
    object_path2 = argument("Second folder: snapshot or object ID, and a path inside.")
    files = flag(False, "Compare the contents of changed files with a program.", short="f")
    stats_only = flag(False, "Print the counts alone.")
    diff_command = flag("diff -u", "The program that compares two files.", env="KOPIA_DIFF")


def diff(session: Session, options: DiffOptions) -> None:
    """Compare two folders of snapshots."""
    with session.open() as repository:
        first = repository.snapshots.resolve(options.object_path1)
        second = repository.snapshots.resolve(options.object_path2)
        if (first.type == "d") != (second.type == "d"):
            message = "both must be folders, or both files"
            raise CommandLineError(message)
        comparison = repository.snapshots.diff(
            first,
            second,
            file_command=tuple(options.diff_command.split()) if options.files else None,
        )
        for text in comparison.lines(session.zone):
            if not options.stats_only:
                session.write(text)
        session.write(comparison.stats_json(), end="")


__all__ = ["DiffOptions", "diff"]
