"""Taking a snapshot of a folder: one thread walks, several read, folders are written from the bottom up.

Facts: format 04 §11. ``PreviousEntries`` knows what earlier snapshots had, ``FileBatches`` reads what changed,
``FolderFinisher`` writes the folders. The walk runs ahead of the readers by a bounded number of batches, so memory does
not grow with the source.
"""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from pykopia.errors import CanceledError, PykopiaError, SourceReadError
from pykopia.format.directory import Directory, DirectoryEntry
from pykopia.format.ignore import IgnoreContext
from pykopia.format.policy_tree import PolicyTree
from pykopia.snapshot import walk
from pykopia.snapshot.actions import Actions
from pykopia.snapshot.file_batches import FileBatches
from pykopia.snapshot.folder_finishing import FolderFinisher
from pykopia.snapshot.listing import Named
from pykopia.snapshot.listing_ahead import ListingAhead
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX
from pykopia.snapshot.previous_entries import PreviousEntries, by_name, earlier_folders
from pykopia.snapshot.source_folder import Folder
from pykopia.snapshot.upload_options import CANCELED
from pykopia.snapshot.upload_state import UploadState

if TYPE_CHECKING:
    from pykopia.snapshot.extended_attributes import AttributeReader


class Upload:
    """The walk of one upload."""

    def __init__(
        self,
        previous: PreviousEntries,
        files: FileBatches,
        folders: FolderFinisher,
        actions: Actions,
        state: UploadState,
        *,
        stored_entry: Callable[[str, str], DirectoryEntry],
        attributes: "AttributeReader | None" = None,
        checkpoint: Callable[[Folder], None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            previous: what earlier snapshots had.
            files: reads files and links.
            folders: writes folders.
            actions: that run before a folder.
            state: shared by all of them.
            stored_entry: returns the entry that a placeholder stands for, from its path and the entry's name.
            attributes: reads extended attributes and hard links; None where they are not recorded.
            checkpoint: called with the root now and then.
        """
        self._previous = previous
        self._files = files
        self._folders = folders
        self._actions = actions
        self._state = state
        self._stored_entry = stored_entry
        self._attributes = attributes
        self._checkpoint = checkpoint
        self._ahead = ListingAhead(enabled=not actions.enabled, full_status=attributes is not None)

    def run(
        self, path: str, name: str, status: os.stat_result, policies: PolicyTree, previous: Sequence[Directory]
    ) -> DirectoryEntry:
        """Upload a folder; return its entry.

        Raises:
            SourceReadError: the folder itself can't be read.
            PykopiaError: the repository can't be written to.
        """
        root = Folder(path, "", name, status, None, IgnoreContext.empty(), policies, (), by_name(previous))
        checkpoint = self._checkpoint
        meanwhile = None if checkpoint is None else lambda: checkpoint(root)
        with self._ahead, self._state.crew as crew:
            stack = [root]
            while stack:
                folder = stack.pop()
                if self._state.stopping:
                    self._folders.leave_out(folder)
                    continue
                self._take(folder, stack)
                if meanwhile is not None:
                    meanwhile()
            self._files.send()
            crew.drain(meanwhile=meanwhile)
        assert self._folders.result is not None
        return root.entry(*self._folders.result)

    def _take(self, folder: Folder, stack: list[Folder]) -> None:
        """Look at a folder, hand on what must be read, put its folders on the stack."""
        self._state.progress.set(current_directory=folder.path)
        try:
            defined = folder.policies.defined
            if defined is not None:
                other = self._actions.before_folder(folder.relative, defined.actions)
                if other is not None:
                    folder.take_instead(other)
            entries, found, folder.context = walk.look(
                folder.path,
                folder.rules_path,
                folder.status.st_dev,
                folder.context,
                folder.policies,
                self._ahead.take(folder, stack),
            )
        except CanceledError:
            self._state.stop(CANCELED)
            self._folders.leave_out(folder)
            return
        except (OSError, PykopiaError) as error:
            self._folders.failed(folder, error)
            return
        self._count_excluded(found)
        if self._attributes is not None:
            folder.extended = self._attributes.of(folder.path, folder.status)
        self._previous.look_back(folder, stack)
        self._previous.take_over(folder, entries, found)
        if self._attributes is not None:
            self._attributes.refresh(folder, entries)
        for name, status in found.files:
            if name.endswith(PLACEHOLDER_SUFFIX):
                self._placeholder(folder, name, entries)
            else:
                self._files.add(folder, name, status)
        for name, status in found.links:
            self._files.add(folder, name, status)
        self._record_failures(folder, found)
        for name, status in found.folders:
            if name.endswith(PLACEHOLDER_SUFFIX):
                self._placeholder(folder, name, entries)
                continue
            inner = Folder(
                f"{folder.path}/{name}" if folder.path != "/" else f"/{name}",
                f"{folder.relative}/{name}",
                name,
                status,
                folder,
                folder.context,
                folder.policies.child(name),
                earlier_folders(folder, name),
            )
            self._folders.open(inner)
            stack.append(inner)
        self._folders.finished({folder: 1})

    def _record_failures(self, folder: Folder, found: walk.Found) -> None:
        """Record what can't be looked at, and what is neither file, folder nor link."""
        for name, is_folder, failure in found.failed:
            handling = folder.policies.child(name).effective.error_handling
            ignored = handling.ignore_directory_errors if is_folder else handling.ignore_file_errors
            self._state.entry_failed(folder, name, failure, ignored=bool(ignored))
        for name, status in found.unknown:
            if folder.policies.child(name).effective.error_handling.ignore_unknown_types is False:
                error = SourceReadError("unknown or unsupported entry type")
                self._state.entry_failed(folder, name, error, ignored=False)
            else:
                self._state.progress.add(**{_special_kind(status): 1})

    def _count_excluded(self, found: walk.Found) -> None:
        if found.excluded_files or found.excluded_folders:
            statistics = self._state.statistics
            statistics.excluded_file_count += found.excluded_files
            statistics.excluded_total_size += found.excluded_bytes
            statistics.excluded_directory_count += found.excluded_folders
            self._state.progress.add(
                excluded_files=found.excluded_files,
                excluded_bytes=found.excluded_bytes,
                excluded_directories=found.excluded_folders,
            )

    def _placeholder(self, folder: Folder, name: str, entries: Iterable[Named]) -> None:
        """Take over the entry of a placeholder (format 04 §14.3)."""
        try:
            real = name.removesuffix(PLACEHOLDER_SUFFIX)
            if any(real == other for other, _ in entries):
                raise SourceReadError(f"both {real} and its placeholder {name} exist")
            entry = self._stored_entry(f"{folder.path}/{name}", real)
        except (OSError, PykopiaError) as error:
            ignored = folder.policies.effective.error_handling.ignore_file_errors
            self._state.entry_failed(folder, name, error, ignored=bool(ignored))
        else:
            folder.entries.append(entry)


def _special_kind(status: os.stat_result) -> str:
    """Return the counter of an entry that is in no snapshot."""
    if stat.S_ISSOCK(status.st_mode):
        return "sockets"
    return "pipes" if stat.S_ISFIFO(status.st_mode) else "devices"


__all__ = ["Upload"]
