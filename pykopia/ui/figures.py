"""Pages with figures of the whole repository: growth and deduplication, maintenance and what it can free."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import pykopia
from pykopia.dataclass import dataclass
from pykopia.ui import plots
from pykopia.ui.forms import Form, form_route, then
from pykopia.ui.jobs import Job
from pykopia.ui.site import Site


@dataclass(frozen=True, slots=True)
class Growth:
    """What each snapshot added."""

    snapshots: tuple[pykopia.SnapshotManifest, ...]
    stats: tuple[pykopia.StorageStats, ...]
    """One for each of the first ``snapshots``; fewer where something can't be read."""
    problem: str = ""

    @property
    def ids(self) -> frozenset[str]:
        """The snapshots that were counted."""
        return frozenset(each.id for each in self.snapshots)

    @property
    def whole_size(self) -> int:
        """Bytes that all snapshots would take as copies."""
        return sum(each.size for each in self.snapshots[: len(self.stats)])

    @property
    def unique_size(self) -> int:
        """Bytes without what is stored once for several."""
        return self.stats[-1].running_total.original_content_bytes if self.stats else 0

    @property
    def stored_size(self) -> int:
        """Bytes as they are stored."""
        return self.stats[-1].running_total.packed_content_bytes if self.stats else 0


def share_of(part: int, whole: int) -> str:
    """Return how many times smaller a part is than the whole.

    >>> share_of(25, 100), share_of(0, 100)
    ('4.0 times less', 'nothing is stored')
    """
    return f"{whole / part:.1f} times less" if part else "nothing is stored"


class Figures:
    """The pages."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._growth: Job[Growth] | None = None
        self._ledger: Job[pykopia.Ledger] | None = None

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/growth", self.growth),
            form_route("/growth/count", self._site, self.count_growth),
            Route("/maintenance", self.maintenance),
            form_route("/maintenance/count", self._site, self.count_ledger),
        ]

    # ------------------------------------------------------------------ growth

    def growth(self, request: Request) -> Response:
        """Show how the repository has grown, once it was counted."""
        site, job = self._site, self._growth
        found = None if job is None else job.result
        snapshots = site.snapshots()
        return site.page(
            "growth.html",
            job=job,
            growth=found,
            outdated=found is not None and found.ids != {each.id for each in snapshots},
            total=self._total_plot(found),
            added=self._added_plot(found),
            latest=tuple(zip(found.snapshots, found.stats, strict=False))[-50:][::-1] if found else (),
            share_of=share_of,
            section="growth",
        )

    def count_growth(self, form: Form) -> Response:
        """Begin to count, unless that is going on."""
        if self._growth is None or not self._growth.running:
            snapshots = tuple(self._site.snapshots())
            job: Job[Growth] = Job("Counting what each snapshot added", "growth")
            self._site.jobs.start(job, lambda job: self._counted(job, snapshots))
            self._growth = job
        return then(self._site.address.to("growth"))

    def _counted(self, job: Job[Growth], snapshots: Sequence[pykopia.SnapshotManifest]) -> Growth:
        stats: list[pykopia.StorageStats] = []
        try:
            for each in self._site.repository.snapshots.storage_stats(snapshots):
                job.check()
                stats.append(each)
                job.report(f"{len(stats)} of {len(snapshots)} snapshots", len(stats) / len(snapshots))
        except pykopia.errors.CanceledError:
            raise
        except pykopia.errors.PykopiaError as error:
            return Growth(tuple(snapshots), tuple(stats), str(error))
        return Growth(tuple(snapshots), tuple(stats))

    def _total_plot(self, growth: Growth | None) -> str:
        if growth is None:
            return ""
        whole, total = [], 0
        stored = []
        for snapshot, stats in zip(growth.snapshots, growth.stats, strict=False):
            total += snapshot.size
            if (moment := self._site.local(snapshot.start_time_ns)) is not None:
                whole.append((moment, float(total)))
                stored.append((moment, float(stats.running_total.packed_content_bytes)))
        lines = [plots.Line("as copies", "second", tuple(whole)), plots.Line("stored", "first", tuple(stored))]
        return plots.line_plot("All snapshots as copies, and as they are stored", lines)

    def _added_plot(self, growth: Growth | None) -> str:
        bars = [
            (moment, float(stats.new_data.packed_content_bytes))
            for snapshot, stats in (zip(growth.snapshots, growth.stats, strict=False) if growth else ())
            if (moment := self._site.local(snapshot.start_time_ns)) is not None
        ]
        return plots.bar_plot("What each snapshot added to the storage", bars)

    # ------------------------------------------------------------------ maintenance

    def maintenance(self, request: Request) -> Response:
        """Show the state of maintenance, and what it can free once that was counted."""
        site, job = self._site, self._ledger
        info = site.repository.maintenance.info()
        ledger = None if job is None else job.result
        runs = sorted(
            ((task, run) for task, some in info.schedule.runs.items() for run in some),
            key=lambda each: each[1].start_ns,
            reverse=True,
        )
        live_leases = [each for each in info.leases if each.is_live(site.now())]
        return site.page(
            "maintenance.html",
            info=info,
            leases=live_leases,
            runs=runs[:20],
            job=job,
            ledger=ledger,
            held=sorted(ledger.held, key=lambda each: -each.size) if ledger else (),
            bar=use_bar(ledger),
            section="maintenance",
        )

    def count_ledger(self, form: Form) -> Response:
        """Begin to count what can be freed, unless that is going on."""
        if self._ledger is None or not self._ledger.running:
            job: Job[pykopia.Ledger] = Job("Following all snapshots", "ledger")
            self._site.jobs.start(job, lambda _: self._site.repository.maintenance.ledger())
            self._ledger = job
        return then(self._site.address.to("maintenance"))


def use_bar(ledger: "pykopia.Ledger | None") -> str:
    """Return a bar of the bytes of all packs by use."""
    if ledger is None:
        return ""
    other = max(0, ledger.total_size - ledger.live_size - ledger.held_size)
    shares = [
        plots.Share("in use", ledger.live_size, "first"),
        plots.Share("will be free", ledger.held_size, "gone"),
        plots.Share("indexes and padding in packs", other, "quiet"),
    ]
    return plots.share_bar("Bytes of all packs by use", shares)


__all__ = ["Figures", "Growth", "share_of", "use_bar"]
