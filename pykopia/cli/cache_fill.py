"""`cache prefetch`, `cache sync`: fill the local cache before the data is needed."""

from typing import TYPE_CHECKING

from pykopia.cli.flags.cache_fill import CachePrefetchOptions, CacheSyncOptions
from pykopia.cli.references import entry_of
from pykopia.cli.session import Session
from pykopia.crew import Crew, in_parallel
from pykopia.errors import PykopiaError
from pykopia.format.blob_names import METADATA_PACK_PREFIX
from pykopia.snapshot.trail import contents_below

if TYPE_CHECKING:
    from pykopia.ids import ContentID

_AT_ONCE = 8


def prefetch(session: Session, options: CachePrefetchOptions) -> int:
    """Read all contents of files and folders, which leaves them in the cache; the status is 1 when some can't be read."""
    failed = 0
    with session.open() as repository:
        entries = [entry_of(session, repository, text) for text in options.object]
        needed = list(dict.fromkeys(found for entry in entries for found in contents_below(entry, repository.objects)))

        def fetch(content_id: "ContentID") -> PykopiaError | None:
            try:
                repository.contents.get(content_id)
            except PykopiaError as error:
                return error
            return None

        errors = in_parallel(fetch, needed, threads=_AT_ONCE, name="pykopia-cache")
        for content_id, error in zip(needed, errors, strict=True):
            if error is not None:
                session.log.error("content %s can't be read: %s", content_id, error)
                failed += 1
    session.log.info("Prefetched %d contents.", len(needed) - failed)
    return 1 if failed else 0


def sync(session: Session, options: CacheSyncOptions) -> None:
    """Read all metadata packs, which leaves folders and manifests in the cache."""
    with session.open() as repository:
        packs: dict[str, ContentID] = {}
        for entry in repository.contents.list("g", "{"):
            if entry.pack_blob.startswith(METADATA_PACK_PREFIX):
                packs.setdefault(entry.pack_blob, entry.content_id)
        threads = options.parallel or 16
        with Crew[bytes](threads, most=2 * threads, name="pykopia-cache") as crew:
            for content_id in packs.values():
                crew.submit(repository.contents.get, content_id)
    session.log.info("The cache has all %d metadata packs.", len(packs))


__all__ = ["prefetch", "sync"]
