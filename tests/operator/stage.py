"""A stage for tests of reconcilers: a clock, an API server in memory, a cluster, and an operator that can be killed."""

import asyncio
import atexit
import functools
from collections.abc import Callable
from typing import Any

from pykopia_operator.control.carry_out import Performer
from pykopia_operator.control.reconciler import Reconciler, Surroundings
from pykopia_operator.decide.ownership import is_ours
from pykopia_operator.decide.result import has_ended
from pykopia_operator.errors import ApiError, OperatorError
from pykopia_operator.settings import Settings

from tests.operator.fake_api import Clock, Cluster, FakeApi, Killed

Obj = dict[str, Any]
OWN = ("ReplicationSource", "ReplicationDestination")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the one loop of all stages: to make one takes longer than a look at an object."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


class Stage:
    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.api = FakeApi(self.clock)
        self.cluster = Cluster(self.api)
        self.settings = Settings(kopia_container_image="mover:1", **settings)
        self.around = Surroundings(
            sources=lambda: [
                each
                for each in self.api.of_kind("ReplicationSource")
                if is_ours(each, mode=self.settings.coexistence, provider=self.settings.external_provider)
            ],
            destinations=lambda: self.api.of_kind("ReplicationDestination"),
            active=lambda: frozenset(
                owner["uid"]
                for job in self.api.of_kind("Job")
                if not has_ended(job)
                for owner in job["metadata"]["ownerReferences"]
            ),
            maintenances=lambda namespace: [
                each for each in self.api.of_kind("KopiaMaintenance") if each["metadata"]["namespace"] == namespace
            ],
            running=lambda _: 0,
        )
        self.loop = _loop()
        self.measures: list[Any] = []
        self.start_operator()
        self.api.put({"kind": "Namespace", "metadata": {"name": "prod"}})
        self.api.put({"kind": "StorageClass", "metadata": {"name": "fast"}, "allowVolumeExpansion": True})

    def start_operator(self) -> None:
        """Begin with an operator that remembers nothing."""
        performer = Performer(self.api, self.clock.now, _Meters(self.measures))
        self.reconciler = Reconciler(self.api, performer, self.settings, self.clock.now, self.around)

    def look(self, kind: str = "ReplicationSource", name: str = "app", namespace: str = "prod") -> float | None:
        """Let the operator look at one object once."""
        cached = self.api.find(kind, name, namespace)
        return self.loop.run_until_complete(self.reconciler.reconcile(kind, namespace, name, cached=cached))

    def settle(self, *, most: int = 60, until: Callable[[], bool] | None = None, refusals: bool = False) -> None:
        """Let operator and cluster work, without moving the clock, until nothing changes."""
        for _ in range(most):
            before, disturbed = len(self.api.writes), False
            for kind in OWN:
                for each in self.api.of_kind(kind):
                    try:
                        again = self.look(kind, each["metadata"]["name"], each["metadata"]["namespace"])
                        disturbed |= again is not None and again <= 5
                    except (ApiError, OperatorError):
                        disturbed = True
                        if not refusals:
                            raise
                    except Killed:
                        disturbed = True
                        self.start_operator()
            moved = self.cluster.step()
            if until is not None and until():
                return
            if len(self.api.writes) == before and not moved and not disturbed:
                return
        raise AssertionError(f"no rest after {most} rounds; the last writes: {self.api.writes[-8:]}")

    # ------------------------------------------------------------------ objects of users

    def secret(self, name: str = "kopia-config", **data: str) -> Obj:
        keys = {"KOPIA_REPOSITORY": "s3://bucket/x", "KOPIA_PASSWORD": "canary-password", **data}
        return self.api.put({"kind": "Secret", "metadata": {"name": name, "namespace": "prod"}, "data": keys})

    def volume(self, name: str = "data", *, size: str = "5Gi", modes: list[str] | None = None) -> Obj:
        return self.api.put(
            {
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": "prod"},
                "spec": {
                    "accessModes": modes or ["ReadWriteOnce"],
                    "storageClassName": "fast",
                    "resources": {"requests": {"storage": size}},
                },
                "status": {"phase": "Bound", "capacity": {"storage": size}},
            }
        )

    def source(self, name: str = "app", *, trigger: Obj | None = None, spec: Obj | None = None, **kopia: Any) -> Obj:
        section = {"repository": "kopia-config", "copyMethod": "Direct", **kopia}
        return self.api.put(
            {
                "kind": "ReplicationSource",
                "metadata": {"name": name, "namespace": "prod"},
                "spec": {
                    "sourcePVC": "data",
                    "trigger": {"manual": "one"} if trigger is None else trigger,
                    "kopia": section,
                    **(spec or {}),
                },
            }
        )

    def destination(
        self, name: str = "back", *, trigger: Obj | None = None, spec: Obj | None = None, **kopia: Any
    ) -> Obj:
        section = {"repository": "kopia-config", **kopia}
        return self.api.put(
            {
                "kind": "ReplicationDestination",
                "metadata": {"name": name, "namespace": "prod"},
                "spec": {
                    "trigger": {"manual": "one"} if trigger is None else trigger,
                    "kopia": section,
                    **(spec or {}),
                },
            }
        )

    def ready(self, **kopia: Any) -> None:
        """Put a Secret, a volume and a source with a manual trigger."""
        self.secret()
        self.volume()
        self.source(**kopia)

    def status(self, name: str = "app", kind: str = "ReplicationSource") -> Obj:
        found: Obj = self.api.must(kind, name).get("status") or {}
        return found

    def condition(self, name: str = "app", kind: str = "ReplicationSource", type_: str = "Synchronizing") -> Obj:
        for each in self.status(name, kind).get("conditions") or []:
            if each["type"] == type_:
                found: Obj = each
                return found
        raise AssertionError(f"no condition {type_}: {self.status(name, kind)}")


class _Meters:
    def __init__(self, measures: list[Any]) -> None:
        self._measures = measures

    def take(self, measure: Any) -> None:
        self._measures.append(measure)
