"""Flags of `policy list`, `policy show`, `policy delete`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import flag
from pykopia.cli.policy_targets import PolicyTargetFlags


class PolicyListOptions(JsonFlags):
    """Flags of `policy list`."""


class PolicyShowOptions(JsonFlags, PolicyTargetFlags):
    """Flags of `policy show`."""


class PolicyDeleteOptions(PolicyTargetFlags):
    """Flags of `policy delete`."""

    dry_run = flag(False, "Only tell what would be deleted.", short="n")


__all__ = ["PolicyDeleteOptions", "PolicyListOptions", "PolicyShowOptions"]
