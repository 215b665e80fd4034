"""Going through a tree of folders, one after the other or several at a time."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pykopia.crew import Crew
from pykopia.format.blob import BlobMetadata


class Folder(NamedTuple):
    """A folder that is still to be looked into."""

    path: str
    joined: str
    """All folder names from the root on, joined without a separator: how the IDs of its blobs begin."""


def walk(scan: Callable[[Folder], Iterable[BlobMetadata | Folder]], root: str, workers: int) -> Iterator[BlobMetadata]:
    """Yield the blobs of all folders.

    Args:
        scan: Yields the blobs of one folder, and the folders in it that may hold more.
        root: Path of the topmost folder.
        workers: Folders that are looked into at one time: worth more than one where each look goes over a network.
    """
    if workers > 1:
        yield from _in_parallel(scan, root, workers)
        return
    folders = [Folder(root, "")]
    while folders:
        for entry in scan(folders.pop()):
            if isinstance(entry, Folder):
                folders.append(entry)
            else:
                yield entry


def _in_parallel(
    scan: Callable[[Folder], Iterable[BlobMetadata | Folder]], root: str, workers: int
) -> Iterator[BlobMetadata]:
    with Crew[list[BlobMetadata | Folder]](workers, name="list-blobs") as crew:
        crew.submit(lambda: [*scan(Folder(root, ""))])
        for entries in crew.results():
            for entry in entries:
                if isinstance(entry, Folder):
                    crew.submit(lambda folder: [*scan(folder)], entry)
                else:
                    yield entry


__all__ = ["Folder", "walk"]
