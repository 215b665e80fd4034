"""Flags of `content delete`, `content undelete`."""

from pykopia.cli.parsing import Options, arguments


class ContentDeleteOptions(Options):
    """Arguments of `content delete`."""

    id = arguments("Contents to delete.", required=True)


class ContentUndeleteOptions(Options):
    """Arguments of `content undelete`."""

    id = arguments("Contents to bring back.", required=True)


__all__ = ["ContentDeleteOptions", "ContentUndeleteOptions"]
