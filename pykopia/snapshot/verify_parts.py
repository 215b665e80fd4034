"""Parts of a verification as values, and results put together again."""

from collections.abc import Iterable, Sequence
from dataclasses import fields

import msgspec

from pykopia.dataclass import dataclass
from pykopia.json_part import part_from_json
from pykopia.repository.objects import ObjectStore
from pykopia.snapshot.dividing import pieces_of, shared_out
from pykopia.snapshot.verify import Root, VerifyCounters, VerifyFailure, VerifyOptions, VerifyResult


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyPart:
    """A part of a verification: a value that any process with access to the repository can carry out.

    It holds no secrets; it can be pickled, or sent as text.
    """

    roots: tuple[Root, ...]
    """What is verified."""
    options: VerifyOptions
    number: int
    """Of the part, counted from 0."""

    def to_json(self) -> bytes:
        """Return the part as text, for example for the argument of a job."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> "VerifyPart":
        """Return a part that ``to_json`` wrote.

        Raises:
            UsageError: the text is no such part.
        """
        return part_from_json(cls, text, "part of a verification")


def divide(objects: ObjectStore, roots: Sequence[Root], parts: int, options: VerifyOptions) -> list[VerifyPart]:
    """Return parts that together verify the trees of the given roots; at most ``parts``, none of them empty."""
    pieces = pieces_of(objects, [root.entry for root in roots], parts, distinct=True)
    groups = shared_out(pieces, [root.label for root in roots], parts)
    return [
        VerifyPart(
            roots=tuple(
                Root(
                    piece.entry,
                    roots[piece.root].label,
                    roots[piece.root].start_time_ns,
                    roots[piece.root].root,
                    path=piece.path,
                    shallow=piece.shallow,
                )
                for piece in group
            ),
            options=options,
            number=number,
        )
        for number, group in enumerate(groups)
    ]


def joined(results: Iterable[VerifyResult], roots: Sequence[Root]) -> VerifyResult:
    """Return the result of a verification from those of its parts.

    Args:
        results: of the parts; what several of them report is reported once.
        roots: what was to be verified.
    """
    results = [*results]
    sums = {
        each.name: sum(getattr(result.counters, each.name) for result in results) for each in fields(VerifyCounters)
    }
    summaries = [root.entry.summary for root in roots if root.entry.summary is not None]
    problems: dict[tuple[str, int | None, str, str], VerifyFailure] = {}
    for result in results:
        for each in result.problems:
            problems.setdefault((each.label, each.start_time_ns, each.path, str(each.error)), each)
    counters = VerifyCounters(
        **sums
        | {
            "expected_objects": sum(each.files + each.dirs + each.symlinks for each in summaries),
            "expected_files": sum(each.files for each in summaries),
            "expected_bytes": sum(each.size for each in summaries),
            "errors": len(problems),
        }
    )
    return VerifyResult(
        counters=counters,
        problems=tuple(problems.values()),
        snapshots=len(roots),
        stopped_early=any(result.stopped_early for result in results),
    )


__all__ = ["VerifyPart", "divide", "joined"]
