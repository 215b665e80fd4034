"""The slow derivation of the key begins while the modules of a command are still being imported.

It takes longer than all the rest of a short command, and needs no more than the password and a copy of the format block
that an earlier command has left in the cache. Whatever is missing or wrong here is told later, when the command itself
opens the repository.
"""

import json
from base64 import b64decode

from pykopia.cli.session import Session
from pykopia.repository import early_key

FORMAT_BLOB_ID = "kopia.repository"  # format.repository_blob has it, with much that is not needed yet
_WITHOUT = frozenset({("repository", "create"), ("repository", "connect"), ("repository", "disconnect")})
"""Commands that do not open the repository that they find connected."""


def begin(session: Session) -> None:
    """Begin to derive the key of the connected repository if all that takes is at hand."""
    password = session.flags.password.strip()
    if not password or tuple(session.invocation.name.split()[:2]) in _WITHOUT:
        return
    path = session.config_path
    try:
        folder = path.parent / json.loads(path.read_bytes())["caching"]["cacheDirectory"]
        block = json.loads((folder / FORMAT_BLOB_ID).read_bytes())
        salt, algorithm = b64decode(block["uniqueID"], validate=True), block["keyAlgo"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    early_key.begin(password, algorithm=algorithm, salt=salt)


__all__ = ["begin"]
