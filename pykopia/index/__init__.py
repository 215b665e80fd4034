"""The index of a repository: which index blobs count, fetched once, searched where they lie."""
