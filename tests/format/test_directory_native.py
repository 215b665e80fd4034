"""The native twin of ``directory`` gives what the Python definition gives, or leaves it to it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykopia.errors import CollidingNamesError, DamagedDataError, InvalidIDError, UsageError
from pykopia.format import directory as m
from pykopia.format.directory import Directory, DirectoryEntry, DirectorySummary, EntryError
from pykopia.format.gojson import stored_form
from pykopia.ids import ObjectID

native = pytest.importorskip("pykopia.format._directory")

VECTOR_FILES = Path(__file__).parents[1] / "vectors"
DIRECTORIES: list[str] = [
    case["json"]
    for case in json.loads((VECTOR_FILES / "dir_objects.json").read_text())["directories"]
    + json.loads((VECTOR_FILES / "real_snapshot_dump.json").read_text())["directories"]
]
OBJECT = ObjectID("0123456789abcdef0123456789abcdef")
INT64 = (-(1 << 63), (1 << 63) - 1)
YEARS_1678_TO_2261 = (-9_214_560_000 * 10**9, 9_214_646_400 * 10**9)

texts = st.text(max_size=20)
names = texts.map(lambda text: text.replace("/", "<").replace("\0", "\u2028")).filter(
    lambda text: text not in {"", ".", ".."}
)
counts = st.integers(0, INT64[1])
times = st.integers(*INT64)
summaries = st.builds(
    DirectorySummary,
    size=counts,
    files=counts,
    symlinks=counts,
    dirs=counts,
    max_time_ns=times,
    incomplete=st.sampled_from(["", "", "checkpoint"]),
    num_failed=counts,
    num_ignored_errors=st.just(0) | counts,
    errors=st.just(()) | st.lists(st.builds(EntryError, texts, texts), max_size=2).map(tuple),
)
object_ids = st.builds(
    lambda letters, digest: ObjectID(letters + digest.hex()),
    st.sampled_from(["", "k", "Ix", "IIk", "Z", "Zg"]),
    st.binary(min_size=1, max_size=32),
)
entries = st.builds(
    DirectoryEntry,
    name=names,
    type=st.sampled_from("fds"),
    mode=st.integers(0, 0o7777),
    size=counts,
    mtime_ns=times,
    uid=st.integers(0, (1 << 32) - 1),
    gid=st.integers(0, (1 << 32) - 1),
    object_id=object_ids,
    summary=st.none() | summaries,
)
entry_lists = st.lists(entries, max_size=8, unique_by=lambda entry: entry.name)
odd_fields = st.sampled_from(
    [
        *(("name", name) for name in ("", ".", "..", "...", ".a", "a/b", "a\0", "\udcff", "\ud800", "x" * 300)),
        *(("type", kind) for kind in ("", "b", "ff", "é")),
        *(("mode", mode) for mode in (-1, 0o10000, 1 << 70, 0o644)),
        *(("size", size) for size in (-1, 1 << 63, 1.0, True, None)),
        *(("mtime_ns", time) for time in (*INT64, INT64[0] - 1, INT64[1] + 1, "0")),
        *(("uid", owner) for owner in (-1, 1 << 32, (1 << 32) - 1)),
        *(("gid", owner) for owner in (-1, 1 << 32, (1 << 32) - 1)),
        *(
            ("object_id", text)
            for text in (
                "",
                "I",
                "Ik",
                "ab",
                "AB",
                "abc",
                "gab",
                "fab",
                "IZab",
                "ZIab",
                "a" * 64,
                "a" * 66,
                "ab\n",
                "é",
            )
        ),
        *(("summary", summary) for summary in (DirectorySummary(size=-1), DirectorySummary(max_time_ns=1 << 63))),
    ]
)


def native_encode(given_entries: list[DirectoryEntry], summary: DirectorySummary | None = None) -> bytes | None:
    encoded: bytes | None = native.encode_directory(given_entries, summary, msgspec.structs.astuple, m._summary_text)
    return encoded


def python_encode(given_entries: list[DirectoryEntry], summary: DirectorySummary | None = None) -> bytes:
    return m.python_encode_directory(given_entries, summary)


def native_decode(data: bytes) -> Directory | None:
    found = native.decode_directory(data, DirectorySummary, m._decode_summary)
    return None if found is None else Directory(tuple(map(DirectoryEntry, *found[0])), found[1])


def assert_alike(data: bytes) -> Directory | None:
    """Decode by both roads; return what the native one found."""
    try:
        found = native_decode(data)
    except (DamagedDataError, InvalidIDError):
        with pytest.raises((DamagedDataError, InvalidIDError)):
            m.python_decode(data)
        return None
    if found is not None:
        assert found == m.python_decode(data)
    return found


@given(entry_lists, st.none() | summaries)
def test_directories_are_written_alike(given_entries: list[DirectoryEntry], summary: DirectorySummary | None) -> None:
    encoded = native_encode(given_entries, summary)
    assert encoded == python_encode(given_entries, summary)
    assert native_encode(given_entries[::-1], summary) == encoded


@given(entry_lists, st.none() | summaries)
def test_directories_are_read_alike(given_entries: list[DirectoryEntry], summary: DirectorySummary | None) -> None:
    data = m.encode_directory(given_entries, summary)
    found = assert_alike(data)
    if given_entries and all(YEARS_1678_TO_2261[0] <= each.mtime_ns < YEARS_1678_TO_2261[1] for each in given_entries):
        assert found is not None


@given(entry_lists, entries, odd_fields)
def test_what_must_not_be_written_is_left_to_python(
    given_entries: list[DirectoryEntry], entry: DirectoryEntry, odd: tuple[str, Any]
) -> None:
    field, value = odd
    odd_entries = [*given_entries, msgspec.structs.replace(entry, **{field: value})]
    encoded = native_encode(odd_entries)
    if encoded is not None:
        assert encoded == python_encode(odd_entries)
        assert len({stored_form(each.name) for each in odd_entries}) == len(odd_entries)
        return
    try:
        python_encode(odd_entries)
    except (UsageError, TypeError, CollidingNamesError):
        return
    assert any("\udc80" <= character <= "\udcff" for each in odd_entries for character in each.name)


@pytest.mark.parametrize("field", ["size", "files", "symlinks", "dirs", "num_failed", "num_ignored_errors"])
@pytest.mark.parametrize("count", [-1, 1 << 63, 1.0, "1"])
def test_a_summary_that_must_not_be_written_is_left_to_python(field: str, count: Any) -> None:  # noqa: ANN401
    summary = DirectorySummary(**{field: count})
    assert native_encode([], summary) is None
    with pytest.raises((UsageError, ValueError, TypeError)):
        python_encode([], summary)


def test_names_that_would_hide_each_other_are_left_to_python() -> None:
    folder, file = DirectoryEntry("a", "d", object_id=OBJECT), DirectoryEntry("a", "f", object_id=OBJECT)
    others = [DirectoryEntry(name, "d", object_id=OBJECT) for name in ("0", "b")]
    for pair in ([file, file], [folder, folder], [folder, file], [file, folder]):
        assert native_encode([*pair, *others]) is None
    assert native_encode([folder, *others]) is not None


def test_many_entries_are_sorted_and_written_alike() -> None:
    many = [
        DirectoryEntry(
            f"{number * 7919 % 3001}<é>", "fds"[number % 3], number, number, number * 10**12, object_id=OBJECT
        )
        for number in range(3001)
    ]
    encoded = m.encode_directory(many, None)
    assert native_encode(many) == python_encode(many)
    assert assert_alike(encoded) is not None


@given(times)
@example(INT64[0])
@example(INT64[1])
@example(-1)
@example(1)
def test_times_are_written_and_read_alike(time: int) -> None:
    entry = DirectoryEntry("a", "f", mtime_ns=time, object_id=OBJECT)
    assert native_encode([entry]) == python_encode([entry])
    assert_alike(m.encode_directory([entry], None))


def test_every_first_and_last_day_of_a_month_is_written_and_read_alike() -> None:
    for year in (1677, 1678, 1700, 1800, 1899, 1900, 1969, 1970, 1999, 2000, 2024, 2100, 2261, 2262):
        for month in range(1, 13):
            first = int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 10**9
            for time in (first - 10**9, first - 1, first, first + 1):
                if INT64[0] <= time <= INT64[1]:
                    entry = DirectoryEntry("a", "f", mtime_ns=time, object_id=OBJECT)
                    assert native_encode([entry]) == python_encode([entry])
                    assert_alike(m.encode_directory([entry], None))


WHOLE = '{"stream":"kopia:directory","entries":[%s],"summary":null}\n'
ENTRY = WHOLE % '{"name":"a","type":"f",%s"obj":"ab"}'


@pytest.mark.parametrize("text", DIRECTORIES, ids=range(len(DIRECTORIES)))
def test_directories_of_kopia_are_read_alike(text: str) -> None:
    known_types = {entry.type for entry in m.python_decode(text.encode()).entries} <= {"f", "d", "s"}
    assert (assert_alike(text.encode()) is not None) == known_types


@pytest.mark.parametrize(
    "text",
    [
        ENTRY % '"mode":"0",',
        ENTRY % '"mode":"00644",',
        ENTRY % '"size":0,"uid":0,"gid":0,',
        ENTRY % '"size":9223372036854775807,"uid":4294967295,"gid":4294967295,',
        ENTRY % '"mtime":"2024-02-29T23:59:59.999999999Z",',
        ENTRY % '"mtime":"2024-02-29T23:59:59.1234567899999Z",',
        ENTRY % '"mtime":"1678-01-01T00:00:00Z",',
        ENTRY % '"mtime":"2261-12-31T23:59:59.999999999Z",',
        WHOLE % '{"type":"d","obj":"kab","summ":null}',
        WHOLE % '{"name":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u003c\\u00e9\\u2028","type":"s","obj":"ab"}',
        (ENTRY % "").strip(),
        '{"stream":"kopia:directory","entries":null,"summary":null}',
    ],
)
def test_the_native_reader_takes_what_kopia_may_write(text: str) -> None:
    assert assert_alike(text.encode()) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"stream":"kopia:indirect","entries":null,"summary":null}',
        '{"stream":"kopia:directory","entries":[],"summary":null}',
        '{"stream":"kopia:directory","entries":null}',
        '{"stream":"kopia:directory","entries":null,"summary":[]}',
        '{"stream":"kopia:directory","entries":null,"summary":null} x',
        '{"stream":"kopia:directory","entries":null,"summary":{"size":{',
        ENTRY % '"mode":"",',
        ENTRY % '"mode":"0x1ff",',
        ENTRY % '"mode":"644",',
        ENTRY % '"mode":"08",',
        ENTRY % '"mode":"010000000755",',
        ENTRY % '"mode":"020000000000",',
        ENTRY % '"mode":420,',
        ENTRY % '"size":01,',
        ENTRY % '"size":-1,',
        ENTRY % '"size":1.0,',
        ENTRY % '"size":1e3,',
        ENTRY % '"size":9223372036854775808,',
        ENTRY % '"size":10000000000000000000,',
        ENTRY % '"size":,',
        ENTRY % '"uid":4294967296,',
        ENTRY % '"mtime":"0001-01-01T00:00:00Z",',
        ENTRY % '"mtime":"1677-12-31T00:00:00Z",',
        ENTRY % '"mtime":"2262-01-01T00:00:00Z",',
        ENTRY % '"mtime":"2024-02-29T00:00:00+01:00",',
        ENTRY % '"mtime":"2023-02-29T00:00:00Z",',
        ENTRY % '"mtime":"2024-02-29T24:00:00Z",',
        ENTRY % '"mtime":"2024-02-29T00:00:00.Z",',
        ENTRY % '"mtime":"2024-02-29T00:00:0xZ",',
        ENTRY % '"mtime":null,',
        ENTRY % '"gid":1,"uid":1,',
        ENTRY % '"new":1,',
        ENTRY % '"name":"b",',
        ENTRY % ' "size":1,',
        WHOLE % '{"name":"a","obj":"ab"}',
        WHOLE % '{"name":"a","type":"f"}',
        WHOLE % '{"name":"a","type":"f","obj":""}',
        WHOLE % '{"name":"a","type":"f","obj":"AB"}',
        WHOLE % '{"name":"a","type":"f","obj":"\\u0061b"}',
        WHOLE % '{"name":"a","type":"x","obj":"ab"}',
        WHOLE % '{"name":"a\\ud800","type":"f","obj":"ab"}',
        WHOLE % '{"name":"\\ud83d\\ude00","type":"f","obj":"ab"}',
        WHOLE % '{"name":"\\u00E9","type":"f","obj":"ab"}',
        WHOLE % '{"name":"\\x","type":"f","obj":"ab"}',
        WHOLE % '{"name":"a\n","type":"f","obj":"ab"}',
        WHOLE % '{"name":"\udcff","type":"f","obj":"ab"}',
        WHOLE % '{"name":"a","type":"f","obj":"ab","summ":{"size":1]}',
    ],
)
def test_the_native_reader_leaves_the_rest_to_python(text: str) -> None:
    assert assert_alike(text.encode("utf-8", "surrogateescape")) is None


@given(entry_lists, st.none() | summaries, st.data())
def test_damaged_directories_are_read_alike(
    given_entries: list[DirectoryEntry], summary: DirectorySummary | None, draw: st.DataObject
) -> None:
    data = bytearray(m.encode_directory(given_entries, summary))
    for _ in range(draw.draw(st.integers(0, 2))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(
            st.integers(0, 255) | st.sampled_from(list(b'"\\,:{}[]0129aZ-'))
        )
    assert_alike(bytes(data))
    assert_alike(bytes(data[: draw.draw(st.integers(0, len(data)))]))


@given(st.binary(max_size=80))
def test_garbage_is_left_to_python(garbage: bytes) -> None:
    assert native_decode(garbage) is None
    assert native_decode(b'{"stream":"kopia:directory","entries":[{"name":"' + garbage) is None
