import contextlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedFormatBlobError, RequiredFeatureError, UnsupportedFormatError, UsageError
from pykopia.format import gojson
from pykopia.format.repository_format import (
    DEFAULT_EPOCH_PARAMETERS,
    MIB,
    NO_EPOCHS,
    EpochParameters,
    RepositoryFormat,
    RequiredFeature,
    check_features,
)

VECTORS = Path(__file__).parents[1] / "vectors"
PLAINTEXTS = {
    case["name"]: case["formatPlaintext"]
    for name in ("format_blob.json", "changed_repositories.json")
    for case in json.loads((VECTORS / name).read_text())["cases"]
}
EPOCH_NAMES = json.loads((VECTORS / "epoch_names.json").read_text())


new = partial(RepositoryFormat.new, secret=b"s" * 32, master_key=b"m" * 32)


@pytest.mark.parametrize("name", PLAINTEXTS)
def test_the_json_of_kopia_is_read_and_written_again_byte_for_byte(name: str) -> None:
    assert RepositoryFormat.from_json(PLAINTEXTS[name].encode()).to_json() == PLAINTEXTS[name].encode()


def test_every_field_has_its_value() -> None:
    parsed = RepositoryFormat.from_json(PLAINTEXTS["v3-default-after-set-parameters-and-password-change"].encode())
    assert (parsed.hash, parsed.encryption, parsed.version) == ("BLAKE2B-256-128", "AES256-GCM-HMAC-SHA256", 3)
    assert (parsed.max_pack_size, parsed.index_version, parsed.splitter) == (40 * MIB, 2, "DYNAMIC-4M-BUZHASH")
    assert parsed.epoch_parameters == DEFAULT_EPOCH_PARAMETERS
    assert parsed.enable_password_change
    assert len(parsed.secret) == len(parsed.master_key) == 32
    assert parsed.required_features == (
        RequiredFeature.of("index-v2", warn=True, message="msg", url="http://u", upgrade_to="9.9"),
        RequiredFeature.of("other-feature"),
    )


@pytest.mark.parametrize("name", ["v1", "v3-default"])
def test_a_new_format_is_that_of_kopia(name: str) -> None:
    real = RepositoryFormat.from_json(PLAINTEXTS[name].encode())
    made = RepositoryFormat.new(secret=real.secret, master_key=real.master_key, version=real.version)
    assert made.to_json() == PLAINTEXTS[name].encode()


def test_a_new_format_with_chosen_algorithms_is_that_of_kopia() -> None:
    real = RepositoryFormat.from_json(PLAINTEXTS["v2-ecc-retention"].encode())
    made = RepositoryFormat.new(
        secret=real.secret,
        master_key=real.master_key,
        version=2,
        hash="HMAC-SHA3-256",
        encryption="CHACHA20-POLY1305-HMAC-SHA256",
        splitter="FIXED-2M",
        ecc="REED-SOLOMON-CRC32",
        ecc_overhead_percent=10,
    )
    assert made == real


def test_an_upgrade_changes_what_kopia_changes() -> None:
    upgraded = RepositoryFormat.from_json(PLAINTEXTS["v1up"].encode())
    before = replace(upgraded, version=1, index_version=1, epoch_parameters=NO_EPOCHS)
    assert before.upgraded() == upgraded
    assert upgraded.upgraded() == upgraded
    assert (upgraded.compresses_contents, upgraded.embeds_format_blob) == (True, True)


@pytest.mark.parametrize(
    ("version", "percent", "expected"), [(1, 5, 0), (2, 0, 0), (2, 5, 5), (3, 300, 100), (3, -5, 0)]
)
def test_error_correction_is_on_only_where_it_can_be(version: int, percent: int, expected: int) -> None:
    made = new(version=version, ecc="REED-SOLOMON-CRC32", ecc_overhead_percent=percent)
    assert made.ecc_overhead_percent == expected
    assert bool(made.ecc) == bool(made.effective_ecc) == bool(expected)


def test_error_correction_needs_a_name_and_a_percentage() -> None:
    assert new(ecc_overhead_percent=5).effective_ecc == ""
    assert replace(new(), ecc="REED-SOLOMON-CRC32").effective_ecc == ""
    assert replace(new(), ecc="REED-SOLOMON-CRC32", ecc_overhead_percent=1).effective_ecc == "REED-SOLOMON-CRC32"


def test_absent_fields_mean_what_they_mean_to_kopia() -> None:
    parsed = RepositoryFormat.from_json(b'{"format":{"version":1}}')
    assert (parsed.effective_max_pack_size, parsed.effective_index_version) == (20 * MIB, 1)
    assert (parsed.effective_splitter, parsed.effective_ecc) == ("FIXED", "")
    assert not parsed.epoch_parameters.enabled
    assert not parsed.compresses_contents
    assert parsed.embeds_format_blob


@pytest.mark.parametrize("version", [0, 4, -1])
def test_an_unknown_version_is_refused(version: int) -> None:
    with pytest.raises(UnsupportedFormatError, match=f"version {version}"):
        RepositoryFormat.from_json(b'{"format":{"version":%d}}' % version)
    with pytest.raises(UnsupportedFormatError):
        new(version=version)


def test_an_unknown_index_version_is_refused() -> None:
    with pytest.raises(UnsupportedFormatError, match="index version 3"):
        RepositoryFormat.from_json(b'{"format":{"version":3,"indexVersion":3}}')


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format":[]}', '{"format":{"secret":1}}', '{"format":{"version":"3"}}']
)
def test_text_that_is_no_format_is_refused(text: str) -> None:
    with pytest.raises(DamagedFormatBlobError):
        RepositoryFormat.from_json(text.encode())


def test_a_block_without_a_format_has_no_version() -> None:
    with pytest.raises(UnsupportedFormatError):
        RepositoryFormat.from_json(b"{}")


@given(st.integers(0, len(PLAINTEXTS["v3-default"]) - 1), st.integers(0, 255))
def test_a_changed_byte_raises_only_our_errors(position: int, value: int) -> None:
    text = bytearray(PLAINTEXTS["v3-default"].encode())
    text[position] = value
    with contextlib.suppress(DamagedFormatBlobError, UnsupportedFormatError):
        RepositoryFormat.from_json(text)


def test_fields_of_newer_programs_survive_a_rewrite() -> None:
    text = PLAINTEXTS["v3-default"].replace('"splitter":"DYNAMIC-4M-BUZHASH"', '"splitter":"FIXED","padding":{"to":16}')
    changed = replace(RepositoryFormat.from_json(text.encode()), max_pack_size=30 * MIB)
    assert changed.to_json().decode() == text.replace('"maxPackSize":20971520', '"maxPackSize":31457280')


def test_keys_do_not_show_in_the_representation() -> None:
    text = repr(new())
    assert "ssss" not in text
    assert "mmmm" not in text
    assert "BLAKE2B-256-128" in text


def test_keys_of_old_repositories_come_from_the_password() -> None:
    keys = {"unique_id": b"u" * 32, "format_key": b"f" * 32}
    modern, old = new(version=3), new(version=1)
    assert modern.maintenance_key(**keys) == replace(modern, secret=b"").maintenance_key(**{**keys, "format_key": b""})
    assert modern.cache_key(**keys) == replace(modern, master_key=b"").cache_key(**{**keys, "format_key": b""})
    assert old.maintenance_key(**keys) == replace(old, secret=b"", master_key=b"").maintenance_key(**keys)
    assert old.cache_key(**keys) == replace(old, secret=b"", master_key=b"").cache_key(**keys)
    assert len({modern.cache_key(**keys), old.cache_key(**keys)}) == 2
    assert len({modern.maintenance_key(**keys), old.maintenance_key(**keys)}) == 2


def test_a_modern_format_without_a_secret_has_no_cache_key() -> None:
    parsed = RepositoryFormat.from_json(PLAINTEXTS["v3-nohmac"].encode())
    with pytest.raises(UnsupportedFormatError, match="empty key"):
        parsed.cache_key(unique_id=bytes(32), format_key=bytes(32))


def test_missing_features_warn_or_refuse_as_they_ask_for() -> None:
    warning = RequiredFeature.of("warp", warn=True, message="It is fast.", url="http://u", upgrade_to="9.9")
    known = [RequiredFeature.of("index-v1"), RequiredFeature.of("index-v2")]
    assert check_features(known) == []
    (text,) = check_features([*known, warning])
    assert all(part in text for part in ("'warp'", "It is fast.", "http://u", "9.9"))
    with pytest.raises(RequiredFeatureError, match="'weft'"):
        replace(new(), required_features=(warning, RequiredFeature.of("weft"))).check_features()
    assert check_features([RequiredFeature.of("weft")], frozenset({"weft"})) == []


def test_a_feature_without_instructions_is_indispensable() -> None:
    assert not RequiredFeature.parse(b'{"feature":"x"}').warns_only


@pytest.mark.parametrize("size", [10 * MIB, 120 * MIB])
def test_parameters_in_their_range_are_valid(size: int) -> None:
    replace(new(), max_pack_size=size).validate()
    replace(new(version=1), max_pack_size=size).validate()


@pytest.mark.parametrize(
    "changes",
    [{"max_pack_size": 10 * MIB - 1}, {"max_pack_size": 120 * MIB + 1}, {"index_version": 3}, {"index_version": -1}],
)
def test_parameters_out_of_their_range_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        replace(new(), **changes).validate()  # type: ignore[arg-type]


def test_epoch_parameters_are_valid_where_they_are_to_kopia() -> None:
    cases = EPOCH_NAMES["parametersValidation"]
    assert {bool(case["error"]) for case in cases} == {True, False}
    for case in cases:
        parameters = EpochParameters.parse(gojson.dumps(case["P"]))
        with pytest.raises(UsageError) if case["error"] else contextlib.nullcontext():
            parameters.validate()
