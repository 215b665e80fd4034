"""Directory objects against the vectors of real Kopia, byte for byte, and as properties."""

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pykopia.errors import CollidingNamesError, DamagedObjectError, UsageError
from pykopia.format import directory as m
from pykopia.format.directory import (
    Directory,
    DirectoryEntry,
    DirectorySummary,
    EntryError,
    EntryFailure,
    colliding_names,
    decode_entry,
    encode_directory,
    encode_entry,
    summarize,
    summarize_file,
)
from pykopia.format.file_mode import parse_go_mode
from pykopia.format.gojson import stored_form
from pykopia.ids import ObjectID

VECTOR_FILES = Path(__file__).parents[1] / "vectors"
VECTORS: dict[str, Any] = json.loads((VECTOR_FILES / "dir_objects.json").read_text())
REAL: dict[str, Any] = json.loads((VECTOR_FILES / "real_snapshot_dump.json").read_text())

OBJECT = ObjectID("0123456789abcdef0123456789abcdef")
MIN_TIME, MAX_TIME = -(1 << 63), (1 << 63) - 1


def text_of(hexadecimal: str) -> str:
    return bytes.fromhex(hexadecimal).decode("utf-8", "surrogateescape")


def summary_of(vector: dict[str, Any] | None) -> DirectorySummary | None:
    if vector is None:
        return None
    return DirectorySummary(
        size=vector["size"],
        files=vector["files"],
        symlinks=vector["symlinks"],
        dirs=vector["dirs"],
        max_time_ns=vector["max_time_ns"],
        incomplete=vector["incomplete"],
        num_failed=vector["num_failed"],
        num_ignored_errors=vector["num_ignored"],
        errors=tuple(
            EntryError(text_of(error["path_hex"]), text_of(error["error_hex"])) for error in vector["errors"] or ()
        ),
    )


def entry_of(vector: dict[str, Any]) -> DirectoryEntry:
    return DirectoryEntry(
        name=text_of(vector["name_hex"]),
        type=vector["type"],
        mode=vector["unix_mode"],
        size=vector["size"],
        mtime_ns=vector["mtime_ns"],
        uid=vector["uid"],
        gid=vector["gid"],
        object_id=vector["obj"],
        summary=summary_of(vector.get("summ")),
    )


def as_stored(entry: DirectoryEntry) -> DirectoryEntry:
    """Return what a reader gets of an entry."""
    summary = entry.summary
    if summary is not None:
        errors = tuple(EntryError(stored_form(error.path), stored_form(error.error)) for error in summary.errors)
        summary = msgspec.structs.replace(summary, incomplete=stored_form(summary.incomplete), errors=errors)
    return msgspec.structs.replace(entry, name=stored_form(entry.name), summary=summary)


def encode_entries(entries: list[DirectoryEntry]) -> bytes:
    """Return the JSON list of a directory with these entries."""
    data = encode_directory(entries, None)
    return data.removeprefix(b'{"stream":"kopia:directory","entries":').removesuffix(b',"summary":null}\n')


def file(name: str, **fields: Any) -> DirectoryEntry:  # noqa: ANN401
    return DirectoryEntry(**{"name": name, "type": "f", "object_id": OBJECT, **fields})


names = (
    (
        st.text(st.characters(exclude_characters="/\0"))
        | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    )
    .map(lambda name: name.replace("/", "_").replace("\0", "_"))
    .filter(lambda name: name not in {"", ".", ".."})
    .filter(lambda name: not m._NO_NAME.search(name))
)
texts = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
counts = st.integers(0, MAX_TIME)
times = st.integers(MIN_TIME, MAX_TIME)
summaries = st.builds(
    DirectorySummary,
    size=counts,
    files=counts,
    symlinks=counts,
    dirs=counts,
    max_time_ns=times,
    incomplete=st.sampled_from(["", "checkpoint"]),
    num_failed=counts,
    num_ignored_errors=counts,
    errors=st.lists(st.builds(EntryError, texts, texts), max_size=2).map(tuple),
)
object_ids = st.builds(
    lambda letters, digest: letters + digest.hex(),
    st.sampled_from(["", "k", "Ix", "IIk", "Z"]),
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
entry_lists = st.lists(entries, max_size=8, unique_by=lambda entry: stored_form(entry.name))


# --- what Kopia wrote


@pytest.mark.parametrize("case", VECTORS["entries"], ids=lambda case: case["json"][:60])
def test_an_entry_is_what_kopia_writes_or_refused(case: dict[str, Any]) -> None:
    entry = entry_of(case["entry"])
    assert m._entry_text(entry) + "\n" == case["json"]  # what Kopia would write of it
    assert decode_entry(case["json"].encode()) == as_stored(entry)
    if entry.type == "" or entry.object_id == "" or entry.size < 0:
        for encode in (encode_entry, lambda wrong: encode_entries([wrong])):
            with pytest.raises(UsageError, match="can't be written"):
                encode(entry)
        return
    if "\0" in entry.name:
        with pytest.raises(UsageError, match="a character that no"):
            encode_entry(entry)
    else:
        assert encode_entry(entry) == case["json"].strip().encode()
    if entry.name == "" or {"\0", "/"} & {*entry.name}:
        with pytest.raises(UsageError, match="name"):
            encode_entries([entry])
    else:
        assert encode_entries([entry]) == b"[" + case["json"].strip().encode() + b"]"


@pytest.mark.parametrize("case", VECTORS["directories"], ids=lambda case: case["name"])
def test_a_directory_is_what_kopia_writes(case: dict[str, Any]) -> None:
    entries = [entry_of(entry) for entry in case["entries_in"] or ()]
    failures = [
        EntryFailure(path=text_of(failure["path_hex"]), error=text_of(failure["error_hex"]), ignored=failure["ignored"])
        for failure in case["failures_in"] or ()
    ]
    summary = summarize(entries, case["dir_mtime_ns"], failures, case["incomplete"])
    expected = case["json"].encode()
    read = Directory.from_bytes(expected)
    assert read.summary == summary
    if any(entry.type not in {"f", "d", "s"} for entry in entries):
        with pytest.raises(UsageError, match=r"the type 'b?' is unknown"):
            encode_directory(entries, summary)
        return
    for order in (entries, entries[::-1]):
        assert encode_directory(order, summary) == expected
    assert read.to_bytes().decode() == case["json"].replace(
        "\\ufffd", "\ufffd"
    )  # what stood there is not known any more
    assert list(map(as_stored, sorted(entries, key=lambda entry: (entry.type != "d", m._raw(entry.name))))) == list(
        read.entries
    )


def test_the_directories_of_a_real_tree_are_what_kopia_wrote() -> None:
    """Bottom up, from the data of lstat and the object IDs alone."""
    summaries: dict[tuple[str, ...], DirectorySummary] = {}
    for directory in sorted(REAL["directories"], key=lambda directory: -len(directory["path_hex"])):
        path = tuple(directory["path_hex"])
        entries = [
            DirectoryEntry(
                name=text_of(found["name_hex"]),
                type=found["kind"],
                mode=found["unix_mode"],
                size=0 if found["kind"] == "d" else found["st_size"],
                mtime_ns=found["mtime_ns"],
                uid=found["uid"],
                gid=found["gid"],
                object_id=found["obj"],
                summary=summaries[*path, found["name_hex"]] if found["kind"] == "d" else None,
            )
            for found in directory["lstat"]
            if found["kind"] != "other"
        ]
        summaries[path] = summarize(entries, directory["dir_mtime_ns"])
        assert encode_directory(entries, summaries[path]) == directory["json"].encode()
        written_again = Directory.from_bytes(directory["json"].encode()).to_bytes().decode()
        assert written_again == directory["json"].replace("\\ufffd", "\ufffd")
    assert len(summaries) == len(REAL["directories"])


def test_the_summary_of_a_file_as_root_counts_no_directory() -> None:
    """Format 04 §7.2; the snapshot of a single file in the dump of a real repository."""
    (manifest,) = REAL["manifest_contents"]["m40acd11c815d2a12ee8d0be979db9bda"]["entries"]
    root = manifest["data"]["rootEntry"]
    entry = decode_entry(json.dumps(root).encode())
    assert entry.summary == summarize_file(entry.size, entry.mtime_ns)
    assert json.loads(encode_entry(entry)) == root


# --- what Kopia read


@pytest.mark.parametrize(
    "case", VECTORS["parse_entry"], ids=lambda case: bytes.fromhex(case["json_hex"]).decode("latin-1")
)
def test_an_entry_is_read_as_kopia_reads_it(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["json_hex"])
    whole = b'{"stream":"kopia:directory","entries":[' + data + b"]}"
    if not case["ok"]:
        with pytest.raises(DamagedObjectError, match="can't be read"):
            decode_entry(data)
        with pytest.raises(DamagedObjectError, match="can't be read"):
            Directory.from_bytes(whole)
        return
    entry = decode_entry(data)
    assert entry == DirectoryEntry(
        name=text_of(case["name_hex"]),
        type=case["type"],
        mode=entry.mode,
        size=case["size"],
        mtime_ns=case["mtime_ns"],
        uid=case["uid"],
        gid=case["gid"],
        object_id=case["obj"],
    )
    mode = json.loads(data.decode("utf-8", "replace")).get("mode", "0")
    assert parse_go_mode(mode) == case["go_mode"]
    assert entry.mode == case["go_mode"] & 0o777
    assert Directory.from_bytes(whole).entries == (entry,)


@pytest.mark.parametrize(
    "text",
    [
        '{"stream":"kopia:directory","entries":null,"summary":null}',
        '{"stream":"kopia:directory","entries":[],"x":{"y":[1]}}  ',
        '{"Stream":"kopia:directory"}',
        '{"stream":"kopia:directory"} and more }',
        '\n { "stream" : "kopia:directory" , "summary" : null }',
    ],
)
def test_empty_directories_of_other_shapes_are_read(text: str) -> None:
    assert Directory.from_bytes(text.encode()) == Directory(())


def test_unknown_keys_are_ignored_at_every_level() -> None:
    data = (
        b'{"stream":"kopia:directory","new":1,"entries":[{"name":"d","type":"d","obj":"kab","xattr":{},"summ":'
        b'{"dirs":1,"new":[],"errors":[{"path":"p","error":"e","when":0}]}}],"summary":{"dirs":2,"new":null}}'
    )
    read = Directory.from_bytes(data)
    below = DirectorySummary(dirs=1, errors=(EntryError("p", "e"),))
    assert read.entries == (DirectoryEntry("d", "d", object_id=ObjectID("kab"), summary=below),)
    assert read.summary == DirectorySummary(dirs=2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[]",
        '{"stream":"kopia:indirect","entries":[]}',
        '{"stream":"Kopia:directory"}',
        '{"stream":"kopia:directory","entries":{}}',
        '{"stream":"kopia:directory","entries":[null]}',
        '{"stream":"kopia:directory","entries":["a"]}',
        '{"stream":"kopia:directory","entries":[{"name":1}]}',
        '{"stream":"kopia:directory","entries":[{"size":9223372036854775808}]}',
        '{"stream":"kopia:directory","entries":[{"mode":null}]}',
        '{"stream":"kopia:directory","entries":[{"mode":"0x"}]}',
        '{"stream":"kopia:directory","entries":[{"mode":"99999999999"}]}',
        '{"stream":"kopia:directory","entries":[{"mtime":0}]}',
        '{"stream":"kopia:directory","entries":[{"summ":[]}]}',
        '{"stream":"kopia:directory","entries":[{"summ":{"errors":[null]}}]}',
        '{"stream":"kopia:directory","summary":{"maxTime":"never"}}',
        '{"stream":"kopia:directory","entries":[',
    ],
)
def test_what_is_no_directory_is_damage(text: str) -> None:
    with pytest.raises(DamagedObjectError, match="a directory object can't be read"):
        Directory.from_bytes(text.encode())


# --- round trips and damage


@given(entry_lists, st.none() | summaries)
def test_a_directory_survives_being_written_and_read(
    given_entries: list[DirectoryEntry], summary: DirectorySummary | None
) -> None:
    encoded = encode_directory(given_entries, summary)
    read = Directory.from_bytes(encoded)
    assert Directory.from_bytes(memoryview(encoded)) == read
    ordered = sorted(given_entries, key=lambda entry: (entry.type != "d", m._raw(entry.name)))
    assert list(read.entries) == list(map(as_stored, ordered))
    assert json.loads(encoded)["stream"] == "kopia:directory"
    assert encoded.endswith(b"}\n")
    assert encoded.count(b"\n") == 1


@given(entries)
def test_an_entry_survives_being_written_and_read(entry: DirectoryEntry) -> None:
    assert decode_entry(encode_entry(entry)) == as_stored(entry)


@given(entry_lists, st.data())
def test_damaged_directories_raise_damage_or_are_read(given_entries: list[DirectoryEntry], draw: st.DataObject) -> None:
    encoded = bytearray(encode_directory(given_entries, DirectorySummary()))
    encoded[draw.draw(st.integers(0, len(encoded) - 1))] ^= draw.draw(st.integers(1, 255))
    for damaged in (encoded, encoded[: draw.draw(st.integers(0, len(encoded)))]):
        with contextlib.suppress(DamagedObjectError):
            Directory.from_bytes(damaged)


@given(st.binary())
def test_garbage_is_damage(garbage: bytes) -> None:
    assume(b"{" not in garbage)  # an empty object is an entry without members, to Kopia too
    for read in (Directory.from_bytes, decode_entry):
        with pytest.raises(DamagedObjectError):
            read(garbage)


# --- what is never written


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (file("a", object_id=""), "'' is not an object ID"),
        (file("a", object_id="I"), "'I' is not an object ID"),
        (file("a", object_id="IZab"), "is not an object ID"),
        (file("a", object_id="AB"), "is not an object ID"),
        (file("a", object_id="ab\n"), "is not an object ID"),
        (file("a", type=""), "the type '' is unknown"),
        (file("a", type="b"), "the type 'b' is unknown"),
        (file("a", size=-1), "the size -1 is out of range"),
        (file("a", size=1 << 63), "is out of range"),
        (file("a", size=1.0), "a field is not a whole number"),
        (file("a", mode=-1), "has more than the 12 permission bits"),
        (file("a", mode=0o10000), "the mode 0o10000 has more than the 12 permission bits"),
        (file("a", mtime_ns=MAX_TIME + 1), "does not fit into 64 bits"),
        (file("a", mtime_ns=MIN_TIME - 1), "does not fit into 64 bits"),
        (file("a", uid=-1), "the owner -1:0 does not fit into 32 bits"),
        (file("a", uid=1 << 32), "does not fit into 32 bits"),
        (file("a", gid=-1), "does not fit into 32 bits"),
        (file("a", gid=1 << 32), "does not fit into 32 bits"),
        (file("a", summary=DirectorySummary(size=-1)), "a number is out of range"),
        (file("a", summary=DirectorySummary(files=1 << 63)), "a number is out of range"),
        (file("a", summary=DirectorySummary(max_time_ns=1 << 63)), "a number is out of range"),
    ],
)
def test_an_entry_that_kopia_could_not_read_is_never_written(entry: DirectoryEntry, reason: str) -> None:
    for encode in (encode_entry, lambda wrong: encode_directory([file("ok"), wrong], None)):
        with pytest.raises(UsageError, match=reason):
            encode(entry)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "\0", "\ud800", "a\udfff"])
def test_a_name_that_no_file_can_have_is_never_written(name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        encode_entries([file("ok"), file(name)])


def test_a_root_may_be_named_by_a_path() -> None:
    assert encode_entry(file("/srv/data")).startswith(b'{"name":"/srv/data"')
    assert encode_entry(file("/")).startswith(b'{"name":"/"')
    with pytest.raises(UsageError, match="a character that no path can have"):
        encode_entry(file("/srv\0"))


@pytest.mark.parametrize(
    "pair",
    [
        (file("a\udcff"), file("a\udcfe")),
        (file("c\ufffd"), file("c\udcff")),
        (file("a"), file("a")),
        (file("a"), file("a", type="d")),
        (file("\udcff"), file("\udcfe", type="d")),
    ],
)
def test_names_that_would_hide_each_other_are_never_written(pair: tuple[DirectoryEntry, DirectoryEntry]) -> None:
    with pytest.raises(CollidingNamesError, match="equal once they are stored") as caught:
        encode_entries([file("b"), *pair])
    assert caught.value.groups == [[pair[0].name, pair[1].name]] == colliding_names(entry.name for entry in pair)


@given(st.lists(names, unique=True))
def test_colliding_names_are_found_however_many_there_are(found: list[str]) -> None:
    groups = colliding_names(found)
    assert sum(len(group) - 1 for group in groups) == len(found) - len(set(map(stored_form, found)))
    assert all(len({stored_form(name) for name in group}) == 1 for group in groups)


# --- summaries


@given(entry_lists, times)
def test_a_summary_counts_the_directory_itself_and_all_beneath_it(
    given_entries: list[DirectoryEntry], own_mtime_ns: int
) -> None:
    summary = summarize(given_entries, own_mtime_ns)
    below = [entry.summary for entry in given_entries if entry.type == "d" and entry.summary]
    assert summary.dirs == 1 + sum(each.dirs for each in below)
    assert summary.files == sum(entry.type == "f" for entry in given_entries) + sum(each.files for each in below)
    assert summary.max_time_ns == (
        max(0, *(entry.mtime_ns for entry in given_entries), *(each.max_time_ns for each in below), 0)
        if given_entries
        else own_mtime_ns
    )
    assert list(summary.errors) == sorted(summary.errors, key=lambda error: m._raw(error.path))
    assert summarize(reversed(given_entries), own_mtime_ns).size == summary.size


def test_all_errors_are_kept_and_sorted_by_bytes() -> None:
    paths = [f"{number:02}" for number in range(20)] + ["\udcff", "\U0001f600", "\ue000"]
    failures = [EntryFailure(path=path, error="e", ignored=number % 2 == 0) for number, path in enumerate(paths)]
    summary = summarize([], 5, reversed(failures), "canceled")
    assert [error.path for error in summary.errors] == [*paths[:20], "\ue000", "\U0001f600", "\udcff"]
    assert (summary.num_ignored_errors, summary.num_failed) == (12, 11)
    assert (summary.max_time_ns, summary.incomplete) == (5, "canceled")
