"""Setting the extended attributes of what a restore has made.

Attributes of ``user.`` are set before owner and mode: a file that its owner may not write takes none. All others come
after them: a change of owner takes capabilities away, a change of the mode changes an ACL.
"""

import errno
import os
import threading
from collections.abc import Callable

from pykopia.errors import RestoreError
from pykopia.format.directory import DIRECTORY, DirectoryEntry
from pykopia.snapshot.extended_attributes import ACLS, DEFAULT_ACL, NO_ATTRIBUTES, USER, is_recorded
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.small_files import EXTENDED, MODE, OWNER, lacks_rights

CAPABILITY = "security.capability"
"""Rights that a program has whoever runs it, as by set-uid."""
TOO_LARGE = frozenset({errno.E2BIG, errno.ENOSPC, errno.ERANGE, errno.ENAMETOOLONG})
"""Errors for a name or value that the file system can't hold: ext4 has some 4,000 bytes for all attributes of a file."""


class AttributeWriter:
    """Sets extended attributes; safe for threads."""

    def __init__(self, options: RestoreOptions, warn: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            options: of the restore.
            warn: told of attributes that the file system of the target does not have.
        """
        self._options = options
        self._warn = warn
        self._lock = threading.Lock()
        self._unknown: set[str] = set()
        """Namespaces that the target does not have; each is reported once."""

    def before(self, place: int | str, entry: DirectoryEntry, path: str) -> int:
        """Set the attributes of ``user.``; call it before owner and mode are set.

        Args:
            place: an open file or folder, or the path of a link.
            entry: of the snapshot.
            path: that messages name it by.

        Returns:
            ``EXTENDED`` if one could not be set for lack of rights, else 0.

        Raises:
            RestoreError: one can't be set.
        """
        return self._set(place, entry, path, lambda name: name.startswith(USER))

    def after(self, place: int | str, entry: DirectoryEntry, path: str, unset: int) -> int:
        """Set all other attributes; ``unset`` says whether owner or mode could not be set. See ``before``.

        Capabilities are for a file of the recorded owner and mode alone, ACLs are a part of the mode.
        """
        options = self._options
        as_recorded = not (options.skip_owners or options.skip_permissions or unset & (OWNER | MODE))

        def wanted(name: str) -> bool:
            if name.startswith(USER) or not is_recorded(name):
                return False
            if name in ACLS:
                return not options.skip_permissions and (name != DEFAULT_ACL or entry.type == DIRECTORY)
            return name != CAPABILITY or as_recorded

        return self._set(place, entry, path, wanted)

    def _set(self, place: int | str, entry: DirectoryEntry, path: str, wanted: Callable[[str], bool]) -> int:
        unset = 0
        for name, value in entry.extended.values if entry.extended is not None else ():
            if not wanted(name):
                continue
            try:
                # an open file can't be asked not to follow: it is none
                os.setxattr(place, name, value, follow_symlinks=isinstance(place, int))
            except (OSError, ValueError) as error:
                unset |= self._failed(name, len(value), path, error)
        return unset

    def _failed(self, name: str, length: int, path: str, error: OSError | ValueError) -> int:
        """Pass over a lack of rights, and what the target can't hold, as for owners: the file itself matters more.

        Raises:
            RestoreError: it is another error, or none is to be passed over.
        """
        why = error.strerror if isinstance(error, OSError) else error
        if self._options.ignore_permission_errors:
            if isinstance(error, OSError) and lacks_rights(error):
                return EXTENDED
            if isinstance(error, OSError) and error.errno in NO_ATTRIBUTES:
                self._tell(name)
                return EXTENDED
            if isinstance(error, ValueError) or error.errno in TOO_LARGE:
                self._warn(f"{path}: the target can't hold its extended attribute {name} of {length} bytes: {why}")
                return 0
        raise RestoreError(f"can't set the extended attribute {name} of {path}: {why}") from error

    def _tell(self, name: str) -> None:
        namespace = name.partition(".")[0]
        with self._lock:
            if namespace in self._unknown:
                return
            self._unknown.add(namespace)
        self._warn(f"the file system of the target has no extended attributes such as {name}: they are not restored")


__all__ = ["AttributeWriter"]
