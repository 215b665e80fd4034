"""Expiring snapshots: what the policies of their sources do not keep (format 05 §6)."""

import logging
from collections.abc import Callable, Sequence
from itertools import groupby

from pykopia import clock
from pykopia.errors import DamagedDataError
from pykopia.format.blob import BlobMetadata
from pykopia.format.complete_view import FUTURE_TOLERANCE_NS
from pykopia.format.gotime import format_time
from pykopia.format.manifest import ManifestEntry
from pykopia.format.policy import Policy
from pykopia.format.retention import ExpirePlan, plan_expire
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.ids import ManifestID
from pykopia.repository.core import Core
from pykopia.repository.writer import RepositoryWriter
from pykopia.snapshot.expiration import Expiration
from pykopia.snapshot.manifests import labels_for
from pykopia.snapshot.policies import Policies

log = logging.getLogger(__name__)


def plan_expirations(
    repository: Core, source: SourceInfo | None = None, *, keep_within_ns: int = 0
) -> list[Expiration]:
    """Decide which snapshots expire, source by source.

    Args:
        repository: Where they are.
        source: Whose; fields that are empty match any. All when not given.
        keep_within_ns: See ``plan_expire``.

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
        policy = Policies(repository).effective(here).policy
        expirations.append(Expiration(source=here, plan=_plan(here, of_source, policy, keep_within_ns=keep_within_ns)))
    return expirations


def apply_retention(
    repository: Core,
    writer: RepositoryWriter,
    source: SourceInfo,
    policy: Policy,
    *,
    taken: str,
    listed: Callable[[], Sequence[BlobMetadata] | None],
) -> None:
    """Delete the snapshots of a source that a policy does not keep, those of this session of writing included.

    Nothing expires while manifests can't be read (a policy of this source, or newer snapshots, may be among them), nor,
    and that is logged, when storage, index and snapshots contradict each other.

    Args:
        repository: where they are.
        writer: the session.
        source: whose snapshots.
        policy: the source's.
        taken: the snapshot that has just been taken, which is always kept.
        listed: returns packs that were listed in this session, if they were; asked only when something expires.
    """
    if writer.manifests.damaged:
        return
    entries = writer.manifests.find(source.labels())
    plan = _plan(source, entries, policy, taken=taken)
    if not plan.expired:
        return
    from pykopia.snapshot.expiry import delete_if_proven  # noqa: PLC0415 -- after most snapshots nothing expires

    for each in delete_if_proven(repository, writer, source, plan.expired, listed()):
        log.warning("no snapshot of %s expires: %s", source, each)


def _plan(
    source: SourceInfo, entries: Sequence[ManifestEntry], policy: Policy, *, taken: str = "", keep_within_ns: int = 0
) -> ExpirePlan[SnapshotManifest]:
    """Return the plan for one source.

    All are kept when a manifest can't be read, because it is not known what it would change, and while the newest start lies
    ahead of the clock: periods are counted back from it.
    """
    snapshots = []
    for entry in entries:
        try:
            snapshots.append(SnapshotManifest.from_json(entry.data, manifest_id=entry.id))
        except DamagedDataError as error:
            log.error("no snapshot of %s expires: %s", source, error)  # noqa: TRY400 -- no traceback for the user
            return ExpirePlan(kept=(), expired=())
    plan = plan_expire(
        snapshots,
        policy.retention,
        tz=clock.LOCAL_TIMEZONE,
        has_errors=lambda each: each.has_errors,
        keep_within_ns=keep_within_ns,
    )
    newest = max(snapshots, key=lambda each: each.start_time_ns, default=None)
    kept_all: dict[ManifestID, str] = {ManifestID(taken): "just-taken"}
    if newest is not None and newest.start_time_ns > clock.now() + FUTURE_TOLERANCE_NS:
        log.warning(
            "no snapshot of %s expires: snapshot %s starts at %s, which is still to come, and periods are counted back from "
            "the newest snapshot; set the clock, or, if that of the other machine was wrong, `snapshot delete %s`",
            source,
            newest.id,
            format_time(newest.start_time_ns),
            newest.id,
        )
        kept_all |= {each.id: "ahead-of-the-clock" for each in plan.expired}
    stay = [each for each in plan.expired if each.id in kept_all]
    return ExpirePlan(
        kept=(*plan.kept, *((each, (kept_all[each.id],)) for each in stay)),
        expired=tuple(each for each in plan.expired if each.id not in kept_all),
    )


__all__ = [
    "apply_retention",
    "plan_expirations",
]
