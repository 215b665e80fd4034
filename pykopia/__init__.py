"""Kopia backup repositories, read and written by Python.

>>> import pykopia
>>> with pykopia.create("memory://example", "a good password") as repository:
...     with repository.writer() as writer:
...         object_id = writer.objects.write(b"hello")
...     repository.objects.open(object_id).read()
b'hello'

Names are imported when they are first used, so ``import pykopia`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pykopia.format.local_config import CachingOptions
    from pykopia.format.policy import Policy
    from pykopia.format.source import SourceInfo
    from pykopia.repository.opening import connect, create, disconnect
    from pykopia.repository.opening import open_connected as open  # noqa: A004 -- read as pykopia.open
    from pykopia.repository.options import ClientOptions, NewRepositoryOptions, ParameterChanges
    from pykopia.repository.repository import Repository
    from pykopia.snapshot.restore_options import RestoreOptions
    from pykopia.snapshot.upload_options import SnapshotOptions
    from pykopia.snapshot.verify import VerifyOptions

__version__ = "0.1.0"

_PLACES = {
    "CachingOptions": "pykopia.format.local_config",
    "ClientOptions": "pykopia.repository.options",
    "NewRepositoryOptions": "pykopia.repository.options",
    "ParameterChanges": "pykopia.repository.options",
    "Policy": "pykopia.format.policy",
    "Repository": "pykopia.repository.repository",
    "RestoreOptions": "pykopia.snapshot.restore_options",
    "SnapshotOptions": "pykopia.snapshot.upload_options",
    "SourceInfo": "pykopia.format.source",
    "VerifyOptions": "pykopia.snapshot.verify",
    "connect": "pykopia.repository.opening",
    "create": "pykopia.repository.opening",
    "disconnect": "pykopia.repository.opening",
    "open": "pykopia.repository.opening:open_connected",
}


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'pykopia' has no attribute {name!r}")
    module, _, attribute = place.partition(":")
    found: object = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})


__all__ = [
    "CachingOptions",
    "ClientOptions",
    "NewRepositoryOptions",
    "ParameterChanges",
    "Policy",
    "Repository",
    "RestoreOptions",
    "SnapshotOptions",
    "SourceInfo",
    "VerifyOptions",
    "connect",
    "create",
    "disconnect",
    "open",
]
