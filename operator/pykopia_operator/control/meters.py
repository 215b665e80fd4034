"""Metrics, under the names of VolSync and its fork so that dashboards keep working.

A name of theirs that nothing here can fill is not declared: an empty series looks like a value that never changes.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from pykopia_operator.decide.plan import Measure

WINDOW: Final = 86400.0
"""Seconds over which quantiles are taken."""
MOST_VALUES: Final = 500
QUANTILES: Final = (0.5, 0.9, 0.99)

COUNTER, GAUGE, SUMMARY = "counter", "gauge", "summary"

_VOLSYNC: Final = {
    "missed_intervals_total": (COUNTER, "Intervals of the schedule that passed without a run"),
    "volume_out_of_sync": (GAUGE, "1 if the last success is older than the schedule allows"),
    "sync_duration_seconds": (SUMMARY, "Duration of runs"),
}
_KOPIA: Final = {
    "operation_duration_seconds": (SUMMARY, "Duration of operations of movers"),
    "operation_success_total": (COUNTER, "Operations that succeeded"),
    "operation_failure_total": (COUNTER, "Operations that failed"),
    "data_processed_bytes": (SUMMARY, "Bytes that an operation processed"),
    "data_transfer_rate_bytes_per_second": (SUMMARY, "Bytes a second"),
    "deduplication_ratio": (SUMMARY, "Part of the snapshot that was in the repository already"),
    "snapshot_size_bytes": (SUMMARY, "Size of snapshots"),
    "snapshot_count": (GAUGE, "Snapshots that are kept"),
    "snapshot_creation_success_total": (COUNTER, "Snapshots that were taken"),
    "snapshot_creation_failure_total": (COUNTER, "Snapshots that failed"),
    "policy_compliance": (GAUGE, "1 if the policy files were applied without a warning"),
    "repository_connectivity": (GAUGE, "1 if the last mover reached the repository"),
    "maintenance_operations_total": (COUNTER, "Cycles of maintenance"),
    "maintenance_duration_seconds": (SUMMARY, "Duration of maintenance"),
    "maintenance_job_duration_seconds": (SUMMARY, "Duration of maintenance Jobs"),
    "maintenance_last_run_timestamp_seconds": (GAUGE, "When maintenance last succeeded"),
    "maintenance_cronjob_created_total": (COUNTER, "CronJobs that were created"),
    "maintenance_cronjob_updated_total": (COUNTER, "CronJobs that were changed"),
    "maintenance_cronjob_deleted_total": (COUNTER, "CronJobs that were deleted"),
    "maintenance_cronjob_failures_total": (COUNTER, "Maintenance Jobs that failed"),
    "cache_size_bytes": (GAUGE, "Bytes in the cache"),
    "cache_type": (GAUGE, "1 for the kind of cache that is used"),
    "parallel_operations_active": (GAUGE, "Objects that are being reconciled"),
    "queue_depth": (GAUGE, "Objects that wait to be reconciled"),
    "job_retries_total": (COUNTER, "Attempts of movers after a failed one"),
    "configuration_errors_total": (COUNTER, "Objects with an error in their configuration"),
}
_OWN: Final = {
    "last_success_timestamp_seconds": (GAUGE, "When the last run succeeded"),
    "last_failure_timestamp_seconds": (GAUGE, "When the last mover failed"),
    "snapshot_age_seconds": (GAUGE, "Age of the last success"),
    "consecutive_failures": (GAUGE, "Failed movers in a row"),
    "no_data_restores_total": (COUNTER, "Restores that found no snapshot"),
    "identity_adopted": (GAUGE, "1 if the identity is that of an earlier operator"),
}

DEFINITIONS: Final = {
    **{name: (f"volsync_{name}", *rest) for name, rest in _VOLSYNC.items()},
    **{name: (f"volsync_kopia_{name}", *rest) for name, rest in _KOPIA.items()},
    **{name: (f"pykopia_{name}", *rest) for name, rest in _OWN.items()},
}
"""By the name that decisions use: full name, type, description."""

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Summary:
    count: int = 0
    total: float = 0
    values: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=MOST_VALUES))


class Meters(Collector):
    """The values of all metrics."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._numbers: dict[tuple[str, Labels], float] = {}
        self._summaries: dict[tuple[str, Labels], _Summary] = {}
        self._once: dict[tuple[str, Labels], str] = {}
        self.queue: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Returns how many objects wait and how many are being reconciled."""

    def take(self, measure: Measure) -> None:
        """Change a metric."""
        full, kind, _ = DEFINITIONS[measure.name]
        labels = dict(measure.labels)
        once = labels.pop("once", "")
        if full.startswith("volsync_") and not full.startswith("volsync_kopia_"):
            labels["method"] = "kopia"
        key = (measure.name, tuple(sorted(labels.items())))
        if once:
            if self._once.get(key) == once:
                return
            self._once[key] = once
        if kind == GAUGE:
            self._numbers[key] = measure.value
        elif kind == COUNTER:
            self._numbers[key] = self._numbers.get(key, 0) + measure.value
        else:
            found = self._summaries.setdefault(key, _Summary())
            found.count += 1
            found.total += measure.value
            found.values.append((self._clock(), measure.value))

    def forget(self, namespace: str, name: str, role: str) -> None:
        """Remove all series of an object."""
        wanted = {("obj_namespace", namespace), ("obj_name", name), ("role", role)}
        for some in (self._numbers, self._summaries, self._once):
            for key in [key for key in some if wanted <= set(key[1])]:
                del some[key]

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics."""
        found: dict[str, Metric] = {}
        for (name, labels), value in self._numbers.items():
            self._family(found, name).add_sample(DEFINITIONS[name][0], dict(labels), value)
            if name == "last_success_timestamp_seconds":
                age = max(self._clock() - value, 0)
                self._family(found, "snapshot_age_seconds").add_sample(
                    DEFINITIONS["snapshot_age_seconds"][0], dict(labels), age
                )
        for (name, labels), summary in self._summaries.items():
            self._summarize(self._family(found, name), DEFINITIONS[name][0], dict(labels), summary)
        waiting, active = self.queue()
        self._family(found, "queue_depth").add_sample(DEFINITIONS["queue_depth"][0], {}, waiting)
        self._family(found, "parallel_operations_active").add_sample(
            DEFINITIONS["parallel_operations_active"][0], {}, active
        )
        yield from found.values()

    def _family(self, found: dict[str, Metric], name: str) -> Metric:
        full, kind, text = DEFINITIONS[name]
        if name not in found:
            found[name] = Metric(full.removesuffix("_total") if kind == COUNTER else full, text, kind)
        return found[name]

    def _summarize(self, family: Metric, full: str, labels: dict[str, str], summary: _Summary) -> None:
        since = self._clock() - WINDOW
        values = sorted(value for moment, value in summary.values if moment >= since)
        for quantile in QUANTILES:
            if values:
                place = min(int(quantile * len(values)), len(values) - 1)
                family.add_sample(full, labels | {"quantile": str(quantile)}, values[place])
        family.add_sample(f"{full}_count", labels, summary.count)
        family.add_sample(f"{full}_sum", labels, summary.total)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)
