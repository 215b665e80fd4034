"""From the arguments of a filesystem to an open repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pykopia.access.named_secrets import PASSWORD, check_secrets, default_config, read_password, read_secret
from pykopia.api.opening import connect, open_connected
from pykopia.api.repository import Connection, Repository
from pykopia.arguments import StrPath, absolute
from pykopia.errors import InvalidPasswordError, UsageError
from pykopia.repository.connection_file import default_config_path, read_config
from pykopia.repository.options import ClientOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.storage_options import secret_options
from pykopia.storage.url import storage_from_url

Place: TypeAlias = StrPath | Connection | Repository | None
"""Where the repository is: a URL or folder, a connection file, a ``Connection``, an open repository; None: the default
connection file."""


def check_arguments(repo: Place, options: Mapping[str, object], secrets: Mapping[str, str]) -> None:
    """Refuse arguments that can't open a repository, or that hold a secret; nothing is opened.

    Raises:
        UsageError: the message says how to give them, and repeats no secret.
    """
    check_secrets(secrets)
    if not isinstance(repo, str | Path | Connection | Repository | None):
        raise UsageError(f"repo must be a URL, a path, a Connection or a Repository, not a {type(repo).__name__}")
    if isinstance(repo, Connection | Repository) and (options or secrets):
        raise UsageError("options and secrets are for a repository that is still to be opened; this one is open")
    if options and not _is_file(repo):
        _check_options(storage_from_url(str(repo)), options)


def _check_options(info: ConnectionInfo, options: Mapping[str, object]) -> None:
    hidden = sorted(secret_options(info) & options.keys())
    if hidden:
        raise UsageError(
            f'options can\'t hold {", ".join(hidden)}: give the place in secrets, such as {{"{hidden[0]}": "env:NAME"}}'
        )


def open_repository(repo: Place, options: Mapping[str, object], secrets: Mapping[str, str]) -> Repository:
    """Return a repository open for reading.

    Args:
        repo: where it is.
        options: of the storage, see ``pykopia.connect``; without secrets.
        secrets: where the password and secret options of the storage are, by name.

    Raises:
        InvalidPasswordError: no password is found, or a wrong one.
        NotConnectedError: there is no connection file.
        RepositoryNotFoundError: there is no repository.
        StorageError: the storage can't be used.
    """
    if isinstance(repo, Repository):
        return repo
    if isinstance(repo, Connection):
        return repo.open()
    password = read_password(secrets)
    everything = {**options, **{name: read_secret(name, place) for name, place in secrets.items() if name != PASSWORD}}
    if _is_file(repo):
        config = absolute("repo", repo or default_config()) or default_config_path()
        _check_options(ConnectionInfo.from_json(read_config(config).storage), options)
        return open_connected(config, password, storage_options=everything or None)
    if password is None:
        raise InvalidPasswordError(
            'no password for the repository: set KOPIA_PASSWORD, or say where it is, as secrets={"password": "file:PATH"}'
        )
    assert repo is not None
    return connect(repo, password, storage_options=everything or None, client=ClientOptions(read_only=True))


def _is_file(repo: Place) -> bool:
    """Return whether a repository is named by its connection file."""
    return repo is None or (isinstance(repo, str | Path) and Path(repo).is_file())


__all__ = ["Place", "check_arguments", "open_repository"]
