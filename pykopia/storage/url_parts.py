"""Parts of repository URLs that several kinds of storage have: a bucket with a folder, a host with a port."""

import re

from pykopia.errors import InvalidURLError

_BUCKET = re.compile(r"[A-Za-z0-9$](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_HOST = re.compile(r"\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")


def bucket_and_prefix(scheme: str, rest: str, pattern: re.Pattern[str] = _BUCKET) -> tuple[str, str]:
    """Return bucket and folder of ``bucket/folder``; a folder ends in one slash, and is empty where there is none.

    Raises:
        InvalidURLError: The bucket does not match the pattern.
    """
    bucket, _, folder = rest.partition("/")
    if not pattern.fullmatch(bucket) or ".." in bucket:
        raise InvalidURLError(
            f"{scheme}://{shown(bucket)} names no bucket: the form is {scheme}://BUCKET or {scheme}://BUCKET/FOLDER"
        )
    parts = [part for part in folder.split("/") if part]
    return bucket, "".join(f"{part}/" for part in parts)


def below(prefix: str) -> str:
    """Return how a message names the folder of a bucket after the bucket; nothing where there is none."""
    return f", prefix {prefix}" if prefix else ""


def host_and_port(scheme: str, address: str) -> tuple[str, int]:
    """Return host, without the brackets of IPv6, and port, 0 where it is not given."""
    host, port = address, ""
    if not address.endswith("]"):
        head, colon, tail = address.rpartition(":")
        if colon:
            host, port = head, tail
    match = _HOST.fullmatch(host)
    if match is None:
        raise InvalidURLError(f"{shown(host)!r} in a repository URL of scheme {scheme} is no host")
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise InvalidURLError(f"the port in a repository URL of scheme {scheme} must be 1 to 65535")
    return match[1] or match[2], int(port) if port else 0


def shown(text: str) -> str:
    """Return a part of a URL for a message, without the part before an ``@``: it may be a password."""
    return "***@" + text.rpartition("@")[2] if "@" in text else text


__all__ = ["below", "bucket_and_prefix", "host_and_port", "shown"]
