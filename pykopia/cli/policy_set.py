"""`policy set`."""

import csv
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pykopia.cli import formatting
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.policy_flags import INHERIT, UNCHANGED, VOLUME_SHADOW_COPY, PolicySetOptions, ScheduleFlags
from pykopia.cli.session import Session
from pykopia.cli.values import boolean, size
from pykopia.format.policy import ActionCommand, Policy, SchedulingPolicy, TimeOfDay

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.source import SourceInfo

_SECOND = 1_000_000_000
_MIB = 1 << 20
_MAX_DETAIL = 10
_MAX_SCRIPT = 32_000
_INHERITED = frozenset({INHERIT, "default"})
_REMOVED = frozenset({"", "none", INHERIT})


def set_policy(session: Session, options: PolicySetOptions) -> None:
    """Change policies.

    Raises:
        CommandLineError: No change is given, or one makes no sense; nothing was changed.
    """
    with session.open() as repository, repository.writer() as writer:
        for target in options.targets(repository):
            defined = repository.policies.defined(target)
            session.log.info("Setting policy for %s", target)
            _warn_of_missing_path(session, repository, target)
            editor = _Editor(session, Policy() if defined is None else defined.policy)
            editor.apply(options)
            if not editor.changes:
                message = "no changes specified: name what to set, such as --keep-daily=7 or --compression=zstd"
                raise CommandLineError(message)
            repository.policies.put(writer, target, editor.policy)


def _warn_of_missing_path(session: Session, repository: "Repository", target: "SourceInfo") -> None:
    """Warn about a local path that does not exist: it may be a mistake, or be created later."""
    mine = (target.host, target.user_name) == (repository.hostname, repository.username)
    if mine and target.path and not os.path.lexists(target.path):
        session.log.warning("%s does not exist: the policy will hold once it does", target.path)


class _Editor:
    """A policy that is being changed."""

    def __init__(self, session: Session, policy: Policy) -> None:
        self._session, self.policy = session, policy
        self.changes = 0

    def apply(self, options: PolicySetOptions) -> None:
        """Make all changes that the flags ask for."""
        self._retention(options)
        self._files(options)
        self._errors(options)
        self._compression(options)
        self._schedule(options)
        self._actions(options)
        self._logging(options)
        self._uploads(options)
        mode = options.enable_volume_shadow_copy
        self._text(
            "os_snapshots.volume_shadow_copy.enable", "enable volume shadow copy", mode, VOLUME_SHADOW_COPY.index
        )
        for inherit in options.inherit:
            self._put("no_parent", not inherit)

    # --- one field ---

    def _put(self, path: str, value: object) -> None:
        self.changes += 1
        self.policy = _with(self.policy, path.split("."), value)

    def _text(self, path: str, label: str, text: str, parse: Callable[[str], object], unset: object = None) -> None:
        """Set a field to what ``text`` means; ``inherit`` unsets it, nothing leaves it alone."""
        if not text:
            return
        if text in _INHERITED:
            self._session.log.info(' - resetting "%s" to a default value inherited from parent.', label)
            self._put(path, unset)
            return
        try:
            value = parse(text)
        except ValueError:
            allowed = _ALLOWED.get(parse, "a whole number")
            message = f"the {label} must be {allowed}, or inherit; it is {text!r}"
            raise CommandLineError(message) from None
        self._session.log.info(' - setting "%s" to %s.', label, text)
        self._put(path, value)

    def _list(self, path: str, label: str, *, add: Iterable[str], remove: Iterable[str], clear: bool) -> None:
        log = self._session.log
        if clear:
            log.info(' - removing all from "%s"', label)
            self._put(path, ())
            return
        before = _get(self.policy, path.split("."))
        entries = set(before)
        for text in add:
            log.info(' - adding "%s" to "%s"', text, label)
            entries.add(text)
            self.changes += 1
        for text in remove:
            log.info(' - removing "%s" from "%s"', text, label)
            entries.discard(text)
            self.changes += 1
        if entries != set(before):
            self._put(path, tuple(sorted(entries)))

    # --- the parts of a policy ---

    def _retention(self, options: PolicySetOptions) -> None:
        for name in ("annual", "monthly", "weekly", "daily", "hourly", "latest"):
            text = getattr(options, f"keep_{name}")
            self._text(f"retention.keep_{name}", f"number of {name} backups to keep", text, _int32)
        self._text(
            "retention.ignore_identical_snapshots",
            "do not save identical snapshots",
            options.ignore_identical_snapshots,
            boolean,
        )

    def _files(self, options: PolicySetOptions) -> None:
        self._text("files.max_file_size", "maximum file size", options.max_file_size, size, 0)
        self._list(
            "files.dot_ignore_files",
            "dot-ignore filenames",
            add=options.add_dot_ignore,
            remove=options.remove_dot_ignore,
            clear=options.clear_dot_ignore,
        )
        self._list(
            "files.ignore",
            "ignore rules",
            add=options.add_ignore,
            remove=options.remove_ignore,
            clear=options.clear_ignore,
        )
        self._text("files.ignore_cache_directories", "ignore cache dirs", options.ignore_cache_dirs, boolean)
        self._text("files.one_file_system", "one filesystem", options.one_file_system, boolean)

    def _errors(self, options: PolicySetOptions) -> None:
        self._text("error_handling.ignore_file_errors", "ignore file errors", options.ignore_file_errors, boolean)
        self._text(
            "error_handling.ignore_directory_errors", "ignore directory errors", options.ignore_dir_errors, boolean
        )
        self._text("error_handling.ignore_unknown_types", "ignore unknown types", options.ignore_unknown_types, boolean)

    def _compression(self, options: PolicySetOptions) -> None:
        smallest, largest = options.compression_min_size, options.compression_max_size
        self._text("compression.min_size", "minimum file size subject to compression", smallest, size, 0)
        self._text("compression.max_size", "maximum file size subject to compression", largest, size, 0)
        self._text("compression.compressor_name", "compression algorithm", options.compression, str, "")
        self._list(
            "compression.only_compress",
            "only-compress extensions",
            add=options.add_only_compress,
            remove=options.remove_only_compress,
            clear=options.clear_only_compress,
        )
        self._list(
            "compression.never_compress",
            "never-compress extensions",
            add=options.add_never_compress,
            remove=options.remove_never_compress,
            clear=options.clear_never_compress,
        )
        metadata = options.metadata_compression
        self._text("metadata_compression.compressor_name", "metadata compression algorithm", metadata, str, "")
        self._text("splitter.algorithm", "splitter algorithm override", options.splitter, str, "")

    def _schedule(self, options: ScheduleFlags) -> None:
        if options.manual:
            self._set_manual(options)
            return
        log = self._session.log
        for interval in options.snapshot_interval[:1]:
            log.info(" - setting snapshot interval to %s", formatting.duration(interval))
            self._put("scheduling.interval_seconds", interval // _SECOND)
        if options.snapshot_time:
            times = _times_of_day(options.snapshot_time)
            log.info(" - setting snapshot times to %s", " ".join(map(str, times or ())) or "default")
            self._put("scheduling.times_of_day", times)
        if options.snapshot_time_crontab:
            expressions = _cron(options.snapshot_time_crontab)
            log.info(" - setting cron snapshot times to %s", " ; ".join(expressions or ()) or "default")
            self._put("scheduling.cron", expressions)
        self._text("scheduling.run_missed", "run missed snapshots", options.run_missed, boolean)
        if self.policy.scheduling.manual:
            log.info(" - resetting manual snapshot field to false")
            self._put("scheduling.manual", False)

    def _set_manual(self, options: ScheduleFlags) -> None:
        if options.snapshot_interval or options.snapshot_time or options.snapshot_time_crontab:
            message = "--manual and a schedule exclude each other"
            raise CommandLineError(message)
        self._session.log.info(" - setting manual snapshot field to true")
        run_missed = self.policy.scheduling.run_missed
        self._put("scheduling", SchedulingPolicy(manual=True, run_missed=run_missed))

    def _actions(self, options: PolicySetOptions) -> None:
        for name in ("before_folder", "after_folder", "before_snapshot_root", "after_snapshot_root"):
            text = getattr(options, f"{name}_action")
            label = name.replace("_", "-")
            if text == UNCHANGED:
                continue
            if text in _REMOVED:
                self._session.log.info(" - removing %s action", label)
                self._put(f"actions.{name}", None)
                continue
            self._session.log.info(" - setting %s (%s) action to %s", label, options.action_command_mode, text)
            self._put(f"actions.{name}", _action(text, options))

    def _logging(self, options: PolicySetOptions) -> None:
        for flag, path, label in (
            ("log_dir_snapshotted", "directories.snapshotted", "directory snapshotted detail"),
            ("log_dir_ignored", "directories.ignored", "directory ignored detail"),
            ("log_entry_snapshotted", "entries.snapshotted", "entry snapshotted detail"),
            ("log_entry_ignored", "entries.ignored", "entry ignored detail"),
            ("log_entry_cache_hit", "entries.cache_hit", "entry cache hit detail"),
            ("log_entry_cache_miss", "entries.cache_miss", "entry cache miss detail"),
        ):
            self._text(f"logging.{path}", label, getattr(options, flag), _detail)

    def _uploads(self, options: PolicySetOptions) -> None:
        reads, snapshots = options.max_parallel_file_reads, options.max_parallel_snapshots
        above = options.parallel_upload_above_size_mib
        self._text("upload.max_parallel_file_reads", "max parallel file reads", reads, _int32)
        self._text("upload.max_parallel_snapshots", "max parallel snapshots", snapshots, _int32)
        self._text("upload.parallel_upload_above_size", "parallel upload above size", above, lambda t: int(t) * _MIB)


def _get(section: object, names: list[str]) -> Any:  # noqa: ANN401 -- fields of any type
    for name in names:
        section = getattr(section, name)
    return section


def _with(section: Any, names: list[str], value: object) -> Any:  # noqa: ANN401 -- sections of any type
    name, *rest = names
    changes: Mapping[str, object] = {name: _with(getattr(section, name), rest, value) if rest else value}
    return replace(section, **changes)


def _int32(text: str) -> int:
    value = int(text)
    if not -(1 << 31) <= value < 1 << 31:
        raise ValueError(text)
    return value


def _detail(text: str) -> int:
    value = int(text)
    if not 0 <= value <= _MAX_DETAIL:
        raise ValueError(text)
    return value


_ALLOWED: Mapping[Callable[[str], object], str] = {
    boolean: "true or false",
    size: "a size such as 1000000, 10MB or 1GiB",
    _detail: f"a whole number from 0 to {_MAX_DETAIL}",
    VOLUME_SHADOW_COPY.index: ", ".join(VOLUME_SHADOW_COPY),
}


def _times_of_day(texts: Iterable[str]) -> tuple[TimeOfDay, ...] | None:
    times: set[tuple[int, int]] = set()
    for part in ",".join(texts).split(","):
        if part in _INHERITED:
            return None
        hour, colon, minute = part.partition(":")
        if not (colon and hour.isdecimal() and minute.isdecimal() and int(hour) < 24 and int(minute) < 60):
            message = f"--snapshot-time must be times such as 08:30,20:00; it has {part!r}"
            raise CommandLineError(message)
        times.add((int(hour), int(minute)))
    return tuple(TimeOfDay(hour=hour, minute=minute) for hour, minute in sorted(times))


def _cron(text: str) -> tuple[str, ...] | None:
    if text in _INHERITED:
        return None
    return tuple(part.strip() for part in text.split(";") if part.strip())


def _action(text: str, options: PolicySetOptions) -> ActionCommand:
    timeout, mode = -(-options.action_command_timeout // _SECOND), options.action_command_mode
    if options.persist_action_script:
        return ActionCommand(script=_script(text), timeout_seconds=timeout, mode=mode)
    words = next(csv.reader([text], delimiter=" "))
    return ActionCommand(command=words[0], arguments=tuple(words[1:]), timeout_seconds=timeout, mode=mode)


def _script(path: str) -> str:
    try:
        script = Path(path).read_bytes()
        text = script.decode()
    except OSError as error:
        message = f"the script {path} can't be read: {error.strerror}"
        raise CommandLineError(message) from None
    except UnicodeDecodeError:
        message = f"the script {path} is not UTF-8 text"
        raise CommandLineError(message) from None
    if len(script) > _MAX_SCRIPT:
        message = f"the script {path} is too long: {len(script)} bytes, {_MAX_SCRIPT} are allowed"
        raise CommandLineError(message)
    return text


__all__ = ["set_policy"]
