"""Decisions: pure functions of objects, settings and the time, which return plans."""
