"""Copies of the operator's pull secrets in the namespaces where movers run."""

import zlib

from pykopia_operator.api.base import Api
from pykopia_operator.api.kinds import KINDS
from pykopia_operator.decide.names import metadata_for
from pykopia_operator.decide.objects import Obj, namespace_of
from pykopia_operator.errors import ApiError
from pykopia_operator.settings import Settings


def copied_name(name: str) -> str:
    """Return the name of the copy of a pull secret.

    >>> copied_name("registry")
    'volsync-pull-cda81d0a'
    """
    return f"volsync-pull-{zlib.crc32(name.encode()):08x}"


async def copy_pull_secrets(api: Api, settings: Settings, owner: Obj) -> None:
    """Copy the pull secrets beside an object, where they are not there yet; an absent one is left out."""
    namespace = namespace_of(owner)
    for name in settings.pull_secrets:
        if await api.keys("Secret", namespace, copied_name(name)) is not None:
            continue
        found = await api.read(KINDS["Secret"].path(settings.namespace, name))
        if found is None:
            continue
        copy = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata_for(owner, copied_name(name)),
            "type": found.get("type"),
            "data": found.get("data") or {},
        }
        try:
            await api.create(copy)
        except ApiError as error:
            if not error.is_conflict:
                raise
