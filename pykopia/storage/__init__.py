"""Blobs and the places that hold them."""
