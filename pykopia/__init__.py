"""Kopia backup repositories, read and written by Python."""

__version__ = "0.1.0"
