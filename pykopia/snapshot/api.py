"""The former place of ``Snapshots``, for programs that were written before it moved to `pykopia.api.snapshots`."""

import importlib


def __getattr__(name: str) -> object:
    # By name: this package is below the API and imports nothing of it.
    return getattr(importlib.import_module("pykopia.api.snapshots"), name)
