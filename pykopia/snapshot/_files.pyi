import os
from collections.abc import Sequence

from pykopia.format.directory import DirectoryEntry

def read_files(paths: list[bytes], sizes: list[int]) -> list[bytes | int]: ...
def write_files(
    folders: list[int], entries: Sequence[DirectoryEntry], contents: list[bytes], flags: int
) -> list[int]: ...
def list_folder(path: bytes, /) -> list[tuple[str, os.stat_result]] | None: ...
