"""Keeping a repository small, fast and sound: one module a task, and the cycle that orders them (spec 03 part B)."""
