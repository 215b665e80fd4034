"""Collects the facts of storage, index and snapshots that ``format.complete_view`` needs before anything is destroyed."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from pykopia import clock
from pykopia.crew import in_parallel
from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobNotFoundError,
    ContradictedViewError,
    DamagedDataError,
    InvalidIDError,
    PykopiaError,
    StorageError,
)
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import METADATA_PACK_PREFIX, PACK_PREFIXES, SESSION_PREFIX, is_pack
from pykopia.format.complete_view import (
    CompleteView,
    Contradictions,
    PackFacts,
    PackProof,
    SnapshotFacts,
    ViewFacts,
    examine,
)
from pykopia.format.content_id import key_of
from pykopia.format.index_merge import MergedIndex, is_hidden
from pykopia.format.manifest import CONTENT_PREFIX
from pykopia.format.object_id import parse_object_id
from pykopia.format.session import session_of_blob
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.ids import BlobID
from pykopia.repository.core import Core
from pykopia.repository.format_blobs import has_blob
from pykopia.storage.base import BlobStorage

log = logging.getLogger(__name__)

PARALLEL_READS = 16
MAX_LOOKED_INTO = 64
"""Packs without a name in the index that a mere list of snapshots looks into: each is a request or two."""
MAX_WALKED_PACKS = 2_000
"""Packs up to which a storage with slow listings is asked for a list before each snapshot."""
MAX_V1_ENTRIES = 200_000
"""Entries up to which the packs that an index of version 1 names are looked for before each snapshot."""
SETTLE_NS = 10 * 60 * 1_000_000_000
"""Nanoseconds after which every listing shows an index blob. Younger packs do not contradict a view."""

_HEX_DIGITS = "0123456789abcdef"
_SECOND_NS = 1_000_000_000


def list_blobs(storage: BlobStorage, prefixes: Iterable[str], parallelism: int = 0) -> list[BlobMetadata]:
    """Return the blobs with some prefixes, which are listed at one time where the storage is far away.

    With more ``parallelism`` than prefixes, they are listed by their second letter. Names whose second letter is no
    hexadecimal digit, which no pack has, are not found then, as by Kopia.
    """
    prefixes = list(prefixes)
    if parallelism > len(prefixes):
        narrow, threads = [prefix + digit for prefix in prefixes for digit in _HEX_DIGITS], parallelism
    elif storage.is_local or storage.has_slow_listings:  # these list folders by threads of their own
        return [blob for prefix in prefixes for blob in storage.list(prefix)]
    else:
        narrow, threads = prefixes, len(prefixes)
    found = in_parallel(lambda prefix: list(storage.list(prefix)), narrow, threads=threads, name="pykopia-list")
    return [blob for blobs in found for blob in blobs]


@dataclass(frozen=True, kw_only=True)
class Look:
    """Which facts of a repository are collected, and how.

    Attributes:
        listed: packs, and perhaps other blobs, listed by the caller before; packs are listed now when it is None.
        list_parallelism: listings at one time, see ``MaintenanceParameters``.
        older_than_ns: packs that are younger, by the time of storage, are not looked into; nanoseconds since 1970.
        later_than_ns: packs that are later are looked into as well: a clock was wrong when they were stored, or it is now.
        sessions_before_ns: look also into packs whose session has a marker if they are older than this.
        unreadable_is_garbage: see ``PackFacts``.
        refresh: load the index anew.
        quick: take a pack for used that any entry names, even one that does not count any more; otherwise the whole index
            is gone through. No pack is proven to be garbage then.
        missing: also look for packs that live entries name and that are not there.
    """

    listed: Sequence[BlobMetadata] | None = None
    list_parallelism: int = 0
    older_than_ns: int | None = None
    later_than_ns: int | None = None
    sessions_before_ns: int | None = None
    unreadable_is_garbage: bool = False
    refresh: bool = True
    quick: bool = False
    missing: bool = False


def complete_view(
    repository: Core,
    what: str,
    *,
    packs: Look | None = None,
    snapshots: SnapshotFacts | None = None,
    uncollected: str = "",
) -> CompleteView:
    """Return the proof that ``what`` may be done.

    Args:
        repository: open.
        what: what is to be done, for the message: ``run maintenance``.
        packs: how packs are looked at; without it they are not, and no pack can be deleted with the result.
        snapshots: what their manifests say, see ``snapshot_facts_of``; nothing is compared without it.
        uncollected: see ``ViewFacts``.

    Raises:
        ContradictedViewError: storage, index and snapshots contradict each other.
        DamagedIndexError: a part of the index can't be read.
    """
    repository.contents.indexes.check_complete(what)
    found = look(repository, packs=packs, snapshots=snapshots, uncollected=uncollected)
    if isinstance(found, tuple) and packs is not None and packs.refresh:
        # a listing that was made while another client began a new epoch looks contradictory, the next one does not
        found = look(repository, packs=packs, snapshots=snapshots, uncollected=uncollected)
    repository.contents.indexes.check_complete(what)
    return require(found, what, repository)


def require(found: CompleteView | Contradictions, what: str, repository: Core) -> CompleteView:
    """Return a view that is complete.

    Raises:
        ContradictedViewError: it is not.
    """
    if isinstance(found, CompleteView):
        return found
    raise ContradictedViewError(what, repository.storage.display_name, found)


def look(
    repository: Core,
    *,
    packs: Look | None = None,
    snapshots: SnapshotFacts | None = None,
    uncollected: str = "",
    clocks_ns: tuple[int, int] | None = None,
) -> CompleteView | Contradictions:
    """Return the proof, or the contradictions; see ``complete_view`` and, for ``clocks_ns``, ``ViewFacts``."""
    indexes = repository.contents.indexes
    pack_facts = None if packs is None else _pack_facts(repository, packs)
    state = indexes.known_state
    has_index = indexes.active_count > 0 or bool(indexes.known_damage)
    return examine(
        ViewFacts(
            epochs=state,
            has_index=has_index,
            a_pack="" if has_index else _any_pack(repository.storage),
            packs=pack_facts,
            snapshots=snapshots or SnapshotFacts(),
            uncollected=uncollected,
            now_ns=clock.now(),
            clocks_ns=clocks_ns,
        )
    )


def contradictions(
    repository: Core, *, packs: bool = True, listed: Sequence[BlobMetadata] | None = None
) -> Contradictions:
    """Return how storage and index contradict each other, for commands that only read.

    Args:
        repository: open.
        packs: compare the packs with the index, which is loaded anew; without it nothing is listed, unless there is no
            index at all.
        listed: packs, where the caller has listed them.
    """
    found = look(repository, packs=Look(listed=listed) if packs else None)
    if isinstance(found, tuple) and found and packs:
        found = look(repository, packs=Look())  # another client may just have begun a new epoch
    return () if isinstance(found, CompleteView) else found


def contradictions_of_list(repository: Core) -> Contradictions:
    """Return what shows that manifests may be missing from those that the index lists.

    Only packs of metadata are listed, and only the newest of those that no index blob names are looked into. On storages
    with slow listings many packs are not listed, as before a snapshot.
    """
    found = contradictions(repository, packs=False)
    merged = repository.contents.indexes.merged
    if (
        found
        or repository.contents.indexes.known_damage
        or any(file.version == 1 and len(file) > MAX_V1_ENTRIES for file in merged.files)
    ):
        return found
    named = merged.pack_names()
    if repository.storage.has_slow_listings and len(named) > MAX_WALKED_PACKS:
        return ()
    try:
        unnamed = [blob for blob in repository.storage.list(METADATA_PACK_PREFIX) if blob.blob_id not in named]
        newest = sorted(unnamed, key=lambda blob: blob.timestamp_ns)[-MAX_LOOKED_INTO:]
        if not newest or isinstance(look(repository, packs=Look(listed=newest, quick=True)), CompleteView):
            return ()
    except StorageError as error:
        log.warning("the packs can't be listed, so it is not known whether the list is complete: %s", error)
        return ()
    return contradictions(repository)


def warn_of_missing_snapshots(repository: Core) -> None:
    """Log what shows that the newest snapshot of the list may not be the newest that was taken."""
    try:
        found = contradictions_of_list(repository)
    except PykopiaError as error:
        log.warning("it is not known whether the list of snapshots is complete: %s", error)
        return
    for each in found:
        log.warning("there may be a newer snapshot, which the list does not show: %s", each)


def _any_pack(storage: BlobStorage) -> str:
    """Return any pack of a session that came to its end; nothing where there is none."""
    running = {session_of_blob(blob.blob_id) for blob in storage.list(SESSION_PREFIX)}
    packs = (blob.blob_id for prefix in reversed(PACK_PREFIXES) for blob in storage.list(prefix))
    return next((blob_id for blob_id in packs if session_of_blob(blob_id) not in running), "")


def _pack_facts(repository: Core, wanted: Look) -> PackFacts:
    """List packs, then sessions, then load the index, so that packs which another client commits meanwhile are in it."""
    from pykopia.repository.dropped import read_dropped  # noqa: PLC0415 -- lists of snapshots do without

    storage, indexes = repository.storage, repository.contents.indexes
    packs = wanted.listed
    if packs is None:
        packs = list_blobs(storage, PACK_PREFIXES, wanted.list_parallelism)
    else:
        packs = [blob for blob in packs if is_pack(blob.blob_id)]
    markers = list(storage.list(SESSION_PREFIX))
    if wanted.refresh:
        repository.refresh()
    names = frozenset(blob.blob_id for blob in packs)
    known = indexes.merged.pack_names()
    named = known if wanted.quick else _named(indexes.merged)
    sessions = {session_of_blob(blob.blob_id) for blob in markers}
    candidates = []
    for blob in packs:
        if blob.blob_id in named:
            continue
        limit, later = wanted.older_than_ns, wanted.later_than_ns
        if session_of_blob(blob.blob_id) in sessions:
            limit, later = -1 if wanted.sessions_before_ns is None else wanted.sessions_before_ns, None
        if limit is None or blob.timestamp_ns <= limit or (later is not None and blob.timestamp_ns > later):
            candidates.append(blob)
    return PackFacts(
        listed=(*packs, *markers),
        named=named,
        proofs=_proofs(repository, candidates, names),
        dropped=read_dropped(repository) if candidates else {},
        unreadable_is_garbage=wanted.unreadable_is_garbage,
        missing=_missing(repository, known - names) if wanted.missing else (),
    )


def _missing(repository: Core, absent: frozenset[str]) -> tuple[str, ...]:
    """Return the packs among ``absent`` that live entries refer to and that are still missing."""
    if not absent:
        return ()
    live = {entry.pack_blob for entry in repository.contents.indexes.merged.entries() if entry.pack_blob in absent}
    return tuple(pack for pack in sorted(live) if not has_blob(repository.storage, pack))


def _named(merged: MergedIndex) -> frozenset[str]:
    """Return the packs that the winning entries refer to."""
    return frozenset({entry.pack_blob for entry in merged.entries(include_deleted=True)})


def _proofs(repository: Core, packs: Sequence[BlobMetadata], names: frozenset[str]) -> Mapping[BlobID, PackProof]:
    from pykopia.repository.dropped import dropped_before_ns  # noqa: PLC0415 -- lists of snapshots do without

    before_ns = dropped_before_ns(repository) if packs else None

    def prove(blob: BlobMetadata) -> PackProof | None:
        return prove_pack(repository, blob, names, before_ns)

    proofs = in_parallel(prove, packs, threads=PARALLEL_READS, name="pykopia-proof")
    return {pack.blob_id: proof for pack, proof in zip(packs, proofs, strict=True) if proof is not None}


def prove_pack(
    repository: Core, pack: BlobMetadata, names: frozenset[str], dropped_before_ns: int | None
) -> PackProof | None:
    """Compare the contents that a pack lists at its end with the index; None when the pack is gone.

    Args:
        repository: open, its index just loaded.
        pack: one that no live entry of the index names.
        names: all packs that are there.
        dropped_before_ns: deleted contents that are older may be missing from the index (format version 1).
    """
    from pykopia.repository.index_recovery import read_pack_index  # noqa: PLC0415 -- lists of snapshots do without

    merged = repository.contents.indexes.merged
    unknown = dropped = last_copies = manifests = 0
    try:
        with read_pack_index(repository, pack) as index:
            for entry in index.entries():
                if entry.pack_blob != pack.blob_id:
                    continue  # a mark of deletion, of a content in another pack
                winner = merged.winner(key_of(entry.content_id))
                if winner is None:
                    manifests += entry.content_id.startswith(CONTENT_PREFIX)
                    if dropped_before_ns is not None and entry.timestamp * _SECOND_NS < dropped_before_ns:
                        dropped += 1
                        continue
                    unknown += 1
                elif winner.pack_blob not in names and not is_hidden(winner, merged.watermark):
                    last_copies += not has_blob(repository.storage, BlobID(winner.pack_blob))
    except BlobNotFoundError:
        return None
    except (DamagedDataError, InvalidIDError, StorageError) as error:
        return PackProof(error=str(error))
    return PackProof(unknown=unknown, dropped=dropped, last_copies=last_copies, manifests=manifests)


def snapshot_facts_of(
    snapshots: Iterable[SnapshotManifest], exists: Callable[[str], bool], damaged: Sequence[str] = ()
) -> SnapshotFacts:
    """Return which roots the index does not have, and the newest start.

    Args:
        snapshots: all of a source, or of the repository.
        exists: tells whether the index has a content.
        damaged: IDs of snapshots whose manifest can't be read.
    """
    missing = list(damaged)
    newest: SnapshotManifest | None = None
    for each in snapshots:
        if newest is None or each.start_time_ns > newest.start_time_ns:
            newest = each
        if each.root_entry is None:
            continue
        try:
            if not exists(parse_object_id(each.root_entry.object_id).content_id):
                missing.append(each.id)
        except InvalidIDError:
            missing.append(each.id)
    return SnapshotFacts(
        missing_roots=tuple(missing),
        newest="" if newest is None else newest.id,
        newest_start_ns=None if newest is None else newest.start_time_ns,
    )


__all__ = [
    "SETTLE_NS",
    "Look",
    "complete_view",
    "contradictions",
    "contradictions_of_list",
    "list_blobs",
    "look",
    "prove_pack",
    "require",
    "snapshot_facts_of",
    "warn_of_missing_snapshots",
]
