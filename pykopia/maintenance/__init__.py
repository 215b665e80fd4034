"""Keeping a repository small, fast and sound: one module a task, and the cycle that orders them (format 03 §7 to §16)."""
