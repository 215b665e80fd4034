"""The connection file of a client, with the password and the maintenance lock beside it (format 01 §7)."""

import contextlib
from pathlib import Path

from pykopia.arguments import StrPath, absolute
from pykopia.errors import ConnectionFileError, NotConnectedError, UsageError
from pykopia.format.local_config import LocalConfig, decode_password_file, encode_password_file
from pykopia.private_file import write_private
from pykopia.repository.cache import TAG_NAME

PASSWORD_SUFFIX = ".kopia-password"  # noqa: S105 -- the name of a file
LOCK_SUFFIX = ".mlock"


def default_config_path() -> Path:
    """Return the connection file that Kopia uses when none is named (Linux; format 01 §7.1)."""
    return _home() / ".config" / "kopia" / "repository.config"


def default_cache_root() -> Path:
    """Return the folder that holds the cache folders of all connections."""
    return _home() / ".cache" / "kopia"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        raise UsageError(
            "can't find the folder of the connection file: this user has no home folder; set HOME, or name the file"
        ) from None


def read_config(config: Path) -> LocalConfig:
    """Return the connection file.

    Raises:
        NotConnectedError: there is none.
        ConnectionFileError: it can't be read.
    """
    try:
        data = config.read_bytes()
    except FileNotFoundError:
        raise NotConnectedError(
            f"not connected to a repository: {config} does not exist; run `repository connect` or `repository create`"
        ) from None
    except OSError as error:
        raise ConnectionFileError(f"connection file {config} can't be read: {error.strerror}") from error
    try:
        return LocalConfig.from_bytes(data)
    except ConnectionFileError as error:
        raise ConnectionFileError(f"{config}: {error}") from error


def password_file(config: Path) -> Path:
    """Return the file that may keep the password beside a connection file."""
    return _beside(config, PASSWORD_SUFFIX)


def read_password(config: Path) -> str:
    """Return the password kept beside a connection file.

    Raises:
        NotConnectedError: none is kept.
    """
    try:
        return decode_password_file(password_file(config).read_bytes())
    except FileNotFoundError:
        raise NotConnectedError(
            f"no password for the repository: none was given and none is kept beside {config}"
        ) from None


def keep_password(config: Path, password: str) -> None:
    """Keep a password beside a connection file, readable by its owner alone."""
    write_private(password_file(config.absolute()), encode_password_file(password))


def forget_password(config: Path) -> None:
    """Remove a kept password."""
    password_file(config).unlink(missing_ok=True)


def disconnect(config: StrPath | None = None) -> None:
    """Forget a connection: cache, password, maintenance lock and connection file; the repository is not touched."""
    config = absolute("config", config) or default_config_path().absolute()
    with contextlib.suppress(NotConnectedError):
        folder = read_config(config).caching.folder(config)
        if folder is not None and (folder / TAG_NAME).exists():
            from shutil import rmtree  # noqa: PLC0415 -- seldom needed, and it imports compressors

            rmtree(folder, ignore_errors=True)
    forget_password(config)
    _beside(config, LOCK_SUFFIX).unlink(missing_ok=True)
    config.unlink(missing_ok=True)


def _beside(config: Path, suffix: str) -> Path:
    return config.with_name(config.name + suffix)


__all__ = [
    "default_cache_root",
    "default_config_path",
    "disconnect",
    "forget_password",
    "keep_password",
    "password_file",
    "read_config",
    "read_password",
]
