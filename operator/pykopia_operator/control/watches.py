"""Stores that follow the objects of a kind on the API server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from pykopia_operator.api.base import Api
from pykopia_operator.decide.objects import Obj, meta, name_of, namespace_of
from pykopia_operator.errors import ApiError, OperatorError

log: Final = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 30.0
MISSING_PAUSE: Final = 60.0

Change = Callable[[str, Obj], None]
"""Gets ADDED, MODIFIED or DELETED, and the object."""


class Store:
    """The objects of one kind, kept up to date by a list and a watch."""

    def __init__(
        self,
        api: Api,
        kind: str,
        on_change: Change,
        *,
        namespace: str = "",
        labels: str = "",
        metadata_only: bool = False,
        keep: bool = True,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self.kind, self._on_change = api, kind, on_change
        self._namespace, self._labels, self._metadata_only = namespace, labels, metadata_only
        self._keep = keep
        self._pause = pause
        self._objects: dict[tuple[str, str], Obj] = {}
        self._versions: dict[tuple[str, str], str] = {}
        self.synced = asyncio.Event()

    def get(self, namespace: str, name: str) -> Obj | None:
        """Return an object as it was last seen."""
        return self._objects.get((namespace, name))

    def all(self) -> list[Obj]:
        """Return all objects as they were last seen."""
        return list(self._objects.values())

    async def run(self) -> None:
        """Follow the API server for ever; broken watches, expired versions and refusals are begun anew after a pause."""
        failures = 0
        while True:
            try:
                version = await self._relist()
                self.synced.set()
                failures = 0
                await self._follow(version)
            except ApiError as error:
                if error.is_expired:
                    log.debug("watch of %s: the version is too old, listing again", self.kind)
                    continue
                failures += 1
                missing = error.is_missing
                if missing:  # the kind is not installed: an empty store is the truth
                    self.synced.set()
                    log.debug("%s is not served by this API server", self.kind)
                else:
                    log.warning("watch of %s: %s", self.kind, error)
                await self._pause(MISSING_PAUSE if missing else min(2.0 ** min(failures, 6), LONGEST_PAUSE))
            except OperatorError as error:
                failures += 1
                log.warning("watch of %s: %s", self.kind, error)
                await self._pause(min(0.5 * 2.0 ** min(failures, 6), LONGEST_PAUSE))

    async def _relist(self) -> str:
        objects, version = await self._api.list(
            self.kind, self._namespace, labels=self._labels, metadata_only=self._metadata_only
        )
        seen = set()
        for each in objects:
            key = namespace_of(each), name_of(each)
            seen.add(key)
            if self._versions.get(key) != meta(each).get("resourceVersion"):
                self._take("MODIFIED" if key in self._versions else "ADDED", each)
        for key in [key for key in self._versions if key not in seen]:
            gone = self._objects.get(key) or {
                "kind": self.kind,
                "metadata": {"namespace": key[0], "name": key[1]},
            }
            self._take("DELETED", gone)
        return version

    async def _follow(self, version: str) -> None:
        while True:
            async for change, obj in self._api.watch(
                self.kind, self._namespace, version, labels=self._labels, metadata_only=self._metadata_only
            ):
                version = str(meta(obj).get("resourceVersion") or version)
                if change != "BOOKMARK":
                    self._take(change, obj)

    def _take(self, change: str, obj: Obj) -> None:
        key = namespace_of(obj), name_of(obj)
        if change == "DELETED":
            self._objects.pop(key, None)
            self._versions.pop(key, None)
        else:
            self._versions[key] = str(meta(obj).get("resourceVersion") or "")
            if self._keep:
                self._objects[key] = obj
        self._on_change(change, obj)
