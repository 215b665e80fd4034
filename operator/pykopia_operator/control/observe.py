"""Reading the objects around a ReplicationSource or ReplicationDestination, fresh from the API server."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from pykopia_operator.api.base import Api
from pykopia_operator.control.pull_secrets import copied_name
from pykopia_operator.decide.destination_run import effective
from pykopia_operator.decide.names import CLEANUP, CREATED_BY, SNAPSHOT_NAME, cache_name, copy_name, job_name
from pykopia_operator.decide.objects import Obj, annotations_of, is_owned_by, namespace_of, spec_of, uid_of
from pykopia_operator.decide.ownership import Destination, Source, read_destination, read_source
from pykopia_operator.decide.result import CONTAINERS, deciding_pod, has_ended
from pykopia_operator.decide.trigger import State, state_of
from pykopia_operator.decide.upkeep import lease_name, repository_key
from pykopia_operator.decide.volumes import DIRECT, storage_class
from pykopia_operator.decide.world import Keys, World
from pykopia_operator.errors import ApiError, InvalidObjectError
from pykopia_operator.model.common import CustomCA, MoverOptions, PolicyConfig
from pykopia_operator.settings import Settings

LEFTOVER_KINDS: Final = ("Job", "PersistentVolumeClaim", "VolumeSnapshot")
LOG_ROOM: Final = 16384
"""Bytes of a log that are read besides those for the status, to find the last error in."""


async def _list(api: Api, kind: str, namespace: str, labels: str) -> list[Obj]:
    try:
        found, _ = await api.list(kind, namespace, labels=labels)
    except ApiError as error:
        if error.is_missing:
            return []
        raise
    return found


async def leftovers(api: Api, owner: Obj) -> tuple[Obj, ...]:
    """Return everything that carries the cleanup label of an object."""
    label = f"{CLEANUP}={uid_of(owner)}"
    found = await asyncio.gather(*(_list(api, kind, namespace_of(owner), label) for kind in LEFTOVER_KINDS))
    return tuple(each for part in found for each in part)


async def observe(
    api: Api,
    owner: Obj,
    settings: Settings,
    *,
    sources: Sequence[Obj],
    destinations: Sequence[Obj],
    active: frozenset[str],
    maintenances: Sequence[Obj],
    running: int,
    openshift: bool,
    has_status: bool,
    clean: bool = False,
) -> World:
    """Return the objects around an object, as far as its state needs them."""
    fixed = {
        "owner": owner,
        "sources": tuple(sources),
        "destinations": tuple(destinations),
        "active": active,
        "maintenances": tuple(maintenances),
        "running": running,
        "openshift": openshift,
        "has_status": has_status,
        "pull_secrets": {copied_name(each): True for each in settings.pull_secrets},
    }
    is_source = owner["kind"] == "ReplicationSource"
    try:
        thing: Source | Destination = (
            read_source(owner) if is_source else effective(owner, read_destination(owner), tuple(sources))
        )
    except InvalidObjectError:
        return World(**fixed, namespace={})  # type: ignore[arg-type]
    namespace = namespace_of(owner)
    if state_of(owner) is not State.SYNCHRONIZING:
        labelled, volume, cache, images = await asyncio.gather(
            _none() if clean else leftovers(api, owner),
            _nothing() if is_source else _destination_volume(api, owner, thing),
            _nothing() if is_source else api.get("PersistentVolumeClaim", namespace, cache_name(owner)),
            _images(api, owner) if not is_source else _none(),
        )
        return World(**fixed, namespace={}, leftovers=labelled, volume=volume, cache=cache, images=images)  # type: ignore[arg-type]
    return await _observe_run(api, owner, thing, settings, fixed)


async def _nothing() -> Obj | None:
    return None


async def _none() -> tuple[Obj, ...]:
    return ()


async def _images(api: Api, owner: Obj) -> tuple[Obj, ...]:
    found = await _list(api, "VolumeSnapshot", namespace_of(owner), f"{CREATED_BY}=volsync")
    return tuple(each for each in found if is_owned_by(each, uid_of(owner)))


async def _destination_volume(api: Api, owner: Obj, thing: Source | Destination) -> Obj | None:
    name = getattr(thing.kopia, "destination_pvc", None) or copy_name(owner)
    return await api.get("PersistentVolumeClaim", namespace_of(owner), name)


async def _observe_run(
    api: Api, owner: Obj, thing: Source | Destination, settings: Settings, fixed: dict[str, object]
) -> World:
    namespace, kopia = namespace_of(owner), thing.kopia
    is_source = isinstance(thing, Source)
    account = kopia.mover_service_account or job_name(owner)
    source_volume = thing.spec.source_pvc if isinstance(thing, Source) else None
    (secret, ca, policy), (space, volume, cache, job, service_account, role, binding, copy) = await asyncio.gather(
        _keys(api, namespace, kopia),
        _objects(
            api.get("Namespace", "", namespace),
            api.get("PersistentVolumeClaim", namespace, source_volume)
            if source_volume
            else _destination_volume(api, owner, thing),
            api.get("PersistentVolumeClaim", namespace, cache_name(owner)),
            api.get("Job", namespace, job_name(owner)),
            api.get("ServiceAccount", namespace, account),
            api.get("Role", namespace, job_name(owner)),
            api.get("RoleBinding", namespace, job_name(owner)),
            api.get("PersistentVolumeClaim", namespace, copy_name(owner)) if is_source else _nothing(),
        ),
    )
    names = {each for each in map(storage_class, (volume, cache, copy)) if each}
    names |= {each for each in (kopia.storage_class_name, kopia.cache_storage_class_name) if each}
    snapshot_name = copy_name(owner) if is_source else annotations_of(volume or {}).get(SNAPSHOT_NAME, "")
    wants_snapshot = kopia.copy_method not in {*DIRECT, "Clone"} and snapshot_name
    ended = job is not None and has_ended(job)
    lease = lease_name(repository_key(owner, secret)) if is_source else ""
    found_classes, snapshot, pods, users, more, held = await asyncio.gather(
        asyncio.gather(*(api.get("StorageClass", "", each) for each in sorted(names))),
        api.get("VolumeSnapshot", namespace, snapshot_name) if wants_snapshot else _nothing(),
        _list(api, "Pod", namespace, f"job-name={job_name(owner)}") if job is not None else _none(),
        _users(api, namespace, volume) if job is None and volume is not None else _none(),
        _more_volumes(api, namespace, kopia),
        api.get("Lease", settings.namespace, lease) if lease else _nothing(),
    )
    pods = tuple(each for each in pods if is_owned_by(each, uid_of(job or {})))
    log = await _log(api, namespace, job, pods, settings) if job is not None and ended else ""
    return World(
        **fixed,  # type: ignore[arg-type]
        namespace=space or {},
        volume=volume,
        snapshot=snapshot,
        copy=copy,
        cache=cache,
        job=job,
        pods=pods,
        log=log,
        secret=secret,
        ca=ca,
        policy=policy,
        secret_volumes=more,
        service_account=service_account,
        role=role,
        role_binding=binding,
        users=tuple(users),
        lease=held,
        classes={each["metadata"]["name"]: each for each in found_classes if each is not None},
    )


async def _objects(*reads: Coroutine[Any, Any, Obj | None]) -> list[Obj | None]:
    return await asyncio.gather(*reads)


async def _keys(api: Api, namespace: str, kopia: MoverOptions) -> tuple[Keys | None, Keys | None, Keys | None]:
    return await asyncio.gather(
        api.keys("Secret", namespace, kopia.repository) if kopia.repository else _no_keys(),
        _referenced(api, namespace, kopia.custom_ca),
        _referenced(api, namespace, kopia.policy_config),
    )


async def _no_keys() -> Keys | None:
    return None


async def _referenced(api: Api, namespace: str, reference: CustomCA | PolicyConfig | None) -> Keys | None:
    """Return the keys of the Secret that a field names, or of its ConfigMap."""
    if reference is None:
        return None
    if reference.secret_name:
        return await api.keys("Secret", namespace, reference.secret_name)
    return await api.keys("ConfigMap", namespace, reference.config_map_name) if reference.config_map_name else None


async def _more_volumes(api: Api, namespace: str, kopia: MoverOptions) -> dict[str, bool]:
    found = {}
    for each in kopia.mover_volumes or []:
        claim = (each.volume_source.get("persistentVolumeClaim") or {}).get("claimName")
        secret = (each.volume_source.get("secret") or {}).get("secretName")
        if claim:
            found[f"PersistentVolumeClaim/{claim}"] = (
                await api.get("PersistentVolumeClaim", namespace, claim) is not None
            )
        if secret:
            found[f"Secret/{secret}"] = await api.keys("Secret", namespace, secret) is not None
    return found


async def _users(api: Api, namespace: str, volume: Obj) -> tuple[Obj, ...]:
    """Return the running Pods that use a volume."""
    found, _ = await api.list("Pod", namespace, fields="status.phase=Running")
    name = volume["metadata"]["name"]
    return tuple(
        pod
        for pod in found
        if any(
            (each.get("persistentVolumeClaim") or {}).get("claimName") == name
            for each in spec_of(pod).get("volumes") or []
        )
    )


async def _log(api: Api, namespace: str, job: Obj, pods: tuple[Obj, ...], settings: Settings) -> str:
    pod = deciding_pod(job, pods)
    if pod is None:
        return ""
    container = next(
        (each["name"] for each in spec_of(pod).get("containers") or [] if each.get("name") in CONTAINERS), CONTAINERS[0]
    )
    try:
        return await api.log(
            namespace,
            pod["metadata"]["name"],
            container,
            tail_lines=settings.mover_log_tail_lines,
            most=settings.mover_log_max_bytes + LOG_ROOM,
        )
    except ApiError as error:
        if error.status in {400, 404}:  # the Pod, or its container's log, is gone
            return ""
        raise


def movers_running(jobs: Sequence[Obj], besides: str) -> int:
    """Return how many mover Jobs run, the one of an object not counted."""
    return sum(1 for each in jobs if not has_ended(each) and not is_owned_by(each, besides))
