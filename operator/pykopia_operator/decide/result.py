"""What came of a mover Job: its result document, its log, or what the kubelet says."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pykopia_operator.decide.objects import Obj, condition_of, is_true, meta, spec_of, status_of
from pykopia_operator.decide.times import parse_time

NOT_RETRYABLE: Final = (2, 10, 11, 12, 14, 15, 16, 18, 19, 20, 22)
"""Exit statuses of the mover that another attempt cannot change."""
CODES: Final = {
    1: "internal",
    2: "usage",
    10: "config",
    11: "auth",
    12: "no-repository",
    13: "unreachable",
    14: "damaged",
    15: "no-snapshot",
    16: "ambiguous",
    17: "action",
    18: "source",
    19: "target",
    20: "cache",
    21: "busy",
    22: "clock",
    130: "interrupted",
    137: "killed",
    143: "terminated",
}
CONTAINERS: Final = ("kopia", "kopia-maintenance")


@dataclass(frozen=True, kw_only=True, slots=True)
class MoverResult:
    """The end of one mover Job."""

    succeeded: bool
    finished: datetime
    code: str = ""
    """Name of the exit code; empty when it is not known."""
    message: str = ""
    """One sentence: what happened and what to do."""
    retryable: bool = True
    document: dict[str, Any] = field(default_factory=dict)
    """The termination message, empty if there was none of ours."""
    log: str = ""

    @property
    def is_without_data(self) -> bool:
        """A restore that found nothing, which was allowed."""
        return self.document.get("result") == "no-data" or (
            self.succeeded and not self.document and "=== No data will be restored ===" in self.log
        )

    def part(self, name: str) -> dict[str, Any]:
        """Return an object of the document, empty if absent."""
        found = self.document.get(name)
        return found if isinstance(found, dict) else {}


def has_ended(job: Obj) -> bool:
    """Return True if a Job is complete or has failed, by its conditions."""
    return is_true(job, "Complete") or is_true(job, "Failed")


def _finished(job: Obj, now: datetime) -> datetime:
    for kind in ("Complete", "Failed"):
        found = condition_of(job, kind)
        if found is not None and found.get("status") == "True":
            return (
                parse_time(found.get("lastTransitionTime")) or parse_time(status_of(job).get("completionTime")) or now
            )
    return now


def deciding_pod(job: Obj, pods: Sequence[Obj]) -> Obj | None:
    """Return the newest Pod that succeeded, or else the newest that failed."""
    wanted = ("Succeeded", "Failed") if is_true(job, "Complete") else ("Failed", "Succeeded")
    for phase in wanted:
        found = [each for each in pods if status_of(each).get("phase") == phase]
        if found:
            return max(found, key=lambda pod: str(meta(pod).get("creationTimestamp") or ""))
    return None


def terminated_state(pod: Obj) -> Obj:
    """Return how the mover's container ended, empty if it did not."""
    for each in status_of(pod).get("containerStatuses") or []:
        if each.get("name") in CONTAINERS:
            found: Obj = (
                (each.get("state") or {}).get("terminated") or (each.get("lastState") or {}).get("terminated") or {}
            )
            return found
    return {}


def read_document(text: str) -> dict[str, Any]:
    """Return the result document of a termination message, empty if it is not one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and found.get("v") == 1 and isinstance(found.get("result"), str) else {}


def read_result(
    job: Obj, pods: Sequence[Obj], log: str, *, now: datetime = datetime(1970, 1, 1, tzinfo=UTC)
) -> MoverResult:
    """Return the result of a Job that has ended.

    Args:
        job: complete or failed.
        pods: of the Job, as far as they still exist.
        log: of the deciding Pod, empty if it is lost.
        now: the time, where the Job has none.
    """
    succeeded = is_true(job, "Complete")
    finished = _finished(job, now)
    pod = deciding_pod(job, pods)
    if pod is None:
        return MoverResult(
            succeeded=succeeded, finished=finished, log=log, message=_without_pod(job, succeeded=succeeded)
        )
    ended = terminated_state(pod)
    document = read_document(str(ended.get("message") or ""))
    status = int(ended.get("exitCode") or 0)
    if succeeded:
        return MoverResult(
            succeeded=True,
            finished=finished,
            code="ok",
            message=str(document.get("message") or ""),
            document=document,
            log=log,
        )
    explained = _explained(job, pod, ended)
    code = "oom" if ended.get("reason") == "OOMKilled" else str(document.get("code") or CODES.get(status, ""))
    message = explained or str(document.get("message") or "") or _last_error(log) or _by_status(status)
    retryable = document.get("retryable", status not in NOT_RETRYABLE)
    return MoverResult(
        succeeded=False,
        finished=finished,
        code=code or "unknown",
        message=message,
        retryable=bool(retryable) or bool(explained),
        document=document,
        log=log,
    )


def newest_failure(job: Obj, pods: Sequence[Obj]) -> str:
    """Return why the newest Pod failed of a Job that goes on with another one; empty if none has failed."""
    failed = [each for each in pods if status_of(each).get("phase") == "Failed"]
    if not failed:
        return ""
    pod = max(failed, key=lambda each: str(meta(each).get("creationTimestamp") or ""))
    ended = terminated_state(pod)
    said = str(read_document(str(ended.get("message") or "")).get("message") or "")
    return _explained(job, pod, ended) or said or _by_status(int(ended.get("exitCode") or 0))


def _without_pod(job: Obj, *, succeeded: bool) -> str:
    if succeeded:
        return "the mover succeeded; its Pod is gone and its log is lost"
    failed = condition_of(job, "Failed") or {}
    if failed.get("reason") == "DeadlineExceeded":
        return (
            "the mover was stopped by the deadline of its Job; raise --mover-active-deadline or the mover's resources"
        )
    why = f" ({failed['message']})" if failed.get("message") else ""
    return f"the mover failed{why}; its Pod is gone and its log is lost"


def _explained(job: Obj, pod: Obj, ended: Obj) -> str:
    if ended.get("reason") == "OOMKilled":
        limit = _memory_limit(job)
        return f"the mover was killed because it used more memory than its limit{limit}; raise moverResources.limits.memory"
    if status_of(pod).get("reason") == "Evicted":
        why = str(status_of(pod).get("message") or "")
        hint = "; raise cacheCapacity" if "emptyDir" in why or "ephemeral" in why else ""
        return f"the mover's Pod was evicted: {why.rstrip('. ')}{hint}"
    if (condition_of(job, "Failed") or {}).get("reason") == "DeadlineExceeded" and not ended.get("message"):
        return _without_pod(job, succeeded=False)
    return ""


def _memory_limit(job: Obj) -> str:
    containers = spec_of(spec_of(job).get("template") or {}).get("containers") or [{}]
    limit = ((containers[0].get("resources") or {}).get("limits") or {}).get("memory")
    return f" of {limit}" if limit else ""


def _last_error(log: str) -> str:
    for line in reversed(log.splitlines()):
        if line.startswith(("ERROR:", "FATAL")):
            return line.removeprefix("ERROR:").strip()
    return ""


def _by_status(status: int) -> str:
    name = CODES.get(status)
    return f"the mover ended with exit status {status}{f' ({name})' if name else ''} and said nothing"


def shown_log(result: MoverResult, *, most: int, debug: bool) -> str:
    r"""Return the end of the log for the status; after a failure the reason comes first.

    >>> from datetime import datetime, UTC
    >>> failed = MoverResult(succeeded=False, finished=datetime.now(UTC), message="no password", log="a" * 50)
    >>> shown_log(failed, most=30, debug=False)
    'no password\naaaaaaaaaaaaaaaaaa'

    Args:
        result: of the mover.
        most: bytes.
        debug: leave the log as it is.
    """
    text = result.log if debug else "\n".join(filter(None, (line.rstrip() for line in result.log.splitlines())))
    first = "" if result.succeeded or not result.message else result.message + "\n"
    head = first.encode()[:most]
    rest = text.encode()
    room = most - len(head)
    tail = rest[-room:] if room > 0 else b""
    return (head + tail).decode("utf-8", "ignore").rstrip("\n")
