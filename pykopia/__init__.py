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
    from pykopia import errors, storage, testing
    from pykopia.api.maintenance import Maintenance, MaintenanceChanges, MaintenanceInfo
    from pykopia.api.opening import connect, create
    from pykopia.api.opening import open_connected as open  # noqa: A004 -- read as pykopia.open
    from pykopia.api.repository import Repository
    from pykopia.api.snapshots import Snapshots
    from pykopia.format.directory import Directory, DirectoryEntry
    from pykopia.format.index_layout import IndexEntry
    from pykopia.format.local_config import CachingOptions
    from pykopia.format.maintenance_schedule import MaintenanceParameters, MaintenanceSchedule
    from pykopia.format.manifest import ManifestEntry
    from pykopia.format.policy import Policy
    from pykopia.format.policy_merge import EffectivePolicy
    from pykopia.format.policy_target import DefinedPolicy
    from pykopia.format.policy_tree import PolicyTree
    from pykopia.format.repository_format import RepositoryFormat
    from pykopia.format.snapshot_manifest import SnapshotManifest
    from pykopia.format.source import SourceInfo
    from pykopia.ids import BlobID, ContentID, ManifestID, ObjectID
    from pykopia.maintenance.report import Ledger, MaintenanceResult
    from pykopia.repository.connection_file import disconnect
    from pykopia.repository.options import ClientOptions, NewRepositoryOptions, ParameterChanges
    from pykopia.repository.writer import RepositoryWriter
    from pykopia.snapshot.copy_history import HistoryStep
    from pykopia.snapshot.diff import Comparison
    from pykopia.snapshot.estimate import Estimate
    from pykopia.snapshot.export import ExportFormat
    from pykopia.snapshot.find import Found, Search
    from pykopia.snapshot.history import History
    from pykopia.snapshot.migrate import MigrationResult
    from pykopia.snapshot.policies import Policies
    from pykopia.snapshot.progress import Cancel
    from pykopia.snapshot.put import Tree
    from pykopia.snapshot.reference import Moment, Reference, SourceLike
    from pykopia.snapshot.restore_options import RestoreCounters, RestoreMode, RestoreOptions, RestoreResult
    from pykopia.snapshot.restore_plan import RestorePlan
    from pykopia.snapshot.restore_stream import ByteSink
    from pykopia.snapshot.retention import Expiration
    from pykopia.snapshot.snapshot_path import SnapshotPath
    from pykopia.snapshot.upload_options import SnapshotOptions, SnapshotResult, UploadCounters
    from pykopia.snapshot.verify import VerifyCounters, VerifyOptions, VerifyResult

__version__ = "0.1.0"

_PLACES = {
    "BlobID": "pykopia.ids",
    "ByteSink": "pykopia.snapshot.restore_stream",
    "CachingOptions": "pykopia.format.local_config",
    "Cancel": "pykopia.snapshot.progress",
    "ClientOptions": "pykopia.repository.options",
    "Comparison": "pykopia.snapshot.diff",
    "ContentID": "pykopia.ids",
    "DefinedPolicy": "pykopia.format.policy_target",
    "Directory": "pykopia.format.directory",
    "DirectoryEntry": "pykopia.format.directory",
    "EffectivePolicy": "pykopia.format.policy_merge",
    "Estimate": "pykopia.snapshot.estimate",
    "Expiration": "pykopia.snapshot.retention",
    "ExportFormat": "pykopia.snapshot.export",
    "Found": "pykopia.snapshot.find",
    "History": "pykopia.snapshot.history",
    "HistoryStep": "pykopia.snapshot.copy_history",
    "IndexEntry": "pykopia.format.index_layout",
    "Ledger": "pykopia.maintenance.report",
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
    "Reference": "pykopia.snapshot.reference",
    "Repository": "pykopia.api.repository",
    "RepositoryFormat": "pykopia.format.repository_format",
    "RepositoryWriter": "pykopia.repository.writer",
    "RestoreCounters": "pykopia.snapshot.restore_options",
    "RestoreMode": "pykopia.snapshot.restore_options",
    "RestoreOptions": "pykopia.snapshot.restore_options",
    "RestorePlan": "pykopia.snapshot.restore_plan",
    "RestoreResult": "pykopia.snapshot.restore_options",
    "Search": "pykopia.snapshot.find",
    "SnapshotManifest": "pykopia.format.snapshot_manifest",
    "SnapshotOptions": "pykopia.snapshot.upload_options",
    "SnapshotPath": "pykopia.snapshot.snapshot_path",
    "SnapshotResult": "pykopia.snapshot.upload_options",
    "Snapshots": "pykopia.api.snapshots",
    "SourceInfo": "pykopia.format.source",
    "SourceLike": "pykopia.snapshot.reference",
    "Tree": "pykopia.snapshot.put",
    "UploadCounters": "pykopia.snapshot.upload_options",
    "VerifyCounters": "pykopia.snapshot.verify",
    "VerifyOptions": "pykopia.snapshot.verify",
    "VerifyResult": "pykopia.snapshot.verify",
    "connect": "pykopia.api.opening",
    "create": "pykopia.api.opening",
    "disconnect": "pykopia.repository.connection_file",
    "open": "pykopia.api.opening:open_connected",
}
"""Module of each public name, after a colon the name in it where it is another."""
_MODULES = ("errors", "storage", "testing")
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
    "BlobID",
    "ByteSink",
    "CachingOptions",
    "Cancel",
    "ClientOptions",
    "Comparison",
    "ContentID",
    "DefinedPolicy",
    "Directory",
    "DirectoryEntry",
    "EffectivePolicy",
    "Estimate",
    "Expiration",
    "ExportFormat",
    "Found",
    "History",
    "HistoryStep",
    "IndexEntry",
    "Ledger",
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
    "Reference",
    "Repository",
    "RepositoryFormat",
    "RepositoryWriter",
    "RestoreCounters",
    "RestoreMode",
    "RestoreOptions",
    "RestorePlan",
    "RestoreResult",
    "Search",
    "SnapshotManifest",
    "SnapshotOptions",
    "SnapshotPath",
    "SnapshotResult",
    "Snapshots",
    "SourceInfo",
    "SourceLike",
    "Tree",
    "UploadCounters",
    "VerifyCounters",
    "VerifyOptions",
    "VerifyResult",
    "connect",
    "create",
    "disconnect",
    "errors",
    "open",
    "storage",
    "testing",
]
