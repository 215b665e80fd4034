"""Flags of `policy edit`."""

from pykopia.cli.policy_targets import PolicyTargetFlags


class PolicyEditOptions(PolicyTargetFlags):
    """Flags of `policy edit`."""


__all__ = ["PolicyEditOptions"]
