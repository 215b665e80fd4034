"""Carrying out plans: the only place where decisions become requests."""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from pykopia_operator.api.base import Api
from pykopia_operator.decide.objects import Obj, meta, name_of, namespace_of, uid_of
from pykopia_operator.decide.plan import Create, Delete, Event, Measure, Patch, Plan
from pykopia_operator.decide.times import format_time
from pykopia_operator.errors import ApiError

log: Final = logging.getLogger(__name__)

MOST_EVENTS: Final = 10000
COMPONENT: Final = "pykopia-operator"


class Meters(Protocol):
    """Where measures go."""

    def take(self, measure: Measure) -> None:
        """Change a metric."""


class NoMeters:
    """Measures go nowhere."""

    def take(self, measure: Measure) -> None:
        """Change nothing."""


class Performer:
    """Carries out plans against an API server."""

    def __init__(self, api: Api, now: Callable[[], datetime], meters: Meters | None = None, instance: str = "") -> None:
        self._api, self._now, self._meters = api, now, meters or NoMeters()
        self._instance = instance or COMPONENT
        self._reported: OrderedDict[str, None] = OrderedDict()

    async def carry_out(self, plan: Plan) -> None:
        """Carry out the actions of a plan in order; the first refusal ends it.

        Metrics change when all else is done: a plan that ends early is decided anew, and must not be counted twice.

        Raises:
            ApiError: the API server refused an action; a conflict means that the object must be read again.
        """
        for action in plan.actions:
            match action:
                case Create():
                    await self._create(action)
                case Patch():
                    await self._patch(action)
                case Delete():
                    await self._delete(action.obj)
                case Event():
                    await self._report(action)
                case Measure():
                    pass
        for action in plan.actions:
            if isinstance(action, Measure):
                self._meters.take(action)

    async def _create(self, action: Create) -> None:
        obj = action.obj
        try:
            await self._api.create(obj)
        except ApiError as error:
            if error.is_conflict and error.reason == "AlreadyExists" and not action.exclusive:
                return
            raise
        log.info("created %s %s/%s", obj["kind"], namespace_of(obj), name_of(obj))

    async def _patch(self, action: Patch) -> None:
        try:
            await self._api.patch(action.obj, action.change, subresource=action.subresource)
        except ApiError as error:
            if error.is_missing:
                return
            raise

    async def _delete(self, obj: Obj) -> None:
        try:
            await self._api.delete(obj)
        except ApiError as error:
            if error.is_missing or error.is_conflict:
                return
            raise
        log.info("deleted %s %s/%s", obj["kind"], namespace_of(obj), name_of(obj))

    async def _report(self, event: Event) -> None:
        obj = event_object(event, self._now(), self._instance)
        name = obj["metadata"]["name"]
        if name in self._reported:
            return
        try:
            await self._api.create(obj)
        except ApiError as error:
            known = error.is_conflict and error.reason == "AlreadyExists"
            if not known and error.status not in {403, 404, 422}:
                raise
            if not known:  # a namespace that is being deleted, a right that is missing: no reason to stop
                log.warning("event %s on %s/%s: %s", event.reason, namespace_of(event.obj), name_of(event.obj), error)
        else:
            level = logging.WARNING if event.warning else logging.INFO
            log.log(
                level,
                "%s %s/%s: %s: %s",
                event.obj["kind"],
                namespace_of(event.obj),
                name_of(event.obj),
                event.reason,
                event.message,
            )
        self._reported[name] = None
        if len(self._reported) > MOST_EVENTS:
            self._reported.popitem(last=False)


def event_object(event: Event, now: datetime, instance: str = COMPONENT) -> Obj:
    """Return an Event whose name follows from what it reports, so that it exists once however often it is created."""
    digest = hashlib.sha256(f"{uid_of(event.obj)}\0{event.reason}\0{event.once}".encode()).hexdigest()[:16]
    moment = format_time(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name_of(event.obj)[:200]}.{digest}", "namespace": namespace_of(event.obj) or "default"},
        "involvedObject": {
            "apiVersion": event.obj.get("apiVersion"),
            "kind": event.obj["kind"],
            "name": name_of(event.obj),
            "namespace": namespace_of(event.obj),
            "uid": uid_of(event.obj),
            "resourceVersion": meta(event.obj).get("resourceVersion"),
        },
        "reason": event.reason,
        "message": event.message,
        "type": "Warning" if event.warning else "Normal",
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance[:128],
    }
