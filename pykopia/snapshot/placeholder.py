"""Placeholders of a shallow restore: an entry's JSON in place of its contents (format 04 §14.3)."""

from pykopia.format.directory import DirectoryEntry, decode_entry, encode_entry

PLACEHOLDER_SUFFIX = ".kopia-entry"


def placeholder_bytes(entry: DirectoryEntry) -> bytes:
    """Return what a placeholder of ``entry`` holds."""
    return encode_entry(entry) + b"\n"


def entry_of_placeholder(data: bytes) -> DirectoryEntry:
    """Return the entry that a placeholder stands for.

    Raises:
        DamagedObjectError: it is no placeholder.
    """
    return decode_entry(data)


__all__ = ["PLACEHOLDER_SUFFIX", "entry_of_placeholder", "placeholder_bytes"]
