"""Flags of `benchmark crypto`, `hashing`, `encryption`, `ecc`, `compression`, `splitter`."""

from pykopia.cli.parsing import Options, flag
from pykopia.cli.values import existing_file, positive, size_base_2, threads

_MB = 1_048_576


class BenchmarkFlags(Options):
    """Flags of all benchmarks of blocks."""

    block_size = flag(_MB, "Size of a block.", kind=size_base_2, placeholder="1MB")
    repeat = flag(100, "Repetitions.", kind=positive)
    parallel = flag(1, "Threads.", kind=threads)
    print_options = flag(False, "Print the flags of `repository create` that choose each algorithm.")
    deprecated = flag(False, "Ignored.", hidden=True)


class EncryptionBenchmarkFlags(BenchmarkFlags):
    """Flags of `benchmark encryption`."""

    repeat = flag(1000, "Repetitions.", kind=positive)


class EccBenchmarkFlags(BenchmarkFlags):
    """Flags of `benchmark ecc`."""

    block_size = flag(10 * _MB, "Size of a block.", kind=size_base_2, placeholder="10MB")


class CompressionBenchmarkOptions(Options):
    """Flags of `benchmark compression`."""

    data_file = flag("", "File whose data are compressed.", kind=existing_file, required=True)
    repeat = flag(0, "Repetitions; 0: as many as 128 MB need.")
    by_size = flag(False, "Sort by size instead of speed.")
    by_alloc = flag(False, "Sort by the memory that is used.")
    parallel = flag(1, "Threads.", kind=threads)
    operations = flag("both", "What to measure.", choices=("compress", "decompress", "both"))
    verify_stable = flag(False, "Check that all repetitions give the same bytes.")
    print_options = flag(False, "Print the flag that chooses each compressor.")
    deprecated = flag(False, "Deprecated compressors too.")
    algorithms = flag("", "Only compressors whose names begin with one of these, with commas between.")


class SplitterBenchmarkOptions(Options):
    """Flags of `benchmark splitter`."""

    rand_seed = flag(42, "Where the random data begins.")
    data_size = flag(32 * _MB, "Size of a block.", kind=size_base_2, placeholder="32MB")
    block_count = flag(16, "Blocks.", kind=positive)
    print_options = flag(False, "Print the flag that chooses the fastest splitter.")
    parallel = flag(1, "Threads.", kind=threads)


__all__ = [
    "BenchmarkFlags",
    "CompressionBenchmarkOptions",
    "EccBenchmarkFlags",
    "EncryptionBenchmarkFlags",
    "SplitterBenchmarkOptions",
]
