"""Profiles: named sets of flags and variables, in ``profiles.toml`` beside the connection files.

    [offsite]
    config-file = "/root/.config/kopia/offsite.config"
    log-level = "warning"

    [offsite.environment]
    AWS_PROFILE = "backup"

    [offsite.flags."snapshot create"]
    parallel = 4
    tags = ["where:offsite"]

``pykopia -P offsite snapshot create`` takes what its section says where the command line does not say it.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from pykopia.cli.parsing import CommandLineError

FILE_NAME = "profiles.toml"


class Profile(NamedTuple):
    """What a profile says."""

    name: str
    environment: Mapping[str, str]
    flags: Mapping[str, object]
    """Of all commands, by their names."""
    by_command: Mapping[str, Mapping[str, object]]
    """Flags by the full name of their command."""

    def flags_of(self, command: str) -> dict[str, object]:
        """Return the flags that hold for a command."""
        return {**self.flags, **self.by_command.get(command, {})}


def profiles_file(environment: Mapping[str, str]) -> str:
    """Return the path of the file: that of ``PYKOPIA_PROFILES``, or the one in the user's configuration folder."""
    named = environment.get("PYKOPIA_PROFILES", "")
    base = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME') or '/'}/.config"
    return named or os.path.join(base, "kopia", FILE_NAME)


def load(name: str, environment: Mapping[str, str]) -> Profile:
    """Return a profile.

    Raises:
        CommandLineError: there is no file or no such profile, or the file can't be understood.
    """
    import tomllib  # noqa: PLC0415 -- only those who use profiles pay for it

    path = profiles_file(environment)
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        message = f"profile {name!r} can't be used: there is no {path}, which would hold a section [{name}]"
        raise CommandLineError(message) from None
    except OSError as error:
        message = f"profile {name!r} can't be used: {path} can't be read: {error.strerror}"
        raise CommandLineError(message) from None
    except ValueError as error:
        message = f"profile {name!r} can't be used: {path} is not TOML: {error}"
        raise CommandLineError(message) from None
    section = document.get(name)
    if not isinstance(section, dict):
        known = ", ".join(sorted(key for key, value in document.items() if isinstance(value, dict))) or "none"
        message = f"there is no profile {name!r} in {path}; its profiles: {known}"
        raise CommandLineError(message)
    return _profile(name, section, path)


def _profile(name: str, section: Mapping[str, Any], path: str) -> Profile:
    environment, by_command = section.get("environment", {}), section.get("flags", {})
    tables = isinstance(environment, dict) and isinstance(by_command, dict)
    if not tables or not all(isinstance(flags, dict) for flags in by_command.values()):
        message = f'in {path}, "environment" and "flags" of the profile {name!r} must be tables'
        raise CommandLineError(message)
    flags = {key: value for key, value in section.items() if key not in {"environment", "flags"}}
    return Profile(name, {key: _text(value) for key, value in environment.items()}, flags, by_command)


def texts(value: object) -> list[str]:
    """Return a value of the file as the texts that a command line would have: several for a list."""
    return [_text(each) for each in value] if isinstance(value, list) else [_text(value)]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


__all__ = ["FILE_NAME", "Profile", "load", "profiles_file", "texts"]
