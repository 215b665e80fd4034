"""What an entry of a directory has beside the attributes that Kopia stores: extended attributes and hard links.

Both are in one member of the entry that is named after this program, ``"pykopia":{"xattrs":{…},"hardlink":"…"}``. Kopia
ignores members that it does not know, so it lists, verifies and restores such an entry as any other; an entry that Kopia
writes itself does not have the member.
"""

from base64 import b64encode

import msgspec

from pykopia.errors import UsageError
from pykopia.format import gojson


class ExtendedAttributes(msgspec.Struct, frozen=True, gc=False):
    """Extended attributes of a file, folder or symbolic link, and the identity of a file with several names."""

    values: tuple[tuple[str, bytes], ...] = ()
    """Names and values of the extended attributes, sorted by name. POSIX ACLs are two of them."""
    hard_link: str = ""
    """Equal for all names of one file in a snapshot; empty for a file with one name."""


class _Stored(msgspec.Struct):
    xattrs: dict[str, bytes] = {}
    hardlink: str = ""


def extended_attributes_text(extended: ExtendedAttributes) -> str:
    """Return the JSON of the member.

    Raises:
        UsageError: the name of an attribute is not UTF-8.
    """
    parts = []
    if extended.values:
        try:
            attributes = ",".join(
                f'{gojson.quote(name.encode().decode())}:"{b64encode(value).decode()}"'
                for name, value in extended.values
            )
        except UnicodeEncodeError as error:
            raise UsageError(f"the name of an extended attribute is not UTF-8: {error.object!r}") from error
        parts.append(f'"xattrs":{{{attributes}}}')
    if extended.hard_link:
        parts.append(f'"hardlink":{gojson.quote(extended.hard_link)}')
    return f"{{{','.join(parts)}}}"


def extended_attributes_of(member: object) -> ExtendedAttributes | None:
    """Return what the parsed member says; None for one of another form, as another program may write."""
    if member is None:
        return None
    try:
        stored = msgspec.convert(member, _Stored)
    except msgspec.ValidationError:
        return None
    if not stored.xattrs and not stored.hardlink:
        return None
    return ExtendedAttributes(tuple(sorted(stored.xattrs.items())), stored.hardlink)


__all__ = ["ExtendedAttributes", "extended_attributes_of", "extended_attributes_text"]
