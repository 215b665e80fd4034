"""Policies and their parts, for ``repository.policies``."""

from typing import TYPE_CHECKING

from pykopia.lazy import lazily

if TYPE_CHECKING:
    from pykopia.format.algorithm_names import COMPRESSOR_NAMES
    from pykopia.format.policy import (
        DEFAULT_POLICY,
        EMPTY_POLICY,
        ActionCommand,
        ActionsPolicy,
        CompressionPolicy,
        DirectoryLoggingPolicy,
        EntryLoggingPolicy,
        ErrorHandlingPolicy,
        FilesPolicy,
        LoggingPolicy,
        MetadataCompressionPolicy,
        OSSnapshotPolicy,
        Policy,
        RetentionPolicy,
        SchedulingPolicy,
        SplitterPolicy,
        TimeOfDay,
        UploadPolicy,
        VolumeShadowCopyPolicy,
    )
    from pykopia.format.policy_merge import EffectivePolicy
    from pykopia.format.policy_target import GLOBAL_TARGET, DefinedPolicy
    from pykopia.format.policy_tree import PolicyTree
    from pykopia.snapshot.policy_change import check_change

_PLACES = {
    "ActionCommand": "pykopia.format.policy",
    "ActionsPolicy": "pykopia.format.policy",
    "COMPRESSOR_NAMES": "pykopia.format.algorithm_names",
    "CompressionPolicy": "pykopia.format.policy",
    "DEFAULT_POLICY": "pykopia.format.policy",
    "DefinedPolicy": "pykopia.format.policy_target",
    "DirectoryLoggingPolicy": "pykopia.format.policy",
    "EMPTY_POLICY": "pykopia.format.policy",
    "EffectivePolicy": "pykopia.format.policy_merge",
    "EntryLoggingPolicy": "pykopia.format.policy",
    "ErrorHandlingPolicy": "pykopia.format.policy",
    "FilesPolicy": "pykopia.format.policy",
    "GLOBAL_TARGET": "pykopia.format.policy_target",
    "LoggingPolicy": "pykopia.format.policy",
    "MetadataCompressionPolicy": "pykopia.format.policy",
    "OSSnapshotPolicy": "pykopia.format.policy",
    "Policy": "pykopia.format.policy",
    "PolicyTree": "pykopia.format.policy_tree",
    "RetentionPolicy": "pykopia.format.policy",
    "SchedulingPolicy": "pykopia.format.policy",
    "SplitterPolicy": "pykopia.format.policy",
    "TimeOfDay": "pykopia.format.policy",
    "UploadPolicy": "pykopia.format.policy",
    "VolumeShadowCopyPolicy": "pykopia.format.policy",
    "check_change": "pykopia.snapshot.policy_change",
}
"""Module of each public name."""

if not TYPE_CHECKING:  # a type checker knows the names from above, and must refuse all others
    __getattr__ = lazily(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted([*__all__, "__all__", "__doc__"])


__all__ = [
    "COMPRESSOR_NAMES",
    "DEFAULT_POLICY",
    "EMPTY_POLICY",
    "GLOBAL_TARGET",
    "ActionCommand",
    "ActionsPolicy",
    "CompressionPolicy",
    "DefinedPolicy",
    "DirectoryLoggingPolicy",
    "EffectivePolicy",
    "EntryLoggingPolicy",
    "ErrorHandlingPolicy",
    "FilesPolicy",
    "LoggingPolicy",
    "MetadataCompressionPolicy",
    "OSSnapshotPolicy",
    "Policy",
    "PolicyTree",
    "RetentionPolicy",
    "SchedulingPolicy",
    "SplitterPolicy",
    "TimeOfDay",
    "UploadPolicy",
    "VolumeShadowCopyPolicy",
    "check_change",
]
