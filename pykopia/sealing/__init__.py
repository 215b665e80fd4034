"""A content's way to the bytes in a pack and back: hash, compress, encrypt, one or many at a time, with a native twin."""
