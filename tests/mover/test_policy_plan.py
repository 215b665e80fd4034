"""Which policies are written: the file over the spec, the spec over the repository, and nothing twice."""

from dataclasses import replace

import pytest
from pykopia_mover.compression import NAMES, compressor
from pykopia_mover.failures import MoverError
from pykopia_mover.policy_files import PolicyFile, RepositoryConfig, policy_file
from pykopia_mover.policy_plan import PolicyPlan, Spec, parallel_reads, plan_policies

from pykopia import Policy


def plan(
    spec: Spec,
    file: PolicyFile | None = None,
    config: RepositoryConfig | None = None,
    *,
    global_policy: Policy | None = None,
    source_policy: Policy | None = None,
    between: tuple[str, ...] = (),
) -> PolicyPlan:
    return plan_policies(
        spec,
        file,
        config,
        global_policy=global_policy,
        source_policy=source_policy,
        compressors_between=between,
    )


def file(**sections: object) -> PolicyFile:
    return policy_file(sections, "global-policy.json")


def spec(compression: str = "zstd", **retention: int) -> Spec:
    return Spec(retention=retention, compression=compression)


def test_m_091_a_field_of_the_file_is_not_written_for_the_source_and_others_are() -> None:
    found = plan(spec(keep_daily=7, keep_weekly=4), file(retention={"keepDaily": 14}))
    assert found.global_policy is not None
    assert found.source_policy is not None
    assert found.global_policy.retention.keep_daily == 14
    assert found.source_policy.retention.keep_daily is None
    assert found.source_policy.retention.keep_weekly == 4


def test_m_091_what_an_earlier_run_wrote_for_the_source_goes_when_the_file_says_something() -> None:
    before = plan(spec(keep_daily=7, keep_weekly=4)).source_policy
    after = plan(spec(keep_daily=7, keep_weekly=4), file(retention={"keepDaily": 14}), source_policy=before)
    assert after.source_policy is not None
    assert after.source_policy.retention.keep_daily is None


def test_m_092_the_block_is_exactly_what_the_spec_says_and_is_left_alone_without_any() -> None:
    old = plan(spec(keep_daily=7, keep_weekly=4)).source_policy
    new = plan(spec(keep_hourly=3), source_policy=old).source_policy
    assert new is not None
    assert (new.retention.keep_daily, new.retention.keep_hourly) == (None, 3)
    assert plan(spec(), source_policy=old) == PolicyPlan(global_policy=None, source_policy=None)


def test_m_093_nothing_is_written_when_nothing_changes() -> None:
    arguments = (spec(keep_daily=7), file(retention={"keepWeekly": 1}, files={"ignore": ["*.log"]}))
    first = plan(*arguments)
    again = plan(*arguments, global_policy=first.global_policy, source_policy=first.source_policy)
    assert again == PolicyPlan(global_policy=None, source_policy=None)


def test_m_098_a_section_of_the_file_is_the_whole_truth_and_others_stay() -> None:
    stored = file(retention={"keepDaily": 3, "keepLatest": 9}, files={"ignore": ["*.tmp"]}).policy
    found = plan(spec(), file(retention={"keepDaily": 5}), global_policy=stored).global_policy
    assert found is not None
    assert (found.retention.keep_daily, found.retention.keep_latest) == (5, None)
    assert found.files.ignore == ("*.tmp",)


def test_row_268_repository_config_wins_over_the_policy_file_and_the_spec() -> None:
    config = RepositoryConfig(compression={"min_size": 1, "never_compress": (".jpg",)})
    found = plan(spec(), file(compression={"minSize": 4096, "onlyCompress": [".txt"]}), config).global_policy
    assert found is not None
    assert (found.compression.min_size, found.compression.never_compress) == (1, (".jpg",))
    assert found.compression.only_compress == (".txt",)


@pytest.mark.parametrize(
    ("asked", "in_file", "in_global", "between", "expected"),
    [
        ("", "", "none", (), "zstd"),
        ("", "", "", (), "zstd"),
        ("", "", "pgzip", (), ""),
        ("", "", "none", ("gzip",), ""),
        ("", "gzip", "none", (), ""),
        ("none", "", "none", (), "none"),
        ("s2-default", "", "pgzip", ("gzip",), "s2-default"),
        ("s2-default", "gzip", "none", (), ""),
    ],
)
def test_m_095_zstd_is_the_default_where_nobody_names_a_compressor(
    asked: str, in_file: str, in_global: str, between: tuple[str, ...], expected: str
) -> None:
    stored = Policy()
    stored = replace(stored, compression=replace(stored.compression, compressor_name=in_global))
    given = file(compression={"compressorName": in_file}) if in_file else None
    found = plan(spec(asked), given, global_policy=stored, between=between).source_policy or Policy()
    assert found.compression.compressor_name == expected


def test_row_112_all_documented_compressors_are_names_of_kopia() -> None:
    found = {compressor(name, setting="KOPIA_COMPRESSION") for name in ("zstd", "gzip", "s2", "none")}
    assert found == {"zstd", "gzip", "s2-default", "none"}
    assert found <= set(NAMES)
    for name in ("lz5", "brotli", "ZSTD", ""):
        with pytest.raises(MoverError, match="zstd, gzip, s2, none"):
            compressor(name, setting="KOPIA_COMPRESSION")


def test_rows_205_251_files_read_at_once_come_from_file_then_spec_then_repository_then_one() -> None:
    of_file = file(upload={"maxParallelFileReads": 16})
    assert parallel_reads(Spec(retention={}, parallelism=4), of_file, 2) == 16
    assert parallel_reads(Spec(retention={}, parallelism=4), None, 2) == 4
    assert parallel_reads(Spec(retention={}), None, 2) == 2
    assert parallel_reads(Spec(retention={}), None, None) == 1
