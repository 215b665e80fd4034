"""Flags of `repository status`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import flag


class StatusOptions(JsonFlags):
    """Flags of `repository status`."""

    reconnect_token = flag(False, "Print the command that connects again.", short="t")
    reconnect_token_with_password = flag(False, "Put the password into the token.", short="s")


__all__ = ["StatusOptions"]
