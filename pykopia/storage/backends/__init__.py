"""The kinds of storage of this package: a folder each, named as the type in lower case.

A folder holds all that one kind is: ``BACKEND`` in its ``__init__`` (which imports nothing heavy), the options with their
names in connections, URLs, flags and the environment, and the storage.
"""
