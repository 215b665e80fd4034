"""`benchmark`: how fast the algorithms of a repository are on this machine."""

import random
import tracemalloc
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pykopia import clock
from pykopia.cli.flags.benchmark import (
    BenchmarkFlags,
    CompressionBenchmarkOptions,
    EccBenchmarkFlags,
    EncryptionBenchmarkFlags,
    SplitterBenchmarkOptions,
)
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.crew import in_parallel
from pykopia.format.compression import COMPRESSORS, Compressor, decompress
from pykopia.format.ecc import DEFAULT_ECC, ReedSolomonCRC32
from pykopia.format.encryption import ENCRYPTIONS, Encryptor
from pykopia.format.hashing import HASHES, hash_function

_MOST_DATA = 128 << 20
_RULE = "-" * 65
_LONG_RULE = "-" * 96
_KEY = bytes(32)
_ECC_OVERHEADS = (1, 2, 5, 10)


class Speed(NamedTuple):
    """The result for one algorithm."""

    bytes_per_second: float
    name: str
    flags: str


def measure(work: Callable[[], object], *, repeat: int, parallel: int, length: int) -> float:
    """Return bytes a second of a function that works on ``length`` bytes, run by some threads."""

    def run() -> None:
        for _ in range(repeat):
            work()

    started = clock.monotonic()
    in_parallel(lambda _: run(), range(max(1, parallel)), threads=parallel, name="pykopia-benchmark")
    return max(1, parallel) * repeat * length / max(clock.monotonic() - started, 1e-9)


def crypto(session: Session, options: BenchmarkFlags) -> None:
    """Measure each hash with each encryption."""
    data = bytes(options.block_size)
    results = []
    for hash_name in sorted(HASHES):
        hashing = hash_function(hash_name, _KEY)
        for cipher in sorted(ENCRYPTIONS):
            encryptor = Encryptor(cipher, _KEY)
            session.log.info("Benchmarking hash '%s' and encryption '%s'...", hash_name, cipher)

            def work(hashing: Callable[[bytes], bytes] = hashing, encryptor: Encryptor = encryptor) -> None:
                encryptor.encrypt(data, hashing(data)[-16:].rjust(16, b"\0"))

            speed = measure(work, repeat=options.repeat, parallel=options.parallel, length=len(data))
            results.append(
                Speed(speed, f"{hash_name:<20} {cipher:<30}", f"--block-hash={hash_name} --encryption={cipher}")
            )
    session.write(f"     {'Hash':<20} {'Encryption':<30} Throughput")
    _write(session, results, options)


def hashing(session: Session, options: BenchmarkFlags) -> None:
    """Measure each hash."""
    data = bytes(options.block_size)
    results = []
    for name in sorted(HASHES):
        function = hash_function(name, _KEY)
        session.log.info("Benchmarking hash '%s'...", name)
        speed = measure(lambda: function(data), repeat=options.repeat, parallel=options.parallel, length=len(data))  # noqa: B023 -- called at once
        results.append(Speed(speed, f"{name:<20}", f"--block-hash={name}"))
    session.write(f"     {'Hash':<20} Throughput")
    _write(session, results, options)


def encryption(session: Session, options: EncryptionBenchmarkFlags) -> None:
    """Measure each encryption."""
    data, iv = bytes(options.block_size), bytes(16)
    results = []
    for name in sorted(ENCRYPTIONS):
        cipher = Encryptor(name, _KEY)
        session.log.info("Benchmarking encryption '%s'...", name)
        speed = measure(
            lambda: cipher.encrypt(data, iv),  # noqa: B023 -- called at once
            repeat=options.repeat,
            parallel=options.parallel,
            length=len(data),
        )
        results.append(Speed(speed, f"{name:<30}", f"--encryption={name}"))
    session.write(f"     {'Encryption':<30} Throughput")
    _write(session, results, options)


def ecc(session: Session, options: EccBenchmarkFlags) -> None:
    """Measure error correction: protecting data, and reading it back."""
    data = bytes(options.block_size)
    results = []
    for percent in _ECC_OVERHEADS:
        code = ReedSolomonCRC32(percent)
        session.log.info("Benchmarking error correction '%s' with %d%% overhead...", DEFAULT_ECC, percent)
        protected = code.encode(data)
        for what, work in (("encode", lambda: code.encode(data)), ("decode", lambda: code.decode(protected))):  # noqa: B023 -- called at once
            speed = measure(work, repeat=options.repeat, parallel=options.parallel, length=len(data))
            words = f"--ecc={DEFAULT_ECC} --ecc-overhead-percent={percent}"
            results.append(Speed(speed, f"{DEFAULT_ECC:<20} {percent:>3}% {what:<8}", words))
    session.write(f"     {'ECC':<20} Overhead      Throughput")
    _write(session, results, options)


def _write(session: Session, results: Sequence[Speed], options: BenchmarkFlags) -> None:
    ordered = sorted(results, reverse=True)
    session.write(_RULE)
    for number, each in enumerate(ordered):
        words = f",   {each.flags}" if options.print_options else ""
        session.write(f"{number:3d}. {each.name} {session.size(each.bytes_per_second)} / second{words}")
    session.write(_RULE)
    session.write(f"Fastest option for this machine is: {ordered[0].flags}")


class Compressed(NamedTuple):
    """The result for one compressor."""

    compressor: Compressor
    bytes_per_second: float
    size: int
    memory: int


def compression(session: Session, options: CompressionBenchmarkOptions) -> int:
    """Measure compressors with the data of a file; the status is 1 when one gave different bytes for the same data."""
    with open(options.data_file, "rb") as file:
        data = file.read(_MOST_DATA)
        if file.read(1):
            session.log.info("The file is large: its first %s are used.", session.size(_MOST_DATA))
    if not data:
        message = f"--data-file {options.data_file} is empty: there is nothing to compress"
        raise CommandLineError(message)
    repeat = options.repeat or max(1, _MOST_DATA // len(data))
    chosen = [each for each in COMPRESSORS.values() if _is_chosen(each, options)]
    if not chosen:
        message = f"no compressor's name begins with one of {options.algorithms!r}; there are {', '.join(COMPRESSORS)}"
        raise CommandLineError(message)
    unstable = 0
    results: list[Compressed] = []
    packed: dict[str, bytes] = {}
    for each in chosen:
        packed[each.name] = each.compress(data)
        if options.verify_stable and each.compress(data) != packed[each.name]:
            session.log.error("%s is not stable: the same data gave different bytes", each.name)
            unstable += 1
    for operation in ("compress", "decompress"):
        if options.operations not in {operation, "both"}:
            continue
        session.log.info("Measuring %s of %s %d times.", operation, session.size(len(data)), repeat)
        results = []
        for each in chosen:
            body = packed[each.name]

            def work(each: Compressor = each, body: bytes = body, operation: str = operation) -> object:
                return each.compress(data) if operation == "compress" else decompress(body, expected_length=len(data))

            speed = measure(work, repeat=repeat, parallel=options.parallel, length=len(data))
            results.append(Compressed(each, speed, len(body), _memory(work)))
        _write_compressed(session, results, options)
    return 1 if unstable else 0


def _is_chosen(compressor: Compressor, options: CompressionBenchmarkOptions) -> bool:
    if not compressor.supported:
        return False
    if options.algorithms:
        return compressor.name.startswith(tuple(filter(None, options.algorithms.split(","))))
    return options.deprecated or not compressor.deprecated


def _memory(work: Callable[[], object]) -> int:
    """Return the most bytes of Python objects that a call had at one time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _write_compressed(session: Session, results: Sequence[Compressed], options: CompressionBenchmarkOptions) -> None:
    ordered = sorted(results, key=lambda each: each.bytes_per_second, reverse=True)
    if options.by_size:
        ordered.sort(key=lambda each: each.size)
    elif options.by_alloc:
        ordered.sort(key=lambda each: each.memory)
    session.write(f"     {'Compression':<26} {'Compressed':<12} {'Throughput':<12} Memory Usage")
    session.write(_LONG_RULE)
    for number, each in enumerate(ordered):
        deprecated = " (deprecated)" if each.compressor.deprecated else ""
        words = f", --compression={each.compressor.name}" if options.print_options else ""
        session.write(
            f"{number:3d}. {each.compressor.name:<26} {session.size(each.size):<12} "
            f"{session.size(each.bytes_per_second):>8}/s     {session.size(each.memory)}{deprecated}{words}"
        )


class Split(NamedTuple):
    """The result for one splitter."""

    bytes_per_second: float
    name: str
    line: str


def splitter(session: Session, options: SplitterBenchmarkOptions) -> None:
    """Measure splitters, and how long the chunks are that they make of random data."""
    from pykopia.chunking.splitters import SPLITTERS  # noqa: PLC0415 -- the other benchmarks do without

    source = random.Random(options.rand_seed)  # noqa: S311 -- the same data each time
    blocks = [source.randbytes(options.data_size) for _ in range(options.block_count)]
    session.log.info(
        "splitting %d blocks of %s each, parallelism %d", len(blocks), session.size(options.data_size), options.parallel
    )
    results = []
    for name in sorted(SPLITTERS):
        rule = SPLITTERS[name]
        lengths: list[int] = []

        def work(lengths: list[int] = lengths, cut: Callable[[bytes], list[int]] = rule.cut_points) -> None:
            for block in blocks:
                ends = [*cut(block), len(block)]
                lengths.extend(end - start for start, end in zip([0, *ends], ends, strict=False) if end > start)

        speed = measure(work, repeat=1, parallel=options.parallel, length=options.data_size * len(blocks))
        results.append(Split(speed, name, _lengths_line(session, name, speed, sorted(lengths))))
        session.write(results[-1].line)
    session.write(_RULE)
    ordered = sorted(results, reverse=True)
    for number, each in enumerate(ordered):
        session.write(f"{number:3d}. {each.line}")
    if options.print_options:
        best = next((each.name for each in ordered if not each.name.startswith("FIXED")), ordered[0].name)
        session.write(f"Fastest option for this machine is: --object-splitter={best}")


def _lengths_line(session: Session, name: str, speed: float, lengths: Sequence[int]) -> str:
    count = len(lengths)
    shares = " ".join(f"{share}th:{lengths[count * share // 100]}" for share in (10, 25, 50, 75, 90))
    return f"{name:<25} {session.size(speed):>12}/s count:{count} min:{lengths[0]} {shares} max:{lengths[-1]}"


__all__ = ["compression", "crypto", "ecc", "encryption", "hashing", "measure", "splitter"]
