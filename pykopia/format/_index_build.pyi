from collections.abc import Collection, Sequence

from pykopia.format._index import IndexTable
from pykopia.format.index_layout import IndexEntry

def merge_tables(
    tables: Sequence[IndexTable],
    version: int,
    drop: Collection[bytes],
    drop_deleted_before: int | None,
    max_entries: int,
) -> list[bytes] | None: ...
def encode_entries(entries: list[IndexEntry], version: int) -> bytes | None: ...
