"""Folders of a source are listed before the walk comes to them, by several threads.

The system takes most of a walk's time where the answers come from a disk or a network: there several questions at one time
are as quick as one. What is listed ahead is bounded, so memory does not grow with the source.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Self

from pykopia.snapshot.listing import Listing, list_folders, python_list_folders
from pykopia.snapshot.source_folder import Folder

THREADS = 4
FOLDERS_AHEAD = 64
"""Of those that the walk comes to next."""
FOLDERS_AT_ONCE = 8
"""Listed by one task."""
ENTRIES_AHEAD = 100_000
"""No folder is listed ahead while so many entries are."""


class ListingAhead:
    """Lists folders ahead of a walk of one thread, which uses it for a ``with`` block.

    Args:
        enabled: Without it nothing is listed ahead, as where a program may change a folder just before the walk.
        full_status: Whether the walk needs more of a status than the native listing has.
    """

    def __init__(self, *, enabled: bool, full_status: bool = False) -> None:
        self._list_folders: Callable[[list[bytes]], list[Listing | None]] = (
            python_list_folders if full_status else list_folders
        )
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pykopia-list") if enabled else None
        self._tasks: dict[Folder, tuple[Future[list[Listing | None]], int]] = {}
        """The task that lists a folder, and the place of its listing in the result."""
        self._lock = threading.Lock()
        self._entries = 0
        """In listings that are done and not taken."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self, folder: Folder, stack: Sequence[Folder]) -> Listing | None:
        """Return what is in a folder, and let those that come next be listed.

        Args:
            folder: The one that the walk is at.
            stack: The folders that come next, the next one last.

        Returns:
            None when the folder, or anything in it, can't be looked at.
        """
        task = self._tasks.pop(folder, None)
        self._ask(stack)
        if task is None:
            (listing,) = self._list_folders([os.fsencode(folder.path)])
            return listing
        future, number = task
        listings = future.result()
        listing, listings[number] = listings[number], None
        self._count(-_size(listing))
        return listing

    def _ask(self, stack: Sequence[Folder]) -> None:
        """Let the next folders be listed, unless too much is already."""
        if self._pool is None:
            return
        following = [folder for folder in islice(reversed(stack), FOLDERS_AHEAD) if folder not in self._tasks]
        for first in range(0, len(following) - FOLDERS_AT_ONCE + 1, FOLDERS_AT_ONCE):
            if self._entries > ENTRIES_AHEAD:
                return
            folders = following[first : first + FOLDERS_AT_ONCE]
            future = self._pool.submit(self._list, [os.fsencode(folder.path) for folder in folders])
            for number, folder in enumerate(folders):
                self._tasks[folder] = future, number

    def _list(self, paths: list[bytes]) -> list[Listing | None]:
        listings = self._list_folders(paths)
        self._count(sum(map(_size, listings)))
        return listings

    def _count(self, entries: int) -> None:
        with self._lock:
            self._entries += entries


def _size(listing: Listing | None) -> int:
    return 0 if listing is None else len(listing)


__all__ = ["ListingAhead"]
