"""Tests of pykopia, and what they share: import it as ``tests.trees``, ``tests.golden_repositories``."""
