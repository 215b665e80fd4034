"""Metrics of one run in Prometheus' text format: to a file for the node exporter, or pushed to a gateway."""

import contextlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pykopia.storage.trust import tls_context
from pykopia_mover.report import Report

TIMEOUT_SECONDS: Final = 10
LAST_SUCCESS: Final = "pykopia_last_success_timestamp_seconds"
LAST_FAILURE: Final = "pykopia_last_failure_timestamp_seconds"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics_text(report: Report, *, labels: Mapping[str, str], now_ns: int) -> str:
    """Return the metrics of a run.

    Args:
        report: what came of it.
        labels: on every line, such as namespace and name of the owning object.
        now_ns: end of the run, nanoseconds since 1970.
    """
    return "".join(f"{line}\n" for line in _lines(report, {**labels, "operation": report.op}, now_ns))


def _lines(report: Report, labels: Mapping[str, str], now_ns: int) -> Iterator[str]:
    failed = report.result == "failure"
    seconds = now_ns / 1_000_000_000
    held = report.maintenance.get("held", {})
    values: list[tuple[str, str, float | None]] = [
        ("pykopia_mover_success", "Whether the run went well.", int(not failed)),
        ("pykopia_mover_exit_code", "Exit status of the run.", report.code.status),
        ("pykopia_mover_duration_seconds", "Seconds that the run took.", round(report.seconds, 3)),
        (LAST_SUCCESS, "End of a run that went well.", None if failed else seconds),
        (LAST_FAILURE, "End of a run that did not.", seconds if failed else None),
        ("pykopia_identity_adopted", "Whether snapshots of an older identity are continued.", int(report.adopted)),
        ("pykopia_mover_warnings", "Warnings of the run.", len(report.warnings)),
        ("pykopia_snapshot_files", "Files in the snapshot.", report.snapshot.get("files")),
        ("pykopia_snapshot_bytes", "Bytes of files in the snapshot.", report.snapshot.get("bytes")),
        ("pykopia_snapshot_uploaded_bytes", "Bytes stored for it.", report.snapshot.get("newBytes")),
        ("pykopia_snapshot_read_errors", "Entries that could not be read.", report.snapshot.get("errors")),
        ("pykopia_restored_files", "Files that were restored.", report.restore.get("files")),
        ("pykopia_restored_bytes", "Bytes that were restored.", report.restore.get("bytes")),
        ("pykopia_retention_deleted_snapshots", "Snapshots that expired.", report.retention.get("deleted")),
        ("pykopia_cache_bytes", "Bytes in the cache.", report.cache.get("bytes")),
        ("pykopia_snapshot_special_entries", "Sockets, pipes and devices, which no snapshot has.", _special(report)),
        ("pykopia_maintenance_last_timestamp_seconds", "When anything was last maintained.", _time(report, "last")),
        ("pykopia_maintenance_last_full_timestamp_seconds", "When a full cycle last ran.", _time(report, "lastFull")),
        ("pykopia_maintenance_freed_bytes", "Bytes that this run freed.", report.maintenance.get("freedBytes")),
        ("pykopia_maintenance_held_bytes", "Bytes that nothing needs and that are not free yet.", held.get("bytes")),
        (
            "pykopia_maintenance_held_until_timestamp_seconds",
            "When the last of them can go.",
            _seconds(held.get("until")),
        ),
    ]
    shown = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    for name, meaning, value in values:
        if value is not None:
            yield f"# HELP {name} {meaning}"
            yield f"# TYPE {name} gauge"
            yield f"{name}{{{shown}}} {value:.10g}" if isinstance(value, float) else f"{name}{{{shown}}} {value}"


def _special(report: Report) -> int | None:
    return sum(report.snapshot.get("special", {}).values()) if report.snapshot else None


def _time(report: Report, name: str) -> float | None:
    return _seconds(report.maintenance.get(name))


def _seconds(text: str | None) -> float | None:
    """Return a time of the result as seconds since 1970, None for one that is not known or never came."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def write_metrics(path: Path, text: str, *, operation: str) -> None:
    """Write metrics to a file, whole or not at all; those of other operations stay.

    The time of the last success outlives a failure, and the other way round.

    Args:
        path: of the file.
        text: the metrics of a run.
        operation: which they are about.

    Raises:
        OSError: it can't be written.
    """
    old = ""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        old = path.read_text("utf-8")
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(merged(old, text, operation=operation), "utf-8")
    temporary.replace(path)


def merged(old: str, new: str, *, operation: str) -> str:
    """Return the metrics of a run and the lines of an earlier file that outlive them; lines of one metric are in a row."""
    lines: dict[str, list[str]] = {}
    for line in new.splitlines():
        lines.setdefault(_metric(line), []).append(line)
    given = frozenset(lines)
    outliving = {LAST_SUCCESS, LAST_FAILURE} - given
    for line in old.splitlines():
        name = _metric(line)
        if not name:
            continue
        if line.startswith("#"):
            if name not in given:
                lines.setdefault(name, []).append(line)
        elif name in outliving or f'operation="{operation}"' not in line:
            lines.setdefault(name, []).append(line)
    kept = (
        each for each in lines.values() if not each[-1].startswith("#")
    )  # others have no line but those on their meaning
    return "".join(f"{line}\n" for each in kept for line in each)


def _metric(line: str) -> str:
    """Return the name of the metric that a line is about, an empty text if it is about none."""
    found = re.match(r"(?:# (?:HELP|TYPE) )?([A-Za-z_:][\w:]*)", line)
    return found[1] if found else ""


def push_metrics(url: str, text: str, *, labels: Mapping[str, str], authorities: bytes = b"") -> None:
    """Push metrics to a Pushgateway; they replace those of the same labels and names.

    Args:
        url: of the gateway.
        text: the metrics.
        labels: that group them there.
        authorities: PEM of certificates to trust besides those of this machine.

    Raises:
        OSError: it can't be reached or refuses.
    """
    place = "".join(f"/{name}/{quote(value, safe='')}" for name, value in labels.items() if value)
    request = urllib.request.Request(  # noqa: S310 -- the settings allow http and https only
        f"{url.rstrip('/')}/metrics/job/pykopia-mover{place}",
        data=text.encode(),
        method="POST",  # PUT would take the time of the last success away when a run fails
        headers={"Content-Type": "text/plain; version=0.0.4"},
    )
    context = tls_context(authorities) if authorities else None
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context):  # noqa: S310
        return


__all__ = ["metrics_text", "push_metrics", "write_metrics"]
