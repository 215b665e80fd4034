"""The cache: within its volume, or not at all, and never a reason to fail."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pykopia_mover import cache as caches
from pykopia_mover.cache import IN_MEMORY, MOST, CachePlace, caching_options, find_place, make_room
from pykopia_mover.policy_files import RepositoryConfig
from pykopia_mover.settings import Settings

from tests.mover.harness import Mover, tree

MIB = 1 << 20


def place(folder: Path, capacity: int) -> CachePlace:
    return CachePlace(folder=folder, capacity=capacity)


def limits(
    capacity: int, settings: Settings | None = None, config: RepositoryConfig | None = None, manual: int | None = None
) -> tuple[int, int]:
    found = caching_options(place(Path("/c"), capacity), "ab", settings or Settings(), config, manual)
    assert found is not None
    return found.metadata_limit, found.content_limit


def test_m_051_limits_are_shares_of_the_capacity_with_something_left() -> None:
    metadata, content = limits(1000 * MIB)
    assert metadata == int(950 * MIB * 0.7)
    assert content == int(950 * MIB * 0.2)


def test_row_261_the_size_of_repository_config_limits_the_whole_cache() -> None:
    metadata, content = limits(1000 * MIB, config=RepositoryConfig(max_cache_size=100 * MIB))
    assert metadata + content <= 100 * MIB
    assert sum(limits(1000 * MIB, manual=50 * MIB)) <= 50 * MIB
    assert sum(limits(1000 * MIB, config=RepositoryConfig(max_cache_size=100 * MIB), manual=50 * MIB)) > 50 * MIB


def test_m_051_limits_of_their_own_come_first_and_stay_within_the_capacity() -> None:
    settings = Settings(metadata_cache_mb=100, content_cache_mb=30)
    config = RepositoryConfig(metadata_cache_size=5, content_cache_size=5)
    assert limits(1000 * MIB, settings, config) == (100 * MIB, 30 * MIB)
    assert limits(1000 * MIB, config=config) == (5, 5)
    assert sum(limits(100 * MIB, Settings(metadata_cache_mb=5000, content_cache_mb=5000))) <= 95 * MIB + 1
    assert sum(limits(100 * MIB, Settings(metadata_cache_mb=0))) <= 95 * MIB + 1


def test_row_262_the_time_that_a_listing_is_believed_is_passed_on() -> None:
    found = caching_options(
        place(Path("/c"), MIB), "ab", Settings(), RepositoryConfig(max_list_cache_seconds=600), manual_size=None
    )
    assert found is not None
    assert found.max_list_cache_duration_seconds == 600


def test_the_capacity_is_the_volume_s_or_what_is_given(tmp_path: Path) -> None:
    assert 0 < find_place(Settings(cache_dir=str(tmp_path / "new"))).capacity <= MOST
    assert find_place(Settings(cache_dir=str(tmp_path), cache_capacity_bytes=77)).capacity == 77
    if Path("/dev/shm").is_dir() and caches.is_in_memory(Path("/dev/shm")):
        folder = Path("/dev/shm/pykopia-test-cache")
        try:
            assert find_place(Settings(cache_dir=str(folder))).capacity <= IN_MEMORY
        finally:
            shutil.rmtree(folder)


def test_m_053_a_cache_that_cannot_be_written_to_is_replaced_or_done_without(mover: Mover) -> None:
    mover.write({"a": "b"})
    (mover.folder / "file").write_text("")
    bad = {"KOPIA_CACHE_DIR": f"{mover.folder}/file/cache"}
    result = mover.ok("backup", **bad)
    assert any("is not writable" in each and "16 MiB" in each for each in result.termination["warnings"])
    assert list((mover.folder / "tmp").iterdir()) == []
    (mover.folder / "tmp").rmdir()
    result = mover.ok("restore", **bad)
    assert any("does without a cache" in each for each in result.termination["warnings"])


@pytest.mark.parametrize("capacity", ["0", "1", "4096"])
def test_row_200_a_full_cache_is_a_warning_that_says_what_to_raise(mover: Mover, capacity: str) -> None:
    mover.write({f"f{number}": os.urandom(1000) for number in range(10)})
    mover.ok("backup")
    result = mover.ok("backup", KOPIA_CACHE_CAPACITY_BYTES=capacity)
    assert any("cacheCapacity" in each for each in result.termination["warnings"])
    restored = mover.ok("restore", KOPIA_CACHE_CAPACITY_BYTES=capacity)
    assert tree(mover.target) == tree(mover.data)
    maintained = mover.ok("maintenance", KOPIA_CACHE_CAPACITY_BYTES=capacity)
    for each in (restored.termination, maintained.termination):
        assert any("cacheCapacity" in warning for warning in each["warnings"])
        assert each["cache"]["limit"] == int(capacity)


def test_m_054_a_rebuild_drops_what_can_be_fetched_again(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    stray = mover.folder / "cache" / "pykopia" / "stray"
    stray.write_text("x")
    mover.ok("backup")
    assert stray.exists()
    mover.ok("backup", KOPIA_FORCE_CACHE_REBUILD="true")
    assert not stray.exists()


def test_m_052_damaged_files_in_the_cache_change_nothing(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup")
    for path in (mover.folder / "cache" / "pykopia").rglob("*"):
        if path.is_file():
            path.write_bytes(b"garbage")
    mover.ok("backup")
    mover.ok("restore")
    assert tree(mover.target) == {"a": b"b"}


def test_m_050_leftovers_of_kopia_go_in_order_while_space_is_short_and_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("y")
    folder = tmp_path / "cache"
    for name in ("metadata", "contents", "indexes", "own-writes"):
        (folder / name).mkdir(parents=True)
        (folder / name / "blob").write_bytes(bytes(1000))
    (folder / "kopia.config").symlink_to(outside)
    now = (folder / "own-writes" / "blob").stat().st_mtime_ns
    removed = make_room(place(folder, 3500), now_ns=now)
    assert removed == ["kopia.config", "contents"]
    assert (outside / "x").exists()
    assert make_room(place(folder, 10**9), now_ns=now) == []
    assert make_room(place(folder, 1), now_ns=now) == ["metadata", "indexes"]  # own writes are too young
    later = now + caches.OWN_WRITES_AGE_NS + 10**9
    assert make_room(place(folder, 1), now_ns=later) == ["own-writes"]


def test_m_006_a_signal_with_an_exhausted_cache_ends_as_such(mover: Mover) -> None:
    from pykopia_mover.run import Stop

    mover.write({"a": "b"})
    mover.ok("backup")
    stop = Stop()
    stop.ask()
    result = mover.run(("backup",), {"KOPIA_CACHE_CAPACITY_BYTES": "10"}, stop)
    assert result.status == 137
    assert result.code == "cache-exhausted"
    assert any("cacheCapacity" in each for each in result.termination["warnings"])


def test_m_051_a_cache_that_is_smaller_than_the_repository_stays_within_its_limit(mover: Mover) -> None:
    mover.write({f"f{number}": os.urandom(700_000) for number in range(12)})
    limit = {"KOPIA_CACHE_CAPACITY_BYTES": str(3 * MIB)}
    mover.ok("backup", **limit)
    for _ in range(2):
        mover.ok("restore", **limit)
        assert caches.used_bytes(mover.folder / "cache") <= 3 * MIB
    assert tree(mover.target) == tree(mover.data)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_m_052_a_cache_volume_that_is_full_ends_no_run(mover: Mover) -> None:
    cache = mover.folder / "cache"
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(cache)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        (cache / "somebody-else-s").write_bytes(bytes(60 << 10))
        mover.write({f"d{number}/f": os.urandom(30_000) for number in range(20)})
        big = {"KOPIA_CACHE_CAPACITY_BYTES": str(100 * MIB)}
        result = mover.ok("backup", "maintenance", **big)
        assert result.termination["op"] == "maintenance"
        mover.ok("backup", **big)
        mover.ok("restore", **big)
        assert tree(mover.target) == tree(mover.data)
        assert any("cacheCapacity" in each for each in mover.ok("backup", **big).termination["warnings"])
    finally:
        subprocess.run(["umount", cache], check=True)
