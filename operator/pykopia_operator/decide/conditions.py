"""Conditions of objects."""

from datetime import datetime
from typing import Any

from pykopia_operator.decide.objects import Obj
from pykopia_operator.decide.times import format_time

SYNCHRONIZING = "Synchronizing"
HEALTHY = "Healthy"
POLICY_APPLIED = "PolicyApplied"
MAINTENANCE_HEALTHY = "MaintenanceHealthy"

LONGEST_MESSAGE = 32000

TEXTS = {
    "SyncInProgress": "Synchronization in-progress",
    "WaitingForSchedule": "Waiting for next scheduled synchronization",
    "WaitingForManual": "Waiting for manual trigger",
    "CleaningUp": "Cleaning up",
}
"""Messages of the condition Synchronizing by reason, as VolSync writes them."""


def with_condition(
    conditions: list[Obj] | None,
    kind: str,
    *,
    true: bool,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> list[Obj]:
    """Return the conditions with one of them set. Its transition time changes only with its status.

    Args:
        conditions: as they were.
        kind: type of the condition.
        true: its status.
        reason: in one word.
        message: for people.
        generation: of the specification that was looked at.
        now: the time.
    """
    found = [dict(each) for each in conditions or []]
    status = "True" if true else "False"
    new: dict[str, Any] = {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": format_time(now),
    }
    for index, each in enumerate(found):
        if each.get("type") == kind:
            if each.get("status") == status and each.get("lastTransitionTime"):
                new["lastTransitionTime"] = each["lastTransitionTime"]
            found[index] = new
            return found
    return [*found, new]
