"""Reads and stores the parameters and the schedule of maintenance (format 03 §7)."""

import secrets
from collections.abc import Callable

from pykopia.errors import BlobNotFoundError, DamagedDataError, DamagedManifestError
from pykopia.format import manifest
from pykopia.format.blob_names import MAINTENANCE_ID
from pykopia.format.maintenance_schedule import (
    MANIFEST_LABELS,
    NONCE_LENGTH,
    MaintenanceParameters,
    MaintenanceSchedule,
    open_with_key,
    seal_with_key,
)
from pykopia.repository.core import Core
from pykopia.repository.writer import RepositoryWriter


def client_name(repository: Core) -> str:
    """Return ``user@host`` of the connection, which is compared with the owner."""
    return f"{repository.username}@{repository.hostname}"


def read_parameters(repository: Core) -> MaintenanceParameters | None:
    """Return the parameters; None in a repository that never had any.

    Raises:
        DamagedManifestError: they can't be read.
    """
    entry = manifest.latest(repository.manifests.find(MANIFEST_LABELS))
    if entry is None:
        return None
    try:
        return MaintenanceParameters.from_json(entry.data)
    except DamagedDataError as error:
        raise DamagedManifestError(
            f"the parameters of maintenance (manifest {entry.id}) can't be read: {error}"
        ) from error


def write_parameters(repository: Core, parameters: MaintenanceParameters) -> None:
    """Replace the stored parameters."""
    with RepositoryWriter(repository) as writer:
        writer.manifests.replace(MANIFEST_LABELS, parameters.to_json())


def read_schedule(repository: Core) -> MaintenanceSchedule:
    """Return the schedule; an empty one when maintenance never ran.

    Raises:
        DamagedDataError: it can't be read.
    """
    try:
        stored = repository.storage.get(MAINTENANCE_ID)
    except BlobNotFoundError:
        return MaintenanceSchedule()
    return MaintenanceSchedule.from_json(open_with_key(stored, repository.maintenance_key))


def write_schedule(repository: Core, schedule: MaintenanceSchedule) -> None:
    """Store a schedule. Another client's change since it was read is lost without notice (format 03 §7)."""
    sealed = seal_with_key(schedule.to_json(), repository.maintenance_key, secrets.token_bytes(NONCE_LENGTH))
    repository.storage.put(MAINTENANCE_ID, sealed)


def change_schedule(
    repository: Core, change: Callable[[MaintenanceSchedule], MaintenanceSchedule]
) -> MaintenanceSchedule:
    """Read the schedule, change it and store it; return it as it is now."""
    schedule = change(read_schedule(repository))
    write_schedule(repository, schedule)
    return schedule


__all__ = [
    "change_schedule",
    "client_name",
    "read_parameters",
    "read_schedule",
    "write_parameters",
    "write_schedule",
]
