"""`mount`: a snapshot, the snapshots of a source, or all of them as a folder, for reading."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pykopia.cli import passwords
from pykopia.cli.flags.mount import MountOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.references import entry_of
from pykopia.cli.session import Session

if TYPE_CHECKING:
    from pykopia.access.mount_tree import Top
    from pykopia.api.repository import Repository
    from pykopia.format.snapshot_manifest import SnapshotManifest

ALL = "all"
ANYWHERE = "*"


def mount(session: Session, options: MountOptions) -> int:
    """Mount, and unmount at a signal; in the background return once files can be opened.

    Raises:
        MountError: it can't be mounted.
        SnapshotNotFoundError: there is no such snapshot or source.
        CommandLineError: it is a file, or flags exclude each other.
    """
    place = options.mount_point or ANYWHERE
    if options.background and options.foreground:
        message = "--foreground and --background exclude each other"
        raise CommandLineError(message)
    folder = Path(tempfile.mkdtemp(prefix="pykopia-mount-") if place == ANYWHERE else place)
    try:
        if options.background:
            return _in_background(session, options, folder)
        _in_foreground(session, options, folder)
    finally:
        if place == ANYWHERE and not options.background:
            folder.rmdir()
    return 0


def _in_foreground(session: Session, options: MountOptions, folder: Path) -> None:
    from pykopia.access.mount_tree import MountTree  # noqa: PLC0415 -- after the flags were checked
    from pykopia.access.mounting import mount as mount_tree  # noqa: PLC0415
    from pykopia.access.view import RepositoryView  # noqa: PLC0415

    what = options.path or ALL

    def mounted() -> None:
        session.log.info("mounted %s on %s; press Ctrl-C to unmount", what, folder)
        if options.ready_descriptor >= 0:
            os.write(options.ready_descriptor, b"1")
            os.close(options.ready_descriptor)

    with session.open() as repository:
        view = RepositoryView(repository)
        tree = MountTree(view, _top(session, repository, what))
        mount_tree(
            tree,
            folder,
            name=f"pykopia:{what}",
            mounted=mounted,
            allow_other=options.fuse_allow_other,
            allow_non_empty=options.fuse_allow_non_empty_mount,
        )
        view.close()
    session.log.info("unmounted %s", folder)


def _top(session: Session, repository: "Repository", text: str) -> "Callable[[Sequence[SnapshotManifest]], Top]":
    """Return what makes the uppermost folders of the mount from the snapshots that there are."""
    from pykopia.access.mount_tree import tree_of_all, tree_of_source  # noqa: PLC0415

    if text == ALL:
        return tree_of_all
    if any(str(each) == text for each in repository.snapshots.sources()):
        return lambda snapshots: tree_of_source(each for each in snapshots if str(each.source) == text)
    entry = entry_of(session, repository, text)
    if entry.type != "d":
        message = f"{text} is a file, and only folders can be mounted; `pykopia show` prints files"
        raise CommandLineError(message)
    return lambda _: entry


def _in_background(session: Session, options: MountOptions, folder: Path) -> int:
    """Mount by another process; return its status if it ends before the mount is there."""
    environment = {**session.environment, "KOPIA_PASSWORD": passwords.for_opening(session)}
    ready, writing = os.pipe()
    words = ["--config-file", str(session.config_path.absolute()), "mount", options.path or ALL, str(folder.absolute())]
    if session.flags.log_dir:
        words[:0] = ["--log-dir", os.path.abspath(session.flags.log_dir)]
    words += ["--foreground", f"--ready-descriptor={writing}"]
    words += ["--fuse-allow-other"] if options.fuse_allow_other else []
    words += ["--fuse-allow-non-empty-mount"] if options.fuse_allow_non_empty_mount else []
    with tempfile.TemporaryFile() as messages, open(ready, "rb") as waiting:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pykopia", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            env=environment,
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        if waiting.read(1):
            process.returncode = 0  # it goes on without this process, which need not wait for it
            session.log.info("mounted %s on %s; `umount %s` ends it", options.path or ALL, folder, folder)
            return 0
        status = process.wait()
        messages.seek(0)
        session.tell(messages.read().decode("utf-8", "surrogateescape"))
        return status or 1


__all__ = ["mount"]
