"""What the hardware could do: each primitive alone on the data of a set, and how long a whole command would take at least.

The floor of a command is the processor time of what it can't do without, at the speed that the primitive has here and now:
reading or writing the bytes (a copy in memory), the hash, the compressor, the cipher. What a command takes beyond it is
start-up, system calls, the interpreter, and waiting for the other thread.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from zstandard import ZstdDecompressor

from pykopia.format.zstd import encoder

from .datasets import CHANGED_SHARE, DataSet

SAMPLE_BYTES = 96 << 20
CHUNK_BYTES = 4 << 20
REPEATS = 3
ZSTD_LEVEL = 3
"""Tuned for the length of each chunk, as pykopia does for Kopia's ``zstd``."""

_Data = TypeVar("_Data")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """Bytes a second that one thread does of each primitive, on the contents of one data set."""

    copy: float
    hash: float
    compress: float
    expand: float
    encrypt: float
    """Of what is left after compression."""
    ratio: float
    """Compressed bytes for each byte."""

    def floors(self, data: DataSet) -> Mapping[str, Mapping[str, float]]:
        """Return, for each command, the seconds of processor time that each primitive takes of it at least."""
        size = data.bytes
        move, digest, pack = size / self.copy, size / self.hash, size / self.compress
        seal, expand = size * self.ratio / self.encrypt, size / self.expand
        # one file is read and hashed again when a part of it has changed, of many only those that have
        share = 1.0 if data.files == 1 else CHANGED_SHARE
        return {
            "first": {"copy": move, "hash": digest, "zstd": pack, "AES-GCM": seal},
            "unchanged": {},
            "changed": {
                "copy": move * share,
                "hash": digest * share,
                "zstd": pack * CHANGED_SHARE,
                "AES-GCM": seal * CHANGED_SHARE,
            },
            "restore": {"copy": move, "zstd": expand, "AES-GCM": seal},
            "verify": {"hash": digest, "zstd": expand, "AES-GCM": seal},
            "list": {},
        }


def measure(data: DataSet) -> Ceilings:
    """Measure every primitive on contents of a data set, as whole files or chunks of 4 MiB."""
    chunks = sample(data.folder)
    total = sum(map(len, chunks))
    compress, expander = encoder(ZSTD_LEVEL), ZstdDecompressor()
    packed = [compress(chunk) for chunk in chunks]
    cipher, out = AESGCM(bytes(32)), bytearray(CHUNK_BYTES + (1 << 16))
    view = memoryview(out)

    def copy(chunk: bytes) -> None:
        view[: len(chunk)] = chunk

    def encrypt(chunk: bytes) -> None:
        cipher.encrypt_into(bytes(12), chunk, None, view[: len(chunk) + 16])

    sealed = sum(map(len, packed))
    return Ceilings(
        copy=total / _seconds(copy, chunks),
        hash=total / _seconds(_hash_all, [chunks]),
        compress=total / _seconds(compress, chunks),
        expand=total / _seconds(expander.decompress, packed),
        encrypt=sealed / _seconds(encrypt, packed),
        ratio=sealed / total if total else 1.0,
    )


def _hash_all(chunks: Sequence[bytes]) -> None:
    """Hash chunks by the quickest code there is: several at once where the native twin can."""
    try:
        from pykopia.sealing import _batch  # noqa: PLC0415 -- not there without a compiler

        _batch.Keys("blake2b", 16, b"key", "EVP_aes_256_gcm", b"").keys_of([*chunks], 0)
    except (ImportError, ValueError):
        for chunk in chunks:
            hashlib.blake2b(chunk, key=b"key", digest_size=32).digest()


def sample(folder: Path) -> Sequence[bytes]:
    """Return chunks from all over a folder, SAMPLE_BYTES at the most."""
    places: list[tuple[str, int]] = []
    for path, _, names in os.walk(folder):
        for name in sorted(names):
            whole = os.path.join(path, name)
            if os.path.isfile(whole) and not os.path.islink(whole):
                places += [(whole, start) for start in range(0, max(os.path.getsize(whole), 1), CHUNK_BYTES)]
    total = sum(min(CHUNK_BYTES, os.path.getsize(path) - start) for path, start in places)
    step = max(1, -(-total // SAMPLE_BYTES))
    chunks = []
    for path, start in places[::step]:
        with open(path, "rb") as file:
            file.seek(start)
            chunks.append(file.read(CHUNK_BYTES))
    return [chunk for chunk in chunks if chunk] or [b"\0"]


def _seconds(work: Callable[[_Data], object], chunks: Sequence[_Data]) -> float:
    """Return the least seconds of processor time that it takes to do all chunks once."""
    best = float("inf")
    for _ in range(REPEATS):
        begin = time.process_time()
        for chunk in chunks:
            work(chunk)
        best = min(best, time.process_time() - begin)
    return max(best, 1e-9)


__all__ = ["Ceilings", "measure", "sample"]
