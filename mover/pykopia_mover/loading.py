"""Finds and reads the documents that configure a run: the files of ``policyConfig``, and connection documents of Kopia.

What is done with each is logged (rules M-046, M-096, M-097, M-100).
"""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pykopia_mover.documents import DocumentError, parse_document, read_document
from pykopia_mover.failures import MoverError, config_error
from pykopia_mover.output import Output
from pykopia_mover.policy_files import PolicyFile, RepositoryConfig, bytes_per_second, policy_file, repository_config
from pykopia_mover.redaction import Redactor, read_if_path
from pykopia_mover.run import Places, PolicyFiles
from pykopia_mover.settings import Settings

POLICY_NAME: Final = "global-policy.json"
CONFIG_NAME: Final = "repository.config"
STRUCTURED: Final = "KOPIA_STRUCTURED_REPOSITORY_CONFIG"

Parsed = TypeVar("Parsed", PolicyFile, RepositoryConfig)


def load_policy_files(settings: Settings, places: Places, output: Output) -> PolicyFiles:
    """Return the contents of the policy files; log what is done with each.

    Raises:
        MoverError: a file can't be used, and the settings ask for strictness.
    """
    folder = Path(settings.config_path or places.config)
    configured = bool(settings.config_path or settings.global_policy_file or settings.repository_config_file)
    if not configured and not folder.is_dir():
        return PolicyFiles()
    output.line("=== Applying policy configuration ===")
    tally = _Tally(settings, output, folder)
    policy_path = Path(settings.global_policy_file or folder / POLICY_NAME)
    config_path = Path(settings.repository_config_file or folder / CONFIG_NAME)
    policy = tally.read(policy_path, policy_file)
    config = tally.read(config_path, repository_config)
    tally.tell_missing({policy_path.name, config_path.name})
    if tally.applied or tally.refused:
        told = f"Policy configuration summary: {tally.applied} applied"
        output.line(f"{told}, {tally.refused} errors" if tally.refused else told)
    elif configured:
        output.warning(f"policy configuration: none of the files is there; there are: {tally.present()}")
    return PolicyFiles(policy=policy, config=config)


class _Tally:
    def __init__(self, settings: Settings, output: Output, folder: Path) -> None:
        self._settings, self._output, self._folder = settings, output, folder
        self.applied = self.refused = 0
        self._missing: list[Path] = []

    def read(self, path: Path, parse: Callable[[dict[str, Any], str], Parsed]) -> Parsed | None:
        is_policy = parse is policy_file
        try:
            parsed = parse(read_document(path), path.name)
        except FileNotFoundError:
            if self._settings.global_policy_file if is_policy else self._settings.repository_config_file:
                self._missing.append(path)
            return None
        except DocumentError as error:
            if self._settings.strict_policy:
                raise config_error(f"policy file can't be used: {error}") from None
            self.refused += 1
            self._output.warning(f"Policy import failed: {error}; the policies in force stay as they are")
            return None
        for warning in parsed.warnings:
            self._output.warning(warning)
        self.applied += 1
        kind = "Global policy" if is_policy else "Repository configuration (policy)"
        self._output.line(f"{kind} imported successfully from {path.name}")
        return parsed

    def tell_missing(self, wanted: Collection[str]) -> None:
        """Log the files that were asked for and are missing; warn if that may be a mistake (rule M-097).

        Operators name both files even where one is meant: then the other one is no mistake, unless there is a file that is
        not used, or the missing one has a name of its own.

        Args:
            wanted: names of the two files.
        """
        for path in self._missing:
            found = _names_in(path.parent)
            told = f"policy file {path.name} not found in {path.parent} (found: {', '.join(found) or 'none'})"
            is_default = path.name in {POLICY_NAME, CONFIG_NAME}
            if is_default and self.applied + self.refused and {*found} <= {*wanted}:
                self._output.line(told)
            else:
                self._output.warning(told)

    def present(self) -> str:
        """Return the names of the files that exist."""
        return ", ".join(_names_in(self._folder)) or "none"


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".."))
    except OSError:
        return []


def storage_limits(settings: Settings, files: PolicyFiles) -> dict[str, float]:
    """Return Kopia's names and values of limits on the storage: variables, then ``repository.config`` over them.

    Raises:
        MoverError: a speed is none.
    """
    limits: dict[str, float] = {}
    for name, text, limit in (
        ("KOPIA_UPLOAD_SPEED", settings.upload_speed, "maxUploadSpeedBytesPerSecond"),
        ("KOPIA_DOWNLOAD_SPEED", settings.download_speed, "maxDownloadSpeedBytesPerSecond"),
    ):
        if text:
            try:
                limits[limit] = bytes_per_second(text, name)
            except DocumentError as error:
                raise MoverError("config", str(error)) from None
    if files.config is not None:
        limits |= files.config.throttling
    return limits


# ---------------------------------------------------------------------- connection documents


def load_connection_document(
    settings: Settings, places: Places, output: Output, redactor: Redactor
) -> Mapping[str, Any]:
    """Return the first connection document that names a storage: that of the variable, then the file (rule M-046).

    It is empty where there is none. One that can't be used is passed over with a warning.
    """
    path = places.credentials / CONFIG_NAME
    candidates: list[Callable[[], Mapping[str, Any]]] = []
    if settings.structured_config:
        candidates.append(lambda: parse_document(os.fsencode(settings.structured_config), STRUCTURED))
    if path.is_file():
        redactor.add_document(read_if_path(str(path)))
        candidates.append(lambda: read_document(path))
    for read in candidates:
        try:
            document = read()
        except DocumentError as error:
            output.warning(f"the connection document is passed over: {error}")
            continue
        if _names_storage(document):
            return document
    return {}


def _names_storage(document: Mapping[str, Any]) -> bool:
    storage = document.get("storage")
    return (
        isinstance(storage, dict) and isinstance(storage.get("type"), str) and isinstance(storage.get("config"), dict)
    )


__all__ = [
    "CONFIG_NAME",
    "POLICY_NAME",
    "load_connection_document",
    "load_policy_files",
    "storage_limits",
]
