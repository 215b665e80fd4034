"""``pykopia-operator render``: what a ReplicationSource or ReplicationDestination would lead to, without a cluster."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from pykopia_operator.decide.destination_run import decide_destination, effective
from pykopia_operator.decide.environment import SECRET_VARIABLES
from pykopia_operator.decide.kopia_maintenance import FINALIZER, MaintenanceWorld, decide_maintenance
from pykopia_operator.decide.names import cache_name, copy_name, job_name
from pykopia_operator.decide.objects import Obj, name_of, namespace_of, spec_of
from pykopia_operator.decide.ownership import is_ours, read_destination, read_source
from pykopia_operator.decide.plan import Create, Plan
from pykopia_operator.decide.source_run import decide_source
from pykopia_operator.decide.times import format_time
from pykopia_operator.decide.world import Keys, World
from pykopia_operator.errors import InvalidObjectError, OperatorError
from pykopia_operator.settings import Settings

NAMESPACE: Final = "default"
ROUNDS: Final = 10
KINDS: Final = ("ReplicationSource", "ReplicationDestination", "KopiaMaintenance")


def load(paths: Iterable[Path]) -> list[Obj]:
    """Return the objects of some YAML files.

    Raises:
        OperatorError: a file is missing or no YAML.
    """
    found: list[Obj] = []
    for path in paths:
        try:
            with path.open() as file:
                found += [each for each in yaml.safe_load_all(file) if isinstance(each, dict)]
        except (OSError, yaml.YAMLError) as error:
            raise OperatorError(f"{path}: {error}") from error
    return found


def render(objects: Sequence[Obj], settings: Settings, now: datetime) -> list[Obj]:
    """Return what the objects of users would lead to, in the order in which it is created.

    Volumes, Secrets and policies that the files do not hold are taken to exist.

    Raises:
        InvalidObjectError: an object is wrong; the message names it.
    """
    found: list[Obj] = []
    for each in objects:
        if each.get("kind") not in KINDS:
            continue
        if each["kind"] != "KopiaMaintenance" and not is_ours(
            each, mode=settings.coexistence, provider=settings.external_provider
        ):
            continue
        try:
            found += _Rehearsal(each, objects, settings, now).run()
        except InvalidObjectError as error:
            raise OperatorError(f"{each['kind']} {name_of(each)}: {error}") from error
    return found


class _Rehearsal:
    """One run of one object in an imagined cluster in which everything that is created is ready at once."""

    def __init__(self, owner: Obj, objects: Sequence[Obj], settings: Settings, now: datetime) -> None:
        about: dict[str, Any] = {"namespace": NAMESPACE, "uid": "00000000-0000-0000-0000-000000000000", "generation": 1}
        self._now, self._settings, self._objects = now, settings, objects
        self.owner = {
            **owner,
            "metadata": {**about, **(owner.get("metadata") or {}), "creationTimestamp": format_time(now)},
            "status": {"lastSyncStartTime": format_time(now)},
        }
        self.made: dict[tuple[str, str], Obj] = {}

    def run(self) -> list[Obj]:
        if self.owner["kind"] == "KopiaMaintenance":
            return self._maintenance()
        for _ in range(ROUNDS):
            plan = self._decide()
            new = [each.obj for each in plan.actions if isinstance(each, Create)]
            for obj in new:
                self.made[obj["kind"], name_of(obj)] = obj
            if not new or ("Job", job_name(self.owner)) in self.made:
                break
        else:
            raise OperatorError(f"{self.owner['kind']} {name_of(self.owner)} leads to no Job")
        self._complain()
        return list(self.made.values())

    def _complain(self) -> None:
        if ("Job", job_name(self.owner)) in self.made:
            return
        decided = self._decide()
        for action in decided.actions:
            change = getattr(action, "change", {})
            for condition in (change.get("status") or {}).get("conditions") or []:
                if condition.get("reason") == "Error":
                    raise InvalidObjectError(condition["message"])
        raise InvalidObjectError("the object leads to no Job")

    def _decide(self) -> Plan:
        decide = decide_source if self.owner["kind"] == "ReplicationSource" else decide_destination
        return decide(self._world(), self._settings, self._now)

    def _sources(self) -> tuple[Obj, ...]:
        return tuple(
            {**each, "metadata": {"namespace": NAMESPACE, **(each.get("metadata") or {})}}
            for each in self._objects
            if each.get("kind") == "ReplicationSource"
        )

    def _world(self) -> World:
        owner = self.owner
        if owner["kind"] == "ReplicationSource":
            source = read_source(owner)
            kopia, volume = source.kopia, self._volume(source.spec.source_pvc or "")
        else:
            destination = effective(owner, read_destination(owner), self._sources())
            kopia = destination.kopia  # type: ignore[assignment]
            given = destination.kopia.destination_pvc
            volume = self._volume(given) if given else self._ready(("PersistentVolumeClaim", copy_name(owner)))  # type: ignore[assignment]
        return World(
            owner=owner,
            namespace=self._given("Namespace", namespace_of(owner)) or {},
            volume=volume,
            snapshot=self._ready(("VolumeSnapshot", copy_name(owner))),
            copy=self._ready(("PersistentVolumeClaim", copy_name(owner)))
            if owner["kind"] == "ReplicationSource"
            else None,
            cache=self._ready(("PersistentVolumeClaim", cache_name(owner))),
            secret=self._keys("Secret", kopia.repository or "", SECRET_VARIABLES[:2]),
            ca=self._authority(kopia),
            policy=self._policy(kopia),
            service_account={} if kopia.mover_service_account else None,
            sources=self._sources(),
            secret_volumes={},
        )

    def _given(self, kind: str, name: str) -> Obj | None:
        return next((each for each in self._objects if each.get("kind") == kind and name_of(each) == name), None)

    def _volume(self, name: str) -> Obj:
        found = self._given("PersistentVolumeClaim", name) or {
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        return {**found, "status": {"phase": "Bound"}}

    def _ready(self, key: tuple[str, str]) -> Obj | None:
        made = self.made.get(key)
        if made is None:
            return None
        ready = {"phase": "Bound", "boundVolumeSnapshotContentName": "imagined", "readyToUse": True}
        return {**made, "metadata": {**made["metadata"], "uid": "imagined"}, "status": ready}

    def _keys(self, kind: str, name: str, otherwise: Iterable[str]) -> Keys:
        given = self._given(kind, name)
        names = {*(given.get("data") or {}), *(given.get("stringData") or {})} if given else set(otherwise)
        return Keys(name=name, version="imagined", names=frozenset(names))

    def _authority(self, kopia: Any) -> Keys | None:  # noqa: ANN401 -- options of either kind
        ca = kopia.custom_ca
        if ca is None:
            return None
        kind, name = ("Secret", ca.secret_name) if ca.secret_name else ("ConfigMap", ca.config_map_name)
        return self._keys(kind, name or "", [ca.key or ""])

    def _policy(self, kopia: Any) -> Keys | None:  # noqa: ANN401 -- options of either kind
        policy = kopia.policy_config
        if policy is None:
            return None
        kind, name = ("Secret", policy.secret_name) if policy.secret_name else ("ConfigMap", policy.config_map_name)
        return self._keys(kind, name or "", [policy.global_policy_filename])

    def _maintenance(self) -> list[Obj]:
        owner = {**self.owner, "status": {}, "metadata": {**self.owner["metadata"], "finalizers": [FINALIZER]}}
        secret = str((spec_of(owner).get("repository") or {}).get("repository") or "")
        world = MaintenanceWorld(
            owner=owner,
            namespace={},
            secret=self._keys("Secret", secret, SECRET_VARIABLES[:2]),
            sources=self._sources(),
        )
        plan = decide_maintenance(world, self._settings, self._now)
        return [each.obj for each in plan.actions if isinstance(each, Create)]
