"""Leader election by a Lease, as every Kubernetes controller does it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from pykopia_operator.api.base import Api
from pykopia_operator.decide.objects import Obj, meta, spec_of
from pykopia_operator.decide.times import format_micro_time, parse_time
from pykopia_operator.errors import ApiError, OperatorError

log: Final = logging.getLogger(__name__)


class LeaseLock:
    """A Lease that one process holds.

    A holder is trusted for the lease duration since this process last saw the Lease change, by this process's own clock:
    the clocks of two nodes are never compared.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        lease_duration: float,
        renew_deadline: float,
        retry_period: float,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self._namespace, self._name, self._identity = api, namespace, name, identity
        self._duration, self._deadline, self._retry = lease_duration, renew_deadline, retry_period
        self._now, self._monotonic, self._pause = now, monotonic, pause
        self._seen: tuple[str, float] = ("", 0.0)
        """Version of the Lease that was seen last, and when by the monotonic clock."""
        self.is_leader = False

    async def acquire(self) -> None:
        """Wait until this process holds the Lease."""
        while not await self._try():
            await self._pause(self._retry)
        self.is_leader = True
        log.info("this process (%s) holds the Lease %s/%s", self._identity, self._namespace, self._name)

    async def keep(self) -> None:
        """Renew the Lease until that fails for the renew deadline, then return: this process must stop working."""
        renewed = self._monotonic()
        while True:
            await self._pause(min(self._retry, self._deadline / 3))
            left = self._deadline - (self._monotonic() - renewed)
            try:
                async with asyncio.timeout(max(left, 0.1)):
                    held = await self._try()
            except TimeoutError:
                held = False
            if held:
                renewed = self._monotonic()
            elif self._monotonic() - renewed >= self._deadline:
                self.is_leader = False
                log.error("the Lease %s/%s was lost", self._namespace, self._name)
                return

    async def release(self) -> None:
        """Give the Lease up, so that another process need not wait."""
        self.is_leader = False
        try:
            lease = await self._api.get("Lease", self._namespace, self._name)
            if lease is not None and spec_of(lease).get("holderIdentity") == self._identity:
                await self._api.patch(lease, self._change(lease, {"holderIdentity": "", "leaseDurationSeconds": 1}))
        except OperatorError as error:
            log.warning("the Lease was not released: %s", error)

    async def _try(self) -> bool:
        """Take or renew the Lease. Return True if this process holds it."""
        try:
            lease = await self._api.get("Lease", self._namespace, self._name)
            if lease is None:
                await self._api.create(self._new())
                return True
            spec = spec_of(lease)
            holder = spec.get("holderIdentity") or ""
            if holder == self._identity:
                await self._api.patch(lease, self._change(lease, {"renewTime": format_micro_time(self._now())}))
                return True
            if holder and not self._is_expired(lease):
                return False
            taken = self._spec() | {"leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
            await self._api.patch(lease, self._change(lease, taken))
        except ApiError as error:
            if not error.is_conflict:
                log.warning("the Lease %s/%s: %s", self._namespace, self._name, error)
            return False
        except OperatorError as error:
            log.warning("the Lease %s/%s: %s", self._namespace, self._name, error)
            return False
        return True

    def _is_expired(self, lease: Obj) -> bool:
        version = str(meta(lease).get("resourceVersion") or "")
        if version != self._seen[0]:
            self._seen = (version, self._monotonic())
        length = float(spec_of(lease).get("leaseDurationSeconds") or self._duration)
        return self._monotonic() - self._seen[1] >= length

    def _spec(self) -> Obj:
        moment = format_micro_time(self._now())
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(int(self._duration), 1),
            "acquireTime": moment,
            "renewTime": moment,
        }

    def _new(self) -> Obj:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._namespace, "name": self._name},
            "spec": self._spec() | {"leaseTransitions": 0},
        }

    def _change(self, lease: Obj, spec: Obj) -> Obj:
        return {"metadata": {"resourceVersion": meta(lease).get("resourceVersion")}, "spec": spec}


def is_renewed_by_another(lease: Obj, identity: str, now: datetime) -> bool:
    """Return True if another process holds a Lease and has renewed it in time."""
    spec = spec_of(lease)
    renewed = parse_time(spec.get("renewTime"))
    length = timedelta(seconds=float(spec.get("leaseDurationSeconds") or 0))
    return (
        bool(spec.get("holderIdentity"))
        and spec["holderIdentity"] != identity
        and (renewed is not None and now - renewed < length)
    )
