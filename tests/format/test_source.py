"""Sources and previous snapshots against the vectors of real Kopia."""

import json
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import UsageError
from pykopia.format.source import SourceInfo, absolute_path, previous_snapshots

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "sources.json").read_text())

texts = st.text(alphabet="ab@:/. \\é", max_size=12)


def parse(text: str) -> SourceInfo:
    return SourceInfo.parse(text, "thishost", "thisuser", "/usr")


@dataclass(frozen=True)
class Snapshot:
    id: str
    start_time_ns: int
    incomplete: str


@pytest.mark.parametrize("case", VECTORS["parse"], ids=lambda case: case["in"] or "empty")
def test_a_source_is_parsed_as_kopia_parses_it(case: dict[str, Any]) -> None:
    if not case["ok"]:
        with pytest.raises(UsageError, match="is no source"):
            parse(case["in"])
        return
    source = parse(case["in"])
    assert source == SourceInfo(host=case["host"], user_name=case["user"], path=case["path"])
    assert str(source) == case["string"]


@pytest.mark.parametrize("case", VECTORS["to_string"], ids=lambda case: case["string"])
def test_a_source_is_shown_as_kopia_shows_it(case: dict[str, Any]) -> None:
    assert str(SourceInfo(host=case["host"], user_name=case["user"], path=case["path"])) == case["string"]


@pytest.mark.parametrize("case", VECTORS["find_previous_manifests"], ids=lambda case: case["name"])
def test_the_previous_snapshots_are_those_of_kopia(case: dict[str, Any]) -> None:
    snapshots = [
        Snapshot(each["id"], each["start_day"], each["incomplete"])
        for each in case["snapshots_in_manifest_time_order"] or ()
    ]
    previous = previous_snapshots(snapshots, case["no_later_than_day"] or None)
    assert [each.id for each in previous] == (case["previous"] or [])


@given(texts)
def test_a_complete_source_with_a_user_is_parsed_back_from_its_text(text: str) -> None:
    try:
        source = parse(text)
    except UsageError:
        assert text.endswith("@")
        return
    if source.user_name and source.host and not {"@", ":"} & {*source.user_name} and ":" not in source.host:
        assert parse(str(source)) == source


@given(texts, st.sampled_from(["/", "/usr", "/usr/lib"]))
def test_local_paths_are_absolute_and_clean(path: str, cwd: str) -> None:
    absolute = absolute_path(path, cwd)
    assert absolute.startswith("/")
    assert not absolute.startswith("//")
    assert posixpath.normpath(absolute) == absolute


def test_labels_name_the_source_and_leave_out_what_is_open() -> None:
    source = SourceInfo(host="h", user_name="u", path="/p")
    assert source.labels() == {"type": "snapshot", "hostname": "h", "username": "u", "path": "/p"}
    assert SourceInfo.from_labels(source.labels()) == source
    assert SourceInfo(host="h").labels() == {"type": "snapshot", "hostname": "h"}
    assert SourceInfo.from_labels({}) == SourceInfo()


def test_of_two_complete_snapshots_of_one_instant_the_first_counts() -> None:
    twins = [Snapshot("a", 5, ""), Snapshot("b", 5, "")]
    assert previous_snapshots(twins) == twins[:1]
