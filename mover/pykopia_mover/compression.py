"""Names of compressors, as people give them and as Kopia stores them (rule M-095)."""

from typing import Final

from pykopia.policies import COMPRESSOR_NAMES
from pykopia_mover.failures import config_error

DEFAULT: Final = "zstd"
"""Used where no policy and no setting names a compressor."""

NONE: Final = "none"

ALIASES: Final = {"s2": "s2-default", "lz4": "s2-default"}
"""Other names of compressors. lz4 means S2, because newer versions of Kopia can't read lz4; S2 is as fast."""

NAMES: Final = (NONE, *(name for name in COMPRESSOR_NAMES if name not in ALIASES))
"""Compressors for new data."""

COMMON: Final = ("zstd", "gzip", "s2", NONE)
"""Named first in messages."""


def compressor(name: str, *, setting: str) -> str:
    """Return Kopia's name of a compressor.

    Args:
        name: as it was given.
        setting: where, for the message.

    Raises:
        MoverError: it is not known; the message lists all.
    """
    found = ALIASES.get(name, name)
    if found not in NAMES:
        others = [each for each in (*NAMES, *ALIASES) if each not in COMMON]
        raise config_error(f"{setting}: unknown compression {name!r}", f"Use one of {', '.join((*COMMON, *others))}")
    return found


__all__ = ["ALIASES", "COMMON", "DEFAULT", "NAMES", "NONE", "compressor"]
