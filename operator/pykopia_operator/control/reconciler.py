"""One look at one object: read, decide, carry out."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pykopia_operator.api.base import Api
from pykopia_operator.control.carry_out import Performer
from pykopia_operator.control.observe import observe
from pykopia_operator.control.pull_secrets import copy_pull_secrets
from pykopia_operator.decide.destination_run import decide_destination
from pykopia_operator.decide.objects import Obj, generation_of, is_deleting, status_of, uid_of
from pykopia_operator.decide.ownership import is_left_to_nobody, is_ours
from pykopia_operator.decide.plan import Event, Measure, Plan
from pykopia_operator.decide.running import new_turn, report_problem
from pykopia_operator.decide.source_run import decide_source
from pykopia_operator.decide.times import parse_time
from pykopia_operator.decide.trigger import State, state_of
from pykopia_operator.decide.world import World
from pykopia_operator.errors import ApiError, InvalidObjectError
from pykopia_operator.settings import Settings

log: Final = logging.getLogger(__name__)

LONG_AGO: Final = timedelta(minutes=5)
"""More than any watch lags behind."""


@dataclass(kw_only=True, slots=True)
class Surroundings:
    """What a reconciler knows of the cluster besides the object that it looks at."""

    sources: Callable[[], Sequence[Obj]] = tuple
    """ReplicationSources that are ours."""
    destinations: Callable[[], Sequence[Obj]] = tuple
    """ReplicationDestinations that are ours."""
    active: Callable[[], frozenset[str]] = frozenset
    """UIDs of the objects whose movers run."""
    maintenances: Callable[[str], Sequence[Obj]] = lambda _: ()
    """KopiaMaintenances of a namespace."""
    running: Callable[[str], int] = lambda _: 0
    """Movers that run, those of an owner not counted."""
    labelled: Callable[[str], bool] = lambda _: True
    """Whether an object with the cleanup label of an owner's UID was seen."""
    openshift: bool = False
    status_fields: frozenset[str] = frozenset({"ReplicationSource", "ReplicationDestination"})
    """Kinds whose CRD has ``status.kopia``."""
    proxies: Mapping[str, str] = field(default_factory=dict)


class Reconciler:
    """Looks at ReplicationSources and ReplicationDestinations."""

    def __init__(
        self, api: Api, performer: Performer, settings: Settings, now: Callable[[], datetime], around: Surroundings
    ) -> None:
        self._api, self._performer, self._settings, self._now, self._around = api, performer, settings, now, around

    async def reconcile(self, kind: str, namespace: str, name: str, *, cached: Obj | None = None) -> float | None:
        """Look at an object and do what is to be done. Return after how many seconds to look again, None: only on a change.

        Args:
            kind: ReplicationSource or ReplicationDestination.
            namespace: of the object.
            name: of the object.
            cached: the object as a watch last saw it; if nothing is to be done for it the API server is not asked.

        Raises:
            ApiError: the API server refused something.
        """
        mode, provider = self._settings.coexistence, self._settings.external_provider
        if cached is not None:
            if not is_ours(cached, mode=mode, provider=provider):
                await self._warn(cached)
                return None
            plan = self._glance(cached)
            if plan is not None:
                await self._performer.carry_out(plan)
                return plan.again
        owner = await self._api.get(kind, namespace, name)
        if owner is None or is_deleting(owner) or not is_ours(owner, mode=mode, provider=provider):
            return None
        if state_of(owner) is State.SYNCHRONIZING:
            await copy_pull_secrets(self._api, self._settings, owner)
        around = self._around
        world = await observe(
            self._api,
            owner,
            self._settings,
            sources=around.sources(),
            destinations=around.destinations() if kind == "ReplicationDestination" else (),
            active=around.active() if kind == "ReplicationDestination" else frozenset(),
            maintenances=around.maintenances(namespace),
            running=around.running(uid_of(owner)),
            openshift=around.openshift,
            has_status=kind in around.status_fields,
            clean=self._is_clean(owner),
        )
        plan = self._decide(world)
        try:
            await self._performer.carry_out(plan)
        except ApiError as error:
            if error.status not in {403, 404, 422}:
                raise
            problem = new_turn(world, self._settings, self._now())
            told = report_problem(problem, InvalidObjectError(f"the API server refused a request: {error}", kind="api"))
            await self._performer.carry_out(told)
            raise
        return plan.again

    def _is_clean(self, owner: Obj) -> bool:
        """Return True if a run ended long ago and the watches know of nothing that it left: no list is needed to be sure."""
        ended = parse_time(status_of(owner).get("lastSyncTime"))
        long_ago = ended is not None and self._now() - ended > LONG_AGO
        return long_ago and not self._around.labelled(uid_of(owner))

    def _decide(self, world: World) -> Plan:
        decide = decide_source if world.owner["kind"] == "ReplicationSource" else decide_destination
        return decide(world, self._settings, self._now(), proxies=self._around.proxies)

    def _glance(self, cached: Obj) -> Plan | None:
        """Return the plan for an object that only waits; None if it must be looked at properly."""
        if state_of(cached) is State.SYNCHRONIZING or is_deleting(cached):
            return None
        waiting = next(
            (
                each
                for each in (cached.get("status") or {}).get("conditions") or []
                if each.get("type") == "Synchronizing"
            ),
            None,
        )
        if waiting is None or waiting.get("reason") in {"CleaningUp", "SyncInProgress"}:
            return None
        if waiting.get("observedGeneration") != generation_of(cached):
            return None
        world = World(
            owner=cached,
            namespace={},
            sources=tuple(self._around.sources()) if cached["kind"] == "ReplicationDestination" else (),
            has_status=cached["kind"] in self._around.status_fields,
        )
        plan = self._decide(world)
        return plan if all(isinstance(each, Measure | Event) for each in plan.actions) else None

    async def _warn(self, cached: Obj) -> None:
        settings = self._settings
        if is_left_to_nobody(cached, mode=settings.coexistence, provider=settings.external_provider):
            text = (
                f"VolSync and this operator share the cluster: set spec.external.provider: {settings.external_provider} "
                "beside spec.kopia, else VolSync rejects the object and nobody handles it"
            )
            plan = Plan().add(Event(obj=cached, reason="NotHandled", message=text, warning=True, once="upstream"))
            await self._performer.carry_out(plan)
