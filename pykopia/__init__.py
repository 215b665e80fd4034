"""Kopia backup repositories, read and written by Python.

>>> import pykopia
>>> with pykopia.create("memory://example", "a good password") as repository:
...     with repository.writer() as writer:
...         object_id = writer.objects.write(b"hello")
...     repository.objects.open(object_id).read()
b'hello'

What no snapshot refers to is garbage: full maintenance deletes it, by this program or by Kopia. ``repository.snapshots.put``
makes a snapshot of objects that an application has stored, which keeps them.

Names are imported when they are first used, so ``import pykopia`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pykopia import core, errors, policies, storage, testing
    from pykopia.api.maintenance import Maintenance, MaintenanceChanges, MaintenanceInfo
    from pykopia.api.opening import Location, connect, create
    from pykopia.api.opening import open_connected as open  # noqa: A004 -- read as pykopia.open
    from pykopia.api.repository import Connection, Repository
    from pykopia.api.snapshots import Snapshots
    from pykopia.format.complete_view import Contradiction
    from pykopia.format.complete_view import Kind as ContradictionKind
    from pykopia.format.directory import Directory, DirectoryEntry, DirectorySummary, EntryError
    from pykopia.format.extended_attributes import ExtendedAttributes
    from pykopia.format.gojson import Raw as RawJSON
    from pykopia.format.index_layout import IndexEntry
    from pykopia.format.local_config import CachingOptions
    from pykopia.format.maintenance_plan import Rule as HoldRule
    from pykopia.format.maintenance_schedule import (
        CycleParameters,
        LogRetention,
        MaintenanceParameters,
        MaintenanceSchedule,
        TaskRun,
        TaskStatistics,
    )
    from pykopia.format.manifest import ManifestEntry
    from pykopia.format.policy import Policy
    from pykopia.format.policy_merge import EffectivePolicy
    from pykopia.format.policy_target import DefinedPolicy
    from pykopia.format.policy_tree import PolicyTree
    from pykopia.format.repository_blob import BlobConfiguration, FormatBlob
    from pykopia.format.repository_format import EpochParameters, IfNotUnderstood, RepositoryFormat, RequiredFeature
    from pykopia.format.retention import ExpirePlan
    from pykopia.format.snapshot_manifest import SnapshotManifest, SnapshotStats, StorageStats, StorageUsage
    from pykopia.format.source import SourceInfo
    from pykopia.format.upgrade_lock import UpgradeLock
    from pykopia.ids import BlobID, ContentID, ManifestID, ObjectID
    from pykopia.maintenance.lease import FoundLease, LeaseDocument
    from pykopia.maintenance.report import Held, Ledger, MaintenanceResult, TaskReport
    from pykopia.repository.connection_file import disconnect
    from pykopia.repository.content_parts import (
        ContentFailure,
        ContentVerifyOptions,
        ContentVerifyPart,
        ContentVerifyResult,
    )
    from pykopia.repository.options import ClientOptions, NewRepositoryOptions, ParameterChanges
    from pykopia.repository.write_buffers import WriteBuffers
    from pykopia.repository.writer import RepositoryWriter
    from pykopia.snapshot.copy_history import HistoryStep
    from pykopia.snapshot.diff import Comparison, Difference
    from pykopia.snapshot.estimate import Estimate, SizeClass
    from pykopia.snapshot.expiration import Expiration
    from pykopia.snapshot.export import ExportFormat
    from pykopia.snapshot.find import Found, Search
    from pykopia.snapshot.history import History, Version
    from pykopia.snapshot.migrate import MigrationResult
    from pykopia.snapshot.policies import Policies
    from pykopia.snapshot.problem import Problem
    from pykopia.snapshot.progress import Cancel
    from pykopia.snapshot.put import Tree
    from pykopia.snapshot.reference import Moment, Reference, SourceLike
    from pykopia.snapshot.restore_options import RestoreCounters, RestoreMode, RestoreOptions, RestoreResult
    from pykopia.snapshot.restore_plan import Change, RestorePlan
    from pykopia.snapshot.restore_stream import ByteSink
    from pykopia.snapshot.snapshot_path import SnapshotPath
    from pykopia.snapshot.upload_options import EstimationType, SnapshotOptions, SnapshotResult, UploadCounters
    from pykopia.snapshot.verify import Root as VerifyRoot
    from pykopia.snapshot.verify import VerifyCounters, VerifyFailure, VerifyOptions, VerifyResult
    from pykopia.snapshot.verify_parts import VerifyPart

__version__ = "0.1.0"

_PLACES = {
    "BlobConfiguration": "pykopia.format.repository_blob",
    "BlobID": "pykopia.ids",
    "ByteSink": "pykopia.snapshot.restore_stream",
    "CachingOptions": "pykopia.format.local_config",
    "Cancel": "pykopia.snapshot.progress",
    "Change": "pykopia.snapshot.restore_plan",
    "ClientOptions": "pykopia.repository.options",
    "Comparison": "pykopia.snapshot.diff",
    "Connection": "pykopia.api.repository",
    "ContentID": "pykopia.ids",
    "ContentFailure": "pykopia.repository.content_parts",
    "ContentVerifyOptions": "pykopia.repository.content_parts",
    "ContentVerifyPart": "pykopia.repository.content_parts",
    "ContentVerifyResult": "pykopia.repository.content_parts",
    "Contradiction": "pykopia.format.complete_view",
    "ContradictionKind": "pykopia.format.complete_view:Kind",
    "CycleParameters": "pykopia.format.maintenance_schedule",
    "DefinedPolicy": "pykopia.format.policy_target",
    "Difference": "pykopia.snapshot.diff",
    "Directory": "pykopia.format.directory",
    "DirectoryEntry": "pykopia.format.directory",
    "DirectorySummary": "pykopia.format.directory",
    "EffectivePolicy": "pykopia.format.policy_merge",
    "EntryError": "pykopia.format.directory",
    "EpochParameters": "pykopia.format.repository_format",
    "Estimate": "pykopia.snapshot.estimate",
    "EstimationType": "pykopia.snapshot.upload_options",
    "ExtendedAttributes": "pykopia.format.extended_attributes",
    "Expiration": "pykopia.snapshot.expiration",
    "ExpirePlan": "pykopia.format.retention",
    "ExportFormat": "pykopia.snapshot.export",
    "FormatBlob": "pykopia.format.repository_blob",
    "Found": "pykopia.snapshot.find",
    "FoundLease": "pykopia.maintenance.lease",
    "Held": "pykopia.maintenance.report",
    "History": "pykopia.snapshot.history",
    "HistoryStep": "pykopia.snapshot.copy_history",
    "HoldRule": "pykopia.format.maintenance_plan:Rule",
    "IfNotUnderstood": "pykopia.format.repository_format",
    "IndexEntry": "pykopia.format.index_layout",
    "LeaseDocument": "pykopia.maintenance.lease",
    "Ledger": "pykopia.maintenance.report",
    "Location": "pykopia.api.opening",
    "LogRetention": "pykopia.format.maintenance_schedule",
    "Maintenance": "pykopia.api.maintenance",
    "MaintenanceChanges": "pykopia.api.maintenance",
    "MaintenanceInfo": "pykopia.api.maintenance",
    "MaintenanceParameters": "pykopia.format.maintenance_schedule",
    "MaintenanceResult": "pykopia.maintenance.report",
    "MaintenanceSchedule": "pykopia.format.maintenance_schedule",
    "ManifestEntry": "pykopia.format.manifest",
    "ManifestID": "pykopia.ids",
    "MigrationResult": "pykopia.snapshot.migrate",
    "Moment": "pykopia.snapshot.reference",
    "NewRepositoryOptions": "pykopia.repository.options",
    "ObjectID": "pykopia.ids",
    "ParameterChanges": "pykopia.repository.options",
    "Policies": "pykopia.snapshot.policies",
    "Policy": "pykopia.format.policy",
    "PolicyTree": "pykopia.format.policy_tree",
    "Problem": "pykopia.snapshot.problem",
    "RawJSON": "pykopia.format.gojson:Raw",
    "Reference": "pykopia.snapshot.reference",
    "Repository": "pykopia.api.repository",
    "RepositoryFormat": "pykopia.format.repository_format",
    "RepositoryWriter": "pykopia.repository.writer",
    "RequiredFeature": "pykopia.format.repository_format",
    "RestoreCounters": "pykopia.snapshot.restore_options",
    "RestoreMode": "pykopia.snapshot.restore_options",
    "RestoreOptions": "pykopia.snapshot.restore_options",
    "RestorePlan": "pykopia.snapshot.restore_plan",
    "RestoreResult": "pykopia.snapshot.restore_options",
    "Search": "pykopia.snapshot.find",
    "SizeClass": "pykopia.snapshot.estimate",
    "SnapshotManifest": "pykopia.format.snapshot_manifest",
    "SnapshotOptions": "pykopia.snapshot.upload_options",
    "SnapshotPath": "pykopia.snapshot.snapshot_path",
    "SnapshotResult": "pykopia.snapshot.upload_options",
    "SnapshotStats": "pykopia.format.snapshot_manifest",
    "Snapshots": "pykopia.api.snapshots",
    "SourceInfo": "pykopia.format.source",
    "SourceLike": "pykopia.snapshot.reference",
    "StorageStats": "pykopia.format.snapshot_manifest",
    "StorageUsage": "pykopia.format.snapshot_manifest",
    "TaskReport": "pykopia.maintenance.report",
    "TaskRun": "pykopia.format.maintenance_schedule",
    "TaskStatistics": "pykopia.format.maintenance_schedule",
    "Tree": "pykopia.snapshot.put",
    "UpgradeLock": "pykopia.format.upgrade_lock",
    "UploadCounters": "pykopia.snapshot.upload_options",
    "VerifyCounters": "pykopia.snapshot.verify",
    "VerifyFailure": "pykopia.snapshot.verify",
    "VerifyOptions": "pykopia.snapshot.verify",
    "VerifyPart": "pykopia.snapshot.verify_parts",
    "VerifyResult": "pykopia.snapshot.verify",
    "VerifyRoot": "pykopia.snapshot.verify:Root",
    "Version": "pykopia.snapshot.history",
    "WriteBuffers": "pykopia.repository.write_buffers",
    "connect": "pykopia.api.opening",
    "create": "pykopia.api.opening",
    "disconnect": "pykopia.repository.connection_file",
    "open": "pykopia.api.opening:open_connected",
}
"""Module of each public name, after a colon the name in it where it is another."""
_MODULES = ("core", "errors", "policies", "storage", "testing")
"""Public modules."""

if not TYPE_CHECKING:  # a type checker knows the names from above, and must refuse all others

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return importlib.import_module(f"pykopia.{name}")
        place = _PLACES.get(name)
        if place is None:
            raise AttributeError(f"module 'pykopia' has no attribute {name!r}")
        module, _, attribute = place.partition(":")
        found: object = getattr(importlib.import_module(module), attribute or name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "__doc__", "__all__"])


__all__ = [
    "BlobConfiguration",
    "BlobID",
    "ByteSink",
    "CachingOptions",
    "Cancel",
    "Change",
    "ClientOptions",
    "Comparison",
    "Connection",
    "ContentFailure",
    "ContentID",
    "ContentVerifyOptions",
    "ContentVerifyPart",
    "ContentVerifyResult",
    "Contradiction",
    "ContradictionKind",
    "CycleParameters",
    "DefinedPolicy",
    "Difference",
    "Directory",
    "DirectoryEntry",
    "DirectorySummary",
    "EffectivePolicy",
    "EntryError",
    "EpochParameters",
    "Estimate",
    "EstimationType",
    "Expiration",
    "ExpirePlan",
    "ExportFormat",
    "ExtendedAttributes",
    "FormatBlob",
    "Found",
    "FoundLease",
    "Held",
    "History",
    "HistoryStep",
    "HoldRule",
    "IfNotUnderstood",
    "IndexEntry",
    "LeaseDocument",
    "Ledger",
    "Location",
    "LogRetention",
    "Maintenance",
    "MaintenanceChanges",
    "MaintenanceInfo",
    "MaintenanceParameters",
    "MaintenanceResult",
    "MaintenanceSchedule",
    "ManifestEntry",
    "ManifestID",
    "MigrationResult",
    "Moment",
    "NewRepositoryOptions",
    "ObjectID",
    "ParameterChanges",
    "Policies",
    "Policy",
    "PolicyTree",
    "Problem",
    "RawJSON",
    "Reference",
    "Repository",
    "RepositoryFormat",
    "RepositoryWriter",
    "RequiredFeature",
    "RestoreCounters",
    "RestoreMode",
    "RestoreOptions",
    "RestorePlan",
    "RestoreResult",
    "Search",
    "SizeClass",
    "SnapshotManifest",
    "SnapshotOptions",
    "SnapshotPath",
    "SnapshotResult",
    "SnapshotStats",
    "Snapshots",
    "SourceInfo",
    "SourceLike",
    "StorageStats",
    "StorageUsage",
    "TaskReport",
    "TaskRun",
    "TaskStatistics",
    "Tree",
    "UpgradeLock",
    "UploadCounters",
    "VerifyCounters",
    "VerifyFailure",
    "VerifyOptions",
    "VerifyPart",
    "VerifyResult",
    "VerifyRoot",
    "Version",
    "WriteBuffers",
    "connect",
    "core",
    "create",
    "disconnect",
    "errors",
    "open",
    "policies",
    "storage",
    "testing",
]
