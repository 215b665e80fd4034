"""Which parameters of a repository may change, and to what (format 01 §1.5, §1.10)."""

from dataclasses import replace

from pykopia.errors import UsageError
from pykopia.format.repository_blob import BlobConfiguration
from pykopia.format.repository_format import EpochParameters, RepositoryFormat, RequiredFeature
from pykopia.repository.options import ParameterChanges


def change_parameters(
    current: RepositoryFormat, configuration: BlobConfiguration, changes: ParameterChanges
) -> tuple[RepositoryFormat, BlobConfiguration]:
    """Return format and object lock settings after the changes.

    Raises:
        UsageError: nothing would change, or a value is out of range.
    """
    changed = current.upgraded() if changes.upgrade else current
    if changes.max_pack_size is not None:
        changed = replace(changed, max_pack_size=changes.max_pack_size)
    if changes.index_version is not None:
        if changes.index_version < current.effective_index_version:
            raise UsageError(
                f"index version can't go down from {current.effective_index_version} to {changes.index_version}"
            )
        changed = replace(changed, index_version=changes.index_version)
    changed = _change_epochs(changed, changes)
    changed = replace(changed, required_features=_features(changed.required_features, changes))
    retention = _change_retention(configuration, changes)
    if changed == current and retention == configuration:
        raise UsageError("nothing to change: no parameter was given, or all have the given value already")
    changed.validate()
    retention.validate()
    return changed, retention


def _features(current: tuple[RequiredFeature, ...], changes: ParameterChanges) -> tuple[RequiredFeature, ...]:
    renamed = {*changes.add_required_features, *changes.remove_required_features}
    added = [RequiredFeature.of(name, warn=changes.warn_on_missing_features) for name in changes.add_required_features]
    return (*(each for each in current if each.feature not in renamed), *added)


def _change_epochs(current: RepositoryFormat, changes: ParameterChanges) -> RepositoryFormat:
    given = {
        "refresh_frequency_ns": changes.epoch_refresh_frequency_ns,
        "min_duration_ns": changes.epoch_min_duration_ns,
        "cleanup_safety_margin_ns": changes.epoch_cleanup_safety_margin_ns,
        "advance_on_count": changes.epoch_advance_on_count,
        "advance_on_size": changes.epoch_advance_on_size,
        "delete_parallelism": changes.epoch_delete_parallelism,
        "checkpoint_frequency": changes.epoch_checkpoint_frequency,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        return current
    if not current.epoch_parameters.enabled:
        raise UsageError("epoch parameters can't be set: this repository does not keep its index in epochs")
    parameters: EpochParameters = replace(current.epoch_parameters, **wanted)  # type: ignore[arg-type]
    return replace(current, epoch_parameters=parameters)


def _change_retention(current: BlobConfiguration, changes: ParameterChanges) -> BlobConfiguration:
    mode, period = changes.retention_mode, changes.retention_period_ns
    if mode == "none":
        return BlobConfiguration()
    return BlobConfiguration(
        retention_mode=current.retention_mode if mode is None else mode,
        retention_period_ns=current.retention_period_ns if period is None else period,
    )


__all__ = ["change_parameters"]
