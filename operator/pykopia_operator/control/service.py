"""One operator process from its start to its end: connection, election, work, probes, metrics."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from pykopia_operator.api.client import HttpApi, load_config
from pykopia_operator.control.controller import Controller
from pykopia_operator.control.http import metrics, metrics_context, probes, serve
from pykopia_operator.control.leader import LeaseLock
from pykopia_operator.control.meters import Meters
from pykopia_operator.control.populator import announce, is_on
from pykopia_operator.control.reconciler import Surroundings
from pykopia_operator.control.start import VOLSYNC_LEASE, look_around
from pykopia_operator.decide.environment import proxy_environment
from pykopia_operator.decide.objects import Obj, name_of, namespace_of
from pykopia_operator.settings import Settings

log: Final = logging.getLogger(__name__)


class Service:
    """One operator process."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], *, identity: str, now: Callable[[], datetime]
    ) -> None:
        self._settings, self._environment, self._identity, self._now = settings, environment, identity, now
        self._ready = False

    async def run(self, stop: asyncio.Event) -> bool:
        """Work until ``stop`` is set. Return False if the Lease was lost."""
        settings = self._settings
        api = HttpApi(load_config(settings.kubeconfig))
        try:
            cluster = await look_around(api, settings, self._identity, self._now)
            around = Surroundings(
                openshift=cluster.openshift,
                status_fields=cluster.status_fields,
                proxies=proxy_environment(self._environment),
            )
            meters = Meters()
            controller = Controller(api, settings, now=self._now, around=around, meters=meters, instance=self._identity)
            meters.queue = lambda: (len(controller.queue), controller.queue.active)
            controller.on_deleted = lambda obj: _forget(meters, obj)
            if is_on(settings):
                await announce(api)
            async with await self._serve(api, meters, lambda: self._ready):
                self._ready = True
                return await self._lead(api, controller, stop)
        finally:
            await api.close()

    async def _serve(self, api: HttpApi, meters: Meters, is_ready: Callable[[], bool]) -> contextlib.AsyncExitStack:
        """Begin to serve probes and metrics."""
        settings = self._settings
        stack = contextlib.AsyncExitStack()
        if settings.health_probe_bind_address not in {"", "0"}:
            await stack.enter_async_context(await serve(settings.health_probe_bind_address, probes(is_ready)))
        if settings.metrics_bind_address not in {"", "0"}:
            reviewer = api if settings.metrics_require_rbac and settings.metrics_secure else None
            await stack.enter_async_context(
                await serve(
                    settings.metrics_bind_address,
                    metrics(meters.text, reviewer),
                    context=metrics_context(settings),
                )
            )
        return stack

    async def _lead(self, api: HttpApi, controller: Controller, stop: asyncio.Event) -> bool:
        settings = self._settings
        asked = asyncio.create_task(stop.wait())
        if not (settings.leader_elect or settings.coexistence == "replace"):
            work = asyncio.create_task(controller.run())
            await self._first_of(asked, work)
            return True
        lock = LeaseLock(
            api,
            settings.namespace,
            VOLSYNC_LEASE if settings.coexistence == "replace" else settings.leader_election_id,
            self._identity,
            lease_duration=settings.leader_election_lease_duration,
            renew_deadline=settings.leader_election_renew_deadline,
            retry_period=settings.leader_election_retry_period,
            now=self._now,
            monotonic=time.monotonic,
        )
        acquired = asyncio.create_task(lock.acquire())
        await asyncio.wait({asked, acquired}, return_when=asyncio.FIRST_COMPLETED)
        if not acquired.done():
            acquired.cancel()
            return True
        work = asyncio.create_task(controller.run())
        keep = asyncio.create_task(lock.keep())
        await self._first_of(asked, work, keep)
        if lock.is_leader:
            await lock.release()
            return True
        return False

    @staticmethod
    async def _first_of(*tasks: "asyncio.Task[object]") -> None:
        """Wait for the first task that ends, then cancel the others and wait for them."""
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for each in others:
            each.cancel()
        for each in others:
            with contextlib.suppress(asyncio.CancelledError):
                await each
        for each in done:
            each.result()


def _forget(meters: Meters, obj: Obj) -> None:
    role = "source" if obj["kind"] == "ReplicationSource" else "destination"
    meters.forget(namespace_of(obj), name_of(obj), role)
