"""What can't be set as a policy: by Kopia's rules, and by stricter ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from pykopia.errors import InvalidPolicyError
from pykopia.format.policy import DEFAULT_POLICY, EMPTY_POLICY, Policy
from pykopia.format.policy_target import GLOBAL_TARGET
from pykopia.format.policy_validation import policy_mistakes, policy_oddities, validate_policy, validate_strictly
from pykopia.format.source import SourceInfo

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "policy_merge.json").read_text())
KNOWN: dict[str, Any] = {"compressors": ("zstd", "zstd-fastest"), "splitters": ("FIXED-1M",)}
PATH = SourceInfo(host="h", user_name="u", path="/a")


def policy(document: dict[str, Any]) -> Policy:
    return Policy.from_json(json.dumps(document))


@pytest.mark.parametrize("case", VECTORS["validate"], ids=lambda case: json.dumps(case["policy"]))
def test_what_kopia_refuses_is_refused(case: dict[str, Any]) -> None:
    target = SourceInfo.parse(case["target"], "here", "me", "/")
    if case["ok"]:
        validate_policy(policy(case["policy"]), target)
    else:
        with pytest.raises(InvalidPolicyError, match="can't be set"):
            validate_policy(policy(case["policy"]), target)


def test_unknown_fields_do_not_stand_against_manual() -> None:
    validate_policy(policy({"scheduling": {"manual": True, "jitter": 5}}), PATH)


def test_an_empty_range_of_cron_is_refused_where_kopia_would_fail_when_it_is_due() -> None:
    with pytest.raises(InvalidPolicyError, match=r"scheduling.cron\[0\].*no minute"):
        validate_policy(policy({"scheduling": {"cron": ["5-3 * * * *"]}}))


def test_a_path_must_not_end_in_a_slash() -> None:
    with pytest.raises(InvalidPolicyError, match="at its end"):
        validate_policy(EMPTY_POLICY, SourceInfo(host="h", user_name="u", path="/a/"))


@pytest.mark.parametrize("good", [DEFAULT_POLICY, EMPTY_POLICY])
def test_the_policies_of_a_new_repository_make_sense(good: Policy) -> None:
    validate_strictly(good, **KNOWN)


@pytest.mark.parametrize(
    "document",
    [
        {"compression": {"compressorName": "zstd"}, "metadataCompression": {"compressorName": "none"}},
        {"compression": {"neverCompress": ["", ".gz", ".zip"], "minSize": 5, "maxSize": 5}},
        {"compression": {"minSize": 5}},
        {"splitter": {"algorithm": "FIXED-1M"}},
        {"upload": {"parallelUploadAboveSize": -1, "maxParallelFileReads": 4}},
        {"files": {"ignore": ["*.log", "!keep.log"], "ignoreDotFiles": [".gitignore"], "maxFileSize": 5}},
        {"scheduling": {"timeOfDay": [{"hour": 23, "min": 59}], "cron": ["0 5 * * 1 #2 nights", "0 5 * * 1 # x", ""]}},
        {"actions": {"beforeFolder": {"path": "true", "mode": "async"}, "afterFolder": {"script": "x"}}},
        {"osSnapshots": {"volumeShadowCopy": {"enable": 2}}, "logging": {"entries": {"cacheHit": 10}}},
        {"retention": {"keepLatest": 0}},
    ],
    ids=json.dumps,
)
def test_these_make_sense(document: dict[str, Any]) -> None:
    assert policy_mistakes(policy(document), PATH, **KNOWN) == ()
    assert policy_oddities(policy(document)) == ()


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"scheduling": {"cron": ["0 5 * * 5#2"]}}, "scheduling.cron[0]"),
        ({"compression": {"onlyCompress": ["txt"]}}, "compression.onlyCompress[0]"),
        ({"compression": {"neverCompress": [".tar.gz"]}}, "compression.neverCompress[0]"),
        ({"compression": {"neverCompress": [".z", ".a"]}}, "compression.neverCompress: must be sorted"),
        ({"compression": {"minSize": 6, "maxSize": 5}}, "compression.minSize"),
    ],
    ids=str,
)
def test_these_are_odd_but_do_no_harm(document: dict[str, Any], field: str) -> None:
    odd = policy(document)
    validate_strictly(odd, PATH, **KNOWN)
    (oddity,) = policy_oddities(odd)
    assert oddity.startswith(field)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"retention": {"keepDaily": -1}}, "retention.keepDaily"),
        ({"files": {"maxFileSize": -1}}, "files.maxFileSize"),
        ({"files": {"ignore": ["a", "[b"]}}, "files.ignore[1]"),
        ({"files": {"ignoreDotFiles": [".x", "a/b"]}}, "files.ignoreDotFiles[1]"),
        ({"files": {"ignoreDotFiles": [""]}}, "files.ignoreDotFiles[0]"),
        ({"scheduling": {"intervalSeconds": -1}}, "scheduling.intervalSeconds"),
        ({"scheduling": {"timeOfDay": [{"hour": 24}]}}, "scheduling.timeOfDay[0]"),
        ({"compression": {"compressorName": "lz5"}}, "compression.compressorName"),
        ({"metadataCompression": {"compressorName": "lz5"}}, "metadataCompression.compressorName"),
        ({"splitter": {"algorithm": "FIXED-3M"}}, "splitter.algorithm"),
        ({"actions": {"beforeFolder": {}}}, "actions.beforeFolder"),
        ({"actions": {"afterFolder": {"path": "a", "script": "b"}}}, "actions.afterFolder"),
        ({"actions": {"beforeSnapshotRoot": {"path": "a", "mode": "sync"}}}, "actions.beforeSnapshotRoot.mode"),
        ({"actions": {"afterSnapshotRoot": {"path": "a", "timeout": -1}}}, "actions.afterSnapshotRoot.timeout"),
        ({"actions": {"afterSnapshotRoot": {"script": "é" * 16001}}}, "actions.afterSnapshotRoot.script"),
        ({"osSnapshots": {"volumeShadowCopy": {"enable": 3}}}, "osSnapshots.volumeShadowCopy.enable"),
        ({"logging": {"directories": {"ignored": 11}}}, "logging.directories.ignored"),
        ({"logging": {"entries": {"cacheMiss": -1}}}, "logging.entries.cacheMiss"),
        ({"upload": {"maxParallelFileReads": -1}}, "upload.maxParallelFileReads"),
        ({"upload": {"parallelUploadAboveSize": 0}}, "upload.parallelUploadAboveSize"),
    ],
    ids=str,
)
def test_these_make_no_sense_though_kopia_stores_them(document: dict[str, Any], field: str) -> None:
    wrong = policy(document)
    validate_policy(wrong, PATH)
    mistakes = policy_mistakes(wrong, PATH, **KNOWN)
    assert len(mistakes) == 1
    assert mistakes[0].startswith(field)
    with pytest.raises(InvalidPolicyError) as caught:
        validate_strictly(wrong, PATH, **KNOWN)
    assert mistakes[0] in str(caught.value)


@pytest.mark.parametrize("path", ["a/b", "C:x", "."])
def test_a_relative_path_makes_no_sense(path: str) -> None:
    (mistake,) = policy_mistakes(EMPTY_POLICY, SourceInfo(host="h", user_name="u", path=path), **KNOWN)
    assert "relative" in mistake


@pytest.mark.parametrize("path", ["/", "/a", "C:\\a", "C:/a", "\\\\server\\share", ""])
def test_an_absolute_path_does(path: str) -> None:
    assert policy_mistakes(EMPTY_POLICY, SourceInfo(host="h", user_name="u", path=path), **KNOWN) == ()


def test_all_mistakes_are_told_at_once() -> None:
    wrong = policy({"retention": {"keepDaily": -1}, "splitter": {"algorithm": "x"}})
    assert len(policy_mistakes(wrong, GLOBAL_TARGET, **KNOWN)) == 2
