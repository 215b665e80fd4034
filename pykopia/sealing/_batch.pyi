from collections.abc import Sequence

from pykopia.format.zstd import Tuning
from pykopia.ids import Buffer
from pykopia.sealing.batch import WritableBuffer

LOADED: bool

class Keys:
    @property
    def lanes(self) -> int: ...
    def __init__(
        self,
        hash_function: str,
        digest_length: int,
        secret: bytes,
        cipher: str,
        content_root_key: bytes,
        most_lanes: int = 8,
    ) -> None: ...
    def keys_of(self, contents: list[Buffer], prefix: int, /) -> list[bytes]: ...
    def pack(
        self, contents: list[Buffer], levels: list[int | None], headers: list[int], tunings: list[Tuning], /
    ) -> Packed: ...
    def open(
        self,
        stored: Buffer,
        keys: list[bytes],
        offsets: list[int],
        lengths: list[int],
        compressions: list[int],
        originals: list[int],
        check: bool,
        /,
    ) -> list[bytes | None]: ...
    def check(
        self,
        stored: list[Buffer],
        keys: list[bytes],
        offsets: list[int],
        lengths: list[int],
        compressions: list[int],
        originals: list[int],
        /,
    ) -> list[bool]: ...

class Packed:
    lengths: list[int]
    compressions: list[int]
    def seal_into(
        self, keys: list[bytes], buffers: Sequence[WritableBuffer], offsets: list[int], nonces: bytes, /
    ) -> None: ...
