"""Splitters, which decide where contents begin and end, with native twins."""
