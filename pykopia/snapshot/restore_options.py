"""Options, progress and result of a restore."""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, get_args

from pykopia.arguments import check_choice, check_fields, check_number, texts
from pykopia.dataclass import dataclass
from pykopia.snapshot.problem import Problem

RestoreMode = Literal["auto", "local", "tar", "tgz", "zip", "zip-nocompress"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreOptions:
    """How entries are put into the target; the defaults are Kopia's where it is safe (docs/kopia-differences.md).

    Raises:
        UsageError: a value is none of its choices, no list where a list is expected, or out of range.
    """

    mode: RestoreMode = "auto"
    """A folder, or an archive; ``auto`` goes by the ending of the target's name."""
    overwrite_files: bool = True
    """Replace files that exist."""
    overwrite_directories: bool = True
    """Put into folders that exist and are not empty."""
    overwrite_symlinks: bool = True
    """Replace symbolic links that exist."""
    include: tuple[str, ...] = ()
    """Patterns of what to restore of a folder, with all below it, as those of ignore rules; all when there are none."""
    exclude: tuple[str, ...] = ()
    """Patterns of what to leave out."""
    only_differences: bool = False
    """Compare what is in the target by its contents, and write only what differs."""
    skip_existing: bool = False
    """Leave files alone that have the same size and, within two seconds, the same time; links that exist too."""
    delete_extra: bool = False
    """Remove what is in the target and not in the snapshot, and what is of another kind."""
    keep_at_root: frozenset[str] = frozenset()
    """Names in the target itself that ``delete_extra`` leaves alone, such as ``lost+found``."""
    write_sparse: bool | None = None
    """Leave holes for blocks of 4 KiB of zeros. None: in files above 1 MiB, and for blocks of 64 KiB. False: nowhere."""
    atomic_files: bool = True
    """Replace a file by renaming a finished one over it; otherwise it is written in place."""
    in_place_when_full: bool = True
    """Write over a file in place, with a warning, where there is no room for a second copy of it but for the file itself.
    A file with several names never is."""
    skip_owners: bool = False
    skip_permissions: bool = False
    skip_times: bool = False
    extended_attributes: bool = False
    """Set the extended attributes, POSIX ACLs among them, and make the hard links that the snapshot has recorded. Into a folder
    only. Attributes that can't be set for lack of rights are passed over as owners are."""
    ignore_permission_errors: bool = True
    """Go on where owner, mode or time can't be set for lack of rights."""
    ignore_errors: bool = False
    """Go on after an entry that can't be restored; the result names it. A target that is full, read-only or broken as a
    whole ends the restore all the same: nothing else would go well there."""
    parallel: int = 8
    target_options: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Of the filesystem that a URL names as the target, as fsspec takes them, such as keys."""
    flush_files: bool = False
    """Wait until each file is on disk."""
    shallow_depth: int | None = None
    """Levels that are restored in full; deeper entries become placeholders (format 04 §14.3)."""
    shallow_min_size: int = 0
    """Files below this many bytes are restored in full at any depth."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self)
        check_choice("mode", self.mode, get_args(RestoreMode))
        object.__setattr__(self, "keep_at_root", frozenset(texts("keep_at_root", self.keep_at_root)))
        check_number("parallel", self.parallel, least=1)
        check_number("shallow_min_size", self.shallow_min_size, least=0)
        if self.shallow_depth is not None:
            check_number("shallow_depth", self.shallow_depth, least=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreCounters:
    """Progress of a restore."""

    restored_files: int = 0
    restored_directories: int = 0
    restored_symlinks: int = 0
    restored_bytes: int = 0
    skipped_files: int = 0
    skipped_bytes: int = 0
    deleted_entries: int = 0
    ignored_errors: int = 0
    unset_entries: int = 0
    """Entries of which owner, mode or time could not be set for lack of rights (``ignore_permission_errors``)."""
    unset_owners: int = 0
    unset_modes: int = 0
    unset_times: int = 0
    unset_extended_attributes: int = 0
    left_extended_attributes: int = 0
    """Entries with extended attributes or hard links that the restore was not asked for."""
    enqueued_files: int = 0
    enqueued_directories: int = 0
    enqueued_symlinks: int = 0
    enqueued_bytes: int = 0

    def unset_attributes(self) -> str:
        """Return a sentence on the attributes that could not be set for lack of rights; empty if all could be set.

        >>> RestoreCounters(unset_entries=3, unset_owners=3, unset_times=1).unset_attributes()
        'The owner of 3 entries and the time of 1 entry could not be set for lack of rights'
        """
        counts = {
            "owner": self.unset_owners,
            "mode": self.unset_modes,
            "time": self.unset_times,
            "extended attributes": self.unset_extended_attributes,
        }
        parts = [
            f"the {name} of {count} {'entry' if count == 1 else 'entries'}" for name, count in counts.items() if count
        ]
        if not parts:
            return ""
        told = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
        return f"T{told[1:]} could not be set for lack of rights"


@dataclass(frozen=True, kw_only=True, slots=True)
class RestoreResult:
    """Result of a restore."""

    counters: RestoreCounters
    problems: tuple[Problem, ...] = ()
    """Entries that could not be restored (``ignore_errors``), or have another name, sorted by path."""
    warnings: tuple[str, ...] = field(default=())
    """One line for each entry that was restored in another way than usual."""
    stopped_early: bool = False
    """Always False: a restore that stops early raises an error."""

    @property
    def errors(self) -> tuple[str, ...]:
        """One line for each of ``problems``."""
        return tuple(map(str, self.problems))


__all__ = ["RestoreCounters", "RestoreMode", "RestoreOptions", "RestoreResult"]
