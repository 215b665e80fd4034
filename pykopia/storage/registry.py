"""The kinds of storage: where their options and their storage are, and which URLs name them.

Those of this package are folders of `pykopia.storage.backends`, looked up by name: nothing is imported for the others.
Another package adds one by an entry point of the group ``pykopia.storage``: its name is the type, its object a `Backend`.
A program adds one by ``register``. URLs, connection files, tokens and everything else that opens a storage ask here.
"""

import importlib
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from pykopia.dataclass import dataclass
from pykopia.errors import UnsupportedOptionError

if TYPE_CHECKING:
    from pykopia.storage.options import StorageOptions

ENTRY_POINTS: Final = "pykopia.storage"
"""The group of entry points by which packages add kinds of storage."""
_OWN = "pykopia.storage.backends"


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """How the storages of one type are described and opened."""

    kind: str = ""
    """The type, as connection files and tokens name it; empty: the name of the entry point, or what ``register`` is given."""
    command: str = ""
    """Name on a command line, as in ``repository connect s3``; empty: the type, if it has a ``description``."""
    description: str = ""
    """What a storage of this kind is, such as ``an S3 bucket``; empty: it is not offered on a command line."""
    opener: str
    """``module:name`` or ``module:class.name`` of a callable ``(options, *, create) -> BlobStorage``."""
    options: str = ""
    """``module:name`` of its subclass of ``StorageOptions``; empty: what an argument of the opener is annotated with."""
    extra: str = ""
    """The extra of this package that brings the libraries it needs; empty: none."""
    retries: bool = True
    """Whether temporary errors are to be retried by a wrapper."""
    schemes: tuple[str, ...] = ()
    """Schemes of the URLs that name such a storage."""
    url: str = ""
    """``module:name`` of a callable ``(scheme, rest) -> options`` that reads a URL, ``rest`` being what follows ``://``."""
    environment: str = ""
    """``module:name`` of an ``EnvironmentBackend``; empty: variables other than the URL's say nothing of it."""


BACKENDS: Final[dict[str, Backend]] = {}
"""Kinds of storage that were looked up or registered, by type."""


def own() -> dict[str, Backend]:
    """Return the kinds of storage of this package by type, Kopia's where Kopia has it: one for each folder of `backends`."""
    import pkgutil  # noqa: PLC0415 -- not to open a storage whose type is known

    package = importlib.import_module(_OWN)
    found = (_of_folder(each.name) for each in pkgutil.iter_modules(package.__path__))
    return {backend.kind: backend for backend in found if backend is not None}


def known() -> dict[str, Backend]:
    """Return the kinds of storage by type: those of this package, and what was registered or looked up."""
    return own() | BACKENDS


def register(kind: str, backend: Backend) -> None:
    """Add a kind of storage to those of this process.

    Args:
        kind: The type, as connection files and tokens name it.
        backend: How its storages are described and opened.
    """
    BACKENDS[kind] = backend


def find(kind: str) -> Backend:
    """Return a kind of storage, of this package or of another one that is installed.

    Raises:
        UnsupportedOptionError: There is none of this type.
    """
    backend = BACKENDS.get(kind) or _of_folder(kind.lower())
    if backend is None or backend.kind not in {"", kind}:
        _load_others(kind)
        backend = BACKENDS.get(kind)
    if backend is None:
        raise UnsupportedOptionError(
            f"can't use storage of type {kind!r}: it is not known, and no package that is installed adds it; known types: "
            f"{', '.join(sorted(known()))}"
        )
    return backend


def find_scheme(scheme: str) -> tuple[str, Backend] | None:
    """Return the type and kind of storage that URLs of a scheme name, or None if there is none."""
    found = _with_scheme(scheme)
    if found is None:
        _load_others()
        found = _with_scheme(scheme)
    return found


def commands() -> dict[str, tuple[str, Backend]]:
    """Return the types and kinds of storage that are offered on a command line, by the name they have there."""
    _load_others()
    return {backend.command or kind: (kind, backend) for kind, backend in known().items() if backend.description}


def options_class(kind: str) -> "type[StorageOptions]":
    """Return the option class of a type.

    Raises:
        UnsupportedOptionError: The type is not known, or its package does not say how it is configured.
    """
    backend = find(kind)
    if backend.options:
        return cast("type[StorageOptions]", load(backend.options))
    import typing  # noqa: PLC0415

    from pykopia.storage.options import StorageOptions  # noqa: PLC0415 -- only for packages that name no class

    opener = open_with(kind, backend)
    for name, hint in typing.get_type_hints(opener).items():
        if (
            name != "return"
            and isinstance(hint, type)
            and issubclass(hint, StorageOptions)
            and hint is not StorageOptions
        ):
            return hint
    raise UnsupportedOptionError(
        f"can't use storage of type {kind}: the package that adds it names no class of options, and its opener has none as "
        "annotation of an argument"
    )


def open_with(kind: str, backend: Backend) -> Any:  # noqa: ANN401 -- any callable
    """Return the callable that opens a storage.

    Raises:
        UnsupportedOptionError: A library that it needs is not installed.
    """
    try:
        return load(backend.opener)
    except ModuleNotFoundError as error:
        if not backend.extra:
            raise
        raise UnsupportedOptionError(
            f"can't open storage of type {kind}: the module {error.name} is not installed; install pykopia with the extra "
            f'{backend.extra}: `pip install "pykopia[{backend.extra}]"`, or `pip install ".[{backend.extra}]"` in a checkout'
        ) from error


def load(name: str) -> Any:  # noqa: ANN401
    """Return what ``module:name`` or ``module:class.name`` names."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _with_scheme(scheme: str) -> tuple[str, Backend] | None:
    return next(((kind, backend) for kind, backend in known().items() if scheme in backend.schemes), None)


def _load_others(kind: str = "") -> None:
    """Add what packages that are installed add; only the type ``kind`` if it is given."""
    if not _may_have_entry_points(sys.path):
        return
    from importlib.metadata import entry_points  # noqa: PLC0415 -- takes longer than all else here

    for point in entry_points(group=ENTRY_POINTS):
        if point.name not in known() and kind in {"", point.name}:
            BACKENDS[point.name] = _loaded(point)


def _may_have_entry_points(places: Iterable[str]) -> bool:
    """Return False if no package that is installed adds a kind of storage.

    ``importlib.metadata`` would tell too, but importing it alone takes longer than a whole command that prints its help.

    Args:
        places: where Python looks for packages; an archive among them counts as if there were one.
    """
    for place in places:
        try:
            with os.scandir(place or os.curdir) as found:
                names = [each.path for each in found if each.name.endswith((".dist-info", ".egg-info"))]
        except NotADirectoryError:
            return True
        except OSError:
            continue
        for name in names:
            try:
                with open(f"{name}/entry_points.txt", "rb") as file:
                    if ENTRY_POINTS.encode() in file.read():
                        return True
            except OSError:
                continue
    return False


def _of_folder(name: str) -> Backend | None:
    """Return the kind of storage that a folder of `backends` holds."""
    module = f"{_OWN}.{name}"
    if not name.isidentifier():
        return None
    try:
        found = getattr(importlib.import_module(module), "BACKEND", None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return None
    return found if isinstance(found, Backend) else None


def _loaded(point: Any) -> Backend:  # noqa: ANN401 -- an entry point
    found = point.load()
    if not isinstance(found, Backend):
        raise UnsupportedOptionError(
            f"can't use storage of type {point.name}: the entry point {point.value} must be a pykopia.storage.registry.Backend"
        )
    return found


__all__ = [
    "BACKENDS",
    "ENTRY_POINTS",
    "Backend",
    "commands",
    "find",
    "find_scheme",
    "known",
    "load",
    "open_with",
    "options_class",
    "own",
    "register",
]
