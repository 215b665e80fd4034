"""Repositories of every format: what pykopia or a real kopia makes, the other one reads, verifies and goes on with."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pykopia.api.opening import create
from pykopia.format.compression import COMPRESSORS
from pykopia.format.hashing import HASHES
from pykopia.format.policy import DEFAULT_POLICY, CompressionPolicy, MetadataCompressionPolicy
from pykopia.format.policy_target import GLOBAL_TARGET
from pykopia.repository.options import NewRepositoryOptions
from pykopia.snapshot.upload_options import SnapshotOptions
from tests.trees import RAW_NAMES

from .kopia_cli import Flag, KopiaCLI
from .repositories import (
    UNCACHED_LISTINGS,
    assert_restored_by_kopia,
    assert_restored_by_pykopia,
    client_of,
    file_contents,
    kopia_file_contents,
    kopia_snapshot_ids,
    open_shared,
    shared_tree,
    verify_all,
)

AES = "AES256-GCM-HMAC-SHA256"
CHACHA = "CHACHA20-POLY1305-HMAC-SHA256"
SCRYPT = "scrypt-65536-8-1"
PBKDF2 = "pbkdf2-sha256-600000"

RENAMED_FILES = 2 * len(RAW_NAMES)
"""Files below names that are not UTF-8: no earlier entry has their names, so they are read each time."""


@dataclass(frozen=True, kw_only=True)
class Combination:
    """Everything that is fixed when a repository is made, and how its files are compressed."""

    version: int
    hash: str
    encryption: str
    splitter: str
    compressor: str
    metadata_compressor: str = "zstd-fastest"
    ecc_percent: int = 0
    key_derivation: str = SCRYPT

    def __str__(self) -> str:
        parity = f"-ecc{self.ecc_percent}" if self.ecc_percent else ""
        return f"v{self.version}-{self.hash}-{self.splitter}-{self.compressor}{parity}"

    @property
    def options(self) -> NewRepositoryOptions:
        return NewRepositoryOptions(
            hash=self.hash,
            encryption=self.encryption,
            splitter=self.splitter,
            ecc_overhead_percent=self.ecc_percent,
            format_version=self.version,
            key_derivation=self.key_derivation,
        )

    @property
    def flags(self) -> dict[str, Flag]:
        return {
            "block_hash": self.hash,
            "encryption": self.encryption,
            "object_splitter": self.splitter,
            "ecc_overhead_percent": self.ecc_percent,
            "format_version": self.version,
            "format_block_key_derivation_algorithm": self.key_derivation,
        }

    @property
    def same_roots(self) -> bool:
        """Whether IDs are those of bytes as they were: in version 1 objects are hashed compressed (format 04 §2.3)."""
        return self.version >= 2


COMBINATIONS = [
    Combination(
        version=3, hash="BLAKE2B-256-128", encryption=AES, splitter="DYNAMIC-4M-BUZHASH", compressor="zstd-fastest"
    ),
    Combination(
        version=3, hash="BLAKE2B-256", encryption=CHACHA, splitter="FIXED-128K", compressor="s2-default", ecc_percent=5
    ),
    Combination(version=2, hash="BLAKE2S-128", encryption=AES, splitter="DYNAMIC-128K-BUZHASH", compressor="gzip"),
    Combination(
        version=2, hash="BLAKE2S-256", encryption=CHACHA, splitter="DYNAMIC-128K-RABINKARP",
        compressor="deflate-best-speed", metadata_compressor="s2-better", ecc_percent=20,
    ),
    Combination(
        version=1, hash="BLAKE3-256", encryption=AES, splitter="DYNAMIC-256K-BUZHASH", compressor="none",
        metadata_compressor="none",
    ),
    Combination(
        version=3, hash="BLAKE3-256-128", encryption=CHACHA, splitter="DYNAMIC-256K-BUZHASH", compressor="pgzip",
        key_derivation=PBKDF2,
    ),
    Combination(version=1, hash="HMAC-SHA256", encryption=CHACHA, splitter="FIXED-256K", compressor="zstd"),
    Combination(
        version=3, hash="HMAC-SHA256-128", encryption=AES, splitter="FIXED", compressor="s2-better",
        metadata_compressor="none",
    ),
    Combination(
        version=2, hash="HMAC-SHA224", encryption=AES, splitter="DYNAMIC-512K-RABINKARP",
        compressor="zstd-better-compression", metadata_compressor="gzip-best-speed", key_derivation=PBKDF2,
    ),
    Combination(
        version=3, hash="HMAC-SHA3-224", encryption=CHACHA, splitter="DYNAMIC-1M-BUZHASH",
        compressor="pgzip-best-speed", ecc_percent=20,
    ),
    Combination(
        version=3, hash="HMAC-SHA3-256", encryption=AES, splitter="DYNAMIC-512K-BUZHASH", compressor="deflate-default",
        metadata_compressor="pgzip-best-compression", ecc_percent=5,
    ),
    Combination(
        version=1, hash="BLAKE2B-256-128", encryption=AES, splitter="DYNAMIC-128K-BUZHASH", compressor="s2-default",
        key_derivation=PBKDF2,
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree that no test changes."""
    root = tmp_path_factory.mktemp("shared") / "source"
    shared_tree(root)
    return root


def test_the_combinations_cover_all_hashes_and_families_of_compressors() -> None:
    assert {each.hash for each in COMBINATIONS} == HASHES.keys()
    families = {name.split("-")[0] for name, each in COMPRESSORS.items() if each.supported}
    assert {each.compressor.split("-")[0] for each in COMBINATIONS} == {*families, "none"}
    assert {each.encryption for each in COMBINATIONS} == {AES, CHACHA}


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_kopia_reads_and_continues_what_pykopia_made(
    kopia: KopiaCLI, source: Path, tmp_path: Path, combination: Combination
) -> None:
    policy = replace(
        DEFAULT_POLICY,
        compression=CompressionPolicy(compressor_name=combination.compressor),
        metadata_compression=MetadataCompressionPolicy(compressor_name=combination.metadata_compressor),
    )
    location = tmp_path / "repository"
    with create(location, kopia.password, options=combination.options, client=client_of(kopia)) as repository:
        repository.policies.set_defaults()
        repository.policies.set(GLOBAL_TARGET, policy)
        result = repository.snapshots.create(source)
        ours = file_contents(repository)
    assert result.errors == ()

    kopia.connect(location)
    (listed,) = kopia.snapshot_list()
    assert listed["id"] == result.manifest.id
    assert listed["rootEntry"]["obj"] == result.manifest.root_object_id
    kopia.verify_all()
    kopia.restore(listed["id"], tmp_path / "restored")
    assert_restored_by_kopia(source, tmp_path / "restored")

    following = kopia.snapshot_create(source)
    assert kopia.manifest_show(following["id"])["stats"]["nonCachedFiles"] == RENAMED_FILES
    if combination.same_roots:
        assert following["rootEntry"]["obj"] == result.manifest.root_object_id
        read_again = kopia.snapshot_create(source, force_hash=100)
        assert read_again["rootEntry"]["obj"] == result.manifest.root_object_id
    assert kopia_file_contents(kopia) == ours


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_pykopia_reads_and_continues_what_kopia_made(
    kopia: KopiaCLI, source: Path, tmp_path: Path, combination: Combination
) -> None:
    location = tmp_path / "repository"
    kopia.create_repository(location, **combination.flags, **UNCACHED_LISTINGS)
    kopia.policy_set(compression=combination.compressor, **{"metadata-compression": combination.metadata_compressor})
    first = kopia.snapshot_create(source)

    with open_shared(kopia, location) as repository:
        (listed,) = repository.snapshots.list()
        assert listed.id == first["id"]
        verify_all(repository)
        assert repository.snapshots.restore(listed.id, tmp_path / "restored").errors == ()
        assert_restored_by_pykopia(source, tmp_path / "restored")

        theirs = file_contents(repository)
        following = repository.snapshots.create(source)
        assert following.errors == ()
        assert following.manifest.stats.non_cached_files == RENAMED_FILES
        if combination.same_roots:
            assert following.manifest.root_object_id == first["rootEntry"]["obj"]
            read_again = repository.snapshots.create(source, options=SnapshotOptions(force_hash_percent=100))
            assert read_again.manifest.root_object_id == first["rootEntry"]["obj"]
        assert file_contents(repository) == theirs
        ids = {str(each.id) for each in repository.snapshots.list()}
    assert kopia_snapshot_ids(kopia) == ids
    kopia.verify_all()
