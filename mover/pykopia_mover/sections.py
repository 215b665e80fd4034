"""Sections of the log that people search for: variables that are set, working folders, S3."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pykopia_mover.settings import GROUPS, Environment, Settings, all_variables

FIRST: Final = (
    "KOPIA_REPOSITORY",
    "KOPIA_PASSWORD",
    "KOPIA_S3_BUCKET",
    "KOPIA_S3_ENDPOINT",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "KOPIA_S3_DISABLE_TLS",
    "AWS_S3_ENDPOINT",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
"""What a look at the first lines of the status must show."""

S3: Final = (
    "KOPIA_S3_BUCKET",
    "KOPIA_S3_ENDPOINT",
    "KOPIA_S3_DISABLE_TLS",
    "AWS_S3_ENDPOINT",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "KOPIA_REPOSITORY",
    "KOPIA_PASSWORD",
)


def status_of(name: str, environment: Environment) -> str:
    """Return the line that says whether a variable is set, without its value."""
    return f"{name}: {'[SET]' if environment.is_set(name) else '[NOT SET]'}"


def environment_setup(
    environment: Environment, cache_dir: str, *, writable: bool, log_dir_exists: bool
) -> Iterator[str]:
    """Yield the section on the working folders."""
    yield "=== DEBUG: Environment Setup ==="
    yield f"KOPIA_CACHE_DIR: {cache_dir}"
    yield f"KOPIA_CACHE_DIRECTORY: {cache_dir}"
    yield f"KOPIA_LOG_DIR: {Path(cache_dir) / 'logs'}"
    yield f"Cache directory writable: {_yes(writable)}"
    yield f"Log directory exists: {_yes(log_dir_exists)}"
    yield f"User: {os.getuid()}, group: {os.getgid()}, home: {environment.home or '(none)'}"


def environment_status(environment: Environment, *, log_settings: Sequence[str]) -> Iterator[str]:
    """Yield the section that says which variables are set, with those of the log and of other backends behind it."""
    known = [each.name for each in all_variables()]
    core = {each.name for each in all_variables() if each.group in GROUPS}
    yield "=== ENVIRONMENT VARIABLES STATUS ==="
    yield from (status_of(name, environment) for name in FIRST)
    yield from (status_of(name, environment) for name in known if name in core and name not in FIRST)
    yield "=== Log Configuration ==="
    yield from log_settings
    yield "=== Additional Backend Environment Variables ==="
    yield from (status_of(name, environment) for name in known if name not in core and name not in FIRST)
    yield "=== END DEBUG ==="


def log_configuration(settings: Settings) -> list[str]:
    """Return the lines on the log itself: these settings hold no secrets."""
    return [
        f"KOPIA_LOG_LEVEL: {settings.log_level}",
        f"KOPIA_FILE_LOG_LEVEL: {settings.file_log_level}",
        f"KOPIA_LOG_DIR_MAX_FILES: {settings.log_dir_max_files}",
        f"KOPIA_LOG_DIR_MAX_AGE: {settings.log_dir_max_age}",
        f"KOPIA_LOG_FORMAT: {settings.log_format}",
    ]


def s3_connection(environment: Environment, prefix: str) -> Iterator[str]:
    """Yield the section on the connection to S3."""
    yield "=== S3 Connection Debug ==="
    yield from (status_of(name, environment) for name in S3)
    yield f"Using S3 prefix: {prefix}" if prefix else "No S3 prefix detected in KOPIA_REPOSITORY"
    yield "=== End S3 Connection Debug ==="


def s3_creation(environment: Environment, prefix: str) -> Iterator[str]:
    """Yield the section on a new repository in S3."""
    yield "=== S3 Creation Debug ==="
    yield from (status_of(name, environment) for name in S3)
    yield f"Using S3 prefix: {prefix}" if prefix else "No S3 prefix detected in KOPIA_REPOSITORY"
    yield "=== End S3 Creation Debug ==="


def _yes(answer: object) -> str:
    return "Yes" if answer else "No"


__all__ = [
    "FIRST",
    "S3",
    "environment_setup",
    "environment_status",
    "log_configuration",
    "s3_connection",
    "s3_creation",
    "status_of",
]
