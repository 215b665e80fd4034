"""What messages say: events as values for templates, and the templates that are built in."""

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Any, Final

from pykopia.dataclass import dataclass
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.source import SourceInfo
from pykopia.notification.template import Function, TemplateError, render

_SECOND: Final = 1_000_000_000
_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB", "EB")

TEST: Final = "test-notification"
REPORT: Final = "snapshot-report"
ERROR: Final = "generic-error"

_FOOT: Final = "Sent {{ .EventTime | formatTime }} by pykopia {{ .KopiaBuildVersion }} on {{ .Hostname }}."

TEMPLATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "generic-error.html": (
            "Subject: {{ .EventArgs.Operation }} failed on {{ .Hostname }}\n\n"
            "<p><b>{{ .EventArgs.OperationDetails | html }}</b> failed.</p>\n"
            "<p>Started {{ .EventArgs.StartTimestamp | formatTime }}, ended {{ .EventArgs.EndTimestamp | formatTime }}, "
            "after {{ .EventArgs.Duration }}.</p>\n"
            "<pre>{{ .EventArgs.ErrorDetails | html }}</pre>\n"
            f"<p>{_FOOT}</p>\n"
        ),
        "generic-error.txt": (
            "Subject: {{ .EventArgs.Operation }} failed on {{ .Hostname }}\n\n"
            "{{ .EventArgs.OperationDetails }} failed.\n\n"
            "Started: {{ .EventArgs.StartTimestamp | formatTime }}\n"
            "Ended:   {{ .EventArgs.EndTimestamp | formatTime }} (after {{ .EventArgs.Duration }})\n\n"
            "{{ .EventArgs.ErrorDetails }}\n\n"
            f"{_FOOT}\n"
        ),
        "snapshot-report.html": (
            "Subject: {{ .EventArgs.OverallStatus }} on {{ .Hostname }}\n\n"
            '<table border="1" cellpadding="4" style="border-collapse: collapse">\n'
            "<tr><th>Source</th><th>Status</th><th>Started</th><th>Duration</th><th>Size</th><th>Files</th>"
            "<th>Folders</th></tr>\n"
            "{{ range .EventArgs.Snapshots | sortSnapshotManifestsByName }}"
            "<tr><td>{{ .Manifest.Source.Path | html }}</td><td>{{ .StatusCode }}</td>"
            "<td>{{ .StartTimestamp | formatTime }}</td><td>{{ .Duration }}</td>"
            "<td>{{ .TotalSize | bytes }}{{ .TotalSizeDelta | bytesDeltaHTML }}</td>"
            "<td>{{ .TotalFiles | formatCount }}{{ .TotalFilesDelta | countDeltaHTML }}</td>"
            "<td>{{ .TotalDirs | formatCount }}{{ .TotalDirsDelta | countDeltaHTML }}</td></tr>\n"
            '{{ if .Error }}<tr><td colspan="7"><b>Error:</b> {{ .Error | html }}</td></tr>\n{{ end }}'
            "{{ if .Manifest.RootEntry }}{{ if .Manifest.RootEntry.DirSummary }}"
            "{{ range .Manifest.RootEntry.DirSummary.FailedEntries }}"
            '<tr><td colspan="7">not saved: {{ .EntryPath | html }}: {{ .Error | html }}</td></tr>\n'
            "{{ end }}{{ end }}{{ end }}{{ end }}</table>\n"
            f"<p>{_FOOT}</p>\n"
        ),
        "snapshot-report.txt": (
            "Subject: {{ .EventArgs.OverallStatus }} on {{ .Hostname }}\n\n"
            "{{ range .EventArgs.Snapshots | sortSnapshotManifestsByName }}{{ .Manifest.Source.Path }}: {{ .StatusCode }}\n"
            "  Started:  {{ .StartTimestamp | formatTime }}, took {{ .Duration }}\n"
            "  Size:     {{ .TotalSize | bytes }}{{ .TotalSizeDelta | bytesDelta }}\n"
            "  Files:    {{ .TotalFiles | formatCount }}{{ .TotalFilesDelta | countDelta }}\n"
            "  Folders:  {{ .TotalDirs | formatCount }}{{ .TotalDirsDelta | countDelta }}\n"
            "{{ if .Error }}  Error:    {{ .Error }}\n{{ end }}"
            "{{ if .Manifest.RootEntry }}{{ if .Manifest.RootEntry.DirSummary }}"
            "{{ range .Manifest.RootEntry.DirSummary.FailedEntries }}  Not saved: {{ .EntryPath }}: {{ .Error }}\n"
            "{{ end }}{{ end }}{{ end }}\n{{ end }}"
            f"{_FOOT}\n"
        ),
        "test-notification.html": (
            "Subject: Test of notifications from {{ .Hostname }}\n\n"
            "<p>This message is a test: the notification profile works.</p>\n"
            f"<p>{_FOOT}</p>\n"
        ),
        "test-notification.txt": (
            "Subject: Test of notifications from {{ .Hostname }}\n\n"
            "This message is a test: the notification profile works.\n\n"
            f"{_FOOT}\n"
        ),
    }
)
"""By the names that Kopia has for them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message to be sent."""

    subject: str
    body: str
    headers: Mapping[str, str]
    severity: int = 0


def compose(
    template: str,
    event: Mapping[str, Any],
    *,
    now_ns: int,
    hostname: str,
    version: str,
    severity: int,
    zone: tzinfo | None,
) -> Message:
    """Return the message that a template makes of an event.

    Args:
        template: headers, an empty line, the text.
        event: what happened, see ``snapshot_report`` and ``error_report``.
        now_ns: nanoseconds since 1970.
        hostname: of this machine.
        version: of pykopia.
        severity: of the event.
        zone: of the times; None for this machine's.

    Raises:
        TemplateError: the template can't be rendered, or it has no text.
    """
    values = {
        "Hostname": hostname,
        "EventTime": now_ns,
        "EventArgs": event,
        "KopiaBuildInfo": version,
        "KopiaBuildVersion": version,
        "KopiaRepo": "pykopia",
    }
    head, empty, body = render(template, values, _functions(zone)).partition("\n\n")
    if not empty:
        raise TemplateError("a notification template must have headers such as Subject:, an empty line, and a text")
    headers: dict[str, str] = {}
    subject = ""
    for line in head.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "subject":
            subject = value.strip()
        elif value:
            headers[name.strip()] = value.strip()
    return Message(subject=subject, body=body, headers=headers, severity=severity)


# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of the snapshot of a source."""

    source: SourceInfo
    manifest: SnapshotManifest | None = None
    """None when there is none."""
    previous: SnapshotManifest | None = None
    """The snapshot before."""
    error: str = ""

    @property
    def status(self) -> str:
        """Kopia's word: ``fatal``, ``incomplete``, ``warnings`` or ``success``."""
        if self.error or self.manifest is None:
            return "fatal"
        if self.manifest.incomplete:
            return "incomplete"
        summary = None if self.manifest.root_entry is None else self.manifest.root_entry.summary
        if summary is not None and summary.num_failed:
            return "fatal"
        return "warnings" if summary is not None and summary.num_ignored_errors else "success"


def severity_of(outcomes: Sequence[Outcome]) -> str:
    """Return the name of the severity of a report: that of the worst outcome."""
    found = {each.status for each in outcomes}
    return "error" if "fatal" in found else "warning" if "warnings" in found else "report"


def snapshot_report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the event of some snapshots."""
    failed = sum(each.status == "fatal" for each in outcomes)
    one = outcomes[0].source.path if len(outcomes) == 1 else ""
    if failed:
        status = (
            f"Failed to create a snapshot of {one}"
            if one
            else f"Failed to create {failed} of {len(outcomes)} snapshots"
        )
    else:
        status = (
            f"Successfully created a snapshot of {one}" if one else f"Successfully created {len(outcomes)} snapshots"
        )
    code = {"error": "fatal", "warning": "warnings", "report": "success"}[severity_of(outcomes)]
    return {"OverallStatus": status, "OverallStatusCode": code, "Snapshots": [_values(each) for each in outcomes]}


def error_report(operation: str, error: str, *, start_ns: int, end_ns: int) -> dict[str, Any]:
    """Return the event of a command that failed."""
    return {
        "Operation": operation,
        "OperationDetails": operation,
        "StartTimestamp": start_ns,
        "EndTimestamp": end_ns,
        "Duration": _duration(end_ns - start_ns),
        "ErrorMessage": error,
        "ErrorDetails": error,
    }


def _values(outcome: Outcome) -> dict[str, Any]:
    manifest, previous = outcome.manifest, outcome.previous
    size, files, dirs = _totals(manifest)
    before = _totals(previous) if previous is not None and manifest is not None else (size, files, dirs)
    start, end = (manifest.start_time_ns, manifest.end_time_ns) if manifest is not None else (0, 0)
    return {
        "Manifest": _manifest_values(outcome),
        "Previous": None,
        "Error": outcome.error,
        "StatusCode": outcome.status,
        "StartTimestamp": start,
        "EndTimestamp": end,
        "Duration": _duration(end - start),
        "TotalSize": size,
        "TotalSizeDelta": size - before[0],
        "TotalFiles": files,
        "TotalFilesDelta": files - before[1],
        "TotalDirs": dirs,
        "TotalDirsDelta": dirs - before[2],
    }


def _manifest_values(outcome: Outcome) -> dict[str, Any]:
    source, manifest = outcome.source, outcome.manifest
    root = manifest.root_entry if manifest is not None else None
    summary = root.summary if root is not None else None
    failed = [] if summary is None else [{"EntryPath": each.path, "Error": each.error} for each in summary.errors]
    return {
        "ID": manifest.id if manifest is not None else "",
        "Source": {"Host": source.host, "UserName": source.user_name, "Path": source.path},
        "Description": manifest.description if manifest is not None else "",
        "IncompleteReason": manifest.incomplete if manifest is not None else "",
        "RootEntry": None
        if root is None
        else {"DirSummary": None if summary is None else {"FailedEntries": failed}, "FileSize": root.size},
    }


def _totals(manifest: SnapshotManifest | None) -> tuple[int, int, int]:
    root = None if manifest is None else manifest.root_entry
    if root is None:
        return 0, 0, 0
    return (root.size, 1, 0) if root.summary is None else (root.summary.size, root.summary.files, root.summary.dirs)


# --- functions of templates ------------------------------------------------------------------------------------------


def _functions(zone: tzinfo | None) -> dict[str, Function]:
    def format_time(nanoseconds: int) -> str:
        return datetime.fromtimestamp(nanoseconds // _SECOND, UTC).astimezone(zone).strftime("%a, %d %b %Y %H:%M:%S %z")

    return {
        "bytes": _bytes,
        "bytesDelta": lambda value: _delta(value, _bytes),
        "bytesDeltaHTML": lambda value: _delta(value, _bytes),
        "countDelta": lambda value: _delta(value, str),
        "countDeltaHTML": lambda value: _delta(value, str),
        "formatCount": str,
        "formatTime": format_time,
        "html": lambda value: html.escape(str(value)),
        "sortSnapshotManifestsByName": lambda found: sorted(found, key=lambda each: each["Manifest"]["Source"]["Path"]),
    }


def _bytes(value: float) -> str:
    size = float(value)
    for unit in _UNITS[:-1]:
        if abs(size) < 900:
            return f"{size:.1f}".rstrip("0").rstrip(".") + f" {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"


def _delta(value: int, write: Function) -> str:
    return "" if not value else f" ({'+' if value > 0 else '-'}{write(abs(value))})"


def _duration(nanoseconds: int) -> str:
    seconds = round(nanoseconds / _SECOND, 1)
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.1f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


__all__ = [
    "ERROR",
    "REPORT",
    "TEMPLATES",
    "TEST",
    "Message",
    "Outcome",
    "compose",
    "error_report",
    "severity_of",
    "snapshot_report",
]
