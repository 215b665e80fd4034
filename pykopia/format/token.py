"""Connection tokens: a storage, and perhaps the password, as one word to copy (format 01 §7.2).

    token = base64url without padding of {"version": "1", "storage": {"type", "config"}, "password"?}

The password in it is readable by anyone.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, Self

from pykopia.dataclass import dataclass
from pykopia.errors import ConnectionFileError, DamagedDataError, UsageError
from pykopia.format import gojson
from pykopia.format.json_object import RAW_OBJECT, TEXT, JSONObject, member

TOKEN_VERSION: Final = "1"  # noqa: S105 -- no password

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionToken(JSONObject):
    """Content of a token; it holds secrets, which stay out of ``repr``."""

    version: str = field(default=TOKEN_VERSION, metadata=member("version", TEXT, always=True))
    storage: Mapping[str, Any] = field(
        default_factory=dict, repr=False, metadata=member("storage", RAW_OBJECT, always=True)
    )
    """Type and configuration of the storage, by Kopia's JSON names."""
    password: str = field(default="", repr=False, metadata=member("password", TEXT))
    """Empty: the token has none."""

    def encode(self) -> str:
        """Return the token as text.

        Raises:
            UsageError: The password holds bytes that are not UTF-8, which a token can't carry.
        """
        if _SURROGATES.search(self.password):
            raise UsageError("can't make a token: the password is not valid UTF-8; make the token without it")
        return base64.urlsafe_b64encode(gojson.dumps(self.members())).rstrip(b"=").decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the connection in a token. Whether its type of storage is known is checked when the storage is opened.

        Raises:
            ConnectionFileError: The text is not a token, or one of another version.
        """
        text = text.replace("\r", "").replace("\n", "")
        if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
            raise ConnectionFileError(_unreadable("it has characters that no token has, or some are missing"))
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        try:
            token = cls.parse(data)
            has_version = any(gojson.fold(name) == "version" for name, _ in gojson.members(data))
        except DamagedDataError as error:
            raise ConnectionFileError(_unreadable(str(error))) from None
        if not has_version:
            raise ConnectionFileError(_unreadable("it has no version"))
        if token.version != TOKEN_VERSION:
            raise ConnectionFileError(
                f"can't use the connection token: it is of version {token.version!r}, and only {TOKEN_VERSION!r} is known"
            )
        fields = {gojson.fold(name): value for name, value in token.storage.items()}
        if not isinstance(fields.get("type"), str) or not isinstance(fields.get("config"), dict):
            raise ConnectionFileError(_unreadable("its storage has no type or no configuration"))
        return token


def _unreadable(reason: str) -> str:
    return f"can't read the connection token: {reason}; copy it again, with all of its characters"


__all__ = ["TOKEN_VERSION", "ConnectionToken"]
