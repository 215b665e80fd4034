"""Decides which policies a backup writes: the file wins over the spec, the spec over the stored policy."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from pykopia import Policy
from pykopia.dataclass import dataclass
from pykopia_mover.compression import DEFAULT, NONE
from pykopia_mover.policy_files import PolicyFile, RepositoryConfig

RETENTION_FIELDS: Final = (
    "keep_latest",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_annual",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """Policy values that the fields of the spec set."""

    retention: dict[str, int]
    """By attribute of the retention policy."""
    compression: str = ""
    """Kopia's name; empty: not set."""
    parallelism: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyPlan:
    """Policies to write; None for one that does not change, so that runs do not pile up manifests (rule M-093)."""

    global_policy: Policy | None
    source_policy: Policy | None


def plan_policies(
    spec: Spec,
    file: PolicyFile | None,
    config: RepositoryConfig | None,
    *,
    global_policy: Policy | None,
    source_policy: Policy | None,
    compressors_between: Collection[str],
) -> PolicyPlan:
    """Decide the new global policy and the new policy of the source.

    Args:
        spec: fields of the spec.
        file: the global policy file, if there is one that can be used.
        config: ``repository.config`` of the policy files, likewise.
        global_policy: as it is defined now, None: not at all.
        source_policy: that of the recorded source, likewise.
        compressors_between: compressors that policies of folders above, of the user and of the host name.
    """
    new_global = _global(global_policy or Policy(), file, config)
    new_source = _source(source_policy or Policy(), spec, file, new_global, compressors_between)
    return PolicyPlan(
        global_policy=new_global if new_global != (global_policy or Policy()) else None,
        source_policy=new_source if new_source != (source_policy or Policy()) else None,
    )


def _global(policy: Policy, file: PolicyFile | None, config: RepositoryConfig | None) -> Policy:
    if file is not None:
        # a section of the file is the whole truth: what it does not set goes back to Kopia's default
        sections: dict[str, Any] = {name: getattr(file.policy, name) for name in file.sections}
        policy = replace(policy, **sections)
    if config is not None and config.compression:
        policy = replace(policy, compression=replace(policy.compression, **config.compression))
    return policy


def _source(
    policy: Policy, spec: Spec, file: PolicyFile | None, new_global: Policy, compressors_between: Collection[str]
) -> Policy:
    defined = file.defined if file is not None else frozenset()
    retention = policy.retention
    if spec.retention:
        asked: dict[str, Any] = {name: spec.retention.get(name) for name in RETENTION_FIELDS}
        retention = replace(retention, **asked)
    of_file: dict[str, Any] = {name: None for name in RETENTION_FIELDS if f"retention.{name}" in defined}
    retention = replace(retention, **of_file)
    name = policy.compression.compressor_name
    if "compression.compressor_name" in defined:
        name = ""
    elif spec.compression:
        name = spec.compression
    elif not name and not compressors_between and new_global.compression.compressor_name in {"", NONE}:
        # "none" is what every new repository says, so no user chose it; one is chosen here, by name
        name = DEFAULT
    return replace(policy, retention=retention, compression=replace(policy.compression, compressor_name=name))


def parallel_reads(spec: Spec, file: PolicyFile | None, inherited: int | None) -> int:
    """Return how many files are read at one time: file, spec, repository, one."""
    if file is not None and file.policy.upload.max_parallel_file_reads is not None:
        return file.policy.upload.max_parallel_file_reads
    return spec.parallelism or inherited or 1


__all__ = ["RETENTION_FIELDS", "PolicyPlan", "Spec", "parallel_reads", "plan_policies"]
