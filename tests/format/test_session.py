import base64
import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError, UsageError
from pykopia.format.blob_names import SESSION_PREFIX
from pykopia.format.gotime import parse_time
from pykopia.format.session import SessionMarker, new_session_id, session_of_blob

VECTORS = Path(__file__).parents[1] / "vectors"
SEALED = json.loads((VECTORS / "whole_blob_encryption.json").read_text())["cases"]
REAL = json.loads((VECTORS / "real_repository_blobs.json").read_text())["repositories"]
MARKERS = {case["blobID"]: case["plaintext"].encode() for case in SEALED if case["prefix"] == "s"} | {
    name: base64.b64decode(blob["plaintext"])
    for repository in REAL
    for name, blob in repository["blobs"].items()
    if name.startswith("s")
}


def test_markers_of_kopia_are_read_and_written_again_byte_for_byte() -> None:
    assert len(MARKERS) >= 4
    for blob_id, text in MARKERS.items():
        marker = SessionMarker.from_json(text)
        assert marker.to_json() == text
        assert marker.session_id == session_of_blob(blob_id)
        assert marker.start_time_ns <= marker.checkpoint_time_ns


def test_session_ids_of_kopia_end_with_the_month_of_their_start() -> None:
    real = [SessionMarker.from_json(text) for name, text in MARKERS.items() if name.startswith("s57563b9ec")]
    assert real
    for marker in real:
        random = bytes.fromhex(marker.session_id[1:17])
        assert new_session_id(marker.start_time_ns, random) == marker.session_id


def test_a_new_session_id_counts_months_of_thirty_days_since_2000() -> None:
    start, day = parse_time("2000-01-01T00:00:00Z"), 86_400 * 10**9
    assert new_session_id(start, bytes(8)) == "s00000000000000000"
    assert new_session_id(start + 30 * day - 1, b"\xff" * 8) == "sffffffffffffffff0"
    assert new_session_id(start + 300 * day, bytes(8)) == "s0000000000000000a"


def test_a_session_id_needs_eight_bytes_and_a_clock_that_is_set() -> None:
    with pytest.raises(UsageError, match="8 random bytes"):
        new_session_id(0, bytes(7))
    with pytest.raises(UsageError, match="clock"):
        new_session_id(0, bytes(8))


@pytest.mark.parametrize(
    ("blob_id", "session"),
    [
        ("p102a-s39b23fe2117ad42f147", "s39b23fe2117ad42f147"),
        ("xn0_089d-s5b331aaa22dfed29147-c1", "s5b331aaa22dfed29147"),
        ("xs0_089d-c1-sabc-sdef", "sabc"),
        ("s089d", None),
        ("s089d-", None),
        ("p089d-c1", None),
        ("", None),
        ("-s", "s"),
    ],
)
def test_the_session_of_a_blob_is_the_first_such_part_of_its_name(blob_id: str, session: str | None) -> None:
    assert session_of_blob(blob_id) == session


@given(st.integers(0, 2**62), st.binary(min_size=8, max_size=8))
def test_a_blob_with_a_new_session_belongs_to_it(now_ns: int, random: bytes) -> None:
    session = new_session_id(max(now_ns, parse_time("2000-01-01T00:00:00Z")), random)
    assert session.startswith(SESSION_PREFIX)
    assert session_of_blob(f"p{'0' * 32}-{session}") == session


@given(st.binary(max_size=60))
def test_garbage_raises_only_our_error(data: bytes) -> None:
    with contextlib.suppress(DamagedDataError):
        SessionMarker.from_json(data)
