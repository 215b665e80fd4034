"""Flags by which a command line names a storage: declared beside the fields of its options, without any command line."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pykopia.dataclass import dataclass
from pykopia.errors import UsageError


@dataclass(frozen=True, slots=True)
class Flag:
    """How a person gives the value of a field."""

    help: str
    """What the value is, for a help text."""
    name: str = ""
    """Name without hyphens before it; empty: that of the field with hyphens."""
    default: object = None
    """Value where the flag is not given, whose type says how texts are read; None: the default of the field."""
    env: str = ""
    """Variable of the environment that serves where the flag is not given."""
    placeholder: str = ""
    """Word that stands for the value in help texts."""
    required: bool = False
    hidden: bool = False
    """Whether only a complete help text shows it."""
    is_file: bool = False
    """Whether the value is the path of a file that must exist."""


def _no_terminal(prompt: str) -> str:
    raise UsageError(f"there is nobody to ask: {prompt}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FlagContext:
    """What else decides which options the flags mean."""

    creating: bool = False
    """Whether a repository is to be created in the storage."""
    format_version: int = 0
    """Of the repository to be created."""
    home: str = ""
    """Home folder of the user, for a leading ``~``."""
    ask: Callable[[str], str] = _no_terminal
    """Asks a person for a secret."""

    def expanded(self, path: str) -> str:
        """Return a path with a leading ``~`` replaced by the home folder."""
        return self.home + path[1:] if self.home and path.startswith("~") else path


def read_flag_file(flag: str, path: str) -> bytes:
    """Return the content of the file that a flag names.

    Raises:
        UsageError: It can't be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{flag}: {path} can't be read: {error.strerror}") from None


def file_or_text(flag: str, path: str, text: str, *, embed: bool) -> tuple[str, str]:
    """Return path and content of what may be given as either, of which one is empty."""
    if path and not text and embed:
        return "", read_flag_file(flag, path).decode()
    return (os.path.abspath(path) if path and not text else ""), text


def embedded_credentials(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the flag ``embed-credentials`` changes: the JSON of the file that ``credentials-file`` names.

    Raises:
        UsageError: The file can't be read, or is not JSON.
    """
    if not given["embed-credentials"]:
        return {}
    import json  # noqa: PLC0415 -- few storages need it

    path = given["credentials-file"]
    try:
        return {"credentials_file": "", "credentials": json.loads(read_flag_file("--credentials-file", path))}
    except ValueError:
        raise UsageError(f"--credentials-file: {path} is not JSON") from None


EMBED_CREDENTIALS = Flag("Copy the credentials into the connection file.", default=False)
PARALLELISM = Flag("Folders listed at one time.", hidden=True)

__all__ = [
    "EMBED_CREDENTIALS",
    "PARALLELISM",
    "Flag",
    "FlagContext",
    "embedded_credentials",
    "file_or_text",
    "read_flag_file",
]
