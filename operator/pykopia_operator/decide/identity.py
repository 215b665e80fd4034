"""Under which identity snapshots are taken and looked for (rules O-040 to O-045)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pykopia_operator.decide.objects import Obj, name_of, namespace_of, spec_of, status_of
from pykopia_operator.decide.ownership import Destination, Source
from pykopia_operator.errors import InvalidObjectError

LONGEST_PART: Final = 253
_ALLOWED: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What a mover gets: user and host, older identities to look for, and whose snapshots it may adopt."""

    user: str
    host: str
    """Empty: any, for a restore."""
    path: str = ""
    """Recorded path; empty: the default of the mover."""
    legacy: tuple[str, ...] = ()
    """``user@host``, in the order in which to look."""
    owner: tuple[str, str] | None = None
    """Namespace and name of the ReplicationSource whose snapshots these are."""
    warnings: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.user}@{self.host or '*'}"


def older_identities(namespace: str, name: str, volume: str = "") -> tuple[str, ...]:
    """Return the identities that earlier operators gave to a ReplicationSource, newest convention first (O-041).

    >>> older_identities("prod", "app", "data")
    ('app@prod', 'app-prod@prod', 'app-prod@prod-data', 'source@prod-app', 'volsync@prod-app')
    """
    short = re.sub(r"[^A-Za-z0-9_-]", "", name)[:50]
    space = re.sub(r"[^A-Za-z0-9.-]", "", namespace)
    found = [f"{short}@{space}", f"{short}-{space}@{space}"]
    if volume:
        found.append(f"{f'{short}-{space}'[:50]}@{f'{space}-{volume}'[:50]}")
    found += [f"source@{namespace}-{name}", f"volsync@{namespace}-{name}"]
    return tuple(dict.fromkeys(found))


def split_identity(text: str) -> tuple[str, str, str]:
    """Return user, host and path of ``user@host:path``.

    >>> split_identity("prod@app:/data")
    ('prod', 'app', '/data')
    """
    user, _, rest = text.partition("@")
    host, _, path = rest.partition(":")
    return user, host, path


def check_part(value: str, field_name: str) -> str:
    """Return a user or host name, which must be usable as a part of an identity (O-043: nothing is truncated).

    Raises:
        InvalidObjectError: it is not.
    """
    if not _ALLOWED.fullmatch(value) or len(value.encode()) > LONGEST_PART:
        raise InvalidObjectError(
            f'{field_name} "{value}" must be letters, digits, ".", "_" and "-", begin and end with a letter or digit, '
            f"and have at most {LONGEST_PART} characters"
        )
    return value


def pinned_identity(obj: Obj) -> str:
    """Return ``user@host:path`` of a ReplicationSource's snapshots, empty before its first backup."""
    status = status_of(obj)
    kopia = status.get("kopia") or {}
    return str(kopia.get("identity") or (status.get("external") or {}).get("pykopia.identity") or "")


def source_identity(obj: Obj, source: Source) -> Identity:
    """Return the identity of a backup: given, pinned, or namespace and name (O-040).

    Raises:
        InvalidObjectError: a given name is not usable.
    """
    namespace, name = namespace_of(obj), name_of(obj)
    path = source.kopia.source_path_override or ""
    owner = (namespace, name)
    given = source.kopia.username, source.kopia.hostname
    if given[0] or given[1]:
        user = check_part(given[0], "username") if given[0] else namespace
        host = check_part(given[1], "hostname") if given[1] else name
        return Identity(user=user, host=host, path=path, owner=owner)
    if pinned := pinned_identity(obj):
        user, host, _ = split_identity(pinned)
        return Identity(user=user, host=host, path=path, owner=owner)
    older = older_identities(namespace, name, source.spec.source_pvc or "")
    return Identity(user=namespace, host=name, path=path, legacy=older, owner=owner)


def destination_identity(
    obj: Obj,
    destination: Destination,
    *,
    sources: Sequence[Obj],
    strict: bool,
    any_of_namespace: bool = False,
) -> Identity:
    """Return the identity of a restore (O-044).

    Args:
        obj: ReplicationDestination.
        destination: its specification.
        sources: the ReplicationSources that are ours, of all namespaces that matter.
        strict: never look under another name than the destination's own.
        any_of_namespace: an earlier attempt found nothing under the destination's own name; look for all identities
            whose user is the namespace.

    Raises:
        InvalidObjectError: names contradict each other or are not usable.
    """
    kopia, namespace, name = destination.kopia, namespace_of(obj), name_of(obj)
    if kopia.username or kopia.hostname:
        if not (kopia.username and kopia.hostname):
            raise InvalidObjectError("username and hostname must be given together")
        return Identity(user=check_part(kopia.username, "username"), host=check_part(kopia.hostname, "hostname"))
    if kopia.source_identity is not None:
        return _identity_of_named(obj, destination, sources)
    if any_of_namespace:
        return Identity(user=namespace, host="")
    older = older_identities(namespace, name)
    same = [
        each
        for each in sources
        if namespace_of(each) == namespace and repository_name(each) == kopia.repository and kopia.repository
    ]
    if may_look_further(destination, strict=strict) and len(same) == 1 and name_of(same[0]) != name:
        found = _computed(same[0])
        legacy = (*older, f"{found.user}@{found.host}", *found.legacy)
        return Identity(
            user=namespace, host=name, path=found.path, legacy=tuple(dict.fromkeys(legacy)), owner=found.owner
        )
    own = next((each for each in same if name_of(each) == name), None)
    if own is not None:
        return _computed(own)
    return Identity(user=namespace, host=name, legacy=older, owner=(namespace, name))


def may_look_further(destination: Destination, *, strict: bool) -> bool:
    """Return True for an explicit restore into an existing volume, which may take another object's snapshots."""
    kopia = destination.kopia
    explicit = kopia.destination_pvc and kopia.copy_method in {"Direct", "None"}
    named = kopia.username or kopia.hostname or kopia.source_identity is not None
    return bool(explicit and not named and not strict)


def looks_in_two_steps(destination: Destination, sources: Sequence[Obj], namespace: str, *, strict: bool) -> bool:
    """Return True if a restore that finds nothing under its own name looks for any identity of the namespace (O-044 3c)."""
    same = [
        each
        for each in sources
        if namespace_of(each) == namespace and repository_name(each) == destination.kopia.repository
    ]
    return may_look_further(destination, strict=strict) and len(same) != 1


def repository_name(obj: Obj) -> str:
    """Return the name of the Secret that an object of ours uses, empty if it has none."""
    spec = spec_of(obj)
    kopia = spec.get("kopia")
    if kopia is None:
        return str(((spec.get("external") or {}).get("parameters") or {}).get("repository") or "")
    return str(kopia.get("repository") or "")


def _computed(source: Obj) -> Identity:
    """Return the identity of a ReplicationSource whose specification may be unreadable."""
    spec = spec_of(source)
    parameters = (spec.get("external") or {}).get("parameters") or {}
    kopia = spec.get("kopia") or {
        "username": parameters.get("username"),
        "hostname": parameters.get("hostname"),
        "sourcePathOverride": parameters.get("sourcePathOverride"),
    }
    namespace, name = namespace_of(source), name_of(source)
    path = str(kopia.get("sourcePathOverride") or "")
    if kopia.get("username") or kopia.get("hostname"):
        user, host = str(kopia.get("username") or namespace), str(kopia.get("hostname") or name)
        return Identity(user=user, host=host, path=path, owner=(namespace, name))
    if pinned := pinned_identity(source):
        user, host, _ = split_identity(pinned)
        return Identity(user=user, host=host, path=path, owner=(namespace, name))
    legacy = older_identities(namespace, name, str(spec.get("sourcePVC") or ""))
    return Identity(user=namespace, host=name, path=path, legacy=legacy, owner=(namespace, name))


def _identity_of_named(obj: Obj, destination: Destination, sources: Sequence[Obj]) -> Identity:
    wanted = destination.kopia.source_identity
    if wanted is None or not wanted.source_name:
        raise InvalidObjectError("sourceIdentity.sourceName must name a ReplicationSource")
    namespace = wanted.source_namespace or namespace_of(obj)
    found = named_source(destination, namespace_of(obj), sources)
    if found is not None:
        identity = _computed(found)
    else:
        identity = Identity(
            user=namespace,
            host=wanted.source_name,
            legacy=older_identities(namespace, wanted.source_name, wanted.source_pvc_name or ""),
            owner=(namespace, wanted.source_name),
        )
    if wanted.source_path_override:
        identity = Identity(
            user=identity.user,
            host=identity.host,
            path=wanted.source_path_override,
            legacy=identity.legacy,
            owner=identity.owner,
        )
    return identity


def named_source(destination: Destination, namespace: str, sources: Sequence[Obj]) -> Obj | None:
    """Return the ReplicationSource that ``sourceIdentity`` names, None if it does not exist."""
    wanted = destination.kopia.source_identity
    if wanted is None:
        return None
    where = wanted.source_namespace or namespace
    return next((each for each in sources if namespace_of(each) == where and name_of(each) == wanted.source_name), None)
