"""The caches of a client: hard limits, damage, full disks, and that repositories read through them."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.format.local_config import CachingOptions
from pykopia.repository.cache import MAC_LENGTH, TAG_NAME, BlobCache, tag_cache_folder
from pykopia.repository.caches import Caches
from pykopia.repository.contents import ContentStore
from pykopia.repository.memory_cache import MemoryCache
from pykopia.testing import CountingStorage, FakeClock

KEY = b"k" * 32


@pytest.fixture
def time() -> Iterator[FakeClock]:
    clock = FakeClock()
    with clock.installed():
        yield clock


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path / "cache", limit_bytes=10_000, mac_key=KEY)


def on_disk(cache: BlobCache) -> int:
    return sum(path.stat().st_size for path in cache.folder.rglob("*") if path.is_file())


def test_what_was_put_is_found_by_any_client_with_the_key(cache: BlobCache) -> None:
    cache.put("q1", b"one")
    cache.put("q2", b"")
    cache.put("q1", b"uno")
    same = BlobCache(cache.folder, limit_bytes=10_000, mac_key=KEY)
    assert (same.get("q1"), same.get("q2"), same.get("q3")) == (b"uno", b"", None)
    assert BlobCache(cache.folder, limit_bytes=10_000, mac_key=b"x" * 32).get("q1") is None
    assert cache.get("q1") is None, "what another key protects is dropped: it can't be told from damage"


def test_only_the_owner_can_read_what_is_kept(cache: BlobCache) -> None:
    cache.put("q1", b"one")
    [path] = (path for path in cache.folder.rglob("*") if path.is_file())
    assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0


def test_the_limit_holds_after_every_put(cache: BlobCache) -> None:
    for number in range(80):
        cache.put(f"p{number:032x}", bytes(number * 67 % 900))
        assert on_disk(cache) <= cache.limit_bytes
    assert cache.usage().total_bytes == on_disk(cache) > 5000


def test_the_limit_holds_when_several_processes_write(tmp_path: Path) -> None:
    several = [BlobCache(tmp_path, limit_bytes=100_000, mac_key=KEY) for _ in range(4)]
    for number in range(400):
        several[number % 4].put(f"p{number:032x}", bytes(900))
        if number % 7 == 0:  # in turn after a put of each
            assert on_disk(several[0]) <= 120_000, "each counts again after it has added a twentieth"


def test_what_was_not_used_for_longest_makes_room(cache: BlobCache, time: FakeClock) -> None:
    for name in ("old", "used", "new"):
        cache.put(name, bytes(3000))
        path = next(cache.folder.rglob(f"{name}.f"))
        os.utime(path, ns=(time.now_ns, time.now_ns))
        time.advance(hours=1)
    assert cache.get("used") == bytes(3000)
    os.utime(next(cache.folder.rglob("used.f")), ns=(time.now_ns, time.now_ns))
    cache.put("more", bytes(3000))
    assert [name for name in ("old", "used", "new", "more") if cache.get(name) is not None] == ["used", "new", "more"]


def test_a_hit_renews_the_time_once_in_a_while(cache: BlobCache, time: FakeClock) -> None:
    cache.put("name", b"data")
    [path] = cache.folder.rglob("name.f")
    os.utime(path, ns=(time.now_ns, time.now_ns))
    time.advance(minutes=9)
    cache.get("name")
    assert path.stat().st_mtime_ns == time.now_ns - 9 * 60 * 10**9
    time.advance(minutes=2)
    cache.get("name")
    assert path.stat().st_mtime_ns != time.now_ns - 11 * 60 * 10**9


def test_a_blob_larger_than_the_cache_drops_nothing(cache: BlobCache) -> None:
    cache.put("small", b"data")
    cache.put("large", bytes(10_000 - MAC_LENGTH + 1))
    assert (cache.get("small"), cache.get("large")) == (b"data", None)
    cache.put("large", bytes(10_000 - MAC_LENGTH))
    assert cache.get("large") == bytes(10_000 - MAC_LENGTH)


def test_no_limit_means_no_cache(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "cache", limit_bytes=0, mac_key=KEY)
    cache.put("name", b"data")
    assert cache.get("name") is None
    assert not cache.folder.exists()


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_is_a_miss_that_is_told_and_removed(
    cache: BlobCache, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put("name", b"the data")
    [path] = cache.folder.rglob("name.f")
    stored = bytearray(path.read_bytes())
    stored[3] ^= 1
    path.write_bytes(stored if damage is None else damage)
    assert cache.get("name") is None
    assert "is damaged" in caplog.text
    assert not path.exists()
    cache.put("name", b"the data")
    assert cache.get("name") == b"the data"


def test_a_disk_that_can_not_be_written_to_switches_the_cache_off_once(
    cache: BlobCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.put("before", b"data")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.put("name", b"data")
    cache.put("other", b"data")
    assert caplog.text.count("is switched off") == 1
    assert "No space left on device" in caplog.text
    assert [path.name for path in cache.folder.rglob("*") if path.is_file()] == ["before.f"]
    assert cache.get("before") == b"data", "reading goes on"


def test_clearing_drops_everything_and_what_comes_after_is_kept(cache: BlobCache) -> None:
    cache.put("a1", b"data")
    cache.clear()
    assert cache.get("a1") is None
    cache.remove("a1")
    cache.put("a2", b"data")
    assert cache.usage().files == 1


def test_threads_may_share_a_cache(cache: BlobCache) -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for each in range(100):
            name = f"n{each % 20:02}"
            cache.put(name, name.encode() * 50)
            found = cache.get(name)
            if found not in (None, name.encode() * 50):
                wrong.append(f"{number}: {name}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_cache_folder_is_marked_for_backups_to_pass_over(tmp_path: Path) -> None:
    tag_cache_folder(tmp_path / "new")
    (tmp_path / "new" / TAG_NAME).write_bytes(b"mine")
    tag_cache_folder(tmp_path / "new")
    assert (tmp_path / "new" / TAG_NAME).read_bytes() == b"mine"


def test_memory_holds_no_more_than_its_limit() -> None:
    cache: MemoryCache[str, bytes] = MemoryCache(100)
    cache.put("a", b"1", 40)
    cache.put("b", b"2", 40)
    assert cache.get("a") == b"1"
    cache.put("c", b"3", 40)
    assert [cache.get(key) for key in "abc"] == [b"1", None, b"3"]
    cache.put("a", b"4", 60)
    cache.put("d", b"5", 101)
    assert [cache.get(key) for key in "acd"] == [b"4", b"3", None]


# ---------------------------------------------------------------------- repositories


def cached(repository: Repository, folder: Path, storage: CountingStorage) -> tuple[ContentStore, Caches]:
    """Return the contents of a repository read as if its storage were far away."""
    caching = CachingOptions(cache_directory=str(folder), content_cache_size_bytes=1 << 20)
    caches = Caches(None, caching, unique_id=b"u" * 32, mac_key=KEY, local_storage=False)
    return ContentStore(storage, repository.contents.indexes, repository.contents.sealer, caches.contents), caches


def test_the_second_reader_of_a_machine_asks_the_storage_for_nothing(repository: Repository, tmp_path: Path) -> None:
    with repository.writer() as writer:
        data = writer.contents.write(b"data of a file " * 100)
        listing = writer.contents.write(b"a folder's listing", prefix="k")
    repository.refresh()
    storage = CountingStorage(repository.storage)
    first, _ = cached(repository, tmp_path / "cache", storage)
    assert (first.get(data), first.get(listing)) == (b"data of a file " * 100, b"a folder's listing")
    assert storage.count("get") == 2
    second, caches = cached(repository, tmp_path / "cache", storage)
    assert (second.get(data), second.get(listing)) == (b"data of a file " * 100, b"a folder's listing")
    assert storage.count("get") == 2
    assert {each.name: each.usage.files for each in caches.report()} == {"metadata": 1, "contents": 1, "indexes": 0}
    for path in (tmp_path / "cache" / "pykopia").rglob("*.f"):
        path.write_bytes(b"rubbish")
    third, _ = cached(repository, tmp_path / "cache", storage)
    assert (third.get(data), third.get(listing)) == (b"data of a file " * 100, b"a folder's listing")
    assert storage.count("get") == 4
    caches.clear()
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [TAG_NAME]


def test_nothing_readable_lies_in_a_cache(repository: Repository, tmp_path: Path) -> None:
    with repository.writer() as writer:
        content = writer.contents.write(b"a secret that must not be there")
    repository.refresh()
    contents, _ = cached(repository, tmp_path / "cache", CountingStorage(repository.storage))
    contents.get(content)
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.rglob("*.f"))
