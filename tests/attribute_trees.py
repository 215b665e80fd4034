"""A source with extended attributes, ACLs and hard links, and what a folder has of them."""

import os
import struct
from pathlib import Path

NOBODY_NAMED = 0xFFFFFFFF
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""The value of ``cap_net_bind_service=ep``."""


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return an ACL as the kernel has it; each entry is a tag, its permissions and the number of a user or group."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ACL = acl(
    (0x01, 6, NOBODY_NAMED), (0x02, 4, 1234), (0x04, 4, NOBODY_NAMED), (0x10, 6, NOBODY_NAMED), (0x20, 0, NOBODY_NAMED)
)
"""The user 1234 may read."""


def build(root: Path) -> None:
    """Make files and folders with attributes that every user may set, and hard links."""
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "plain").write_bytes(b"nothing special")
    (root / "noted").write_bytes(b"with attributes")
    os.setxattr(root / "noted", "user.comment", b"\0\xff any bytes")
    os.setxattr(root / "noted", "user.\u00e9 <b>", b"")
    os.setxattr(root / "noted", "system.posix_acl_access", ACL)
    os.setxattr(root / "sub", "system.posix_acl_default", ACL)
    os.setxattr(root / "sub", "user.folder", b"1")
    (root / "sub" / "read-only").write_bytes(b"read-only")
    os.setxattr(root / "sub" / "read-only", "user.comment", b"kept")
    os.chmod(root / "sub" / "read-only", 0o400)
    (root / "large").write_bytes(bytes(range(256)) * 40_000)
    os.link(root / "large", root / "sub" / "deep" / "large again")
    os.link(root / "noted", root / "sub" / "noted again")
    (root / "link").symlink_to("noted")
    if os.geteuid() == 0:
        os.setxattr(root / "link", "trusted.note", b"of a link", follow_symlinks=False)
        os.setxattr(root / "large", "security.capability", CAPABILITY)
    for path in (*root.rglob("*"), root):
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)


def attributes(root: Path) -> dict[str, tuple[int, int, list[tuple[str, bytes]], list[str]]]:
    """Return mode, time, extended attributes and the names of the same file, of all in a folder by its path."""
    paths = [root, *sorted(root.rglob("*"))]
    names: dict[int, list[str]] = {}
    for path in paths:
        names.setdefault(path.lstat().st_ino, []).append(str(path.relative_to(root)))
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            [
                (name, os.getxattr(path, name, follow_symlinks=False))
                for name in sorted(os.listxattr(path, follow_symlinks=False))
            ],
            names[path.lstat().st_ino],
        )
        for path in paths
    }
