"""The policies inside a source: at its root the merged one, below it those of sub-directories, bare (format 05 §3.3).

A policy that is attached to a sub-directory is used as it is stored: nothing is inherited, not from the root and not from
the built-in defaults. So it switches off, down to the next such directory, all that it does not set.
"""

from collections.abc import Iterable, Mapping
from typing import Self

from pykopia.format.policy import Policy
from pykopia.format.policy_merge import effective_policy
from pykopia.format.policy_target import DefinedPolicy, relative_path
from pykopia.format.source import SourceInfo


class PolicyTree:
    """A directory of a source and the policies that hold in it.

    Attributes:
        effective: The directory's own policy, or that of the nearest directory above that has one. It decides on
            compression, splitting, errors, cache directories and logging.
        defined: The directory's own policy, or None. It decides on ignore rules and on folder actions.
    """

    __slots__ = ("_children", "_elsewhere", "defined", "effective")

    def __init__(self, effective: Policy, defined: Policy | None) -> None:
        self.effective = effective
        self.defined = defined
        self._children: dict[str, PolicyTree] = {}
        self._elsewhere: PolicyTree | None = None

    @classmethod
    def for_source(cls, source: SourceInfo, defined: Iterable[DefinedPolicy]) -> Self:
        """Return the root of a source.

        Args:
            source: What is to be snapshotted.
            defined: All policies there are, oldest first; of several for the same sub-directory the last counts.
        """
        policies = list(defined)
        below = {
            relative: each.policy
            for each in policies
            if (each.target.host, each.target.user_name) == (source.host, source.user_name)
            and (relative := relative_path(source.path, each.target.path))
        }
        return cls.build(effective_policy(source, policies).policy, below)

    @classmethod
    def build(cls, root: Policy, below: Mapping[str, Policy]) -> Self:
        """Return the root of a source.

        Args:
            root: The policy of the root itself.
            below: Policies by the path of their directory below the root, such as ``a/b``.
        """
        tree = cls(root, root)
        for *above, name in sorted((path.split("/") for path in below), key=len):
            node: PolicyTree = tree
            for each in above:
                node = node._children.setdefault(each, PolicyTree(node.effective, None))
            policy = below["/".join((*above, name))]
            node._children[name] = PolicyTree(policy, policy)  # noqa: SLF001 -- of this class
        return tree

    def child(self, name: str) -> "PolicyTree":
        """Return the directory ``name`` in this one; it need not be mentioned in any policy."""
        child = self._children.get(name) or self._elsewhere
        if child is None:
            alike = self.defined is None and not self._children
            child = self._elsewhere = self if alike else PolicyTree(self.effective, None)
        return child

    def descend(self, path: str) -> "PolicyTree":
        """Return the directory at a path below this one, such as ``a/b``; empty or ``.`` is this one."""
        tree: PolicyTree = self
        for name in path.split("/"):
            if name not in {"", "."}:
                tree = tree.child(name)
        return tree


__all__ = ["PolicyTree"]
