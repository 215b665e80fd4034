"""Flags of `manifest list`, `manifest show`, `manifest delete`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Options, arguments, flag_list


class ManifestListOptions(JsonFlags):
    """Flags of `manifest list`."""

    filter = flag_list("Only manifests with this label.", placeholder="KEY:VALUE")
    sort = flag_list("Label to sort by.", placeholder="KEY")


class ManifestShowOptions(Options):
    """Arguments of `manifest show`."""

    item = arguments("Manifests to print.", required=True)


class ManifestDeleteOptions(Options):
    """Arguments of `manifest delete`."""

    item = arguments("Manifests to delete.", required=True)


__all__ = ["ManifestDeleteOptions", "ManifestListOptions", "ManifestShowOptions"]
