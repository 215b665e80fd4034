#!/bin/sh
# Builds the native modules with the address and undefined-behaviour sanitizers of gcc (or clang), beside the usual ones, and runs
# under them: the fuzz targets with native code, and the tests that compare native code with its Python definition.
#
# scripts/asan.sh [PYTHON] [SECONDS]
set -eu

python=$(realpath -s "${1:-.venv/bin/python}")
seconds=${2:-60}
build=build/sanitized
flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"

CFLAGS="$flags" LDFLAGS="$flags" "$python" setup.py --quiet build --build-temp build/sanitized-objects --build-lib "$build" >/dev/null

runtime=$(${CC:-gcc} -print-file-name=libasan.so)
export LD_PRELOAD="$runtime" PYTHONMALLOC=malloc PYTHONSAFEPATH=1 PYTHONPATH="$PWD/$build:$PWD"
# what the interpreter does not free at its end is no leak of ours
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

"$python" -c "
import sys, pykopia.format._s2 as module
sys.exit('$build' not in module.__file__ and f'{module.__file__} was not built with sanitizers')"

"$python" -m tests.fuzz --native --seconds "$seconds"

HYPOTHESIS_PROFILE=few "$python" -m pytest -q -n 0 -p no:randomly -m 'not slow' -o "pythonpath=$build . mover operator" \
    tests/format/test_directory_native.py tests/format/test_index_twins.py tests/format/test_reedsolomon.py \
    tests/format/test_s2.py tests/sealing/test_batch.py tests/chunking/test_splitters.py tests/snapshot/test_small_files.py \
    tests/snapshot/test_listing.py
