"""The hash by which OpenSSL finds a certificate in a folder: ``openssl x509 -subject_hash``.

It is the SHA-1 of the subject in one form for all spellings of a name: texts in UTF-8, lower case, with single blanks.
"""

import hashlib
from collections.abc import Iterator

_EXPLICIT_VERSION = 0xA0
_SEQUENCE, _SET, _UTF8 = 0x30, 0x31, 0x0C
_ENCODINGS = {
    _UTF8: "utf-8",
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # T61String
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
_BLANKS = " \t\n\v\f\r"


def subject_hash(certificate: bytes) -> str:
    """Return the hash of the subject of a certificate in DER, as 8 hexadecimal digits.

    Raises:
        ValueError: it is no certificate.
    """
    ((_, whole),) = _values(certificate)
    (_, signed), *_ = _values(whole)
    fields = [field for field in _values(signed) if field[0] != _EXPLICIT_VERSION]
    _, _, _, _, (_, subject), *_ = fields  # after serial number, algorithm, issuer and validity
    names = b"".join(_encoded(_SET, b"".join(sorted(map(_one_form, _values(names))))) for _, names in _values(subject))
    return hashlib.sha1(names, usedforsecurity=False).digest()[3::-1].hex()


def _one_form(attribute: tuple[int, bytes]) -> bytes:
    (kind, identifier), (tag, value) = _values(attribute[1])
    if tag in _ENCODINGS:
        words = value.decode(_ENCODINGS[tag]).strip(_BLANKS)
        for blank in _BLANKS[1:]:
            words = words.replace(blank, " ")
        tag, value = _UTF8, " ".join(filter(None, words.split(" "))).encode().lower()  # of bytes: ASCII letters alone
    return _encoded(_SEQUENCE, _encoded(kind, identifier) + _encoded(tag, value))


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tags and values that follow each other in DER."""
    position = 0
    while position < len(data):
        if len(data) - position < 2:
            raise ValueError("a value in DER is cut short")
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        end = position + length
        if end > len(data):
            raise ValueError("a value in DER is cut short")
        yield tag, data[position:end]
        position = end


def _encoded(tag: int, value: bytes) -> bytes:
    length = len(value)
    if length < 0x80:
        return bytes((tag, length)) + value
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + value


__all__ = ["subject_hash"]
