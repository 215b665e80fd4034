"""Decrypted index files on this machine, mapped into memory.

Fetched index blobs are kept in the cache folder, readable by its owner alone, as Kopia does: so opening a repository again
costs no more than a listing. Many small ones are merged into one local file, so that a look-up costs one search.
"""

import contextlib
import hashlib
import json
import logging
import mmap
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from pykopia.errors import DamagedIndexError
from pykopia.format.index import IndexFile
from pykopia.format.index_merge import merge_index_files
from pykopia.ids import BlobID
from pykopia.private_file import write_private

log = logging.getLogger(__name__)


class LocalIndexFiles:
    """The index files of one repository in a folder, or in memory where there is none."""

    def __init__(self, folder: Path | None) -> None:
        """Keep files in ``folder``; in memory alone when it is None."""
        self._folder = folder

    def find(self, name: str) -> IndexFile | None:
        """Return the index file of a name; None where it is not here, or can't be read."""
        if self._folder is not None:
            with contextlib.suppress(OSError, ValueError, DamagedIndexError):  # an empty file can't be mapped
                return _map(self._folder / f"{name}.idx")
        return None

    def keep(self, name: str, plain: bytes) -> IndexFile:
        """Return an index file over ``plain``, mapped from the folder where there is one.

        Raises:
            DamagedIndexError: it is not an index.
        """
        if self._folder is not None:
            path = self._folder / f"{name}.idx"
            try:
                write_private(path, plain)
                return _map(path)
            except FileNotFoundError:
                pass  # another process tidied up in between
            except OSError as error:
                log.warning("index files are kept in memory, not in %s: %s", self._folder, error.strerror or error)
                self._folder = None
        return IndexFile(plain, name=name)

    def merged_copy(self, wanted: frozenset[BlobID]) -> tuple[str, frozenset[str]] | None:
        """Return the merged copy that covers most of the requested blobs and no others: its name and these blobs."""
        best: tuple[str, frozenset[str]] | None = None
        for name, members in self._merged_copies():
            if members <= wanted and (best is None or len(members) > len(best[1])):
                best = name, members
        return best

    def _merged_copies(self) -> Iterator[tuple[str, frozenset[str]]]:
        if self._folder is None:
            return
        for path in self._folder.glob("merged-*.json"):
            with contextlib.suppress(OSError, ValueError):
                yield path.stem, frozenset(json.loads(path.read_bytes()))

    def merge(self, files: Sequence[IndexFile], covers: frozenset[BlobID], *, version: int) -> dict[str, IndexFile]:
        """Return one file for many; deleted entries stay in it, the watermark may be another next time.

        Args:
            files: all index files that count.
            covers: the index blobs that they stand for.
            version: of the index file; 1 or 2.
        """
        members = sorted(covers)
        name = "merged-" + hashlib.sha256("\n".join(members).encode()).hexdigest()[:32]
        plain = merge_index_files(files, version=version)
        if len(plain) != 1:
            return {file.name: file for file in files}
        merged = self.keep(name, plain[0])
        if self._folder is not None:
            with contextlib.suppress(OSError):
                write_private(self._folder / f"{name}.json", json.dumps(members).encode())
        return {name: merged}

    def sweep(self, used: Container[str]) -> None:
        """Remove the files of other names; what is mapped stays usable until it is closed."""
        if self._folder is None:
            return
        for path in self._folder.glob("*"):
            if path.suffix in {".idx", ".json"} and path.stem not in used:
                with contextlib.suppress(OSError):
                    path.unlink()


def _map(path: Path) -> IndexFile:
    with open(path, "rb") as file:
        return IndexFile(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), name=path.stem)


__all__ = ["LocalIndexFiles"]
