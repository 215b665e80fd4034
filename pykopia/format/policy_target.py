"""To what a policy is attached, and which policies bear on a source (format 05 §1, §3.1)."""

from collections.abc import Iterable, Mapping
from typing import Final, Self

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidPolicyError
from pykopia.format.manifest import TYPE_LABEL, ManifestEntry
from pykopia.format.policy import EMPTY_POLICY, Policy
from pykopia.format.source import HOST_LABEL, PATH_LABEL, USER_LABEL, SourceInfo
from pykopia.html_table import html_table
from pykopia.ids import ManifestID

POLICY_TYPE: Final = "policy"
"""Type label of policy manifests."""
POLICY_LABELS: Final[Mapping[str, str]] = {TYPE_LABEL: POLICY_TYPE}
"""Labels that all policy manifests have."""

POLICY_TYPE_LABEL: Final = "policyType"
"""Label that says what kind of target a policy has."""

GLOBAL_TARGET: Final = SourceInfo()
"""The target of the policy that holds for everything."""

_SEPARATORS = ("/", "\\")


def policy_labels(target: SourceInfo) -> dict[str, str]:
    """Return the labels of a policy's manifest; together they find the policies of just this target."""
    labels = {TYPE_LABEL: POLICY_TYPE, HOST_LABEL: target.host}
    if target.path:
        return labels | {POLICY_TYPE_LABEL: "path", USER_LABEL: target.user_name, PATH_LABEL: target.path}
    if target.user_name:
        return labels | {POLICY_TYPE_LABEL: "user", USER_LABEL: target.user_name}
    if target.host:
        return labels | {POLICY_TYPE_LABEL: "host"}
    return {TYPE_LABEL: POLICY_TYPE, POLICY_TYPE_LABEL: "global"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinedPolicy:
    """A policy and the target for which it is defined."""

    target: SourceInfo
    policy: Policy
    id: ManifestID | None = None
    """Manifest that holds it; None for a policy that is not stored."""

    def _repr_html_(self) -> str:
        return html_table(("field", "value"), self.policy.values_set(), caption=str(self.target))

    @classmethod
    def from_manifest(cls, manifest_id: ManifestID, labels: Mapping[str, str], data: bytes) -> Self:
        """Return the policy in a manifest.

        Raises:
            InvalidPolicyError: The data are no policy.
        """
        return cls(target=SourceInfo.from_labels(labels), policy=Policy.from_json(data), id=manifest_id)


def policy_targets(source: SourceInfo) -> tuple[SourceInfo, ...]:
    """Return the targets whose policies bear on a source, the most specific first.

    They are its path, every path above, the user on the host, the host, and everything. A source that lacks some of its
    parts has a target twice, as in Kopia.
    """
    paths = []
    path = source.path
    while path and path not in paths:
        paths.append(path)
        path = parent_path(path)
    return (
        *(SourceInfo(host=source.host, user_name=source.user_name, path=each) for each in paths),
        SourceInfo(host=source.host, user_name=source.user_name),
        SourceInfo(host=source.host),
        GLOBAL_TARGET,
    )


def concerns(target: SourceInfo, source: SourceInfo) -> bool:
    """Return whether a policy of ``target`` can change how ``source`` is snapshotted, at its root or below it."""
    if target in policy_targets(source):
        return True
    same_client = (target.host, target.user_name) == (source.host, source.user_name)
    return same_client and bool(relative_path(source.path, target.path))


def policies_for(source: SourceInfo, defined: Iterable[DefinedPolicy]) -> tuple[DefinedPolicy, ...]:
    """Return the policies that bear on a source, the most specific first.

    The first is always one of the source itself: an empty one if none is defined.

    Args:
        source: What is to be snapshotted.
        defined: All policies there are, oldest first; where several have the same target all of them count.
    """
    by_target: dict[SourceInfo, list[DefinedPolicy]] = {}
    for each in defined:
        by_target.setdefault(each.target, []).append(each)
    found = tuple(each for target in policy_targets(source) for each in by_target.get(target, ()))
    if found and found[0].target == source:
        return found
    return (DefinedPolicy(target=source, policy=EMPTY_POLICY), *found)


def parent_path(path: str) -> str:
    r"""Return the path of the folder above, as policies are looked up: both slashes count on every system.

    A root, and a relative path of one element, is its own parent.

    >>> parent_path("/a/b"), parent_path("/a"), parent_path("/"), parent_path("C:\\x")
    ('/a', '/', '/', 'C:\\')
    """
    volume, rest = _volume_and_path(path)
    last = _last_separator(rest)
    if 0 < last == len(rest) - 1:
        rest = rest[:last]
        last = _last_separator(rest)
    if last < 0:
        return path
    return volume + rest[: max(last, 1)]


def relative_path(root: str, path: str) -> str:
    r"""Return a policy's path below a snapshot's root, with slashes; empty if it is not below.

    >>> relative_path("/s", "/s/a/b"), relative_path("/s", "/sx"), relative_path("C:\\s", "C:\\s\\a\\b")
    ('a/b', '', 'a/b')
    """
    windows = bool(_volume_and_path(root)[0])
    root = root.removesuffix("/").removesuffix("\\")
    rest = path.removeprefix(root)
    if not path.startswith(root) or not rest.startswith(_SEPARATORS):
        return ""
    return rest[1:].replace("\\", "/") if windows else rest[1:]


def check_target(target: SourceInfo) -> None:
    """Refuse a target whose path ends in a slash or backslash without being a root, as Kopia does.

    Raises:
        InvalidPolicyError: It does.
    """
    volume, rest = _volume_and_path(target.path)
    root = rest in {"/", "\\"} if volume else rest == "/"
    if rest.endswith(_SEPARATORS) and not root:
        raise InvalidPolicyError(f"a policy can't be set for {target}: leave out the slash or backslash at its end")


def _volume_and_path(path: str) -> tuple[str, str]:
    if len(path) >= 3 and path[1] == ":" and path[2] in _SEPARATORS:
        return path[:2], path[2:]
    return "", path


def _last_separator(path: str) -> int:
    return max(map(path.rfind, _SEPARATORS))


def read_policy(entry: ManifestEntry) -> DefinedPolicy:
    """Return the policy in a manifest.

    Raises:
        InvalidPolicyError: it can't be read; the message names its target and its manifest.
    """
    try:
        return DefinedPolicy.from_manifest(entry.id, entry.labels, entry.data)
    except InvalidPolicyError as error:
        target = SourceInfo.from_labels(entry.labels)
        raise InvalidPolicyError(
            f"the policy of {target} in manifest {entry.id} can't be read: {error}; `manifest delete {entry.id}` removes it"
        ) from error


__all__ = [
    "GLOBAL_TARGET",
    "POLICY_LABELS",
    "POLICY_TYPE",
    "POLICY_TYPE_LABEL",
    "DefinedPolicy",
    "check_target",
    "concerns",
    "parent_path",
    "policies_for",
    "policy_labels",
    "policy_targets",
    "read_policy",
    "relative_path",
]
