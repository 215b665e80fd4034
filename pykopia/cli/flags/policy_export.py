"""Flags of `policy export` and `policy import`."""

from pykopia.cli.parsing import flag
from pykopia.cli.policy_targets import PolicyTargetFlags


class PolicyExportOptions(PolicyTargetFlags):
    """Flags of `policy export`."""

    to_file = flag("", "File to write to instead of stdout.")
    overwrite = flag(False, "Replace the file if it exists.")
    json_indent = flag(False, "Lay the JSON out over lines.", hidden=True)


class PolicyImportOptions(PolicyTargetFlags):
    """Flags of `policy import`."""

    from_file = flag("", "File to read from instead of stdin.")
    allow_unknown_fields = flag(False, "Keep fields that this version does not know, instead of refusing them.")
    delete_other_policies = flag(False, "Delete all policies that are not imported.")


__all__ = ["PolicyExportOptions", "PolicyImportOptions"]
