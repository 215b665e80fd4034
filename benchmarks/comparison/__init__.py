"""Whole commands of pykopia, kopia, restic and borg side by side, on the same data and with the same settings."""
