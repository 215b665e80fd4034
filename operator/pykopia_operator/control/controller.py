"""The operator at work: stores follow the API server, changes become keys in a queue, workers reconcile them."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from pykopia_operator.api.base import Api
from pykopia_operator.control.carry_out import Meters, Performer
from pykopia_operator.control.maintenance import MaintenanceReconciler
from pykopia_operator.control.populator import PopulatorReconciler, is_on
from pykopia_operator.control.queue import WorkQueue
from pykopia_operator.control.reconciler import Reconciler, Surroundings
from pykopia_operator.control.watches import Store
from pykopia_operator.decide.identity import repository_name
from pykopia_operator.decide.kopia_maintenance import LABEL, NAME_LABEL
from pykopia_operator.decide.names import CLEANUP, CREATED_BY
from pykopia_operator.decide.objects import Obj, is_owned_by, labels_of, meta, name_of, namespace_of, spec_of
from pykopia_operator.decide.ownership import is_ours
from pykopia_operator.decide.populator import destination_of
from pykopia_operator.decide.result import has_ended
from pykopia_operator.decide.trigger import State, state_of
from pykopia_operator.errors import ApiError, OperatorError
from pykopia_operator.settings import Settings

log: Final = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""Kind, namespace and name."""

OWN_KINDS: Final = ("ReplicationSource", "ReplicationDestination")
SYNC_SECONDS: Final = 60.0
OURS: Final = f"{CREATED_BY}=volsync"


class Controller:
    """Everything that one operator process does while it is the leader."""

    def __init__(
        self,
        api: Api,
        settings: Settings,
        *,
        now: Callable[[], datetime],
        around: Surroundings,
        meters: Meters | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        instance: str = "",
    ) -> None:
        self._settings, self._now = settings, now
        self.queue: WorkQueue[Key] = WorkQueue(monotonic)
        self.performer = Performer(api, now, meters, instance)
        self.stores: dict[str, list[Store]] = {}
        self._labelled: dict[Key, str] = {}
        """UIDs of the owners of objects that carry the cleanup label."""
        around.sources = self._our_sources
        around.destinations = self._our_destinations
        around.active = self._with_movers
        around.maintenances = self._maintenances_of
        around.running = self._movers_running
        around.labelled = lambda uid: uid in self._labelled.values()
        self._maintenance = MaintenanceReconciler(api, self.performer, settings, now, around)
        self._populator = PopulatorReconciler(api, self.performer)
        self._reconciler = Reconciler(api, self.performer, settings, now, around)
        self._api = api
        self.on_deleted: Callable[[Obj], None] = lambda _: None
        """Called when an object of ours is gone."""
        for namespace in settings.namespaces or ("",):
            self._add_stores(namespace)

    def _add_stores(self, namespace: str) -> None:
        for kind in (*OWN_KINDS, "KopiaMaintenance"):
            self._store(kind, self._owner_changed, namespace)
        self._store("Job", self._owned_changed, namespace, labels=OURS)
        self._store("Pod", self._pod_changed, namespace, labels=OURS, metadata_only=True, keep=False)
        self._store("VolumeSnapshot", self._owned_changed, namespace, labels=OURS, metadata_only=True, keep=False)
        self._store("PersistentVolumeClaim", self._volume_changed, namespace, keep=False)
        for kind in ("Secret", "ConfigMap"):
            self._store(kind, self._referenced_changed, namespace, metadata_only=True, keep=False)

    def _store(
        self,
        kind: str,
        on_change: Callable[[str, Obj], None],
        namespace: str,
        *,
        labels: str = "",
        metadata_only: bool = False,
        keep: bool = True,
    ) -> None:
        store = Store(
            self._api, kind, on_change, namespace=namespace, labels=labels, metadata_only=metadata_only, keep=keep
        )
        self.stores.setdefault(kind, []).append(store)

    # ------------------------------------------------------------------ what the stores know

    def objects(self, kind: str) -> list[Obj]:
        """Return the objects of a kind as they were last seen."""
        return [each for store in self.stores.get(kind, ()) for each in store.all()]

    def cached(self, kind: str, namespace: str, name: str) -> Obj | None:
        """Return an object as it was last seen."""
        for store in self.stores.get(kind, ()):
            found = store.get(namespace, name)
            if found is not None:
                return found
        return None

    def _is_ours(self, obj: Obj) -> bool:
        return is_ours(obj, mode=self._settings.coexistence, provider=self._settings.external_provider)

    def _our_sources(self) -> Sequence[Obj]:
        return [each for each in self.objects("ReplicationSource") if self._is_ours(each)]

    def _our_destinations(self) -> Sequence[Obj]:
        return [each for each in self.objects("ReplicationDestination") if self._is_ours(each)]

    def _with_movers(self) -> frozenset[str]:
        """Return the UIDs of the objects whose movers run."""
        active = [each for each in self.objects("Job") if not has_ended(each) and spec_of(each).get("parallelism") != 0]
        return frozenset(str(owner["uid"]) for each in active for owner in meta(each).get("ownerReferences") or [])

    def _maintenances_of(self, namespace: str) -> Sequence[Obj]:
        return [each for each in self.objects("KopiaMaintenance") if namespace_of(each) == namespace]

    def _movers_running(self, besides: str) -> int:
        return sum(1 for each in self.objects("Job") if not has_ended(each) and not is_owned_by(each, besides))

    # ------------------------------------------------------------------ changes become keys

    def _owner_changed(self, change: str, obj: Obj) -> None:
        key = (obj["kind"], namespace_of(obj), name_of(obj))
        if change == "DELETED":
            self.queue.forget(key)
            self.on_deleted(obj)
        else:
            self.queue.add(key)
        if obj["kind"] == "KopiaMaintenance":
            self._referenced(namespace_of(obj), str((spec_of(obj).get("repository") or {}).get("repository") or ""))

    def _owned_changed(self, change: str, obj: Obj) -> None:
        key = (obj["kind"], namespace_of(obj), name_of(obj))
        if change != "DELETED" and CLEANUP in labels_of(obj):
            self._labelled[key] = labels_of(obj)[CLEANUP]
        else:
            self._labelled.pop(key, None)
        self._queue_owners(obj)

    def _queue_owners(self, obj: Obj) -> None:
        for owner in meta(obj).get("ownerReferences") or []:
            if owner.get("kind") in {*OWN_KINDS, "KopiaMaintenance"}:
                self.queue.add((owner["kind"], namespace_of(obj), owner["name"]))
        if LABEL in labels_of(obj):
            self.queue.add(("KopiaMaintenance", namespace_of(obj), labels_of(obj).get(NAME_LABEL, "")))

    def _pod_changed(self, _change: str, obj: Obj) -> None:
        for owner in meta(obj).get("ownerReferences") or []:
            if owner.get("kind") == "Job":
                job = self.cached("Job", namespace_of(obj), owner["name"])
                if job is not None:
                    self._queue_owners(job)

    def _volume_changed(self, change: str, obj: Obj) -> None:
        self._owned_changed(change, obj)
        namespace, name = namespace_of(obj), name_of(obj)
        for each in self.objects("ReplicationSource"):
            if namespace_of(each) == namespace and spec_of(each).get("sourcePVC") == name and _is_active(each):
                self.queue.add((each["kind"], namespace, name_of(each)))
        for each in self.objects("ReplicationDestination"):
            kopia = spec_of(each).get("kopia") or {}
            if namespace_of(each) == namespace and kopia.get("destinationPVC") == name and _is_active(each):
                self.queue.add((each["kind"], namespace, name_of(each)))
        if change != "DELETED" and is_on(self._settings):
            users = [each["name"] for each in self._users_of_prime(obj)]
            for each in [*users, *([name] if destination_of(obj) else [])]:
                self.queue.add((obj["kind"], namespace, each))

    @staticmethod
    def _users_of_prime(obj: Obj) -> list[Obj]:
        """Return the references to the volume for which the populator made a helper volume."""
        return [each for each in meta(obj).get("ownerReferences") or [] if each.get("kind") == obj["kind"]]

    def _referenced_changed(self, _change: str, obj: Obj) -> None:
        self._referenced(namespace_of(obj), name_of(obj))

    def _referenced(self, namespace: str, name: str) -> None:
        """Queue the objects of a namespace that name a Secret or ConfigMap and that wait for it."""
        for kind in OWN_KINDS:
            for each in self.objects(kind):
                if namespace_of(each) == namespace and _is_active(each) and name in _references(each):
                    self.queue.add((kind, namespace, name_of(each)))
        for each in self.objects("KopiaMaintenance"):
            if namespace_of(each) == namespace and name in _references(each):
                self.queue.add(("KopiaMaintenance", namespace, name_of(each)))

    # ------------------------------------------------------------------ work

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            OperatorError: the API server did not list the objects of a kind in time.
        """
        stores = [store for some in self.stores.values() for store in some]
        late: OperatorError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for store in stores:
                    group.create_task(store.run())
                await _filled(stores)
                count = sum(len(self.objects(kind)) for kind in OWN_KINDS)
                log.info("the stores are filled: %d objects to handle", count)
                for _ in range(max(self._settings.workers, 1)):
                    group.create_task(self._work())
        except* OperatorError as errors:
            late = next(each for each in errors.exceptions if isinstance(each, OperatorError))
        if late is not None:
            raise late

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._look(key)
            finally:
                self.queue.done(key)

    async def _look(self, key: Key) -> None:
        kind, namespace, name = key
        try:
            again = await self.reconcile(key)
        except ApiError as error:
            if error.is_conflict:
                log.debug("%s %s/%s was changed meanwhile, looking again", kind, namespace, name)
                self.queue.add_after(key, 0.2)
                return
            pause = self.queue.failed(key)
            if error.retry_after:
                self.queue.add_after(key, error.retry_after)
            log.warning("%s %s/%s: %s; again in %.1f s", kind, namespace, name, error, pause)
        except OperatorError as error:
            pause = self.queue.failed(key)
            log.warning("%s %s/%s: %s; again in %.1f s", kind, namespace, name, error, pause)
        except Exception:
            pause = self.queue.failed(key)
            log.exception("%s %s/%s: internal error; again in %.1f s", kind, namespace, name, pause)
        else:
            self.queue.succeeded(key)
            if again is not None:
                self.queue.add_after(key, again)

    async def reconcile(self, key: Key) -> float | None:
        """Look at one object."""
        kind, namespace, name = key
        if kind == "KopiaMaintenance":
            return await self._maintenance.reconcile(namespace, name)
        if kind == "PersistentVolumeClaim":
            return await self._populator.reconcile(namespace, name)
        cached = self.cached(kind, namespace, name)
        if cached is None:
            return None
        return await self._reconciler.reconcile(kind, namespace, name, cached=cached)


async def _filled(stores: Sequence[Store]) -> None:
    try:
        async with asyncio.timeout(SYNC_SECONDS):
            for store in stores:
                await store.synced.wait()
    except TimeoutError:
        kinds = sorted({store.kind for store in stores if not store.synced.is_set()})
        raise OperatorError(
            f"the API server did not list the objects of {', '.join(kinds)} within {SYNC_SECONDS:.0f} s; the log above says why: "
            "mostly a role lacks the verbs list and watch"
        ) from None


def _is_active(obj: Obj) -> bool:
    return state_of(obj) is State.SYNCHRONIZING


def _references(obj: Obj) -> set[str]:
    spec = spec_of(obj)
    kopia = spec.get("kopia") or {}
    found: set[str | None] = {repository_name(obj), str((spec.get("repository") or {}).get("repository") or "")}
    ca, policy = kopia.get("customCA") or {}, kopia.get("policyConfig") or {}
    found |= {ca.get("secretName"), ca.get("configMapName"), policy.get("configMapName"), policy.get("secretName")}
    for each in kopia.get("moverVolumes") or []:
        found.add(((each.get("volumeSource") or {}).get("secret") or {}).get("secretName"))
    return {each for each in found if each}
