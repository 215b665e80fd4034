"""Which sources and snapshots there are, and which of them a name means."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC

from pykopia import clock
from pykopia.access.names import Name, name_of
from pykopia.errors import InvalidTimeError, PathNotInSnapshotError
from pykopia.format.gotime import format_time
from pykopia.format.snapshot_manifest import TAG_PREFIX, SnapshotManifest
from pykopia.format.time_spec import latest_start

_LATEST, _TAG = "latest", "tag:"
_ID_LENGTH = 32


class Catalog:
    """The snapshots of a repository as they were when it was made."""

    def __init__(self, snapshots: Iterable[SnapshotManifest]) -> None:
        """Sort snapshots that have a root by their sources."""
        self._of_source: dict[Name, list[SnapshotManifest]] = {}
        for each in sorted(snapshots, key=lambda snapshot: snapshot.start_time_ns):
            if each.root_entry is not None:
                self._of_source.setdefault(name_of(each.source), []).append(each)
        self._children: dict[Name, dict[Name, None]] = {Name(): {}}
        for source in sorted(self._of_source, key=str):
            here = source
            while here != Name():
                self._children.setdefault(here, {})
                self._children.setdefault(here.parent, {})[here] = None
                here = here.parent

    def folders(self, name: Name) -> Sequence[Name] | None:
        """Return the sources, and folders above sources, in a folder; None where a name is neither of them."""
        children = self._children.get(name)
        return None if children is None else [*children]

    def snapshots(self, source: Name) -> Mapping[Name, SnapshotManifest]:
        """Return the snapshots of a source by the names that they have in it, oldest first."""
        found: dict[Name, SnapshotManifest] = {}
        for each in self._of_source.get(source, ()):
            name = Name(source.client, source.above, format_time(each.start_time_ns))
            if name in found:  # two began in the same nanosecond
                name = Name(source.client, source.above, each.id)
            found[name] = each
        return found

    def choose(self, name: Name) -> SnapshotManifest:
        """Return the snapshot that a name with a source and a moment means.

        Raises:
            PathNotInSnapshotError: there is none.
        """
        source = Name(name.client, name.above)
        every = self._of_source.get(source)
        if every is None:
            raise PathNotInSnapshotError(f"there is no snapshot of {name.source}; listing the root shows the sources")
        found = choose(every, name.moment, now_ns=clock.now())
        if found is None:
            raise PathNotInSnapshotError(
                f"there is no complete snapshot of {name.source} at {name.moment!r}; listing {source} shows what there is"
            )
        return found


def choose(snapshots: Sequence[SnapshotManifest], moment: str, *, now_ns: int) -> SnapshotManifest | None:
    """Return the snapshot of a source that a moment means, None if there is none.

    Args:
        snapshots: of one source, oldest first.
        moment: see ``pykopia.access.names``; a time without a zone is one of UTC, so that it means the same on each machine.
        now_ns: the present, nanoseconds since 1970.

    Raises:
        PathNotInSnapshotError: the moment is no time.
    """
    for each in snapshots:
        if moment in (each.id, format_time(each.start_time_ns)):
            return each
    if len(moment) == _ID_LENGTH and "-" not in moment:
        return None
    complete = [each for each in snapshots if not each.incomplete]
    if moment.startswith(_TAG):
        key, _, value = moment.removeprefix(_TAG).partition("=")
        complete = [each for each in complete if each.tags.get(TAG_PREFIX + key) == value]
        return complete[-1] if complete else None
    if moment.startswith(_LATEST):
        number = int(moment.removeprefix(_LATEST).removeprefix("~") or 0)
        return complete[-1 - number] if number < len(complete) else None
    try:
        limit = latest_start(moment, now_ns=now_ns, local=UTC)
    except InvalidTimeError as error:
        raise PathNotInSnapshotError(str(error)) from error
    complete = [each for each in complete if each.start_time_ns < limit]
    return complete[-1] if complete else None


__all__ = ["Catalog", "choose"]
