"""Populating volumes: read, decide, carry out."""

from pykopia_operator.api.base import Api
from pykopia_operator.control.carry_out import Performer
from pykopia_operator.decide.objects import Obj, namespace_of, spec_of, status_of
from pykopia_operator.decide.populator import (
    POPULATOR,
    PopulatorWorld,
    decide_population,
    destination_of,
    prime_name,
)
from pykopia_operator.decide.volumes import storage_class
from pykopia_operator.errors import ApiError
from pykopia_operator.settings import Settings


def is_on(settings: Settings) -> bool:
    """Return True if this operator populates volumes: another controller does in modes ``upstream`` and ``fork`` (O-090)."""
    return settings.volume_populator and settings.coexistence in {"none", "replace"}


async def announce(api: Api) -> None:
    """Tell the cluster that volumes may name a ReplicationDestination, where it wants to know."""
    try:
        await api.create(POPULATOR)
    except ApiError as error:
        if error.status not in {403, 404, 409}:
            raise


class PopulatorReconciler:
    """Looks at PersistentVolumeClaims."""

    def __init__(self, api: Api, performer: Performer) -> None:
        self._api, self._performer = api, performer

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Look at a volume. Return after how many seconds to look again."""
        volume = await self._api.get("PersistentVolumeClaim", namespace, name)
        if volume is None or not destination_of(volume):
            return None
        plan = decide_population(await self._observe(volume))
        await self._performer.carry_out(plan)
        return plan.again

    async def _observe(self, volume: Obj) -> PopulatorWorld:
        api, namespace = self._api, namespace_of(volume)
        destination = await api.get("ReplicationDestination", namespace, destination_of(volume))
        image = (status_of(destination or {}).get("latestImage") or {}).get("name")
        prime = await api.get("PersistentVolumeClaim", namespace, prime_name(volume))
        persistent = spec_of(prime or {}).get("volumeName")
        origin = (spec_of(prime or {}).get("dataSource") or {}).get("name") or image
        class_name = storage_class(volume)
        return PopulatorWorld(
            volume=volume,
            destination=destination,
            prime=prime,
            prime_volume=await api.get("PersistentVolume", "", persistent) if persistent else None,
            image=await api.get("VolumeSnapshot", namespace, origin) if origin else None,
            storage_class=await api.get("StorageClass", "", class_name) if class_name else None,
        )
