"""Names of the safety levels of maintenance: `pykopia.format.maintenance_plan` says what each means."""

SAFETY_LEVELS = ("none", "full")

__all__ = ["SAFETY_LEVELS"]
