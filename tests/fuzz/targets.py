"""What is fuzzed: each decoder of stored bytes, and each native module beside its Python definition.

A target takes bytes and returns whether they were accepted. It fails by an exception: a decoder may refuse bytes by an error
of the library only, what it accepts must come out again as it is, and twins must agree on values and errors.
"""

import base64
import functools
import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from pykopia.chunking import rolling_hash
from pykopia.chunking.rolling_hash import WINDOW
from pykopia.errors import InvalidPolicyError, PykopiaError, UsageError
from pykopia.format import directory, gojson, reedsolomon, s2
from pykopia.format.compression import COMPRESSORS, HEADER_NAMES, decompress
from pykopia.format.content_id import id_of, key_of, parse_content_id
from pykopia.format.cron import CronExpression
from pykopia.format.directory import Directory, DirectoryEntry, DirectorySummary
from pykopia.format.ecc import ReedSolomonCRC32
from pykopia.format.encryption import Encryptor
from pykopia.format.epoch import epoch_of, range_of, watermark_of
from pykopia.format.gotime import format_time, parse_time
from pykopia.format.ignore import dot_ignore_rules
from pykopia.format.index import IndexFile
from pykopia.format.index_merge import MergedIndex, merge_index_files
from pykopia.format.indirect import decode_index, encode_index
from pykopia.format.legacy_index import CleanupLog, CompactionLog
from pykopia.format.local_config import LocalConfig, decode_password_file
from pykopia.format.maintenance_schedule import MaintenanceParameters, MaintenanceSchedule
from pykopia.format.manifest import decode_content, encode_content
from pykopia.format.object_id import parse_object_id
from pykopia.format.pack import Postamble, pack_end, read_local_index
from pykopia.format.policy import Policy
from pykopia.format.replica import embed_replica, find_replica
from pykopia.format.repository_blob import FormatBlob
from pykopia.format.repository_format import RepositoryFormat
from pykopia.format.session import SessionMarker, session_of_blob
from pykopia.format.snapshot_manifest import SnapshotManifest
from pykopia.format.token import ConnectionToken
from pykopia.format.upgrade_lock import UpgradeLock
from pykopia.format.whole_blob import Sealer
from pykopia.sealing.batch import PythonBatches
from pykopia.sealing.native_batch import NativeBatches, batches_of
from pykopia.snapshot import small_files
from pykopia.snapshot.listing import Listing, Sifted, python_list_folders, python_sift
from pykopia.storage.layout import ShardParameters
from tests.format.index_support import using

from .mutation import Mutator, behind_header, inside_gzip, mutate_bytes, mutate_json

VECTORS = Path(__file__).parents[1] / "vectors"
MOST = 4 << 20
"""Bytes that any input may expand to here; more must be refused while it is expanded."""

Check = Callable[[bytes], bool]


@dataclass(frozen=True)
class Target:
    """One thing to fuzz."""

    check: Check
    """Returns whether the bytes were accepted."""
    seeds: Callable[[], Sequence[bytes]]
    """Valid bytes, from golden data or made from it."""
    mutate: Mutator = mutate_bytes
    native: str = ""
    """The module whose native code is run; without it there is no twin to compare."""


TARGETS: dict[str, Target] = {}


def target(
    seeds: Callable[[], Sequence[bytes]], mutate: Mutator = mutate_bytes, native: str = ""
) -> Callable[[Check], Check]:
    """Register a function as a target, by its name."""

    def register(check: Check) -> Check:
        TARGETS[check.__name__.replace("_", " ")] = Target(check, functools.cache(seeds), mutate, native)
        return check

    return register


def outcome(action: Callable[[], Any]) -> Any:  # noqa: ANN401 -- whatever comes out
    """Return the value of an action, or the class of the error of the library that it ends with."""
    try:
        return action()
    except PykopiaError as error:
        return type(error)


def is_error(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, PykopiaError)


def vectors(name: str) -> Any:  # noqa: ANN401 -- JSON
    return json.loads((VECTORS / name).read_text())


def again(parse: Callable[[Any], Any], write: Callable[[Any], Any] | None, data: Any) -> bool:  # noqa: ANN401
    """Parse; what was accepted is written, and that parsed again is the same.

    Unknown fields are kept as they are stored, so blanks in them may differ after the first writing, and not after the second.
    """
    found = outcome(lambda: parse(data))
    if is_error(found):
        return False
    written = UsageError if write is None else outcome(lambda: write(found))
    if written is not UsageError:  # some of what can be read must not be written, such as a snapshot without a host
        second = parse(written)
        assert second == found or (write is not None and write(second) == written), written
    return True


def native(name: str) -> Any:  # noqa: ANN401 -- a module
    return __import__(name, fromlist=["_"])


# ---------------------------------------------------------------------- JSON of the repository


def directories() -> list[bytes]:
    found = vectors("dir_objects.json")["directories"] + vectors("real_snapshot_dump.json")["directories"]
    return [case["json"].encode() for case in found if len(case["json"]) < 4000]


@target(directories, mutate_json, native="pykopia.format._directory")
def directory_objects(data: bytes) -> bool:
    """The native decoder gives what the definition gives, or leaves the bytes to it; so does the encoder."""
    module = native("pykopia.format._directory")
    defined = outcome(lambda: directory.python_decode(data))
    found = outcome(lambda: module.decode_directory(data, DirectorySummary, directory._decode_summary))
    if is_error(found):
        assert is_error(defined), (found, defined)
        return False
    if found is not None:
        assert Directory(tuple(map(DirectoryEntry, *found[0])), found[1]) == defined
    if is_error(defined):
        return False
    assert outcome(lambda: Directory.from_bytes(data)) == defined
    by_python = outcome(lambda: directory.python_encode_directory(defined.entries, defined.summary))
    by_native = outcome(lambda: directory.encode_directory(defined.entries, defined.summary))
    assert by_native == by_python
    return True


@target(
    lambda: [case["index_json"].encode() for case in vectors("indirect.json")["writer"] if case.get("index_json")],
    mutate_json,
)
def lists_of_chunks(data: bytes) -> bool:
    return again(decode_index, encode_index, data)


def manifests() -> list[bytes]:
    found = [case["content_json"].encode() for case in vectors("manifests.json")["encode"] if case.get("content_json")]
    return [gzip.compress(each, 6, mtime=0) for each in [*found[:8], *_real_manifests()] if len(each) < 20_000]


@functools.cache
def _real_manifests() -> list[bytes]:
    return [json.dumps(each).encode() for each in vectors("real_snapshot_dump.json")["manifest_contents"].values()]


def documents(kind: str) -> list[bytes]:
    """Return the data of real manifests of a type."""
    entries = [each for content in _real_manifests() for each in json.loads(content)["entries"]]
    return [json.dumps(each["data"]).encode() for each in entries if each["labels"]["type"] == kind][:15]


def real_blobs(prefix: str) -> list[bytes]:
    """Return what real blobs held before they were encrypted."""
    found = [repository["blobs"] for repository in vectors("real_repository_blobs.json")["repositories"]]
    return [
        base64.b64decode(each["plaintext"])
        for blobs in found
        for name, each in blobs.items()
        if name.startswith(prefix)
    ]


@target(manifests, inside_gzip(mutate_json))
def contents_of_manifests(data: bytes) -> bool:
    strict = outcome(lambda: decode_content(data))
    tolerant = outcome(lambda: decode_content(data, tolerant=True))
    if is_error(strict):
        return False
    assert tolerant == strict
    if strict and all(each.id for each in strict):
        written = outcome(lambda: encode_content(strict, rewriting=True))
        if not is_error(written):
            assert [(each.id, each.labels) for each in decode_content(written)] == [
                (each.id, each.labels) for each in strict
            ]
    return True


@target(lambda: documents("snapshot"), mutate_json)
def snapshot_manifests(data: bytes) -> bool:
    return again(SnapshotManifest.from_json, SnapshotManifest.to_json, data)


POLICIES = [
    b'{"retention":{"keepLatest":10,"keepDaily":7},"files":{"ignore":["*.tmp"],"maxFileSize":5000,"oneFileSystem":true}}',
    (
        b'{"scheduling":{"intervalSeconds":3600,"timeOfDay":[{"hour":1,"min":2}],"cron":["0 3 * * 1"]},"compression":'
        b'{"compressorName":"zstd","onlyCompress":[".txt"],"minSize":100},"splitter":{"algorithm":"FIXED"}}'
    ),
    (
        b'{"actions":{"beforeSnapshotRoot":{"path":"/bin/true","args":["a"],"timeout":5,"mode":"essential"}},"logging":'
        b'{"directories":{"snapshotted":3}},"upload":{"maxParallelFileReads":4,"parallelUploadAboveSize":1048576}}'
    ),
]


@target(lambda: [*POLICIES, *documents("policy")], mutate_json)
def policies(data: bytes) -> bool:
    return again(Policy.from_json, Policy.to_json, data)


@target(lambda: real_blobs("kopia.maintenance"), mutate_json)
def schedules_of_maintenance(data: bytes) -> bool:
    return again(MaintenanceSchedule.from_json, MaintenanceSchedule.to_json, data)


@target(lambda: documents("maintenance"), mutate_json)
def parameters_of_maintenance(data: bytes) -> bool:
    return again(MaintenanceParameters.from_json, MaintenanceParameters.to_json, data)


@target(lambda: [case["kopia.repository"].encode() for case in vectors("format_blob.json")["cases"][:6]], mutate_json)
def format_blob(data: bytes) -> bool:
    return again(FormatBlob.from_bytes, FormatBlob.to_bytes, data)


@target(lambda: [_format().to_json()], mutate_json)
def format_of_the_repository(data: bytes) -> bool:
    return again(RepositoryFormat.from_json, RepositoryFormat.to_json, data)


def _format() -> RepositoryFormat:
    return RepositoryFormat.new(
        secret=bytes(range(32)),
        master_key=bytes(range(32, 64)),
        hash="BLAKE2B-256-128",
        encryption="AES256-GCM-HMAC-SHA256",
    )


@target(lambda: [case["content"].encode() for case in vectors("local_config.json")["cases"][:8]], mutate_json)
def connection_files(data: bytes) -> bool:
    return again(LocalConfig.from_bytes, LocalConfig.to_bytes, data)


@target(
    lambda: [b'{"default":[3],"overrides":[{"prefix":"p","shards":[3,3]}],"unshardedLength":20}', b'{"default":[1,3]}'],
    mutate_json,
)
def sharding_layouts(data: bytes) -> bool:
    return again(ShardParameters.from_bytes, ShardParameters.to_bytes, data)


SMALL_DOCUMENTS: dict[bytes, tuple[Callable[[Any], Any], Callable[[Any], Any] | None]] = {
    b'{"id":"s0123456789abcdef0123456789abcdef01","startTime":"2024-01-02T03:04:05Z","user":"u","host":"h",'
    b'"checkpointTime":"2024-01-02T03:04:05Z"}': (SessionMarker.from_json, SessionMarker.to_json),
    b'{"inputMetadata":[{"id":"n01","length":5,"timestamp":"2024-01-02T03:04:05Z"}],"outputMetadata":[{"id":"n02","length":5,'
    b'"timestamp":"2024-01-02T03:04:05Z"}]}': (CompactionLog.from_json, CompactionLog.to_json),
    b'{"id":"x","cleanupScheduleTime":"2024-01-02T03:04:05Z","blobIDs":["n01"]}': (CleanupLog.from_json, CleanupLog.to_json),
    b'{"ownerID":"me","creationTime":"2024-01-02T03:04:05Z","advanceNoticeDuration":0,"ioDrainTimeout":1000,'
    b'"statusPollInterval":1000,"message":"m","maxPermittedClockDrift":5,"coordinatorURL":""}': (UpgradeLock.parse, None),
}  # fmt: skip


@target(lambda: [*SMALL_DOCUMENTS, *real_blobs("s")], mutate_json)
def small_documents(data: bytes) -> bool:
    """Sessions, logs of old indexes, locks of an upgrade: each of these decoders gets the bytes."""
    accepted = [again(parse, write, data) for parse, write in SMALL_DOCUMENTS.values()]
    return any(accepted)


@target(lambda: [*directories()[:3], *POLICIES, b'{"a":[1,-2.5e3,"\\u00e9\\ud83d\\ude00",null,true]}'], mutate_json)
def json_as_go_reads_it(data: bytes) -> bool:
    """What both accept is the same value; members and elements are the pieces of it."""
    found = outcome(lambda: gojson.loads(data))
    if is_error(found):
        return False
    if isinstance(found, dict):
        members = gojson.members(data)
        assert {key for key, _ in members} == set(found)
        assert {key: gojson.loads(value) for key, value in members} == found
    if isinstance(found, list):
        assert [gojson.loads(each) for each in gojson.elements(data)] == found
    return True


# ---------------------------------------------------------------------- indexes and packs


def index_files() -> list[bytes]:
    found = [(VECTORS / case["file"]).read_bytes() for name in ("index_v1.json", "index_v2.json") for case in vectors(name)
             if case["fileSize"] < 3000]  # fmt: skip
    return [each for each in found if each]


def _read_index(data: bytes) -> object:
    file = IndexFile(data)
    positions = range(min(len(file), 40))
    entries = [outcome(lambda p=p: file.table.entry(p)) for p in positions]  # type: ignore[misc]
    keys = [file.table.key(p) for p in positions]
    all_keys = [file.table.key(position) for position in range(len(file))]
    looked_up = keys if all_keys == sorted(set(all_keys)) else []  # out of order an entry may be found or not
    merged = MergedIndex([file], watermark=1795900000)
    return (
        entries,
        keys,
        [outcome(lambda k=k: file.find(k)) for k in (*looked_up, b"", b"\xff" * 40)],  # type: ignore[misc]
        [outcome(lambda k=k: merged.find(k)) for k in (*looked_up, b"")],  # type: ignore[misc]
        outcome(lambda: list(merged.entries(include_deleted=True))),
        outcome(lambda: merge_index_files([file], version=2)),
        outcome(lambda: merge_index_files([file], version=1)),
    )


@target(index_files, native="pykopia.format._index")
def files_of_an_index(data: bytes) -> bool:
    if len(data) > 8 and int.from_bytes(data[4:8], "big") > 2_000:
        data = data[:4] + (60).to_bytes(4, "big") + data[8:]
    by_native = outcome(lambda: _read_index(data))
    with using("python"):
        assert outcome(lambda: _read_index(data)) == by_native
    return not is_error(by_native)


def _unencrypted(stored: bytes, iv: bytes) -> bytes:
    return stored


@target(lambda: [_pack(each) for each in index_files()[:6]])
def ends_of_packs(data: bytes) -> bool:
    found = outcome(
        lambda: read_local_index(lambda start, length: data[start : start + length], len(data), _unencrypted)
    )
    if is_error(found):
        return False
    return not is_error(outcome(lambda: list(found.entries())))


def _pack(local_index: bytes) -> bytes:
    return bytes(100) + pack_end(100, padding=bytes(3996), local_index=local_index, iv=bytes(16))


@target(lambda: [Postamble(iv=bytes(range(16)), index_offset=5, index_length=300).to_bytes()])
def postambles(data: bytes) -> bool:
    found = outcome(lambda: Postamble.from_tail(data, 1000))
    if not is_error(found):
        assert 0 <= found.index_offset <= found.index_offset + found.index_length <= 1000
    return not is_error(found)


@target(lambda: [embed_replica(b'{"a":1}' * 9) + bytes(50), bytes(50) + embed_replica(b"{}" * 90)])
def copies_of_the_format_blob(data: bytes) -> bool:
    found = find_replica(data)
    assert found is None or found in data
    return found is not None


# ---------------------------------------------------------------------- compression


@functools.cache
def texts() -> list[bytes]:
    chance = Random(7)
    return [
        b"a",
        b"text " * 60,
        chance.randbytes(700),
        b"".join(b"line %d of a text\n" % n for n in range(90)) + bytes(900),
    ]


def payloads(kinds: str = "") -> list[bytes]:
    return [
        each.compress(text)
        for each in COMPRESSORS.values()
        if each.supported and each.name.startswith(kinds)
        for text in texts()
    ] + ([b"\x00\x00\x14\x00" + _lz4(text) for text in texts()] if not kinds else [])


def _lz4(data: bytes) -> bytes:
    from lz4.frame import compress

    return bytes(compress(data))


@target(lambda: payloads(), behind_header(4, [each.to_bytes(4, "big") for each in HEADER_NAMES]))
def compressed_payloads(data: bytes) -> bool:
    """Whatever the length is said to be, no more comes out; the way with a known length finds the same bytes."""
    found = outcome(lambda: decompress(data, max_length=MOST))
    if is_error(found):
        for length in (0, 1, 300, 5000):
            told = outcome(lambda length=length: decompress(data, expected_length=length))  # type: ignore[misc]
            assert is_error(told), length
        return False
    assert len(found) <= MOST
    assert decompress(data, expected_length=len(found)) == found
    for wrong in (len(found) - 1, len(found) + 1, 0):
        if 0 <= wrong != len(found):
            assert is_error(outcome(lambda wrong=wrong: decompress(data, expected_length=wrong)))  # type: ignore[misc]
    return True


def s2_blocks() -> list[bytes]:
    blocks = []
    for text in texts():
        for better in (False, True):
            stream = s2.encode_stream(text, better=better)
            position = 0
            while position < len(stream):
                length = int.from_bytes(stream[position + 1 : position + 4], "little")
                if stream[position] == s2.COMPRESSED:
                    blocks.append(stream[position + 8 : position + 4 + length])
                position += 4 + length
    return blocks


@target(s2_blocks, native="pykopia.format._s2")
def blocks_of_s2(data: bytes) -> bool:
    module = native("pykopia.format._s2")
    found = outcome(lambda: module.decode_block(data, 1 << 16))
    assert outcome(lambda: s2.python_decode_block(data, 1 << 16)) == found
    assert module.masked_crc(data[:200]) == s2.python_masked_crc(data[:200])
    return not is_error(found)


@target(lambda: texts(), native="pykopia.format._s2")
def what_s2_writes(data: bytes) -> bool:
    for better in (False, True):
        assert s2.decode_stream(s2.encode_stream(data, better=better), max_length=len(data)) == data
    return True


# ---------------------------------------------------------------------- error correction, encryption, batches


@target(lambda: [ReedSolomonCRC32(20).encode(text) for text in texts()], native="pykopia.format._reedsolomon")
def what_error_correction_protects(data: bytes) -> bool:
    """Both twins find the same shards wrong, and come to the same data or error."""
    module = native("pykopia.format._reedsolomon")
    for size in (1, 13, 64):
        count = -(-len(data) // (4 + size))
        mine, yours = bytearray(count * size), bytearray(count * size)
        assert reedsolomon.python_strip(data, size, mine) == module.strip(data, size, yours)
        assert mine == yours
    correction = ReedSolomonCRC32(20)
    found = outcome(lambda: bytes(correction.decode(data)))
    if is_error(found):
        return False
    assert bytes(correction.decode(correction.encode(found))) == found
    return True


@target(lambda: [Encryptor("AES256-GCM-HMAC-SHA256", bytes(32)).encrypt(text, bytes(16)) for text in texts()])
def what_is_encrypted(data: bytes) -> bool:
    """Nothing that was changed is opened."""
    found = outcome(lambda: Encryptor("AES256-GCM-HMAC-SHA256", bytes(32)).decrypt(data, bytes(16)))
    assert is_error(found) or found in texts()
    return not is_error(found)


@functools.cache
def _batches() -> tuple[NativeBatches | None, PythonBatches]:
    chosen = _format()
    sealer = Sealer.of(chosen)
    made = batches_of(sealer, chosen)
    return made if isinstance(made, NativeBatches) else None, PythonBatches(sealer)


@target(
    lambda: payloads("zstd"),
    behind_header(4, [each.to_bytes(4, "big") for each in HEADER_NAMES]),
    native="pykopia.sealing._batch",
)
def contents_of_a_pack(data: bytes) -> bool:
    """A payload that was sealed with the right key: what the native batch opens is what the definition opens."""
    fast, defined = _batches()
    plain = outcome(lambda: decompress(data, max_length=MOST))
    lengths = [300, 1] if is_error(plain) else [len(plain), len(plain) + 1, max(len(plain) - 1, 0)]
    keys = defined.keys_of([b"" if is_error(plain) else plain], 0)
    sealer = defined._sealer
    stored = sealer.seal_content(data, keys[0][-16:])
    opened = []
    for batches in filter(None, (defined, fast)):
        for length in lengths:
            for compression in (int.from_bytes(data[:4], "big"), 0x1100, 0):
                columns = keys, [0], [len(stored)], [compression], [length if compression else len(data)]
                opened.append((batches, batches.open(stored, *columns, False)[0], batches.check([stored], *columns)))
    half = len(opened) // 2 if fast is not None else len(opened)
    for (_, by_python, good), (_, by_native, native_good) in zip(opened[:half], opened[half:], strict=False):
        # the native one may leave a content to the definition, and never opens another
        assert by_native in (None, by_python)
        assert native_good == good or by_native is None
    return opened[0][1] is not None


# ---------------------------------------------------------------------- splitters, keys, files


@target(lambda: [*texts(), bytes(3000)], native="pykopia.chunking._splitters")
def cut_points(data: bytes) -> bool:
    module = native("pykopia.chunking._splitters")
    for mask in (0x3F, 0x3FF, 0):
        for start, end in ((WINDOW, len(data)), (len(data) // 2, len(data) - 1)) if len(data) > 2 * WINDOW else ():
            assert module.find_buzhash(data, start, end, mask) == rolling_hash.find_buzhash(data, start, end, mask)
            assert module.find_rabinkarp(data, start, end, mask) == rolling_hash.find_rabinkarp(data, start, end, mask)
    return True


@target(lambda: [bytes(range(128)), bytes(256)], native="pykopia.format._scrypt")
def mixing_of_keys(data: bytes) -> bool:
    """The native step of scrypt inside scrypt is OpenSSL's scrypt."""
    import hashlib

    module = native("pykopia.format._scrypt")
    r = 1 + len(data) % 3
    block = hashlib.pbkdf2_hmac("sha256", data, b"salt", 1, 128 * r)
    mixed = hashlib.pbkdf2_hmac("sha256", data, module.romix(block, 16, r), 1, 32)
    assert mixed == hashlib.scrypt(data, salt=b"salt", n=16, r=r, p=1, dklen=32)
    return True


@target(
    lambda: [b"a\nb\nlonger name.txt", b"." + b"x" * 254 + b"\n\xff\xfe\n\xc3\xa9"], native="pykopia.snapshot._files"
)
def files_and_folders(data: bytes) -> bool:
    """Both twins make the same files, list the same folder, and read the same contents."""
    module = native("pykopia.snapshot._files")
    names = [os.fsdecode(each) for each in data.split(b"\n")][:6]
    entries = [
        DirectoryEntry(
            name=name, type="f", mode=0o600 + (len(name) & 7), size=3, mtime_ns=1_700_000_000_000_000_000 + number
        )
        for number, name in enumerate(names)
        if "/" not in name and "\0" not in name  # refused before
    ]
    found = _written_and_read(entries, module.write_files, module.list_folders, module.sift, module.read_files)
    python = small_files.python_write_files, python_list_folders, python_sift, small_files.python_read_files
    assert found == _written_and_read(entries, *python)
    return 0 in found[0]


def _written_and_read(
    entries: list[DirectoryEntry],
    write: Callable[..., list[int]],
    listing: Callable[[list[bytes]], list[Listing | None]],
    sift: Callable[..., Sifted],
    read: Callable[[list[bytes], list[int]], list[bytes | int]],
) -> tuple[list[int], object, object, object, object]:
    folder = tempfile.mkdtemp(prefix="pykopia-fuzz-")
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = small_files.MODE | small_files.TIME
        results = write([handle] * len(entries), entries, [b"abc"] * len(entries), flags)
        listed, missing = listing([os.fsencode(folder), os.fsencode(folder) + b"/missing"])
        assert listed is not None
        assert missing is None
        assert all(entry.name in listed for entry, result in zip(entries, results, strict=True) if result == 0)
        there = sorted((name, status.st_mode, status.st_size) for name, status in listed)
        *others, unchanged = sift(listed, [{entry.name: entry for entry in entries[::2]}])
        sorted_out = [sorted(name for name, _ in each) for each in others], sorted(entry.name for entry in unchanged)
        paths = [os.fsencode(f"{folder}/{name}") for name, _, _ in there] + [os.fsencode(folder) + b"/missing"]
        return results, there, sorted_out, read(paths, [3] * len(paths)), read(paths, [2] * len(paths))
    finally:
        os.close(handle)
        shutil.rmtree(folder)


# ---------------------------------------------------------------------- short texts


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


IDS = [b"0123456789abcdef0123456789abcdef", b"kab12", b"Ixabcdef01", b"IIk0123", b"Zk00ff"]


@target(lambda: IDS)
def object_and_content_ids(data: bytes) -> bool:
    text = _text(data)
    found = outcome(lambda: parse_object_id(text))
    if not is_error(found) and found.content_id:
        assert parse_object_id(found.to_string()) == found
    content = outcome(lambda: parse_content_id(text))
    if not is_error(content):
        assert id_of(key_of(content)) == content
    return not (is_error(found) and is_error(content))


@target(
    lambda: [
        b"xn5_abc",
        b"xs12_0123-sabcd-c3",
        b"xr3_7_abc-sdef-c2",
        b"xe9",
        b"xw1700000000",
        b"p0123-s0011223344556677",
    ]
)
def names_of_blobs(data: bytes) -> bool:
    text = _text(data)
    found = [read(text) for read in (epoch_of, range_of, watermark_of, session_of_blob)]
    return any(each is not None for each in found)


@target(lambda: [b"2024-01-02T03:04:05.678901234Z", b"0001-01-01T00:00:00Z", b"2024-02-29T23:59:59+05:30"])
def times(data: bytes) -> bool:
    found = outcome(lambda: parse_time(_text(data)))
    if not is_error(found):
        assert parse_time(format_time(found)) == found
    return not is_error(found)


@target(lambda: [b"0 3 * * 1-5", b"*/5 0-23/2 1,15 jan-dec sun", b"@hourly", b"0 0 L * ?"])
def cron_expressions(data: bytes) -> bool:
    return again(CronExpression.parse, None, _text(data))


@target(lambda: [b"*.tmp\n!keep\n# note\n/a/**/b/\n[a-z]?\\*", b"\xef\xbb\xbfx\r\ny"])
def ignore_files(data: bytes) -> bool:
    from pykopia.snapshot.selection import Patterns

    rules = dot_ignore_rules(data)
    try:
        patterns = Patterns(rules)
    except (InvalidPolicyError, PykopiaError):
        return False
    patterns.match("/a/b", is_directory=False)
    return True


def _tokens() -> list[bytes]:
    storage = {"type": "filesystem", "config": {"path": "/x"}}
    return [base64.urlsafe_b64encode(json.dumps({"version": "1", "storage": storage, "password": "x"}).encode())]


@target(_tokens, lambda data, chance: base64.urlsafe_b64encode(mutate_json(base64.urlsafe_b64decode(data), chance)))
def connection_tokens(data: bytes) -> bool:
    return again(ConnectionToken.decode, ConnectionToken.encode, data.rstrip(b"=").decode("ascii"))


@target(lambda: [base64.b64encode(b"password"), base64.b64encode("pässwörd".encode())])
def password_files(data: bytes) -> bool:
    return not is_error(outcome(lambda: decode_password_file(data)))


def missing_native(chosen: Target) -> bool:
    """Return whether the native module of a target was not built."""
    return bool(chosen.native) and find_spec(chosen.native) is None
