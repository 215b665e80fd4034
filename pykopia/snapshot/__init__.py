"""Snapshots: taking, listing, restoring and verifying them."""
