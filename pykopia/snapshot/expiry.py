"""Deleting snapshots, by age or by name: never without the proof that what can be seen is all that there is."""

from collections.abc import Iterable, Sequence

from pykopia.errors import DamagedDataError
from pykopia.format.blob import BlobMetadata
from pykopia.format.complete_view import CompleteView, Contradictions
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.repository.core import Core
from pykopia.repository.view import Look, complete_view, look, require, snapshot_facts_of
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.expiration import Expiration
from pykopia.snapshot.manifests import labels_for


def view_for_deletion(repository: Core, what: str = "delete snapshots") -> CompleteView:
    """Return the proof that storage and index fit together, so that snapshots may be deleted.

    Raises:
        ContradictedViewError: they do not: what can be seen may not be all that there is.
    """
    return complete_view(repository, what, packs=Look())


def view_for_expiry(
    repository: Core,
    source: SourceInfo | None,
    *,
    listed: Sequence[BlobMetadata] | None = None,
    quick: bool = False,
    clocks_ns: tuple[int, int] | None = None,
) -> CompleteView | Contradictions:
    """Return the proof that snapshots may be judged by their age and number, or what contradicts it.

    Policies and newer snapshots may be among what a lost index blob lists, and what is kept is no reason to delete others
    where its packs are lost. So packs and index are compared here too.

    Args:
        repository: where they are.
        source: whose; fields that are empty match any. All when not given.
        listed: packs, where the caller has listed them before.
        quick: see ``Look``.
        clocks_ns: one moment by the clocks of the storage and of this machine, see ``ContentWriter.clocks``.
    """
    entries = repository.manifests.find(labels_for(source))
    snapshots = []
    damaged = []
    for entry in entries:
        try:
            snapshots.append(SnapshotManifest.from_json(entry.data, manifest_id=entry.id))
        except DamagedDataError:
            damaged.append(entry.id)
    facts = snapshot_facts_of(snapshots, repository.contents.exists, damaged)
    found = look(repository, packs=Look(listed=listed, missing=True, quick=quick), snapshots=facts, clocks_ns=clocks_ns)
    if isinstance(found, tuple):  # another client may just have begun a new epoch, or put a pack back
        found = look(repository, packs=Look(missing=True), snapshots=facts, clocks_ns=clocks_ns)
    return found


def delete_snapshots(writer: RepositoryWriter, _view: CompleteView, snapshot_ids: Iterable[str]) -> None:
    """Delete snapshots with the flush of a writer; their data goes when maintenance finds that nothing else needs it."""
    for snapshot_id in snapshot_ids:
        writer.manifests.delete(snapshot_id)


def apply_expirations(writer: RepositoryWriter, view: CompleteView, expirations: Iterable[Expiration]) -> None:
    """Delete what expires; their data goes when maintenance finds that nothing else needs it."""
    delete_snapshots(writer, view, (each.id for expiration in expirations for each in expiration.plan.expired))


def carry_out(
    repository: Core, writer: RepositoryWriter, source: SourceInfo | None, expirations: Sequence[Expiration]
) -> None:
    """Delete what expires, once storage, index and snapshots are proven to fit together.

    Raises:
        ContradictedViewError: they contradict each other; nothing was deleted.
    """
    clocks_ns = writer.contents.clocks() if any(each.plan.expired for each in expirations) else None
    found = view_for_expiry(repository, source, clocks_ns=clocks_ns)
    apply_expirations(writer, require(found, "expire snapshots", repository), expirations)


def delete_if_proven(
    repository: Core,
    writer: RepositoryWriter,
    source: SourceInfo,
    expired: Iterable[SnapshotManifest],
    listed: Sequence[BlobMetadata] | None = None,
) -> Contradictions:
    """Delete expired snapshots of a source by a writer that is in use, or return what contradicts that.

    The packs of the writer itself, which no index lists yet, are told by its session marker.
    """
    view = view_for_expiry(repository, source, listed=listed, quick=True, clocks_ns=writer.contents.clocks())
    if not isinstance(view, CompleteView):
        return view
    delete_snapshots(writer, view, (each.id for each in expired))
    return ()


__all__ = [
    "apply_expirations",
    "carry_out",
    "delete_if_proven",
    "delete_snapshots",
    "view_for_deletion",
    "view_for_expiry",
]
