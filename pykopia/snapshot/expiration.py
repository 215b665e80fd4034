"""Which snapshots of a source expire: the plan that is shown, and that is carried out."""

from pykopia.dataclass import dataclass
from pykopia.format.retention import ExpirePlan
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Expiration:
    """Expiry of the snapshots of a source by its policy."""

    source: SourceInfo
    plan: ExpirePlan[SnapshotManifest]

    def __str__(self) -> str:
        return f"{self.source}: {self.plan}"


__all__ = ["Expiration"]
