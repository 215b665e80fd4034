"""The policies of a repository: what is defined, what holds for a source, setting and deleting."""

import builtins

import pykopia
from pykopia.arguments import check_kind
from pykopia.errors import PolicyNotFoundError
from pykopia.format.policy import DEFAULT_POLICY, Policy
from pykopia.format.policy_merge import EffectivePolicy, effective_policy
from pykopia.format.policy_target import (
    GLOBAL_TARGET,
    POLICY_LABELS,
    DefinedPolicy,
    concerns,
    policy_labels,
    read_policy,
)
from pykopia.format.policy_tree import PolicyTree
from pykopia.format.source import SourceInfo
from pykopia.html_table import html_table
from pykopia.ids import ManifestID
from pykopia.repository.core import Core
from pykopia.snapshot.reference import SourceLike, source_of


class Policies:
    """Reads and sets the policies of a repository (format 05)."""

    def __init__(self, repository: Core) -> None:
        self._repository = repository

    def __repr__(self) -> str:
        return f"<Policies of {self._repository!r}>"

    def _repr_html_(self) -> str:
        rows = ((each.target, name, value) for each in self.list() for name, value in each.policy.values_set())
        return html_table(("target", "field", "value"), rows)

    def list(self) -> list[DefinedPolicy]:
        """Return all policies that are defined, oldest first.

        Raises:
            InvalidPolicyError: one can't be read; the message names its target and its manifest.
        """
        return [read_policy(each) for each in self._repository.manifests.find(POLICY_LABELS)]

    def _source(self, source: SourceLike) -> SourceInfo:
        return source_of(source, self._repository.client)

    def concerning(self, source: SourceLike) -> builtins.list[DefinedPolicy]:
        """Return the policies that bear on a source or on folders below it, oldest first.

        A policy of another source that can't be read does not matter here.

        Raises:
            InvalidPolicyError: one that bears on the source can't be read.
        """
        source = self._source(source)
        return [
            read_policy(each)
            for each in self._repository.manifests.find(POLICY_LABELS)
            if concerns(SourceInfo.from_labels(each.labels), source)
        ]

    def defined(self, target: SourceLike) -> DefinedPolicy | None:
        """Return the policy defined for just this target, None without one."""
        found = self._repository.manifests.find(policy_labels(self._source(target)))
        return read_policy(found[-1]) if found else None

    def effective(self, source: SourceLike) -> EffectivePolicy:
        """Return the policy that holds for a source, with where each value comes from."""
        source = self._source(source)
        return effective_policy(source, self.concerning(source))

    def tree(self, source: SourceLike) -> PolicyTree:
        """Return the policies of a source's root and of the folders below it."""
        source = self._source(source)
        return PolicyTree.for_source(source, self.concerning(source))

    def _writer(self) -> "pykopia.RepositoryWriter":
        from pykopia.repository.writer import RepositoryWriter  # noqa: PLC0415 -- readers do without

        return RepositoryWriter(self._repository)

    def set(self, target: SourceLike, policy: Policy) -> ManifestID:
        """Define the policy of a target, instead of the one it had.

        Raises:
            InvalidPolicyError: the policy contradicts itself or makes no sense; the stored one is unchanged.
        """
        check_kind("policy", policy, Policy)
        with self._writer() as writer:
            return self.put(writer, self._source(target), policy)

    @staticmethod
    def put(writer: "pykopia.RepositoryWriter", target: SourceInfo, policy: Policy) -> ManifestID:
        """Define a policy in a session of writing; see ``set``.

        What was wrong in the policy before, as Kopia may have stored it, is no reason to refuse a change of something else.
        """
        from pykopia.snapshot.policy_change import put_policy  # noqa: PLC0415 -- readers do without

        return put_policy(writer, target, policy)

    def delete(self, target: SourceLike) -> None:
        """Remove the policy of a target.

        Raises:
            PolicyNotFoundError: none is defined.
        """
        target = self._source(target)
        found = self._repository.manifests.find(policy_labels(target))
        if not found:
            raise PolicyNotFoundError(f"no policy is defined for {target}; `policy list` shows all")
        with self._writer() as writer:
            for each in found:
                writer.manifests.delete(each.id)

    def set_defaults(self) -> Policy:
        """Set the global policy and the owner of maintenance, as Kopia does for a new repository."""
        from pykopia.format.maintenance_schedule import MANIFEST_LABELS, MaintenanceParameters  # noqa: PLC0415

        with self._writer() as writer:
            self.put(writer, GLOBAL_TARGET, DEFAULT_POLICY)
            owner = f"{self._repository.username}@{self._repository.hostname}"
            writer.manifests.replace(MANIFEST_LABELS, MaintenanceParameters(owner=owner).to_json())
        return DEFAULT_POLICY


__all__ = ["Policies"]
