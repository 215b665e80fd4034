"""`content delete`, `content undelete`."""

from pykopia.cli.flags.content_change import ContentDeleteOptions, ContentUndeleteOptions
from pykopia.cli.session import Session
from pykopia.format.content_id import parse_content_id


def delete(session: Session, options: ContentDeleteOptions) -> None:
    """Mark contents as deleted; their bytes stay until maintenance."""
    session.require_dangerous_commands()
    content_ids = [parse_content_id(text) for text in options.id]
    with session.open() as repository, repository.writer() as writer:
        for content_id in content_ids:
            writer.contents.delete(content_id)


def undelete(session: Session, options: ContentUndeleteOptions) -> None:
    """Store deleted contents again, as long as their bytes are still there."""
    content_ids = [parse_content_id(text) for text in options.id]
    with session.open() as repository, repository.writer() as writer:
        for content_id in content_ids:
            if writer.contents.undelete(content_id):
                session.log.info("brought back content %s", content_id)
            else:
                session.log.info("content %s is not deleted", content_id)


__all__ = ["delete", "undelete"]
