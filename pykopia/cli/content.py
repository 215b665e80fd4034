"""`content list`, `content show`."""

import gzip
import zlib
from collections.abc import Iterator

from pykopia.cli import formatting, jsontext
from pykopia.cli.flags.content import ContentListOptions, ContentShowOptions
from pykopia.cli.session import Session
from pykopia.errors import DamagedDataError
from pykopia.format.compression import HEADER_NAMES
from pykopia.format.content_id import parse_content_id
from pykopia.format.index_layout import IndexEntry

_SECOND = 1_000_000_000


def list_contents(session: Session, options: ContentListOptions) -> None:
    """List contents in order of their IDs."""
    with session.open() as repository:
        entries: Iterator[IndexEntry] = repository.contents.list(
            *options.bounds, include_deleted=options.deleted or options.deleted_only
        )
        if options.deleted_only:
            entries = (entry for entry in entries if entry.deleted)
        printer = options.json_list(session) if options.json else None
        count = total = 0
        for entry in entries:
            count += 1
            total += entry.packed_length
            if printer is not None:
                printer.add(as_json(entry))
            else:
                session.write(_line(session, options, entry))
        if printer is not None:
            printer.end()
        if options.summary:
            number = formatting.count(count) if options.human else count
            session.write(f"Total: {number} contents, {_size(session, options, total)} total size")


def as_json(entry: IndexEntry) -> dict[str, object]:
    """Return what Kopia's JSON says of a content."""
    fields: dict[str, object] = {
        "packFile": entry.pack_blob,
        "time": entry.timestamp,
        "originalLength": entry.original_length,
        "length": entry.packed_length,
        "packOffset": entry.pack_offset,
    }
    if entry.compression:
        fields["compression"] = entry.compression
    fields |= {"contentID": entry.content_id, "deleted": entry.deleted, "formatVersion": entry.format_version}
    if entry.encryption_key_id:
        fields["encryptionKeyID"] = entry.encryption_key_id
    return fields


def _line(session: Session, options: ContentListOptions, entry: IndexEntry) -> str:
    packed = _size(session, options, entry.packed_length)
    deleted = " (deleted)" if entry.deleted else ""
    if options.compression:
        length = _size(session, options, entry.original_length)
        return f"{entry.content_id} length {length} packed {packed} {_compression(entry)} {deleted}"
    if options.long:
        when = session.time(entry.timestamp * _SECOND)
        place = f"{entry.pack_blob} {entry.pack_offset}+{packed}"
        return f"{entry.content_id} {entry.original_length} {when} {place}{deleted} {_compression(entry)}"
    return entry.content_id


def _size(session: Session, options: ContentListOptions, length: int) -> str:
    return session.size(length) if options.human else str(length)


def _compression(entry: IndexEntry) -> str:
    if not entry.compression:
        return "-"
    name = HEADER_NAMES.get(entry.compression) or f"compression-{entry.compression:x}"
    if not entry.original_length:
        return name
    return f"{name} {formatting.percentage_saved(entry.original_length, entry.packed_length)}"


def show(session: Session, options: ContentShowOptions) -> None:
    """Print contents."""
    content_ids = [parse_content_id(text) for text in options.id]
    with session.open() as repository:
        for content_id in content_ids:
            data = repository.contents.get(content_id)
            if options.unzip:
                data = _unzipped(content_id, data)
            if options.json:
                data = jsontext.indent(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            session.write_bytes(data)


def _unzipped(content_id: str, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        message = f"content {content_id} can't be decompressed: {error}"
        raise DamagedDataError(message) from error


__all__ = ["as_json", "list_contents", "show"]
