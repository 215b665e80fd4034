"""`ui`: snapshots in a browser of this machine."""

from typing import TYPE_CHECKING

from pykopia import clock
from pykopia.cli.flags.ui import PageOptions
from pykopia.cli.session import Session
from pykopia.errors import PageError

if TYPE_CHECKING:
    from pykopia.ui.page import PageServer

EXTRA = frozenset({"h11", "jinja2", "markupsafe", "python_multipart", "starlette", "uvicorn"})
"""Modules that the extra installs."""


def ui(session: Session, options: PageOptions) -> int:
    """Serve the page until a signal ends it.

    Raises:
        PageError: the port is taken, or the extra is missing.
    """
    _import()
    from pykopia.ui.page import PageServer  # noqa: PLC0415 -- an extra
    from pykopia.ui.site import Site  # noqa: PLC0415

    with session.open() as repository:
        site = Site(repository, now=clock.now, zone=session.zone)
        server = PageServer(site, port=options.port)
        _tell(session, server)
        server.run()
    return 0


def _import() -> None:
    """Import what the page needs before the repository is opened.

    Raises:
        PageError: the extra is missing.
    """
    try:
        import pykopia.ui.page  # noqa: F401, PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise PageError("what the page stands on is missing: pip install 'pykopia[ui]'") from error


def _tell(session: Session, server: "PageServer") -> None:
    """Print the address; it is no message of the log, for it opens the page."""
    session.write("Open this address in a browser of this machine. It is as secret as a password:\n")
    session.write(f"    {server.address}\n")
    session.write("Ctrl-C ends the page.")
    session.flush()


__all__ = ["ui"]
