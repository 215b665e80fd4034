"""Reading extended attributes and the identity of hard links from a source, where a snapshot is asked to record them.

Facts: xattr(7). POSIX ACLs are two attributes in the form that the kernel gives them, with numbers for users and groups.
"""

import errno
import logging
import os
import stat
import sys
from collections.abc import Iterable, Sequence

import msgspec

from pykopia.errors import UsageError
from pykopia.format.directory import DirectoryEntry
from pykopia.format.extended_attributes import ExtendedAttributes
from pykopia.format.gojson import stored_form
from pykopia.snapshot.listing import Named
from pykopia.snapshot.source_folder import Folder, Item

log = logging.getLogger(__name__)

USER = "user."
"""Namespace of attributes that are of the same use as contents."""
RECORDED = (USER, "security.", "trusted.")
"""Namespaces that are recorded in full, but for ``OF_THE_MACHINE``."""
DEFAULT_ACL = "system.posix_acl_default"
ACLS = frozenset({"system.posix_acl_access", DEFAULT_ACL})
OF_THE_MACHINE = frozenset({"security.evm", "security.ima"})
"""Signatures that hold for one inode, or that the kernel alone may write."""
NO_ATTRIBUTES = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""Errors of a file system without extended attributes."""


def check_supported() -> None:
    """Refuse to go on where the system's extended attributes can't be reached.

    Raises:
        UsageError: this is not Linux.
    """
    if not hasattr(os, "listxattr"):
        raise UsageError(f"extended attributes can be recorded and restored on Linux only, and this is {sys.platform}")


def is_recorded(name: str) -> bool:
    """Return True if an extended attribute belongs into a snapshot, and may be set by a restore.

    >>> is_recorded("user.comment"), is_recorded("system.posix_acl_access"), is_recorded("security.evm")
    (True, True, False)
    """
    return name in ACLS or (name.startswith(RECORDED) and name not in OF_THE_MACHINE)


class AttributeReader:
    """Adds extended attributes and hard links to the entries of a snapshot; safe for threads."""

    def __init__(self, device: int) -> None:
        """Prepare.

        Args:
            device: number of the one that the root of the source is on.
        """
        self._device = device

    def of(self, path: str, status: os.stat_result) -> ExtendedAttributes | None:
        """Return what is to be recorded of a file, folder or link; None for nothing.

        What can't be read is missing from the snapshot, with a warning: the file itself matters more.
        """
        values = []
        try:
            for name in sorted(os.listxattr(path, follow_symlinks=False)):
                if is_recorded(name) and _is_text(path, name):
                    value = _value(path, name)
                    if value is not None:
                        values.append((name, value))
        except OSError as error:
            if error.errno not in NO_ATTRIBUTES:
                log.warning(
                    "the extended attributes of %s can't be read, the snapshot does not have them: %s",
                    stored_form(path),
                    error.strerror,
                )
        link = self._hard_link(status)
        return ExtendedAttributes(tuple(values), link) if values or link else None

    def _hard_link(self, status: os.stat_result) -> str:
        """Return the identity of a file with several names, empty for anything else.

        The number of the root's device is left out: it may be another one after the next start of the machine.
        """
        if not stat.S_ISREG(status.st_mode) or status.st_nlink < 2:
            return ""
        return str(status.st_ino) if status.st_dev == self._device else f"{status.st_ino}@{status.st_dev}"

    def added_to(self, entry: DirectoryEntry, item: Item) -> DirectoryEntry:
        """Return the entry of a file or link with what is to be recorded of it now."""
        folder, name, status = item
        extended = self.of(f"{folder.path}/{name}", status)
        return entry if extended == entry.extended else msgspec.structs.replace(entry, extended=extended)

    def refresh(self, folder: Folder, entries: Iterable[Named]) -> None:
        """Record anew for the files that a folder has taken over: their contents are as they were, the rest may not be."""
        statuses = dict(entries)
        taken: Sequence[DirectoryEntry] = folder.entries[: folder.taken_over]
        folder.entries[: folder.taken_over] = [
            self.added_to(entry, (folder, entry.name, statuses[entry.name])) for entry in taken
        ]
        folder.taken_over = 0  # each has to be compared with what it was


def _value(path: str, name: str) -> bytes | None:
    """Return the value of an extended attribute; None if it was removed since it was listed, or can't be read."""
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENODATA:
            log.warning(
                "the extended attribute %s of %s can't be read, the snapshot does not have it: %s",
                name,
                stored_form(path),
                error.strerror,
            )
        return None


def _is_text(path: str, name: str) -> bool:
    """Return True if the name of an attribute can be stored."""
    try:
        name.encode()
    except UnicodeEncodeError:
        log.warning("the extended attribute %r of %s is not recorded: its name is not UTF-8", name, stored_form(path))
        return False
    return True


__all__ = [
    "ACLS",
    "DEFAULT_ACL",
    "NO_ATTRIBUTES",
    "USER",
    "AttributeReader",
    "check_supported",
    "is_recorded",
]
