"""`blob shards modify`: spread the blobs of a repository in a folder over other folders."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pykopia.cli.flags.blob_shards import ShardsModifyOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.errors import StorageError
from pykopia.ids import BlobID
from pykopia.storage.layout import SHARDS_FILE, SUFFIX, ShardOverride, ShardParameters


def modify(session: Session, options: ShardsModifyOptions) -> None:
    """Move the files of a repository to where changed parameters put them, then store the parameters.

    A move that was cut off goes on when the command is run again with the same flags: the parameters on storage are
    replaced last, and files that are in their place already stay there.

    Raises:
        CommandLineError: the confirmation is missing, or a flag can't be understood.
        StorageError: the parameters can't be read, or two files would get one place.
    """
    if not options.i_am_sure_kopia_is_not_running:
        message = "other clients lose files that are moved under them: stop them, then confirm it with the flag"
        raise CommandLineError(message)
    root = Path(options.path)
    try:
        before = ShardParameters.from_bytes((root / SHARDS_FILE).read_bytes())
    except FileNotFoundError:
        message = f"{root} has no {SHARDS_FILE}: it is no repository with shards; check --path"
        raise StorageError(message) from None
    after = changed_parameters(before, options)
    moved = unchanged = 0
    moves = []
    for source, blob_id in _files(root):
        target = root / after.path_of(blob_id)
        if source == target:
            unchanged += 1
        else:
            moves.append((source, target))
    for source, target in moves:
        session.write(f"mv {session.name(str(source))} {session.name(str(target))}")
        if not options.dry_run:
            _move(source, target)
        moved += 1
    if options.dry_run:
        session.log.info("Would move %d files, %d unchanged.", moved, unchanged)
        return
    session.log.info("Moved %d files, %d unchanged.", moved, unchanged)
    for folder in _empty_folders(root):
        session.write(f"rmdir {session.name(str(folder))}")
        folder.rmdir()
    temporary = root / f"{SHARDS_FILE}.tmp"
    temporary.write_bytes(after.to_bytes())
    temporary.replace(root / SHARDS_FILE)


def changed_parameters(before: ShardParameters, options: ShardsModifyOptions) -> ShardParameters:
    """Return parameters with the changes that flags ask for.

    Raises:
        CommandLineError: a flag can't be understood.
    """
    overrides = {each.prefix: each for each in before.overrides}
    for prefix in options.remove_override:
        overrides.pop(prefix, None)
    for text in options.override:
        prefix, equals, lengths = text.partition("=")
        if not equals:
            message = f"--override must be PREFIX=LENGTHS, such as q=2,2; it is {text!r}"
            raise CommandLineError(message)
        overrides.pop(prefix, None)
        overrides[prefix] = ShardOverride(prefix=prefix, shards=_lengths("--override", lengths))
    after = replace(before, overrides=tuple(overrides.values()))
    if options.default_shards:
        after = replace(after, default=_lengths("--default-shards", options.default_shards))
    if options.unsharded_length != -1:
        after = replace(after, max_non_sharded_length=options.unsharded_length)
    return after


def _lengths(flag: str, text: str) -> tuple[int, ...]:
    if text == "flat":
        return ()
    parts = [part for part in text.split(",") if part]
    if not all(part.isdecimal() for part in parts):
        message = f"{flag} must be lengths such as 1,3, or flat; it is {text!r}"
        raise CommandLineError(message)
    return tuple(map(int, parts))


def _files(root: Path) -> Iterator[tuple[Path, BlobID]]:
    for folder, _, names in os.walk(root):
        place = Path(folder)
        before = "" if place == root else "".join(place.relative_to(root).parts)
        for name in sorted(names):
            if name.endswith(SUFFIX):
                yield place / name, BlobID(before + name.removesuffix(SUFFIX))


def _move(source: Path, target: Path) -> None:
    if target.exists():
        message = f"{target} exists already: {source} was left where it is; compare both files and delete one"
        raise StorageError(message)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    source.rename(target)


def _empty_folders(root: Path) -> list[Path]:
    """Return the folders below ``root`` that hold no file, innermost first."""
    empty: list[Path] = []
    for folder, folders, names in os.walk(root, topdown=False):
        place = Path(folder)
        if place != root and not names and all(place / name in empty for name in folders):
            empty.append(place)
    return empty


__all__ = ["changed_parameters", "modify"]
