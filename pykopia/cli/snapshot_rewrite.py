"""`rewrite`: take paths out of old snapshots."""

from pykopia.cli.flags.peers import RewriteOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.references import snapshots_of
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import parse_source
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.snapshot.fix import FixedSnapshot, FixOptions, remove_files


def rewrite(session: Session, options: RewriteOptions) -> None:
    """Print which entries of which snapshots would go, or take them out with ``--commit``.

    Pins, tags, times and descriptions stay. The data goes when full maintenance finds that nothing else needs it.
    """
    if not options.exclude:
        message = "name what to take out: --exclude PATTERN, such as --exclude /var/cache"
        raise CommandLineError(message)
    if not (options.snapshot or options.source or options.all):
        message = "name snapshots, a --source, or --all"
        raise CommandLineError(message)
    with session.open() as repository:
        chosen = FixOptions(
            snapshot_ids=tuple(
                each.id for text in options.snapshot for each in snapshots_of(session, repository, text)
            ),
            sources=tuple(parse_source(repository, text) for text in options.source),
            commit=options.commit,
        )

        def report(fixed: FixedSnapshot) -> None:
            before, after = fixed.before, fixed.after
            when = session.time(before.start_time_ns)
            if not fixed.changed:
                session.log.info("%s of %s: nothing to take out", when, before.source)
                return
            freed = _size(before) - _size(after)
            new_id = f"; its ID is {after.id} now" if options.commit else ""
            session.log.info("%s of %s: %s less%s", when, before.source, session.size(freed), new_id)
            for line in fixed.changes:
                session.write(f"  {session.escape(line)}")

        found = remove_files(repository, chosen, patterns=options.exclude, on_snapshot=report)
    changed = sum(each.changed for each in found)
    if not changed:
        session.log.info("No snapshot of %d has such entries.", len(found))
    elif options.commit:
        session.log.info("Rewrote %d of %d snapshots. Full maintenance frees the space.", changed, len(found))
    else:
        session.log.info("Would rewrite %d of %d snapshots. Pass --commit to do it.", changed, len(found))


def _size(snapshot: SnapshotManifest) -> int:
    root = snapshot.root_entry
    if root is None:
        return 0
    return root.summary.size if root.summary is not None else root.size


__all__ = ["rewrite"]
