"""Verification of the contents of a repository, whole or in parts that are values.

A part is the packs whose names begin with certain letters: each pack is looked at by one part, and each part lists its own
packs alone. Names of packs are random, so parts are about equal.
"""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

import msgspec

from pykopia.arguments import check_fields, check_number
from pykopia.dataclass import dataclass
from pykopia.format.blob_names import PACK_PREFIXES
from pykopia.format.index_layout import IndexEntry
from pykopia.ids import BlobID, ContentID
from pykopia.json_part import part_from_json
from pykopia.repository.contents import ContentStore

DIGITS = "0123456789abcdef"
"""Digits of the names of packs, after the letter of their kind."""
PREFIXES_PER_PART = 4
"""Prefixes of each kind of packs that a part has at the least, so that parts can be made equal."""
MOST_PARTS = 4096
HUNDRED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentVerifyOptions:
    """What is verified of contents.

    Raises:
        UsageError: a value is out of range.
    """

    read_percent: float = 0
    """Share of the contents that are read, decrypted and hashed too. Of all others only the place in a pack is checked."""
    include_deleted: bool = False
    """Also those that are marked as deleted."""
    start: str = ""
    """First content ID."""
    end: str = "{"
    """Content ID after the last."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)
        check_number("read_percent", self.read_percent, least=0, most=HUNDRED)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentFailure:
    """A content that is damaged or can't be read."""

    content_id: ContentID
    pack_blob: BlobID
    error: Exception

    def __str__(self) -> str:
        return f"content {self.content_id}: {self.error}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentVerifyResult:
    """Result of a verification of contents."""

    verified: int = 0
    """Contents that were looked at."""
    read: int = 0
    """Contents that were read."""
    read_bytes: int = 0
    """Bytes of these in packs."""
    problems: tuple[ContentFailure, ...] = ()
    """Sorted by content ID."""
    index_problems: tuple[str, ...] = ()
    """Parts of the index that can't be read: the contents in them are not verified."""

    @property
    def errors(self) -> tuple[str, ...]:
        """One line for each of ``index_problems`` and ``problems``."""
        return (*self.index_problems, *map(str, self.problems))


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentVerifyPart:
    """A part of a verification of contents: a value that any process with access to the repository can carry out.

    It holds no secrets; it can be pickled, or sent as text.
    """

    number: int
    """Of the part, counted from 0."""
    packs: tuple[str, ...]
    """Beginnings of the names of its packs, all of the same length."""
    others: bool
    """Whether packs belong to it whose names are not like those of Kopia."""
    options: ContentVerifyOptions

    def to_json(self) -> bytes:
        """Return the part as text, for example for the argument of a job."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> "ContentVerifyPart":
        """Return a part that ``to_json`` wrote.

        Raises:
            UsageError: the text is no such part.
        """
        return part_from_json(cls, text, "part of a verification of contents")

    def chosen(self, entries: Iterable[IndexEntry]) -> Iterator[IndexEntry]:
        """Yield the entries whose packs belong to this part."""
        digits = len(self.packs[0]) - 1
        usual = re.compile(f"[{''.join(PACK_PREFIXES)}][{DIGITS}]{{{digits}}}")
        for entry in entries:
            if entry.pack_blob.startswith(self.packs) or (self.others and not usual.match(entry.pack_blob)):
                yield entry


def plan_verify_contents(parts: int, options: ContentVerifyOptions) -> list[ContentVerifyPart]:
    """Return parts that together verify all contents that the options name.

    Raises:
        UsageError: the number of parts is out of range.
    """
    check_number("parts", parts, least=1, most=MOST_PARTS)
    digits = 0
    while parts > 1 and len(DIGITS) ** digits < PREFIXES_PER_PART * parts:
        digits += 1
    prefixes = ["".join(each) for each in product(DIGITS, repeat=digits)]
    return [
        ContentVerifyPart(
            number=number,
            packs=tuple(kind + prefix for kind in PACK_PREFIXES for prefix in prefixes[number::parts]),
            others=number == 0,
            options=options,
        )
        for number in range(parts)
    ]


def verify_contents(contents: ContentStore, part: ContentVerifyPart) -> ContentVerifyResult:
    """Verify the contents of a part.

    Raises:
        StorageError: the storage can't be listed.
    """
    options = part.options
    problems: list[ContentFailure] = []
    verified = read = read_bytes = 0

    def is_read(entry: IndexEntry) -> bool:
        nonlocal read, read_bytes
        chosen = options.read_percent >= HUNDRED or random.random() * HUNDRED < options.read_percent  # noqa: S311
        read += chosen
        read_bytes += entry.packed_length * chosen
        return chosen

    def report(entry: IndexEntry, error: Exception | None) -> None:
        nonlocal verified
        verified += 1
        if error is not None:
            problems.append(ContentFailure(content_id=entry.content_id, pack_blob=entry.pack_blob, error=error))

    entries = contents.list(options.start, options.end, include_deleted=options.include_deleted)
    contents.verify(part.chosen(entries), read=is_read, report=report, packs=part.packs)
    return ContentVerifyResult(
        verified=verified,
        read=read,
        read_bytes=read_bytes,
        problems=tuple(sorted(problems, key=lambda each: each.content_id)),
        index_problems=tuple(sorted(map(str, contents.indexes.known_damage.values()))),
    )


def joined(results: Iterable[ContentVerifyResult]) -> ContentVerifyResult:
    """Return the result of a verification from those of its parts."""
    together = ContentVerifyResult()
    for each in results:
        together = replace(
            together,
            verified=together.verified + each.verified,
            read=together.read + each.read,
            read_bytes=together.read_bytes + each.read_bytes,
            problems=tuple(sorted((*together.problems, *each.problems), key=lambda failure: failure.content_id)),
            index_problems=tuple(sorted({*together.index_problems, *each.index_problems})),
        )
    return together


__all__ = [
    "ContentFailure",
    "ContentVerifyOptions",
    "ContentVerifyPart",
    "ContentVerifyResult",
    "joined",
    "plan_verify_contents",
    "verify_contents",
]
