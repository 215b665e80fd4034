"""Changing the policy of a target, with the checks that a change must pass."""

import contextlib
import logging

from pykopia.chunking.splitters import SPLITTERS
from pykopia.errors import InvalidPolicyError
from pykopia.format.compression import COMPRESSORS
from pykopia.format.policy import EMPTY_POLICY, Policy
from pykopia.format.policy_target import policy_labels, read_policy
from pykopia.format.policy_validation import policy_mistakes, policy_oddities, validate_policy
from pykopia.format.source import SourceInfo
from pykopia.ids import ManifestID
from pykopia.repository.writer import RepositoryWriter

log = logging.getLogger(__name__)


def put_policy(writer: RepositoryWriter, target: SourceInfo, policy: Policy) -> ManifestID:
    """Define the policy of a target in a session of writing; see ``Policies.put``."""
    labels = policy_labels(target)
    found = writer.manifests.find(labels)
    before = EMPTY_POLICY
    with contextlib.suppress(InvalidPolicyError):  # one that can't be read can be replaced
        before = read_policy(found[-1]).policy if found else EMPTY_POLICY
    check_change(target, before, policy)
    for oddity in policy_oddities(policy):
        if oddity not in policy_oddities(before):
            log.warning("policy for %s: %s", target, oddity)
    return writer.manifests.replace(labels, policy.to_json())


def check_change(target: SourceInfo, before: Policy, after: Policy) -> None:
    """Refuse a change of a policy that brings something in that makes no sense.

    Raises:
        InvalidPolicyError: the message names all that is wrong.
    """
    validate_policy(after, target)
    mistakes = _mistakes(after, target)
    if mistakes:
        known = _mistakes(before, target) if before != EMPTY_POLICY else ()
        mistakes = tuple(each for each in mistakes if each not in known)
    if mistakes:
        raise InvalidPolicyError(f"the policy for {target} can't be set: {'; '.join(mistakes)}")


def _mistakes(policy: Policy, target: SourceInfo) -> tuple[str, ...]:
    return policy_mistakes(policy, target, compressors=COMPRESSORS, splitters=SPLITTERS)


__all__ = ["check_change", "put_policy"]
