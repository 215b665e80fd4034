"""Whether a policy can be set: what Kopia refuses, and what it stores although it makes no sense (format 05 §1.2)."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

from pykopia.errors import InvalidPolicyError
from pykopia.format.cron import CronExpression
from pykopia.format.ignore_pattern import IgnorePattern
from pykopia.format.policy import ActionCommand, ActionsPolicy, CompressionPolicy, Policy, SchedulingPolicy
from pykopia.format.policy_fields import Kind, Section, fields_of, wrong_values
from pykopia.format.policy_target import GLOBAL_TARGET, check_target
from pykopia.format.scheduling import without_comment
from pykopia.format.source import SourceInfo

LONGEST_SCRIPT: Final = 32_000
"""Bytes of an action's script that Kopia's command line stores."""

MOST_DETAIL: Final = 10
"""Highest detail of log lines."""

ACTION_MODES: Final = ("essential", "optional", "async")

_NO_COMPRESSOR = "none"
_MAY_BE_NEGATIVE = ("upload.parallelUploadAboveSize",)


def validate_policy(policy: Policy, target: SourceInfo = GLOBAL_TARGET) -> None:
    """Refuse a policy that Kopia would not set for a target.

    Raises:
        InvalidPolicyError: a value has the wrong type, ``manual`` stands next to anything else in the schedule, a cron
            expression can't be parsed, a path has a limit of parallel snapshots, or the target's path ends in a slash.
    """
    wrong = tuple(wrong_values(policy))
    if wrong:
        raise InvalidPolicyError(f"the policy for {target} can't be set: {'; '.join(wrong)}")
    for problem in _refused_by_kopia(policy, target):
        raise InvalidPolicyError(f"the policy for {target} can't be set: {problem}")
    check_target(target)


def validate_strictly(
    policy: Policy, target: SourceInfo = GLOBAL_TARGET, *, compressors: Collection[str], splitters: Collection[str]
) -> None:
    """Refuse a policy that Kopia would not set, or would set although it makes no sense.

    Args:
        policy: As it is to be defined, not a merged one.
        target: What it is for.
        compressors: Names of compressors that can be used; ``none`` need not be among them.
        splitters: Names of splitters that can be used.

    Raises:
        InvalidPolicyError: The message names all that is wrong.
    """
    validate_policy(policy, target)
    mistakes = policy_mistakes(policy, target, compressors=compressors, splitters=splitters)
    if mistakes:
        raise InvalidPolicyError(f"the policy for {target} can't be set: {'; '.join(mistakes)}")


def policy_mistakes(
    policy: Policy, target: SourceInfo = GLOBAL_TARGET, *, compressors: Collection[str], splitters: Collection[str]
) -> tuple[str, ...]:
    """Return what makes no sense in a policy, though Kopia would store it: the field and the reason of each.

    The arguments are those of ``validate_strictly``.
    """
    return tuple(_mistakes(policy, target, compressors, splitters))


def policy_oddities(policy: Policy) -> tuple[str, ...]:
    """Return what has little sense in a policy but does no harm: the field and the reason of each."""
    return (*_comments(policy.scheduling), *_compression(policy.compression))


def _refused_by_kopia(policy: Policy, target: SourceInfo) -> Iterator[str]:
    schedule = replace(policy.scheduling, unknown=())
    if schedule.manual and schedule != SchedulingPolicy(manual=True):
        yield "scheduling.manual can't be combined with other settings of the schedule; unset them first"
    for number, text in enumerate(schedule.cron or ()):
        expression = without_comment(text)
        if expression:
            try:
                CronExpression.parse(expression)
            except InvalidPolicyError as problem:
                yield f"scheduling.cron[{number}]: {problem}"
    if target.path and policy.upload.max_parallel_snapshots is not None:
        yield "upload.maxParallelSnapshots can be set only globally, for a host, or for a user on a host"


def _mistakes(
    policy: Policy, target: SourceInfo, compressors: Collection[str], splitters: Collection[str]
) -> Iterator[str]:
    absolute = target.path.startswith(("/", "\\")) or target.path[1:3] in {":\\", ":/"} or "://" in target.path
    if target.path and not absolute:
        yield f"the path {target.path!r} is relative: no source will ever have it"
    yield from _negative_numbers(policy)
    yield from _files(policy)
    yield from _schedule(policy.scheduling)
    for path, name in (
        ("compression.compressorName", policy.compression.compressor_name),
        ("metadataCompression.compressorName", policy.metadata_compression.compressor_name),
    ):
        if name not in {"", _NO_COMPRESSOR, *compressors}:
            yield f"{path}: {name!r} is no compressor that can be used"
    if policy.splitter.algorithm and policy.splitter.algorithm not in splitters:
        yield f"splitter.algorithm: {policy.splitter.algorithm!r} is no splitter that can be used"
    for known in fields_of(ActionsPolicy):
        yield from _action(f"actions.{known.json_name}", getattr(policy.actions, known.attribute))
    if policy.os_snapshots.volume_shadow_copy.enable not in {None, 0, 1, 2}:
        yield "osSnapshots.volumeShadowCopy.enable: must be 0 (never), 1 (always) or 2 (when available)"
    for name, details in (("directories", policy.logging.directories), ("entries", policy.logging.entries)):
        for known in fields_of(type(details)):
            if (getattr(details, known.attribute) or 0) > MOST_DETAIL:
                yield f"logging.{name}.{known.json_name}: must not be above {MOST_DETAIL}"
    if policy.upload.parallel_upload_above_size == 0:
        yield "upload.parallelUploadAboveSize: must not be 0, which ends Kopia; -1 switches it off"


def _negative_numbers(section: Section, prefix: str = "") -> Iterator[str]:
    for known in fields_of(type(section)):
        value = getattr(section, known.attribute)
        path = prefix + known.json_name
        if known.kind in {Kind.SECTION, Kind.OBJECT} and value is not None:
            yield from _negative_numbers(value, path + ".")
        elif known.kind in {Kind.INT, Kind.OPTIONAL_INT} and (value or 0) < 0 and path not in _MAY_BE_NEGATIVE:
            yield f"{path}: must not be negative"


def _files(policy: Policy) -> Iterator[str]:
    for number, rule in enumerate(policy.files.ignore):
        try:
            IgnorePattern.parse(rule)
        except InvalidPolicyError as problem:
            yield f"files.ignore[{number}]: {problem}"
    for number, name in enumerate(policy.files.dot_ignore_files):
        if name in {"", ".", ".."} or "/" in name:
            yield f"files.ignoreDotFiles[{number}]: {name!r} is no name of a file"


def _schedule(schedule: SchedulingPolicy) -> Iterator[str]:
    for number, time in enumerate(schedule.times_of_day or ()):
        if not (0 <= time.hour <= 23 and 0 <= time.minute <= 59):
            yield f"scheduling.timeOfDay[{number}]: {time} is no time of day"


def _comments(schedule: SchedulingPolicy) -> Iterator[str]:
    for number, text in enumerate(schedule.cron or ()):
        before, comment, behind = text.partition("#")
        if before[-1:].strip() and comment and behind[:1].isdigit():
            yield f"scheduling.cron[{number}]: all behind # is a comment, so {text!r} means {before!r}"


def _suggested(extension: str) -> str:
    """Return the extension that was probably meant."""
    words = "".join(each if each.isalnum() else " " for each in extension).split()
    return f"'.{words[-1]}'" if words else "'.gz', for example"


def _compression(compression: CompressionPolicy) -> Iterator[str]:
    for path, extensions in (
        ("compression.onlyCompress", compression.only_compress),
        ("compression.neverCompress", compression.never_compress),
    ):
        for number, extension in enumerate(extensions):
            if extension and not _is_extension(extension):
                yield f"{path}[{number}]: {extension!r} never matches; write it as {_suggested(extension)}"
        if not _sorted(extensions):
            yield f"{path}: must be sorted, or some of it is not found where the policy is used below a source's root"
    if 0 < compression.max_size < compression.min_size:
        yield "compression.minSize: is above maxSize, so that nothing is compressed"


def _is_extension(text: str) -> bool:
    return text.rfind(".") == 0 and "/" not in text


def _sorted(texts: Iterable[str]) -> bool:
    return all(first <= second for first, second in pairwise(texts))


def _action(path: str, action: ActionCommand | None) -> Iterator[str]:
    if action is None:
        return
    if bool(action.command) == bool(action.script):
        yield f"{path}: must have either a path or a script"
    if len(action.script.encode("utf-8", "surrogatepass")) > LONGEST_SCRIPT:
        yield f"{path}.script: must not have more than {LONGEST_SCRIPT} bytes"
    if action.mode not in {"", *ACTION_MODES}:
        yield f"{path}.mode: must be one of {', '.join(ACTION_MODES)}"


__all__ = [
    "ACTION_MODES",
    "LONGEST_SCRIPT",
    "MOST_DETAIL",
    "policy_mistakes",
    "policy_oddities",
    "validate_policy",
    "validate_strictly",
]
