"""Looking at a KopiaMaintenance: read, decide, carry out."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from pykopia_operator.api.base import Api
from pykopia_operator.control.carry_out import Performer
from pykopia_operator.control.reconciler import Surroundings
from pykopia_operator.decide.identity import repository_name
from pykopia_operator.decide.kopia_maintenance import (
    LABEL,
    NAME_LABEL,
    MaintenanceWorld,
    cron_job_name,
    decide_maintenance,
    lease_of,
    maintenance_cache_name,
)
from pykopia_operator.decide.objects import Obj, name_of, namespace_of, spec_of
from pykopia_operator.decide.statuses import kopia_status
from pykopia_operator.settings import Settings


class MaintenanceReconciler:
    """Looks at KopiaMaintenances."""

    def __init__(
        self, api: Api, performer: Performer, settings: Settings, now: Callable[[], datetime], around: Surroundings
    ) -> None:
        self._api, self._performer, self._settings, self._now, self._around = api, performer, settings, now, around

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Look at an object and do what is to be done. Return after how many seconds to look again."""
        owner = await self._api.get("KopiaMaintenance", namespace, name)
        if owner is None:
            return None
        plan = decide_maintenance(await self._observe(owner), self._settings, self._now())
        await self._performer.carry_out(plan)
        return plan.again

    async def _observe(self, owner: Obj) -> MaintenanceWorld:
        api, namespace, name = self._api, namespace_of(owner), name_of(owner)
        repository = spec_of(owner).get("repository") or {}
        secret_name, ca = str(repository.get("repository") or ""), repository.get("customCA") or {}
        ca_kind = "Secret" if ca.get("secretName") else "ConfigMap"
        ca_name = ca.get("secretName") or ca.get("configMapName")
        labels = f"{LABEL}=true,{NAME_LABEL}={name[:63]}"
        space, cron_job, cache, account = await asyncio.gather(
            api.get("Namespace", "", namespace),
            api.get("CronJob", namespace, cron_job_name(owner)),
            api.get("PersistentVolumeClaim", namespace, maintenance_cache_name(owner)),
            api.get("ServiceAccount", namespace, cron_job_name(owner)),
        )
        (jobs, _), (pods, _) = await asyncio.gather(
            api.list("Job", namespace, labels=labels), api.list("Pod", namespace, labels=labels)
        )
        secret = await api.keys("Secret", namespace, secret_name) if secret_name else None
        sources = tuple(self._around.sources())
        identity = next(
            (
                str(kopia_status(each)["repositoryID"])
                for each in sources
                if namespace_of(each) == namespace
                and repository_name(each) == secret_name
                and kopia_status(each).get("repositoryID")
            ),
            "",
        )
        return MaintenanceWorld(
            owner=owner,
            namespace=space or {},
            cron_job=cron_job,
            jobs=tuple(jobs),
            pods=tuple(pods),
            secret=secret,
            ca=await api.keys(ca_kind, namespace, ca_name) if ca_name else None,
            cache=cache,
            account=account,
            sources=sources,
            lease=await api.get("Lease", self._settings.namespace, lease_of(owner, secret, identity)),
            repository_id=identity,
            openshift=self._around.openshift,
        )
