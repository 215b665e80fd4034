"""What of a file can be shown in a page: a picture, text, or nothing."""

import codecs
from typing import Final

from pykopia.dataclass import dataclass

TEXT_BYTES: Final = 256 * 1024
"""Bytes of a text that are shown."""
PICTURE_BYTES: Final = 32 << 20
"""Bytes of the largest picture that is shown."""
HEX_BYTES: Final = 256
"""Bytes of other files that are shown as numbers."""

_PICTURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_TEXT_CONTROLS: Final = frozenset("\t\n\r\f\x1b\b")
"""Control characters that texts have: ``\\b`` and ``\\x1b`` are in manual pages and logs."""
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown of a file."""

    kind: str
    """``picture``, ``text``, ``empty`` or ``binary``."""
    text: str = ""
    """The text, or the first bytes as numbers."""
    cut: bool = False
    """Whether the file goes on."""


def picture_type(head: bytes) -> str:
    """Return the media type of a picture by its first bytes, never by its name; empty for anything else.

    Only formats that hold nothing but pixels: an SVG is a document with scripts, and is shown as text.

    >>> picture_type(b"GIF89a..."), picture_type(b"<svg onload=alert(1)>")
    ('image/gif', '')
    """
    for magic, media_type in _PICTURES:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return ""


def preview(head: bytes, length: int) -> Preview:
    r"""Return what is shown of a file.

    Args:
        head: its first bytes, ``TEXT_BYTES`` or all if it has fewer.
        length: bytes of the whole file.

    >>> preview(b"caf\xc3\xa9", 5).text
    'café'
    >>> preview(b"\x00\x01", 2)
    Preview(kind='binary', text='00000000  00 01                                            ..', cut=False)
    """
    if not length:
        return Preview("empty")
    if picture_type(head) and length <= PICTURE_BYTES:
        return Preview("picture")
    text = _decoded(head, whole=len(head) >= length)
    if text is None:
        return Preview("binary", hex_lines(head[:HEX_BYTES]), cut=length > HEX_BYTES)
    return Preview("text", text, cut=length > len(head))


def _decoded(head: bytes, *, whole: bool) -> str | None:
    """Return the bytes as text; None for what is none."""
    encoding = "utf-8"
    for bom, named in _BOMS:
        if head.startswith(bom):
            head, encoding = head[len(bom) :], named
            break
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=whole)
    except UnicodeDecodeError:
        if b"\0" in head:
            return None
        text = head.decode("latin-1")  # a text of former times
        if any(0x7F <= ord(each) < 0xA0 for each in text):
            return None
    if any(each < " " and each not in _TEXT_CONTROLS for each in text):
        return None
    return text


def hex_lines(data: bytes) -> str:
    """Return bytes as numbers and characters, 16 a line."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        numbers = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        letters = "".join(chr(each) if 0x20 <= each < 0x7F else "." for each in row)
        lines.append(f"{start:08x}  {numbers:<49}{letters}")
    return "\n".join(lines)


__all__ = ["HEX_BYTES", "PICTURE_BYTES", "TEXT_BYTES", "Preview", "hex_lines", "picture_type", "preview"]
