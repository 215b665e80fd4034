"""Exporting a snapshot, a folder or a file of one as an archive, to any stream that takes bytes."""

import io
from typing import Final, Literal

from pykopia.errors import RestoreError, UsageError
from pykopia.format.directory import DIRECTORY, SYMLINK, DirectoryEntry
from pykopia.repository.core import Core
from pykopia.snapshot.progress import Progress
from pykopia.snapshot.restore import ENTRY_ERRORS, Restore, describe
from pykopia.snapshot.restore_archive import TarOutput, ZipOutput
from pykopia.snapshot.restore_options import RestoreCounters, RestoreOptions, RestoreResult
from pykopia.snapshot.restore_stream import ByteSink, Sink, StreamSink
from pykopia.snapshot.selection import Selection

ExportFormat = Literal["tar", "tar.gz", "zip"]

FORMATS: Final[tuple[ExportFormat, ...]] = ("tar", "tar.gz", "zip")


def export(
    repository: Core,
    entry: DirectoryEntry,
    sink: ByteSink,
    export_format: ExportFormat,
    options: RestoreOptions,
    progress: Progress[RestoreCounters],
) -> RestoreResult:
    """Write an archive; a file or link alone becomes an archive with one entry.

    Raises:
        RestoreError: an entry can't be read, or the sink can't be written to.
        UsageError: the sink takes no bytes.
    """
    given: object = sink
    if not callable(getattr(given, "write", None)) or isinstance(given, io.TextIOBase):
        raise UsageError("an archive is written to a stream that takes bytes, such as a file opened in binary mode")
    stream = StreamSink(sink)
    output = _output(stream, repository, export_format, whole=options.ignore_errors)
    if entry.type == DIRECTORY:
        selection = Selection(options.include, options.exclude)
        return Restore(repository, output, options, progress, selection).run(entry)
    try:
        if entry.type == SYMLINK:
            output.symlink("", entry, entry.name)
        else:
            output.file(entry, entry.name)
    except ENTRY_ERRORS as error:
        output.close(complete=False)
        raise error if isinstance(error, RestoreError) else RestoreError(describe(entry.name, error)) from error
    output.close(complete=True)
    progress.add(
        restored_files=int(entry.type != SYMLINK),
        restored_symlinks=int(entry.type == SYMLINK),
        restored_bytes=entry.size,
    )
    return RestoreResult(counters=progress.counters)


def _output(sink: Sink, repository: Core, export_format: ExportFormat, *, whole: bool) -> TarOutput | ZipOutput:
    if export_format == "zip":
        return ZipOutput(sink, repository.objects, whole=whole, compressed=True)
    return TarOutput(sink, repository.objects, whole=whole, compressed=export_format == "tar.gz")


__all__ = ["FORMATS", "ExportFormat", "export"]
