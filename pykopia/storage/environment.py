"""Variables of the environment that name a repository's storage and its credentials.

``KOPIA_REPOSITORY`` says which backend; variables of that backend beat, field by field, what the URL says. Nothing here
reads the process's own environment: the mapping is an argument, and so is what reads files.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidEnvironmentError, InvalidURLError
from pykopia.storage import registry
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.environment_variables import EnvironmentBackend, Variables
from pykopia.storage.url import storage_from_url

REPOSITORY = "KOPIA_REPOSITORY"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://(.*))?", re.DOTALL)
_CUSTOM_CA = ("CUSTOM_CA", "KOPIA_CUSTOM_CA")
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def environment_backends() -> Mapping[str, EnvironmentBackend]:
    """Return how variables become options, by type of storage, in the order in which they are considered."""
    found = {
        kind: registry.load(backend.environment) for kind, backend in registry.known().items() if backend.environment
    }
    return dict(sorted(found.items(), key=lambda each: each[1].rank))


def variables_by_backend() -> Mapping[str, tuple[str, ...]]:
    """Return the variables of each type of storage, those of one meaning in order of precedence."""
    return {kind: backend.variables for kind, backend in environment_backends().items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentStorage:
    """Storage of a repository as variables of the environment describe it."""

    connection: ConnectionInfo
    """Opens the storage; holds the secrets."""
    warnings: tuple[str, ...] = ()
    """Variables that were ignored or overruled, one sentence each, without secrets."""
    root_ca: bytes = b""
    """PEM of authorities to trust besides those of the system; the connection has it where its type speaks TLS."""


def read_text_file(path: str) -> str | None:
    """Return the content of a file, or nothing if there is no such file.

    Raises:
        OSError: It is there and can't be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def storage_from_environment(
    environment: Mapping[str, str], *, read_file: Callable[[str], str | None] = read_text_file
) -> EnvironmentStorage:
    """Return the storage that variables of the environment name.

    An empty variable is one that is not set. Without ``KOPIA_REPOSITORY`` the first backend with enough variables is
    taken, in the order of ``environment_backends``.

    >>> found = storage_from_environment({"KOPIA_REPOSITORY": "filesystem:///mnt/backups"})
    >>> found.connection.config["path"]
    '/mnt/backups'

    Args:
        environment: Names and values.
        read_file: Returns the content of a file, or nothing if there is none: some variables may name one.

    Raises:
        InvalidEnvironmentError: A variable is missing or can't be used; its name stands in ``variable``.
        InvalidURLError: ``KOPIA_REPOSITORY`` is no repository URL.
    """
    variables = Variables(environment, read_file)
    url = variables.text(REPOSITORY).strip()
    kind, of_url = _parsed(url, variables) if url else (_derived(variables), None)
    backend = environment_backends().get(kind)
    if backend is None:  # it has its URL alone
        assert of_url is not None
        options = of_url.options()
    else:
        options = backend.options(variables, of_url)
    root_ca = _root_ca(variables)
    if root_ca and hasattr(options, "root_ca"):
        options = dataclasses.replace(cast("Any", options), root_ca=root_ca)
    _warn_of_other_backends(variables, kind)
    return EnvironmentStorage(
        connection=ConnectionInfo.from_options(options), warnings=tuple(variables.warnings), root_ca=root_ca
    )


def custom_authorities(
    environment: Mapping[str, str], *, read_file: Callable[[str], str | None] = read_text_file
) -> bytes:
    """Return the certificates that ``CUSTOM_CA`` or ``KOPIA_CUSTOM_CA`` give, as PEM; empty without any.

    Args:
        environment: Names and values.
        read_file: Returns the content of a file, or nothing if there is none.

    Raises:
        InvalidEnvironmentError: They are no certificates.
    """
    return _root_ca(Variables(environment, read_file))


def legacy_connections(connection: ConnectionInfo) -> tuple[ConnectionInfo, ...]:
    """Return where older movers put the repository that ``connection`` names, most likely place first."""
    prefix = connection.config.get("prefix") or ""
    if not prefix:
        return ()
    backend = environment_backends().get(connection.type)
    if backend is None or backend.legacy is None:
        return ()
    return (connection.with_fields({"prefix": backend.legacy(prefix)}),)


def _parsed(url: str, variables: Variables) -> tuple[str, ConnectionInfo | None]:
    """Return the backend of a URL, and what the URL says besides unless variables say all of it."""
    match = _SCHEME.fullmatch(url)
    if match is None:
        if not url.startswith("/"):
            raise InvalidEnvironmentError(
                REPOSITORY, "must be a repository URL such as s3://bucket/folder, or an absolute path"
            )
        return "filesystem", storage_from_url(url)
    scheme = match[1].lower()
    found = registry.find_scheme(scheme)
    if found is None or found[0] not in environment_backends():
        if found is not None and found[0] not in registry.own():
            return found[0], storage_from_url(url)
        known = ", ".join(sorted(each for kind in environment_backends() for each in registry.find(kind).schemes))
        raise InvalidURLError(f"unsupported repository URL scheme {scheme!r} in {REPOSITORY}; supported: {known}")
    kind, backend = found[0], environment_backends()[found[0]]
    if (match[2] or "").strip("/") == backend.placeholder:
        return kind, None
    complete = backend.completed(variables, f"{scheme}://{match[2]}")
    try:
        return kind, storage_from_url(complete)
    except InvalidURLError as error:
        if not backend.enough(variables):
            raise InvalidURLError(f"{REPOSITORY} can't be used: {error}") from None
        return kind, None


def _derived(variables: Variables) -> str:
    """Return the first backend whose variables say where the repository is."""
    found = [kind for kind, backend in environment_backends().items() if backend.enough(variables)]
    if not found:
        raise InvalidEnvironmentError(
            REPOSITORY,
            "must be defined: it is the URL of the repository, such as s3://bucket/folder, a key of the repository Secret",
        )
    if len(found) > 1:
        variables.warn(
            f"{REPOSITORY} is not set, and there are variables of {', '.join(found)}: {found[0]} is taken; set "
            f"{REPOSITORY} to say which is meant"
        )
    return found[0]


def _root_ca(variables: Variables) -> bytes:
    for name in _CUSTOM_CA:
        if variables.text(name):
            content = variables.content(name)
            if _CERTIFICATE not in content:
                raise InvalidEnvironmentError(
                    name, f"is no certificate authority: it must hold PEM text with a line {_CERTIFICATE}"
                )
            return content.encode()
    return b""


def _warn_of_other_backends(variables: Variables, kind: str) -> None:
    """Name the variables that can only be meant for another backend."""
    backends = environment_backends()
    mine = set(backends[kind].variables) if kind in backends else set()
    others = {
        name: other
        for other, backend in backends.items()
        if other != kind
        for name in backend.variables
        if name not in mine and name not in backend.ambient and variables.text(name)
    }
    for name, other in others.items():
        variables.warn(f"{name} is ignored: it is for storage of type {other}, and the repository is of type {kind}")


__all__ = [
    "REPOSITORY",
    "EnvironmentStorage",
    "custom_authorities",
    "environment_backends",
    "legacy_connections",
    "read_text_file",
    "storage_from_environment",
    "variables_by_backend",
]
