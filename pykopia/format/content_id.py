"""Content IDs: an optional prefix letter and the hash of the content (format 02 §1).

Three forms of one ID are in use:

* text, ``k0011…``: what users, manifests and object IDs carry;
* key, one byte of prefix (0 when there is none) and the raw hash: what index files are sorted by;
* iv, the last 16 bytes of the hash: what the content is encrypted with.

Keys and texts sort alike, because hexadecimal digits come before ``g``.
"""

from binascii import unhexlify
from typing import Final, NamedTuple

from pykopia.errors import InvalidIDError
from pykopia.ids import ContentID

MAX_HASH_LENGTH: Final = 32
"""Bytes of the longest hash that an ID may hold."""

IV_LENGTH: Final = 16
"""Bytes of a hash that encryption uses."""


class IDRange(NamedTuple):
    """Half-open range of content IDs as texts: ``start <= content_id < end``."""

    start: str
    end: str


ALL: Final = IDRange("", "{")
"""Every ID; ``{`` is the character after ``z``."""

PREFIXED: Final = IDRange("g", "{")
"""IDs with a prefix: metadata."""

UNPREFIXED: Final = IDRange("0", "g")
"""IDs without a prefix: file data."""


def range_of_prefix(prefix: str) -> IDRange:
    """Return the range of the IDs that begin with ``prefix``: a prefix letter, hash digits or both."""
    return IDRange(prefix, prefix + "{")


def validate_prefix(prefix: str) -> str:
    """Return ``prefix`` when it is empty or one letter of ``g`` to ``z``.

    Raises:
        InvalidIDError: It is anything else.
    """
    if prefix and not (len(prefix) == 1 and "g" <= prefix <= "z"):
        raise InvalidIDError("content prefix", prefix, "a prefix is a single letter from g to z, or nothing")
    return prefix


def key_of(content_id: str) -> bytes:
    """Return the key of an ID in index files: prefix byte and hash (format 02 §1, "binary key").

    Raises:
        InvalidIDError: The text is not a content ID. The length of the hash is not looked at.

    >>> key_of("kab0c").hex()
    '6bab0c'
    """
    try:
        if not len(content_id) & 1:
            return b"\0" + unhexlify(content_id)
        if "g" <= content_id[0] <= "z":
            return content_id[0].encode() + unhexlify(content_id[1:])
    except ValueError:
        raise InvalidIDError("content", content_id, "the hash is not hexadecimal") from None
    raise InvalidIDError("content", content_id, "a prefix is a single letter from g to z")


def id_of(key: bytes) -> ContentID:
    """Return the ID with the given key: the inverse of ``key_of``.

    Raises:
        InvalidIDError: The prefix byte is neither 0 nor a letter from g to z, or the key is empty.

    >>> id_of(bytes.fromhex("6bab0c"))
    'kab0c'
    """
    prefix = key[:1]
    if prefix == b"\0":
        return ContentID(key[1:].hex())
    if b"g" <= prefix <= b"z":
        return ContentID(prefix.decode() + key[1:].hex())
    raise InvalidIDError("content", key.hex(), "the first byte of the key is neither 0 nor a letter from g to z")


def parse_content_id(text: str) -> ContentID:
    """Return the canonical form (lower case) of an ID that came from outside.

    The empty text is the empty ID, which no content has.

    Raises:
        InvalidIDError: The text is not a content ID, or its hash has more than 32 bytes.

    >>> parse_content_id("kAB0C")
    'kab0c'
    """
    if not text:
        return ContentID("")
    key = key_of(text)
    if len(key) < 2:
        raise InvalidIDError("content", text, "there is no hash behind the prefix")
    if len(key) > 1 + MAX_HASH_LENGTH:
        raise InvalidIDError("content", text, f"a hash has at most {2 * MAX_HASH_LENGTH} digits")
    return id_of(key)


def prefix_of(content_id: str) -> str:
    """Return the prefix letter of an ID, or the empty text."""
    return content_id[0] if len(content_id) & 1 else ""


def hash_of(content_id: str) -> bytes:
    """Return the raw hash of an ID, without its prefix.

    Raises:
        InvalidIDError: The text is not a content ID.
    """
    return key_of(content_id)[1:]


def iv_of(content_id: str) -> bytes:
    """Return the 16 bytes that key and authenticate the encrypted content: the tail of its hash (format 02 §2.3).

    Raises:
        InvalidIDError: The text is not a content ID, or its hash is shorter than 16 bytes.
    """
    iv = key_of(content_id)[1:][-IV_LENGTH:]
    if len(iv) < IV_LENGTH:
        raise InvalidIDError("content", content_id, f"the hash is shorter than {IV_LENGTH} bytes, so it can't be read")
    return iv


__all__ = [
    "ALL",
    "IV_LENGTH",
    "MAX_HASH_LENGTH",
    "PREFIXED",
    "UNPREFIXED",
    "IDRange",
    "hash_of",
    "id_of",
    "iv_of",
    "key_of",
    "parse_content_id",
    "prefix_of",
    "range_of_prefix",
    "validate_prefix",
]
