"""Flags of `snapshot pin`."""

from pykopia.cli.parsing import Options, arguments, flag_list


class PinOptions(Options):
    """Flags of `snapshot pin`."""

    id = arguments("Snapshots, by their ID or that of their root.", required=True)
    add = flag_list("Pin to add.", placeholder="PIN")
    remove = flag_list("Pin to remove.", placeholder="PIN")


__all__ = ["PinOptions"]
