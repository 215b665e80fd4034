"""The copy trigger: an application says by an annotation of its volume when a copy may be made."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pykopia_operator.decide.objects import Obj, annotations_of, meta
from pykopia_operator.decide.times import format_time, parse_time

USE: Final = "volsync.backube/use-copy-trigger"
TRIGGER: Final = "volsync.backube/copy-trigger"
LATEST: Final = "volsync.backube/latest-copy-trigger"
STATUS: Final = "volsync.backube/latest-copy-status"
WAITING_SINCE: Final = "volsync.backube/latest-copy-trigger-waiting-since"

WAITING: Final = "WaitingForTrigger"
IN_PROGRESS: Final = "InProgress"
COMPLETED: Final = "Completed"

PATIENCE: Final = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What the copy trigger asks for now."""

    go: bool
    annotations: dict[str, str | None]
    """Annotations of the volume to change; empty: none."""
    timed_out: bool = False


def is_used(volume: Obj) -> bool:
    """Return True if the volume's copies wait for a trigger."""
    return USE in annotations_of(volume)


def before_copy(volume: Obj, now: datetime) -> Step:
    """Return whether the copy may be made now. It has not been made in this run.

    Args:
        volume: the source.
        now: the time.
    """
    notes = annotations_of(volume)
    if notes.get(STATUS) == IN_PROGRESS:
        return Step(go=True, annotations={})
    trigger = notes.get(TRIGGER) or ""
    if trigger and trigger != notes.get(LATEST):
        return Step(go=True, annotations={STATUS: IN_PROGRESS, WAITING_SINCE: None})
    since = parse_time(notes.get(WAITING_SINCE))
    if notes.get(STATUS) != WAITING or since is None:
        return Step(go=False, annotations={STATUS: WAITING, WAITING_SINCE: format_time(now)})
    return Step(go=False, annotations={}, timed_out=now - since >= PATIENCE)


def after_copy(volume: Obj) -> dict[str, str | None]:
    """Return the annotations to change once the copy exists; empty if they are right already."""
    notes = annotations_of(volume)
    if notes.get(STATUS) != IN_PROGRESS:
        return {}
    return {STATUS: COMPLETED, LATEST: notes.get(TRIGGER), WAITING_SINCE: None}


def annotation_patch(volume: Obj, annotations: dict[str, str | None]) -> Obj:
    """Return the patch that changes annotations of the volume that was read."""
    return {"metadata": {"annotations": annotations, "resourceVersion": meta(volume).get("resourceVersion")}}
