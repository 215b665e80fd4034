"""The slow derivation of the key begins while the line is understood and the modules of its command are imported.

It takes longer than all the rest of a short command, and needs no more than the password and a copy of the format block
that an earlier command has left in the cache. Both are guessed from the line and the environment; whatever is missing or
wrong here is told later, when the command itself opens the repository.
"""

import os
from collections.abc import Mapping, Sequence

FORMAT_BLOB_ID = "kopia.repository"  # format.repository_blob has it, with much that is not needed yet
_WITHOUT = frozenset({"create", "connect", "disconnect"})
"""Commands below ``repository`` that do not open the repository that they find connected."""


def begin(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Begin to derive the key of the connected repository if all that takes is at hand."""
    password = (_value(words, "--password", "-p") or environment.get("KOPIA_PASSWORD", "")).strip()
    if not password or ("repository" in words and not _WITHOUT.isdisjoint(words)):
        return
    import json  # noqa: PLC0415 -- `--version` and `--help` do without
    from base64 import b64decode  # noqa: PLC0415

    from pykopia.repository import early_key  # noqa: PLC0415

    path = _value(words, "--config-file") or environment.get("KOPIA_CONFIG_PATH") or "repository.config"
    if "/" not in path:
        base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME") or "/", ".config")
        path = os.path.join(base, "kopia", path)
    try:
        with open(path, "rb") as file:
            folder = json.load(file)["caching"]["cacheDirectory"]
        with open(os.path.join(os.path.dirname(path), folder, FORMAT_BLOB_ID), "rb") as file:
            block = json.load(file)
        salt, algorithm = b64decode(block["uniqueID"], validate=True), block["keyAlgo"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    early_key.begin(password, algorithm=algorithm, salt=salt)


def _value(words: Sequence[str], *names: str) -> str:
    """Return the last value that is given for a flag, empty for none."""
    found = ""
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in names:
            found = value or (words[number + 1] if number + 1 < len(words) else "")
    return found


__all__ = ["begin"]
