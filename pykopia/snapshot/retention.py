"""Expiring snapshots: what the policies of their sources do not keep (spec 05 §6)."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from pykopia import clock
from pykopia.errors import DamagedDataError
from pykopia.format.manifest import ManifestEntry
from pykopia.format.policy import Policy
from pykopia.format.retention import ExpirePlan, plan_expire
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.repository.repository import Repository
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.manifests import labels_for

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Expiration:
    """What the policy of a source says about its snapshots."""

    source: SourceInfo
    plan: ExpirePlan[SnapshotManifest]

    def __str__(self) -> str:
        return f"{self.source}: {self.plan}"


def plan_expirations(repository: Repository, source: SourceInfo | None = None) -> list[Expiration]:
    """Decide which snapshots expire, source by source.

    Args:
        repository: Where they are.
        source: Whose; fields that are empty match any. All when not given.

    Raises:
        DamagedManifestError: Manifests can't be read: which snapshots or policies they hold is not known.
    """
    repository.manifests.check_complete("decide which snapshots expire")
    entries = repository.manifests.find(labels_for(source))
    ordered = sorted(entries, key=lambda each: str(SourceInfo.from_labels(each.labels)))
    expirations = []
    for _, group in groupby(ordered, key=lambda each: SourceInfo.from_labels(each.labels)):
        of_source = list(group)
        here = SourceInfo.from_labels(of_source[0].labels)
        policy = repository.policies.effective(here).policy
        expirations.append(Expiration(source=here, plan=_plan(here, of_source, policy)))
    return expirations


def apply_expirations(writer: RepositoryWriter, expirations: Iterable[Expiration]) -> None:
    """Delete what expires; their data goes when maintenance finds that nothing else needs it."""
    for expiration in expirations:
        for each in expiration.plan.expired:
            writer.manifests.delete(each.id)


def apply_retention(writer: RepositoryWriter, source: SourceInfo, policy: Policy) -> None:
    """Delete the snapshots of a source that a policy does not keep, those of this session of writing included.

    Nothing expires while manifests can't be read: a policy of this source, or newer snapshots, may be among them.
    """
    if writer.manifests.damaged:
        return
    plan = _plan(source, writer.manifests.find(source.labels()), policy)
    apply_expirations(writer, [Expiration(source=source, plan=plan)])


def _plan(source: SourceInfo, entries: Sequence[ManifestEntry], policy: Policy) -> ExpirePlan[SnapshotManifest]:
    """Return the plan for one source; when a manifest can't be read, what it would change is not known: all are kept."""
    snapshots = []
    for entry in entries:
        try:
            snapshots.append(SnapshotManifest.from_json(entry.data, manifest_id=entry.id))
        except DamagedDataError as error:
            log.error("no snapshot of %s expires: %s", source, error)  # noqa: TRY400 -- no traceback for the user
            return ExpirePlan(kept=(), expired=())
    return plan_expire(snapshots, policy.retention, tz=clock.LOCAL_TIMEZONE)


__all__ = ["Expiration", "apply_expirations", "apply_retention", "plan_expirations"]
