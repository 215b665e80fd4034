from collections.abc import Callable, Iterable
from typing import Any, TypeVar

_SummaryT = TypeVar("_SummaryT")

def encode_directory(
    entries: Iterable[object],
    summary: object,
    astuple: Callable[[Any], tuple[Any, ...]],
    summary_text: Callable[[Any], str],
) -> bytes | None: ...
def decode_directory(
    data: bytes,
    make_summary: Callable[[int, int, int, int, int, str, int], _SummaryT],
    decode_summary: Callable[[bytes], _SummaryT],
) -> tuple[list[list[Any]], _SummaryT | None] | None: ...
