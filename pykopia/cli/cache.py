"""`cache clear`, `cache info`, `cache set`."""

import os
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pykopia.cli import formatting
from pykopia.cli.connect_flags import changed_caching
from pykopia.cli.connection_file import change_connection
from pykopia.cli.flags.cache import CacheClearOptions, CacheInfoOptions, CacheSetOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session

if TYPE_CHECKING:
    from pykopia.format.local_config import CachingOptions

_SECOND = 1_000_000_000
_MB = 1_000_000
_CONTENT_AGE, _METADATA_AGE = 600, 86_400
"""Kopia's defaults, in seconds."""


def info(session: Session, options: CacheInfoOptions) -> None:
    """Show what the cache holds."""
    session.open().close()
    caching, folder = _caching(session)
    if options.path:
        session.write(str(folder))
        return
    limits = {
        "contents": _limit_text(
            session,
            caching.content_cache_size_bytes,
            caching.content_cache_size_limit_bytes,
            caching.min_content_sweep_age_seconds or _CONTENT_AGE,
        ),
        "metadata": _limit_text(
            session,
            caching.metadata_cache_size_bytes,
            caching.metadata_cache_size_limit_bytes,
            caching.min_metadata_sweep_age_seconds or _METADATA_AGE,
        ),
        "blob-list": f" (duration: {formatting.duration(int(caching.max_list_cache_duration_seconds * _SECOND))})",
    }
    for part in _parts(folder):
        files, total = _usage(part)
        session.write(f"{part}: {files} files {session.size(total)}{limits.get(part.name, '')}")
    session.log.info("To adjust cache sizes use `pykopia cache set`; to empty caches use `pykopia cache clear`.")


def _limit_text(session: Session, soft: int, hard: int, age_seconds: float) -> str:
    age = formatting.duration(int(age_seconds * _SECOND))
    limit = session.size(hard) if hard > 0 else "none"
    return f" (soft limit: {session.size(soft)}, hard limit: {limit}, min sweep age: {age})"


def _parts(folder: Path) -> list[Path]:
    """Return the folders of the cache, ours and Kopia's."""
    try:
        found = [path for path in folder.iterdir() if path.is_dir()]
        own = (
            [path for path in (folder / "pykopia").iterdir() if path.is_dir()] if (folder / "pykopia").exists() else []
        )
    except OSError as error:
        message = f"the cache folder {folder} can't be read: {error.strerror}"
        raise CommandLineError(message) from None
    return sorted(own + [path for path in found if path.name != "pykopia"])


def _usage(folder: Path) -> tuple[int, int]:
    files = total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue  # deleted since it was listed
            files += 1
    return files, total


def clear(session: Session, options: CacheClearOptions) -> None:
    """Empty the cache; it fills again by itself."""
    session.open().close()
    _, folder = _caching(session)
    names = [Path(options.partial), Path("pykopia") / options.partial] if options.partial else [Path()]
    for name in names:
        target = folder / name
        session.log.info("Clearing cache directory: %s.", target)
        for child in target.iterdir() if target.is_dir() else ():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()


def set_cache(session: Session, options: CacheSetOptions) -> None:
    """Change folder and sizes of the cache."""
    session.open().close()
    caching, _ = _caching(session)
    changed = changed_caching(caching, options, unit=_MB)
    if options.cache_directory:
        changed = replace(changed, cache_directory=os.path.abspath(options.cache_directory))
    if changed == caching:
        message = "no changes: name what to set, such as --content-cache-size-mb=5000"
        raise CommandLineError(message)
    for each in fields(changed):
        value = getattr(changed, each.name)
        if value != getattr(caching, each.name):
            session.log.info("changing %s to %s", each.name.replace("_", " "), value)
    change_connection(session.config_path, caching=changed)


def _caching(session: Session) -> tuple["CachingOptions", Path]:
    from pykopia.repository.connection_file import read_config  # noqa: PLC0415

    caching = read_config(session.config_path).caching
    folder = caching.folder(session.config_path)
    if folder is None:
        message = "caching is not enabled"
        raise CommandLineError(message)
    return caching, folder


__all__ = ["clear", "info", "set_cache"]
