"""Tasks of maintenance by hand: `blob gc`, `content rewrite`, `index optimize`."""

from contextlib import nullcontext

from pykopia import clock
from pykopia.api.repository import Repository
from pykopia.cli.flags.by_hand import BlobGCOptions, ContentRewriteOptions, IndexOptimizeOptions
from pykopia.cli.session import Session
from pykopia.format.blob_names import MAINTENANCE_ID
from pykopia.format.content_id import key_of, parse_content_id
from pykopia.format.index import IndexEntry
from pykopia.format.maintenance_plan import DELETED_BY_FULL, SAFETY, Rule
from pykopia.maintenance import blobs, rewrite
from pykopia.maintenance.index_upkeep import Optimization, index_upkeep
from pykopia.maintenance.lease import check_clocks, maintaining
from pykopia.maintenance.stored import change_schedule

# ---------------------------------------------------------------------- blob gc


def collect_blobs(session: Session, options: BlobGCOptions) -> None:
    """Find packs that no index lists, and delete them when asked to."""
    session.require_dangerous_commands()
    deletes = options.delete == "yes"
    safety, prefixes = SAFETY[options.safety], (options.prefix,) if options.prefix else DELETED_BY_FULL
    with session.open() as repository:
        if deletes:
            repository.check_writable("delete blobs")
        with maintaining(repository) if deletes else nullcontext() as lease:
            started = _storage_time(repository) if deletes else clock.now()
            view = blobs.look_before_deletion(
                repository,
                started=started,
                safety=safety,
                unreadable_is_garbage=options.safety == "none",
                what="collect blobs",
            )
            plan = blobs.plan_unused_packs(repository, view, started=started, safety=safety, prefixes=prefixes)
            if lease is not None:
                blobs.delete_unused_packs(repository, view, plan, check=lease.check, parallel=options.parallel or 16)
    for kept in plan.kept:
        if kept.rule is Rule.UNPROVEN:
            session.log.warning("%s is kept: %s", kept.blob.blob_id, view.unproven().get(kept.blob.blob_id, ""))
    size = session.size(blobs.total(plan.delete))
    if deletes:
        session.log.info("Deleted total %d unreferenced blobs (%s)", len(plan.delete), size)
    elif plan.delete:
        session.log.info("Found %d blobs to delete (%s)", len(plan.delete), size)
        session.log.info("Pass --delete=yes to delete.")
    else:
        session.log.info("No unreferenced blobs found.")


def _storage_time(repository: Repository) -> int:
    """Return the time by the storage's clock, with which ages are compared; nanoseconds since 1970.

    Raises:
        ClockError: it differs from this machine's.
    """
    change_schedule(repository, lambda schedule: schedule)
    storage_ns = repository.storage.metadata(MAINTENANCE_ID).timestamp_ns
    check_clocks(storage_ns, clock.now())
    return storage_ns


# ---------------------------------------------------------------------- content rewrite


def rewrite_contents(session: Session, options: ContentRewriteOptions) -> None:
    """Store contents again, in new packs."""
    session.require_dangerous_commands()
    content_ids = [parse_content_id(text) for text in options.contentID]
    with session.open() as repository:
        found: dict[str, IndexEntry] = {}
        for content_id in content_ids:
            found[content_id] = repository.contents.entry(content_id)
        if options.short:
            prefixes = (options.pack_prefix,) if options.pack_prefix else DELETED_BY_FULL
            found |= {
                entry.content_id: entry for entry in rewrite.plan_short_packs(repository, prefixes=prefixes).rewrite
            }
        if options.format_version >= 0:
            of_version = rewrite.plan_format_version(
                repository, options.format_version, pack_prefix=options.pack_prefix
            )
            found |= {entry.content_id: entry for entry in of_version.rewrite}
        start, end = options.bounds
        plan = rewrite.plan_rewrite(
            (entry for entry in found.values() if start <= entry.content_id < end),
            min_age_ns=SAFETY[options.safety].rewrite_min_age_ns,
        )
        if not options.dry_run:
            with maintaining(repository) as lease:
                started, safety = clock.now(), SAFETY[options.safety]
                view = blobs.look_before_deletion(repository, started=started, safety=safety, what="rewrite contents")
                parallel = options.parallelism or 16
                rewrite.rewrite_contents(repository, view, plan, check=lease.check, parallel=parallel)
    log, size = session.log, session.size(sum(entry.packed_length for entry in plan.rewrite))
    what = "Would rewrite" if options.dry_run else "Rewrote"
    log.info("%s %d contents (%s)", what, len(plan.rewrite), size)
    if plan.retained:
        log.info("Left %d contents that are too young; --safety=none takes them too", len(plan.retained))


# ---------------------------------------------------------------------- index optimize


def optimize_index(session: Session, options: IndexOptimizeOptions) -> None:
    """Put index blobs together.

    Raises:
        UsageError: Single contents are to go, and the index is kept in epochs, where they can't.
    """
    session.require_dangerous_commands()
    age = options.drop_deleted_older_than
    wanted = Optimization(
        max_small_blobs=options.max_small_blobs,
        all_indexes=options.all,
        drop_deleted_before_ns=clock.now() - age if age else None,
        drop_contents=[key_of(parse_content_id(text)) for text in options.drop_contents],
    )
    with session.open() as repository:
        repository.check_writable("optimize the index")
        indexes, upkeep = repository.contents.indexes, index_upkeep(repository)
        count = len(indexes.blobs())
        upkeep.check_can(wanted)
        with maintaining(repository) as lease:
            started, safety = clock.now(), SAFETY["full"]
            view = blobs.look_before_deletion(repository, started=started, safety=safety, what="optimize the index")
            upkeep.optimize(view, wanted, lease.check)
        session.log.info("Index blobs: %d before, %d now", count, len(indexes.blobs()))


__all__ = ["collect_blobs", "optimize_index", "rewrite_contents"]
