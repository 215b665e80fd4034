from pykopia.ids import Buffer

def encode(
    data: Buffer,
    blocks: int,
    columns: int,
    rows: int,
    size: int,
    padded: bool,
    matrix: Buffer,
    out: bytearray | memoryview,
    /,
) -> None: ...
def multiply(matrix: Buffer, rows: int, columns: int, size: int, shards: Buffer, /) -> bytearray: ...
def strip(stored: Buffer, size: int, out: bytearray | memoryview, /) -> list[int]: ...
