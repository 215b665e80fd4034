"""The policy model: JSON byte for byte as Kopia's, and what happens to bad JSON."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykopia.errors import InvalidPolicyError
from pykopia.format.policy import (
    DEFAULT_POLICY,
    EMPTY_POLICY,
    ActionCommand,
    ActionsPolicy,
    FilesPolicy,
    LoggingPolicy,
    Policy,
    RetentionPolicy,
    SchedulingPolicy,
    TimeOfDay,
)
from pykopia.format.policy_fields import Kind, Section, fields_of

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "policy_merge.json").read_text())
GOLDEN = Path(__file__).parents[1] / "golden"
EMPTY_JSON = VECTORS["round_trip"][0]["out"].encode()


def golden_policies() -> list[Any]:
    return [
        pytest.param(manifest, id=f"{path.stem}-{number}")
        for path in sorted(GOLDEN.glob("*.json"))
        if not path.stem.startswith("damaged-")
        for number, manifest in enumerate(json.loads(path.read_text()).get("manifests", []))
        if manifest["labels"].get("type") == "policy"
    ]


# --- as Kopia writes it ----------------------------------------------------------------------------------------------


def test_the_default_policy_is_kopias() -> None:
    assert DEFAULT_POLICY.to_json().decode() == VECTORS["default_policy_json"]
    assert Policy.from_json(VECTORS["default_policy_json"]) == DEFAULT_POLICY


def test_the_empty_policy_writes_every_section() -> None:
    assert EMPTY_POLICY.to_json() == EMPTY_JSON


@pytest.mark.parametrize("case", VECTORS["round_trip"])
def test_json_is_rewritten_as_kopia_does(case: dict[str, Any]) -> None:
    policy = Policy.from_json(case["in"])
    assert policy.to_json(keep_unknown=False).decode() == case["out"]
    assert Policy.from_json(case["out"], strict=True).to_json().decode() == case["out"]


@pytest.mark.parametrize("case", VECTORS["round_trip"])
def test_strict_reading_refuses_what_kopias_strict_decoder_refuses(case: dict[str, Any]) -> None:
    if case["strict_decode_ok"]:
        Policy.from_json(case["in"], strict=True)
    else:
        with pytest.raises(InvalidPolicyError, match="unknown field"):
            Policy.from_json(case["in"], strict=True)


@pytest.mark.parametrize("manifest", golden_policies())
def test_policies_of_golden_repositories_have_the_length_that_kopia_stored(manifest: dict[str, Any]) -> None:
    document = Policy.from_json(json.dumps(manifest["data"]), strict=True).to_json()
    assert len(document) == manifest["length"]
    assert json.loads(document) == manifest["data"]


def test_an_indented_policy_is_the_same_policy() -> None:
    assert Policy.from_json(DEFAULT_POLICY.to_json(indent=2)) == DEFAULT_POLICY
    assert DEFAULT_POLICY.to_json(indent=2).startswith(b'{\n  "retention": {\n    "keepLatest": 10,\n')


# --- as Kopia reads it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("null", EMPTY_POLICY),
        (' \n{"RETENTION":{"keeplatest":3}}\t', Policy(retention=RetentionPolicy(keep_latest=3))),
        ('{"file\u017f":{"maxFileSize":3}}', Policy(files=FilesPolicy(max_file_size=3))),
        ('{"retention":{"keepLatest":3,"keepLatest":4}}', Policy(retention=RetentionPolicy(keep_latest=4))),
        ('{"retention":{"keepLatest":3,"KeepLatest":null}}', EMPTY_POLICY),
        (
            '{"retention":{"keepLatest":3},"retention":{"keepDaily":4}}',
            Policy(retention=RetentionPolicy(keep_latest=3, keep_daily=4)),
        ),
        ('{"retention":{"keepLatest":3},"retention":null}', Policy(retention=RetentionPolicy(keep_latest=3))),
        ('{"files":{"maxFileSize":3,"maxFileSize":null}}', Policy(files=FilesPolicy(max_file_size=3))),
        ('{"files":{"ignore":["a"],"ignore":["b"]}}', Policy(files=FilesPolicy(ignore=("b",)))),
        ('{"files":{"ignore":["a"],"ignore":null}}', EMPTY_POLICY),
        ('{"files":{"ignore":["a",null]}}', Policy(files=FilesPolicy(ignore=("a", "")))),
        (
            '{"actions":{"beforeFolder":{"path":"a"},"beforeFolder":{"mode":"async"}}}',
            Policy(actions=ActionsPolicy(before_folder=ActionCommand(command="a", mode="async"))),
        ),
        ('{"actions":{"beforeFolder":{"path":"a"},"beforeFolder":null}}', EMPTY_POLICY),
        ('{"actions":{"beforeFolder":{}}}', Policy(actions=ActionsPolicy(before_folder=ActionCommand()))),
        (
            '{"scheduling":{"timeOfDay":[null,{"hour":3}]}}',
            Policy(scheduling=SchedulingPolicy(times_of_day=(TimeOfDay(), TimeOfDay(hour=3)))),
        ),
        ('{"files":{"ignore":["\\ud800"]}}', Policy(files=FilesPolicy(ignore=("\ufffd",)))),
        ('{"retention":{"keepLatest":-0}}', Policy(retention=RetentionPolicy(keep_latest=0))),
        (
            '{"retention":{"keepLatest":9223372036854775807}}',
            Policy(retention=RetentionPolicy(keep_latest=(1 << 63) - 1)),
        ),
    ],
)
def test_reading_follows_go(document: str, expected: Policy) -> None:
    assert Policy.from_json(document) == expected


def test_bytes_that_are_not_utf_8_become_replacement_characters_one_by_one() -> None:
    assert Policy.from_json(b'{"files":{"ignore":["\xed\xa0\x80"]}}').files.ignore == ("\ufffd" * 3,)


def test_an_empty_list_is_told_apart_only_in_the_schedule() -> None:
    assert Policy.from_json('{"files":{"ignore":[]}}') == EMPTY_POLICY
    assert Policy.from_json('{"scheduling":{"cron":[]}}').scheduling.cron == ()
    assert Policy.from_json('{"scheduling":{"cron":[]}}').to_json() == EMPTY_JSON


# --- unknown fields --------------------------------------------------------------------------------------------------


def test_unknown_fields_survive_a_rewrite_at_every_level() -> None:
    document = (
        b'{"new":1.50,"retention":{"keepLatest":3,"keepForever":{"a":[ 1, "x  \\" <y>" ]}},'
        b'"scheduling":{"timeOfDay":[{"hour":1,"min":2,"sec":3}]},"actions":{"beforeFolder":{"user":"root"}},"new":[2]}'
    )
    again = Policy.from_json(document).to_json()
    assert again == (
        b'{"retention":{"keepLatest":3,"keepForever":{"a":[1,"x  \\" \\u003cy\\u003e"]}},"files":{},"errorHandling":{},'
        b'"scheduling":{"timeOfDay":[{"hour":1,"min":2,"sec":3}]},"compression":{},"metadataCompression":{},'
        b'"splitter":{},"actions":{"beforeFolder":{"user":"root"}},"osSnapshots":{"volumeShadowCopy":{}},'
        b'"logging":{"directories":{},"entries":{}},"upload":{},"new":[2]}'
    )
    assert Policy.from_json(again).to_json() == again


def test_a_changed_policy_keeps_its_unknown_fields() -> None:
    policy = Policy.from_json('{"retention":{"keepForever":true}}')
    changed = dataclasses.replace(policy, retention=dataclasses.replace(policy.retention, keep_daily=1))
    assert changed.to_json().startswith(b'{"retention":{"keepDaily":1,"keepForever":true},')


# --- bad JSON --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "place", "problem"),
    [
        ("", "line 1, column 1", "not JSON"),
        ("{}x", "line 1, column 3", "more text"),
        ('{"noParent":\n  tru}', "line 2, column 3", "not JSON"),
        ('{"files":{},\n\n "fils":{}}', "line 3, column 2", "unknown field fils"),
        ('{"files":{\n "ignored":[]}}', "line 2, column 2", "unknown field files.ignored"),
        ('{"retention":{"keepLatest":5.0}}', "line 1, column 28", "retention.keepLatest must be a whole number, not 5"),
        ('{"retention":{"keepLatest":1e3}}', "line 1, column 28", "must be a whole number"),
        ('{"retention":{"keepLatest":"5"}}', "line 1, column 28", "not a text"),
        ('{"retention":{"keepLatest":true}}', "line 1, column 28", "not true"),
        ('{"retention":{"keepLatest":9223372036854775808}}', "line 1, column 28", "must be a whole number"),
        ('{"retention":{"keepLatest":' + "9" * 5000 + "}}", "line 1, column 28", "out of range"),
        ('{"retention":[]}', "line 1, column 14", "retention must be an object, not a list"),
        ("[1]", "line 1, column 1", "a policy must be an object"),
        ('{"noParent":0}', "line 1, column 13", "noParent must be true or false, not 0"),
        ('{"files":{"ignore":"a"}}', "line 1, column 20", "files.ignore must be a list of texts, not a text"),
        ('{"files":{"ignore":[1]}}', "line 1, column 20", "files.ignore must be a list of texts"),
        ('{"splitter":{"algorithm":{}}}', "line 1, column 26", "splitter.algorithm must be a text, not an object"),
        ('{"scheduling":{"timeOfDay":{}}}', "line 1, column 28", "scheduling.timeOfDay must be a list of objects"),
        (
            '{"scheduling":{"timeOfDay":[{},5]}}',
            "line 1, column 32",
            "scheduling.timeOfDay[1] must be an object, not 5",
        ),
        (
            '{"scheduling":{"timeOfDay":[{"hour":null,"min":[]}]}}',
            "line 1, column 48",
            "scheduling.timeOfDay[0].min must be a whole number, not a list",
        ),
        (
            '{"osSnapshots":{"volumeShadowCopy":{"enable":256}}}',
            "line 1, column 46",
            "osSnapshots.volumeShadowCopy.enable must be a whole number from 0 to 255, not 256",
        ),
        ('{"x":NaN}', "line 1, column 1", "NaN"),
        ("[" * 100_000, "line 1, column 1", "nested more than 200 deep"),
        ('\ufeff{"files":{}}', "line 1, column 1", "not JSON"),
    ],
)
def test_bad_json_is_refused_with_line_and_column(document: str, place: str, problem: str) -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        Policy.from_json(document, strict=True)
    assert place in str(caught.value)
    assert problem in str(caught.value)


def test_an_unknown_value_that_can_not_be_kept_is_refused() -> None:
    with pytest.raises(InvalidPolicyError, match=r"new can't be kept"):
        Policy.from_json('{"new":' + "1" * 5000 + "}")


@given(st.binary(max_size=200))
@example(b'{"retention":{"keepLatest":')
def test_garbage_is_a_policy_or_an_invalid_policy(document: bytes) -> None:
    with contextlib.suppress(InvalidPolicyError):
        Policy.from_json(document)


@given(st.data())
def test_a_damaged_policy_is_a_policy_or_an_invalid_policy(data: st.DataObject) -> None:
    document = bytearray(DEFAULT_POLICY.to_json())
    for _ in range(data.draw(st.integers(1, 3))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    document = document[: data.draw(st.integers(0, len(document)))]
    try:
        policy = Policy.from_json(bytes(document))
    except InvalidPolicyError:
        return
    assert Policy.from_json(policy.to_json()) == policy


# --- properties ------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def sections(section: type[Section]) -> st.SearchStrategy[Any]:
    values: dict[str, st.SearchStrategy[Any]] = {}
    for known in fields_of(section):
        numbers = st.integers(known.numbers[0], known.numbers[-1])
        match known.kind:
            case Kind.OPTIONAL_INT:
                strategy: st.SearchStrategy[Any] = st.none() | numbers
            case Kind.OPTIONAL_BOOL:
                strategy = st.none() | st.booleans()
            case Kind.INT:
                strategy = numbers
            case Kind.BOOL:
                strategy = st.booleans()
            case Kind.TEXT:
                strategy = texts
            case Kind.TEXTS:
                strategy = st.lists(texts, max_size=3).map(tuple)
            case Kind.OBJECTS:
                assert known.section is not None
                strategy = st.none() | st.lists(sections(known.section), min_size=1, max_size=3).map(tuple)
            case Kind.OBJECT:
                assert known.section is not None
                strategy = st.none() | sections(known.section)
            case Kind.SECTION:
                assert known.section is not None
                strategy = sections(known.section)
        values[known.attribute] = strategy
    if section is SchedulingPolicy:
        values["cron"] = st.none() | st.lists(texts, min_size=1, max_size=3).map(tuple)
    return st.builds(section, **values)


policies = sections(Policy)


@given(policies)
def test_every_policy_survives_json(policy: Policy) -> None:
    assert Policy.from_json(policy.to_json(), strict=True) == policy


@given(policies)
def test_policies_are_plain_json(policy: Policy) -> None:
    assert list(json.loads(policy.to_json()))[:11] == list(json.loads(EMPTY_JSON))


def test_sections_are_values() -> None:
    assert hash(DEFAULT_POLICY) == hash(Policy.from_json(DEFAULT_POLICY.to_json()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT_POLICY.no_parent = True  # type: ignore[misc]
    assert LoggingPolicy() == EMPTY_POLICY.logging
    assert str(TimeOfDay(hour=5, minute=7)) == "5:07"
