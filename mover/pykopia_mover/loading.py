"""Finds and reads the files of ``policyConfig``, and logs what is done with each (rules M-096, M-097, M-100)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from pykopia_mover.documents import DocumentError, read_document
from pykopia_mover.failures import MoverError, config_error
from pykopia_mover.output import Output
from pykopia_mover.policy_files import PolicyFile, RepositoryConfig, bytes_per_second, policy_file, repository_config
from pykopia_mover.run import Places, PolicyFiles
from pykopia_mover.settings import Settings

POLICY_NAME: Final = "global-policy.json"
CONFIG_NAME: Final = "repository.config"

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
    policy = tally.read(Path(settings.global_policy_file or folder / POLICY_NAME), policy_file)
    config = tally.read(Path(settings.repository_config_file or folder / CONFIG_NAME), repository_config)
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

    def read(self, path: Path, parse: Callable[[dict[str, Any], str], Parsed]) -> Parsed | None:
        is_policy = parse is policy_file
        try:
            parsed = parse(read_document(path), path.name)
        except FileNotFoundError:
            asked = self._settings.global_policy_file if is_policy else self._settings.repository_config_file
            if asked:
                self._output.warning(f"policy file {path.name} not found in {path.parent} (found: {self.present()})")
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

    def present(self) -> str:
        """Return the names of the files that exist."""
        try:
            names = sorted(path.name for path in self._folder.iterdir() if not path.name.startswith(".."))
        except OSError:
            names = []
        return ", ".join(names) or "none"


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


__all__ = ["CONFIG_NAME", "POLICY_NAME", "load_policy_files", "storage_limits"]
