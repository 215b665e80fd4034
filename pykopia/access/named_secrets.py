"""Secrets by name: what a program is given is where a secret is, so that no argument, URL or log line ever holds it."""

import os
from collections.abc import Mapping
from pathlib import Path

from pykopia.errors import InvalidPasswordError, UsageError

PASSWORD = "password"  # noqa: S105 -- its name
PASSWORD_VARIABLE = "KOPIA_PASSWORD"  # noqa: S105
CONFIG_VARIABLE = "KOPIA_CONFIG_PATH"


def check_secrets(secrets: Mapping[str, str]) -> None:
    """Refuse a mapping that does not say where secrets are.

    Args:
        secrets: places by name.

    Raises:
        UsageError: a place is neither ``env:NAME`` nor ``file:PATH``; it is not repeated, for it may be the secret.
    """
    for name, place in secrets.items():
        kind, _, where = place.partition(":") if isinstance(place, str) else ("", "", "")
        if kind not in ("env", "file") or not where:
            raise UsageError(
                f"the place of the secret {name!r} must be env:NAME for a variable of the environment or file:PATH for a file; "
                "a secret itself can't be given, because arguments of filesystems are printed and logged"
            )


def read_secret(name: str, place: str) -> str:
    """Return a secret.

    Args:
        name: for messages.
        place: ``env:NAME`` or ``file:PATH``; a line end at the end of the file does not count.

    Raises:
        InvalidPasswordError: there is no such variable or file.
    """
    kind, _, where = place.partition(":")
    if kind == "env":
        found = os.environ.get(where)
        if not found:
            raise InvalidPasswordError(
                f"the secret {name!r} is missing: the variable {where} is not set in this process"
            )
        return found
    try:
        return Path(where).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidPasswordError(f"the secret {name!r} can't be read from {where}: {reason}") from error


def read_password(secrets: Mapping[str, str]) -> str | None:
    """Return the password of the repository: by its place, or else of ``KOPIA_PASSWORD``; None if it is in neither."""
    if PASSWORD in secrets:
        return read_secret(PASSWORD, secrets[PASSWORD])
    return os.environ.get(PASSWORD_VARIABLE, "").strip() or None


def default_config() -> str | None:
    """Return the connection file that the environment names."""
    return os.environ.get(CONFIG_VARIABLE) or None


__all__ = ["PASSWORD", "check_secrets", "default_config", "read_password", "read_secret"]
