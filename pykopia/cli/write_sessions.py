"""`session list`: write sessions whose markers are on storage."""

from pykopia.cli.session import Session
from pykopia.maintenance.blobs import active_sessions


def list_sessions(session: Session) -> None:
    """List the sessions that write now, or were killed: ID, user and host, start, last sign of life."""
    with session.open() as repository:
        found = active_sessions(repository)
    for each in found.values():
        client = session.name(f"{each.username}@{each.hostname}")
        session.write(
            f"{each.session_id} {client} {session.time(each.start_time_ns)} {session.time(each.checkpoint_time_ns)}"
        )


__all__ = ["list_sessions"]
