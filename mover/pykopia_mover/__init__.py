"""The VolSync mover: backs up, restores and maintains one volume by the public API of pykopia."""
