"""A format key that is derived by a thread of its own while the rest of the program is still being imported.

Nothing is imported here that is not needed for just that: it begins when the program begins.
"""

import contextlib
import threading

from pykopia.errors import PykopiaError
from pykopia.format.keys import derive_format_key


class _Derivation(threading.Thread):
    """A derivation that runs by itself."""

    def __init__(self, password: str, algorithm: str, salt: bytes) -> None:
        super().__init__(name="pykopia-key")
        self._arguments = (password, algorithm, salt)
        self._key: bytes | None = None

    def run(self) -> None:
        password, algorithm, salt = self._arguments
        with contextlib.suppress(PykopiaError, MemoryError, ValueError):  # told when it is tried again
            self._key = derive_format_key(password, algorithm=algorithm, salt=salt)

    def result(self, *arguments: object) -> bytes | None:
        """Return the key, None when it is that of other arguments or there is none."""
        if arguments != self._arguments:
            return None
        self.join()
        return self._key


_begun: list[_Derivation] = []


def begin(password: str, *, algorithm: str, salt: bytes) -> None:
    """Begin the derivation that ``derive`` will be asked for soon; never fails."""
    derivation = _Derivation(password, algorithm, salt)
    _begun[:] = [derivation]
    derivation.start()


def derive(password: str, *, algorithm: str, salt: bytes) -> bytes:
    """Return the key that a password stands for (``keys.derive_format_key``), begun early or not."""
    key = _begun.pop().result(password, algorithm, salt) if _begun else None
    return key or derive_format_key(password, algorithm=algorithm, salt=salt)


__all__ = ["begin", "derive"]
