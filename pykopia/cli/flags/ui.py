"""Flags of `ui`."""

from pykopia.cli.parsing import Options, flag
from pykopia.cli.values import port


class PageOptions(Options):
    """Flags of `ui`."""

    port = flag(0, "Port on 127.0.0.1; 0 for any that is free.", kind=port)


__all__ = ["PageOptions"]
