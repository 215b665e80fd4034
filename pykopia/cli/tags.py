"""Tags on the command line."""

from collections.abc import Iterable

from pykopia.cli.parsing import CommandLineError


def parse_tags(texts: Iterable[str]) -> dict[str, str]:
    """Return the tags that ``key:value`` texts mean.

    Raises:
        CommandLineError: One has no colon, or a key comes twice.
    """
    tags: dict[str, str] = {}
    for text in texts:
        key, colon, value = text.partition(":")
        if not colon:
            message = f"--tags must be <key>:<value>; it is {text!r}"
            raise CommandLineError(message)
        if key in tags:
            message = f"tag {key!r} is given more than once"
            raise CommandLineError(message)
        tags[key] = value
    return tags


__all__ = ["parse_tags"]
