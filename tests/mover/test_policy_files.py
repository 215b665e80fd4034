"""The two files of policyConfig: every field under every name, and what is wrong with a file in words."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pykopia_mover.documents import DEEPEST, LARGEST, DocumentError, parse_document
from pykopia_mover.policy_files import PolicyFile, RepositoryConfig, policy_file, repository_config, seconds

from tests.mover.harness import EXAMPLES


def policy(**sections: object) -> PolicyFile:
    return policy_file(parse_document(json.dumps(sections).encode(), "global-policy.json"), "global-policy.json")


def config(**keys: object) -> RepositoryConfig:
    return repository_config(keys, "repository.config")


def documented(name: str, file: str = "global-policy.json") -> dict[str, Any]:
    return parse_document(EXAMPLES["policies"][name][file].encode(), file)


# ---------------------------------------------------------------------- documents


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1,}', "line 1, column 9"),
        ('{\n  "a": b\n}', "line 2, column 8"),
        ("", "line 1, column 1"),
        ("[1]", "one JSON object"),
        ('{"a": 1, "a": 2}', "given twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "levels"),
        ('{"a": ' * 100_000, "levels"),
        ('{"a": "' + "x" * LARGEST + '"}', "larger"),
        ("\xff", "UTF-8"),
    ],
)
def test_row_233_what_is_wrong_with_a_document_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(DocumentError, match=told) as caught:
        parse_document(text.encode("latin-1"), "global-policy.json")
    assert "global-policy.json" in str(caught.value)


@pytest.mark.parametrize("name", ["kopia-dev-policies", "kopia-prod-policies"])
def test_row_236_json_with_comments_is_refused_in_words_that_help(name: str) -> None:
    with pytest.raises(DocumentError, match="comments are not allowed in JSON"):
        documented(name)


def test_m_096_a_byte_order_mark_is_no_mistake() -> None:
    assert parse_document(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}


@given(st.binary(max_size=60))
def test_hostile_bytes_are_a_document_error_or_a_document(data: bytes) -> None:
    with contextlib.suppress(DocumentError):
        assert isinstance(policy_file(parse_document(data, "x"), "x"), PolicyFile)


# ---------------------------------------------------------------------- global policy


def test_row_259_the_documented_policy_is_taken_whole_without_a_complaint() -> None:
    found = policy_file(documented("documented policy"), "global-policy.json")
    assert found.warnings == ()
    assert found.parallel_uploads == 8
    values = json.loads(found.policy.to_json())
    assert values["compression"] == {"compressorName": "zstd", "minSize": 1024, "maxSize": 1048576}
    assert values["retention"] == {
        "keepLatest": 10, "keepHourly": 24, "keepDaily": 30, "keepWeekly": 4, "keepMonthly": 12, "keepAnnual": 3,
    }  # fmt: skip
    assert values["files"]["ignore"] == [
        ".DS_Store", "Thumbs.db", "*.tmp", "*.log", "node_modules/", ".git/", "__pycache__/",
    ]  # fmt: skip
    assert values["files"]["ignoreCacheDirs"] is True
    assert values["errorHandling"] == {"ignoreFileErrors": False, "ignoreDirectoryErrors": False}
    assert values["upload"] == {"maxParallelSnapshots": 4, "maxParallelFileReads": 16}
    assert values["actions"]["beforeSnapshotRoot"] == {
        "script": "sync && echo 3 > /proc/sys/vm/drop_caches", "timeout": 300, "mode": "essential",
    }  # fmt: skip
    assert values["actions"]["afterSnapshotRoot"]["timeout"] == 120
    assert found.sections == {"compression", "retention", "files", "error_handling", "upload", "actions"}


def test_rows_254_255_257_258_actions_have_script_timeout_and_mode() -> None:
    found = policy_file(documented("kopia-database-policies"), "global-policy.json").policy.actions
    assert found.before_snapshot_root is not None
    assert found.after_snapshot_root is not None
    assert (found.before_snapshot_root.timeout_seconds, found.before_snapshot_root.mode) == (600, "essential")
    assert (found.after_snapshot_root.timeout_seconds, found.after_snapshot_root.mode) == (60, "optional")
    assert found.before_snapshot_root.script.startswith("mysqldump --single-transaction")


@pytest.mark.parametrize(
    ("text", "value"),
    [("5m", 300), ("2m", 120), ("15m", 900), ("10m", 600), ("1m", 60), ("1h30m", 5400), ("90s", 90), ("45", 45)],
)
def test_row_256_timeouts_are_durations(text: str, value: int) -> None:
    assert seconds(text, "timeout") == value
    action = {"script": "true", "timeout": text}
    found = policy(actions={"beforeSnapshotRoot": action}).policy.actions.before_snapshot_root
    assert found is not None
    assert found.timeout_seconds == value


@pytest.mark.parametrize("text", ["5 minutes", "m", "-5m", "5m ", ""])
def test_a_timeout_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match=r"actions\.beforeSnapshotRoot\.timeout"):
        policy(actions={"beforeSnapshotRoot": {"script": "true", "timeout": text}})


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"retention": {"keepDaily": "7"}}, "retention.keepDaily must be a whole number"),
        ({"retention": {"keepDaily": -1}}, "retention.keepDaily: must not be negative"),
        ({"retention": 3}, "retention must be an object"),
        ({"retention": {"keepYearly": 1, "keepAnnual": 2}}, "the same"),
        ({"files": {"ignore": "*.log"}}, "files.ignore must be a list"),
        ({"compression": {"compressorName": "lz5"}}, "zstd, gzip, s2, none"),
        ({"compression": {"minSize": 10, "maxSize": 5}}, "minSize is above maxSize"),
        ({"compression": {"onlyCompress": ["jpg"]}}, "no extension"),
        ({"upload": {"parallelUploads": 0}}, "parallelUploads"),
        ({"upload": {"maxParallelFileReads": 0}}, "maxParallelFileReads"),
        ({"actions": {"beforeSnapshotRoot": {"script": "x", "mode": "never"}}}, "mode: must be one of essential"),
        ({"actions": {"beforeSnapshotRoot": {"script": "x", "path": "/y"}}}, "either a path or a script"),
        ({"scheduling": {"manual": True, "interval": "1h"}}, "can't be combined"),
        ({"scheduling": {"timeOfDay": [{"hour": 25, "min": 0}]}}, "no time of day"),
        ({"scheduling": {"cron": ["every day"]}}, r"scheduling\.cron\[0\]"),
        ({"files": {"ignore": ["*.log", "[bad"]}}, r"files\.ignore\[1\]: ignore rule '\[bad' can't be used"),
        ({"files": {"maxFileSize": -5}}, "files.maxFileSize: must not be negative"),
        ({"upload": {"parallelUploadAboveSize": 0}}, "parallelUploadAboveSize: must not be 0, which ends Kopia"),
        ({"splitter": {"algorithm": "NOPE"}}, "splitter.algorithm: 'NOPE' is no splitter"),
    ],
)
def test_row_234_a_field_that_makes_no_sense_is_named(sections: dict[str, Any], told: str) -> None:
    with pytest.raises(DocumentError, match=told):
        policy(**sections)


def test_other_names_of_fields_become_kopias() -> None:
    found = policy(
        compression={"compressor": "s2", "onlyCompress": ["*.txt", ".log"]},
        retention={"keepYearly": 2},
        files={"ignoreCacheDirectories": False, "noParentIgnoreRules": True},
        scheduling={"interval": "1h"},
    ).policy
    assert found.compression.compressor_name == "s2-default"
    assert found.compression.only_compress == (".log", ".txt")
    assert found.retention.keep_annual == 2
    assert (found.files.ignore_cache_directories, found.files.no_parent_ignore) == (False, True)
    assert found.scheduling.interval_seconds == 3600


def test_unknown_fields_are_told_with_the_nearest_known_one_and_left_out() -> None:
    found = policy(retention={"keepDayly": 7}, retentoin={})
    assert "unknown field retention.keepDayly (did you mean retention.keepDaily?)" in found.warnings[1]
    assert "retentoin (did you mean retention?)" in found.warnings[0]
    assert b"keepDayly" not in found.policy.to_json()


def test_an_export_of_kopia_is_read_and_other_targets_are_passed_over() -> None:
    found = policy(**{"(global)": {"retention": {"keepDaily": 7}}, "user@host:/path": {}})
    assert found.defined == {"retention.keep_daily"}
    assert "user@host:/path" in found.warnings[0]


# ---------------------------------------------------------------------- repository.config


def test_row_260_the_documented_repository_config_is_taken_whole() -> None:
    found = repository_config(documented("documented repository.config", "repository.config"), "repository.config")
    assert found.warnings == ()
    assert found.storage_type == "s3"
    assert found.max_cache_size == 1073741824
    assert found.max_list_cache_seconds == 600
    assert found.enable_actions is True
    assert found.compression == {
        "only_compress": (".log", ".txt"),
        "never_compress": (".jpg", ".mp4", ".png"),
        "min_size": 1024,
        "max_size": 1073741824,
    }


def test_speeds_and_limits() -> None:
    found = config(uploadSpeed="10MB", downloadSpeed=5000, throttling={"readsPerSecond": 7})
    assert found.throttling == {
        "readsPerSecond": 7,
        "maxUploadSpeedBytesPerSecond": 10_000_000.0,
        "maxDownloadSpeedBytesPerSecond": 5000,
    }
    assert config(uploadSpeed="2MiB").throttling == {"maxUploadSpeedBytesPerSecond": 2097152.0}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"enableActions": "yes"}, "enableActions"),
        ({"caching": {"maxCacheSize": "1Gi"}}, "caching.maxCacheSize"),
        ({"caching": []}, "caching must be an object"),
        ({"caching": {"maxListCacheDuration": -1}}, "maxListCacheDuration"),
        ({"compression": {"neverCompress": [".tar.gz"]}}, "no extension"),
        ({"uploadSpeed": "fast"}, "uploadSpeed"),
    ],
)
def test_a_key_of_repository_config_that_makes_no_sense_is_named(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(DocumentError, match=told):
        config(**keys)


def test_unknown_keys_of_repository_config_are_told_with_the_nearest_known_one_at_every_level() -> None:
    found = config(
        enableAction=True, compression={"neverCompres": [".x"]}, caching={"maxCacheSiz": 1, "cacheDirectory": "/c"}
    )
    assert found.warnings == (
        "repository.config: unknown key enableAction, ignored (did you mean enableActions?)",
        "repository.config: unknown key caching.maxCacheSiz, ignored (did you mean caching.maxCacheSize?)",
        "repository.config: unknown key compression.neverCompres, ignored (did you mean compression.neverCompress?)",
    )


def test_credentials_in_repository_config_are_not_taken() -> None:
    assert "Secret" in config(storage={"type": "s3", "config": {"bucket": "b"}}).warnings[0]
