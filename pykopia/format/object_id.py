"""Object IDs: a content ID, with how the bytes of the object are got from it (format 04 §1).

``I`` for each level of indirection: the object with one ``I`` less is an index of the pieces. ``Z``: the content
carries a compression header and compressed bytes (old repositories). ``D``: a letter of old times without meaning,
dropped when written.
"""

import re
from typing import Final

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidIDError
from pykopia.format.content_id import parse_content_id, prefix_of
from pykopia.ids import ContentID, ObjectID

DIRECTORY_PREFIX: Final = "k"
"""Content prefix of directory objects and of their indexes."""

INDEX_PREFIX: Final = "x"
"""Content prefix of the indexes of objects without a prefix."""

CANONICAL: Final = re.compile(r"(?:I*|Z)[g-z]?(?:[0-9a-f]{2}){1,32}")
"""An object ID as it is written that refers to something: for quick checks with ``fullmatch``."""

_LETTERS: Final = re.compile("(I*)(Z?)D?")


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedObjectID:
    """The parts of an object ID."""

    indirection: int = 0
    """Number of indexes to go through; 0 means that the content is the object. Below 256."""
    compressed: bool = False
    """Whether the content begins with a compression header of the object layer."""
    content_id: ContentID
    """Empty in the empty ID, which no object has."""

    def __str__(self) -> str:
        return self.to_string()

    def to_string(self) -> ObjectID:
        """Return the ID as text, as Kopia writes it."""
        return ObjectID("I" * self.indirection + "Z" * self.compressed + self.content_id)

    @property
    def content_prefix(self) -> str:
        """The prefix letter of the content, or the empty text."""
        return prefix_of(self.content_id)

    @property
    def is_directory(self) -> bool:
        """Whether Kopia takes the object for a directory."""
        return self.content_prefix == DIRECTORY_PREFIX

    @property
    def index_object(self) -> "ParsedObjectID | None":
        """The ID of the index that lists the pieces; None when the object is not indirect."""
        if not self.indirection:
            return None
        return ParsedObjectID(indirection=self.indirection - 1, compressed=self.compressed, content_id=self.content_id)


def parse_object_id(text: str) -> ParsedObjectID:
    """Return the parts of an object ID.

    The empty text, and letters alone, are read as IDs of the empty content, as Kopia does; no entry may carry one.

    Raises:
        InvalidIDError: The text is not an object ID.

    >>> parse_object_id("Ixab0c")
    ParsedObjectID(indirection=1, compressed=False, content_id='xab0c')
    """
    if not isinstance(text, str):
        raise InvalidIDError("object ID", str(text), "it is no text")
    letters = _LETTERS.match(text)
    assert letters is not None  # the pattern matches the empty text
    indirection, compressed = len(letters[1]) % 256, bool(letters[2])  # one byte counts the levels
    if indirection and compressed:
        raise InvalidIDError("object", text, "Z can't be combined with I")
    try:
        content_id = parse_content_id(text[letters.end() :])
    except InvalidIDError as error:
        raise InvalidIDError("object", text, error.reason) from error
    return ParsedObjectID(indirection=indirection, compressed=compressed, content_id=content_id)


__all__ = ["CANONICAL", "DIRECTORY_PREFIX", "INDEX_PREFIX", "ParsedObjectID", "parse_object_id"]
