"""Names that are imported when they are first used, so that a package costs next to nothing to import."""

import importlib
import sys
from collections.abc import Callable, Mapping


def lazily(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package or module (PEP 562).

    Args:
        package: its name.
        places: module of each name.
    """

    def find(name: str) -> object:
        place = places.get(name)
        if place is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found: object = getattr(importlib.import_module(place), name)
        setattr(sys.modules[package], name, found)
        return found

    return find


__all__ = ["lazily"]
