"""What the AWS SDK is asked for: its settings and credentials. It is loaded only where it has something to say.

A connection with a key of its own needs no more of the SDK than its signer. To load the rest takes longer than to list the
snapshots of a repository.
"""

import os
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from botocore.session import Session

_FILES = (("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"))
"""Files of the SDK: the variables that name them, and their usual places."""


class Key(NamedTuple):
    """An access key as the SDK's signer takes it."""

    access_key: str
    secret_key: str
    token: str | None
    """Session token; None for a key that does not expire."""


class SDK:
    """The SDK as one connection uses it."""

    @cached_property
    def session(self) -> "Session":
        """The SDK's session, which reads its settings and finds credentials."""
        from botocore.session import Session  # noqa: PLC0415 -- see the module

        return Session()

    def setting(self, name: str, variable: str) -> str:
        """Return a setting, empty where it is not set.

        Args:
            name: Name of the setting in the SDK and in its files.
            variable: Variable of the environment that takes precedence over the files.
        """
        if variable in os.environ:
            return os.environ[variable]
        if not any(os.path.exists(os.path.expanduser(os.environ.get(at) or usual)) for at, usual in _FILES):
            return ""
        return self.session.get_config_variable(name) or ""


__all__ = ["SDK", "Key"]
