"""The slow derivation of the key begins while the line is understood and the modules of its command are imported.

It takes longer than all the rest of a short command, and needs no more than the password and a copy of the format block
that an earlier command has left in the cache. Both are guessed from the line and the environment; whatever is missing or
wrong here is told later, when the command itself opens the repository.
"""

import os
from binascii import a2b_base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pykopia.ids import BlobID

_WITHOUT = frozenset({"create", "connect", "disconnect"})
"""Commands below ``repository`` that do not open the repository that they find connected."""

_WITHOUT_INDEX = ("repository ", "blob ", "cache ", "logs ", "session ", "benchmark ")
"""Beginnings of commands that need no index, or not at once."""
_NEED_METADATA_PACKS = frozenset({"restore", "snapshot list", "snapshot restore"})
"""Commands that look whether the index may lack snapshots."""
_READ_SCHEDULE = frozenset(
    {
        "maintenance info",
        "maintenance run",
        "snapshot copy-history",
        "snapshot create",
        "snapshot delete",
        "snapshot expire",
        "snapshot move-history",
    }
)
"""Commands that look when maintenance is due."""

_ALWAYS: Final = (
    "concurrent.futures.thread",
    "cryptography.hazmat.primitives.hashes",
    "cryptography.hazmat.primitives.kdf.hkdf",
    "isal.isal_zlib",  # manifests are gzip
    "pykopia.api.snapshots",
    "pykopia.cli.error_notifications",
    "pykopia.index.epoch_layout",
)
_CONTENTS: Final = ("pykopia.snapshot.resolve", "zstandard", "pykopia.sealing._batch")
_RESTORE: Final = (*_CONTENTS, "pykopia.api.restoring", "pykopia.repository.view", "pykopia.snapshot.restore_local")
_BY_COMMAND: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "maintenance run": ("pykopia.api.maintenance", "pykopia.maintenance.cycle"),
        "restore": _RESTORE,
        "snapshot create": (*_CONTENTS, "pykopia.snapshot.create", "pykopia.api.maintenance"),
        "snapshot list": ("pykopia.snapshot.policies", "pykopia.snapshot.resolve"),
        "snapshot restore": _RESTORE,
        "snapshot verify": (
            *_CONTENTS,
            "pykopia.cli.formatting",
            "pykopia.repository.dropped",
            "pykopia.repository.view",
        ),
    }
)
"""Modules that these commands import after the repository was opened."""


def begin(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Begin to derive the key of the connected repository, if password and format block are known."""
    password = (value_of(words, "--password", "-p") or environment.get("KOPIA_PASSWORD", "")).strip()
    if not password or ("repository" in words and not _WITHOUT.isdisjoint(words)):
        return
    from pykopia.repository import early_key  # noqa: PLC0415 -- `--version` and `--help` do without

    path = value_of(words, "--config-file") or environment.get("KOPIA_CONFIG_PATH") or "repository.config"
    if "/" not in path:
        base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME") or "/", ".config")
        path = os.path.join(base, "kopia", path)
    try:
        from pykopia.format.blob_names import FORMAT_BLOB_ID  # noqa: PLC0415 -- help does without

        folder = os.path.join(os.path.dirname(path), _text_of(path, "cacheDirectory"), "pykopia")
        block = _newest(
            os.path.join(folder, name, FORMAT_BLOB_ID) for name in os.listdir(folder) if name[:7] == "format-"
        )
        salt, algorithm = a2b_base64(_text_of(block, "uniqueID"), strict_mode=True), _text_of(block, "keyAlgo")
    except (OSError, ValueError):
        return
    early_key.begin(password, algorithm=algorithm, salt=salt)


def _newest(paths: Iterable[str]) -> str:
    """Return the file that was written last: where several repositories share a cache, the key may be that of another.

    Raises:
        ValueError: there is none.
    """
    return max(filter(os.path.exists, paths), key=os.path.getmtime)


def lists_ahead(command: str) -> Sequence[str]:
    """Return the prefixes of blobs that a command lists whatever it finds."""
    from pykopia.format.blob_names import EPOCH_PREFIX, LEASE_PREFIX, METADATA_PACK_PREFIX  # noqa: PLC0415 -- help does without

    if command.startswith(_WITHOUT_INDEX):
        return ()
    if command == "maintenance run":
        return (EPOCH_PREFIX, LEASE_PREFIX)
    return (EPOCH_PREFIX, METADATA_PACK_PREFIX) if command in _NEED_METADATA_PACKS else (EPOCH_PREFIX,)


def gets_ahead(command: str) -> "Sequence[BlobID]":
    """Return the blobs that a command reads soon after its repository is open."""
    from pykopia.format.blob_names import MAINTENANCE_ID  # noqa: PLC0415 -- help does without

    return (MAINTENANCE_ID,) if command in _READ_SCHEDULE else ()


def import_ahead(command: str) -> None:
    """Import what a command will need once its repository is open, while the key is derived and the storage is asked."""
    for name in (*_ALWAYS, *_BY_COMMAND.get(command, ())):
        with suppress(ImportError):  # a native module that was not built
            import_module(name)


def value_of(words: Sequence[str], *names: str) -> str:
    """Return the last value that is given for a flag, empty for none."""
    found = ""
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in names:
            found = value or (words[number + 1] if number + 1 < len(words) else "")
    return found


def _text_of(path: str, name: str) -> str:
    """Return a text from a file of JSON by a look for its name: what reads JSON properly takes longer to import.

    Raises:
        ValueError: it is not there, or not in plain letters.
        OSError: the file can't be read.
    """
    with open(path, "rb") as file:
        _, found, rest = file.read().partition(b'"%s"' % name.encode())
    between, _, rest = rest.partition(b'"')
    text, end, _ = rest.partition(b'"')
    if not found or between.strip() != b":" or not end or b"\\" in text:
        raise ValueError(f"no plain text {name} in {path}")
    return text.decode()


__all__ = ["begin", "import_ahead", "value_of"]
