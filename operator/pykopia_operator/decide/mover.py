"""The mover Job of an object, from its specification and the objects around it."""

import hashlib
import json
from collections.abc import Mapping

from pykopia_operator.decide.cache import Cache, cache_environment
from pykopia_operator.decide.environment import (
    backup_environment,
    common_environment,
    credential_files,
    identity_environment,
    restore_environment,
)
from pykopia_operator.decide.identity import Identity
from pykopia_operator.decide.job import (
    PodOptions,
    PodParts,
    Security,
    add_secret,
    mount_ca,
    mount_cache,
    mount_data,
    mount_more,
    mount_policy,
    mount_tmp,
    mover_job,
    placement,
    pod_template,
    repository_in_volume,
    security_of,
)
from pykopia_operator.decide.names import (
    DEBUG_MOVER,
    IDENTITY,
    MAINTENANCE_LEASE,
    PRIVILEGED_MOVERS,
    job_name,
    metadata_for,
)
from pykopia_operator.decide.objects import Obj, annotations_of, labels_of, name_of
from pykopia_operator.decide.ownership import Destination, Source
from pykopia_operator.decide.volumes import is_read_only
from pykopia_operator.decide.world import World
from pykopia_operator.model.common import MoverOptions
from pykopia_operator.settings import Settings

TEMPLATE: str = "pykopia.volsync.backube/template"
"""On a Job: digest of the Pod template that it was made with."""
ENFORCE: str = "pod-security.kubernetes.io/enforce"
BUSY: int = 21


def is_privileged(namespace: Obj) -> bool:
    """Return True if a namespace allows privileged movers."""
    return annotations_of(namespace).get(PRIVILEGED_MOVERS) == "true"


def mover_security(world: World, kopia: MoverOptions, settings: Settings) -> Security:
    """Return the security contexts of an object's mover."""
    return security_of(
        kopia.mover_security_context,
        privileged=is_privileged(world.namespace),
        default_user=settings.mover_user,
        restricted=labels_of(world.namespace).get(ENFORCE) == "restricted",
        openshift=world.openshift,
    )


def backup_job(
    world: World,
    source: Source,
    identity: Identity,
    cache: Cache,
    settings: Settings,
    *,
    volume: Obj,
    run: str,
    proxies: Mapping[str, str],
    lease: str = "",
) -> Obj:
    """Return the Job of a backup.

    Args:
        world: the objects around the ReplicationSource.
        source: its specification.
        identity: of the snapshots.
        cache: of the mover.
        settings: of the operator.
        volume: that is backed up: the source's, or its point-in-time copy.
        run: start time of the run.
        proxies: variables of proxies.
        lease: of the repository's maintenance, which the Job runs too; empty: it does not.
    """
    kopia = source.kopia
    security = mover_security(world, kopia, settings)
    parts = PodParts()
    parts.set(backup_environment(source))
    path = "/data"
    parts.set(_shared(world, kopia, identity, cache, path, security, proxies))
    mount_data(parts, name_of(volume), path=path, read_only=is_read_only(volume))
    _mount_rest(parts, world, kopia, cache, security)
    operations = ("backup", "maintenance") if lease else ("backup",)
    direct = volume is world.volume
    notes = {MAINTENANCE_LEASE: lease} if lease else {}
    job = _job(parts, world, kopia, settings, security, operations, run, notes, direct=volume if direct else None)
    if lease:
        codes = job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]
        codes["values"] = sorted({*codes["values"], BUSY})  # the API server refuses a list without order
    return job


def restore_job(
    world: World,
    destination: Destination,
    identity: Identity,
    cache: Cache,
    settings: Settings,
    *,
    volume: Obj,
    run: str,
    on_missing: str,
    proxies: Mapping[str, str],
) -> Obj:
    """Return the Job of a restore.

    Args:
        world: the objects around the ReplicationDestination.
        destination: its specification.
        identity: whose snapshot is restored.
        cache: of the mover.
        settings: of the operator.
        volume: that is restored into.
        run: start time of the run.
        on_missing: ``auto``, ``continue`` or ``fail``.
        proxies: variables of proxies.
    """
    kopia = destination.kopia
    security = mover_security(world, kopia, settings)
    parts = PodParts()
    parts.set(restore_environment(destination, on_missing=on_missing))
    path = "/restore/data" if settings.mover_layout == "restore-data" else "/data"
    parts.set(_shared(world, kopia, identity, cache, path, security, proxies))
    mount_data(parts, name_of(volume), path=path)
    _mount_rest(parts, world, kopia, cache, security)
    notes = {IDENTITY: str(identity)}
    return _job(parts, world, kopia, settings, security, ("restore",), run, notes, direct=volume)


def _shared(
    world: World,
    kopia: MoverOptions,
    identity: Identity,
    cache: Cache,
    path: str,
    security: Security,
    proxies: Mapping[str, str],
) -> dict[str, str]:
    debug = DEBUG_MOVER in annotations_of(world.owner)
    return (
        common_environment(kopia, data_dir=path, privileged=security.privileged, debug=debug)
        | identity_environment(identity)
        | cache_environment(cache, world.cache, kopia)
        | dict(proxies)
    )


def _mount_rest(parts: PodParts, world: World, kopia: MoverOptions, cache: Cache, security: Security) -> None:
    mount_cache(parts, name_of(cache.claim) if cache.claim is not None else "", cache.size)
    mount_tmp(parts)
    mount_ca(parts, kopia.custom_ca)
    mount_policy(parts, kopia.policy_config)
    mount_more(parts, kopia.mover_volumes)
    files = credential_files(world.secret, readable=security.reads_secret_files)
    repository = repository_in_volume(kopia.mover_volumes, world.secret)
    add_secret(parts, kopia.repository or "", world.secret, files=files, security=security, repository=repository)


def _job(
    parts: PodParts,
    world: World,
    kopia: MoverOptions,
    settings: Settings,
    security: Security,
    operations: tuple[str, ...],
    run: str,
    notes: dict[str, str],
    *,
    direct: Obj | None,
) -> Obj:
    selector, tolerations = placement(direct, world.users)
    name = job_name(world.owner)
    options = PodOptions(
        image=settings.kopia_container_image,
        pull_policy=settings.mover_image_pull_policy,
        operations=operations,
        security=security,
        service_account=kopia.mover_service_account or name,
        own_account=bool(kopia.mover_service_account),
        labels=kopia.mover_pod_labels or {},
        resources=kopia.mover_resources,
        affinity=kopia.mover_affinity,
        node_selector=selector,
        tolerations=tolerations,
        pull_secrets=tuple(world.pull_secrets),
    )
    template = pod_template(parts, options)
    notes = notes | {TEMPLATE: template_digest(template)}
    return mover_job(
        metadata_for(world.owner, name, run=run, annotations=notes),
        template,
        backoff_limit=settings.mover_backoff_limit,
        deadline=settings.mover_active_deadline,
        paused=False,
    )


def template_digest(template: Obj) -> str:
    """Return a digest of a Pod template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]
