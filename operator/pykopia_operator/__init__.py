"""Operator for VolSync's objects with a ``kopia`` section: starts movers and reports their results."""
