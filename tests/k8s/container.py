"""Runs a container of a pod as a process: in a mount namespace of its own, with a root folder that has the pod's volumes.

The root has the folders of this machine that programs need, read-only, and nothing else than what the pod asks for. Without
root's rights a user namespace is used instead: then every user of the pod is this one.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.k8s.api import Object

IMAGE_USER: Final = 65532
"""User and group of the image."""
IMAGE_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
IMAGE_ENTRY: Final = "/mover-kopia/entry.sh"
TERMINATION_LOG: Final = "/dev/termination-log"

_PROJECT: Final = Path(__file__).parents[2]
_SYSTEM: Final = ("bin", "etc", "lib", "lib64", "sbin", "usr")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder or file of this machine at a path of the container."""

    source: Path | None
    """None: memory."""
    path: str
    read_only: bool = False
    size: str = ""
    """Limit of one in memory, in bytes."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """Everything that a container's process is started with."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    mounts: Sequence[Mount]
    user: int = IMAGE_USER
    group: int = IMAGE_USER
    groups: Sequence[int] = ()
    capabilities: Sequence[str] = ()
    """Those that root keeps, in lower case; every other user has none."""
    no_new_privileges: bool = True
    read_only_root: bool = True
    memory_limit: int | None = None
    working_directory: str = "/"
    files: dict[str, str] = field(default_factory=dict)
    """Text of further files of the image."""

    def start(self, folder: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start the process; ``folder`` becomes its root, ``log`` gets its output.

        The process has the id of the one that is returned, and leads a process group.
        """
        folder.mkdir(parents=True)
        termination = folder.with_name(f"{folder.name}-termination-log")
        termination.touch()
        termination.chmod(0o666)
        (folder.parent / "files").mkdir(exist_ok=True)
        namespaces = ["--mount", "--propagation", "private"]
        if os.geteuid() != 0:
            namespaces += ["--user", "--map-root-user"]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                ["/usr/bin/unshare", *namespaces, "/bin/sh", "-euc", self._script(folder, termination)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
                cwd="/",
            )

    def _script(self, root: Path, termination: Path) -> str:
        """Return the shell commands that build the root and become the process."""
        lines = [f"mount -t tmpfs -o mode=0755 root {_q(root)}"]
        for name in _SYSTEM:
            place = Path("/", name)
            if place.is_symlink():
                lines.append(f"ln -s {_q(os.readlink(place))} {_q(root / name)}")
            elif place.exists():
                lines += _bind(root, Mount(source=place, path=f"/{name}", read_only=True))
        lines += _bind(root, Mount(source=Path("/proc"), path="/proc"))
        lines.append(f"mkdir -p {_q(root / 'dev')} {_q(root / 'mover-kopia')} {_q(root / 'sys/fs/cgroup')}")
        lines += [
            f": > {_q(root / 'dev' / name)}; mount --bind /dev/{name} {_q(root / 'dev' / name)}" for name in _DEVICES
        ]
        mounts = sorted(self.mounts, key=lambda mount: mount.path.count("/"))
        for mount in mounts:
            lines += _bind(root, mount)
        for place in _project_folders():
            lines += _bind(root, Mount(source=place, path=str(place), read_only=True))
        lines += _bind(root, Mount(source=termination, path=TERMINATION_LOG))
        texts = {IMAGE_ENTRY: f'#!/bin/sh\nexec {_q(_mover())} "$@"\n', **self.files}
        texts["/sys/fs/cgroup/memory.max"] = f"{self.memory_limit or 'max'}\n"
        for path, text in texts.items():
            target = _q(f"{root}{path}")
            lines.append(f"printf %s {_q(text)} > {target}; chmod 0755 {target}")
        if self.read_only_root:
            lines.append(f"mount -o remount,ro {_q(root)}")
        lines.append(
            f"exec /usr/sbin/chroot {_q(root)} {shlex.join(['/usr/bin/setpriv', *self._privileges(), *self._become()])}"
        )
        return "\n".join(lines)

    def _become(self) -> list[str]:
        return ["/usr/bin/env", f"--chdir={self.working_directory}", "--unset=PWD", "--unset=OLDPWD", *self.command]

    def _privileges(self) -> list[str]:
        if os.geteuid() != 0:
            return ["--no-new-privs"]
        kept = "".join(f",+{name.removeprefix('cap_')}" for name in self.capabilities)
        groups = [f"--groups={','.join(map(str, self.groups))}"] if self.groups else ["--clear-groups"]
        flags = [
            f"--reuid={self.user}",
            f"--regid={self.group}",
            *groups,
            f"--bounding-set=-all{kept}",
            "--inh-caps=-all",
        ]
        return [*flags, *(["--no-new-privs"] if self.no_new_privileges else [])]


def termination_message(folder: Path) -> str:
    """Return what a container wrote to its termination log, as far as a kubelet reads it."""
    text = folder.with_name(f"{folder.name}-termination-log").read_bytes()[:4096]
    return text.decode(errors="replace")


def _q(value: object) -> str:
    return shlex.quote(str(value))


def _mover() -> Path:
    return Path(sys.executable).parent / "pykopia-mover"


def _project_folders() -> list[Path]:
    """Return the folders that the mover's code and its interpreter are in."""
    folders = {Path(sys.prefix), Path(sys.base_prefix), _PROJECT, Path(sys.executable).resolve().parent}
    outer = [
        folder for folder in folders if not any(folder != other and folder.is_relative_to(other) for other in folders)
    ]
    return [folder for folder in outer if not any(folder.is_relative_to(f"/{name}") for name in _SYSTEM)]


def _bind(root: Path, mount: Mount) -> list[str]:
    target = _q(f"{root}{mount.path}")
    if mount.source is None:
        limit = f",size={mount.size}" if mount.size else ""
        return [f"mkdir -p {target}", f"mount -t tmpfs -o mode=1777{limit} memory {target}"]
    source = _q(mount.source)
    make = f"mkdir -p {target}" if mount.source.is_dir() else f"mkdir -p $(dirname {target}); : > {target}"
    lines = [make, f"mount --rbind {source} {target}"]
    if mount.read_only:
        lines.append(f"mount -o remount,bind,ro {target}")
    return lines


def container_command(spec: Object) -> list[str]:
    """Return the command of a container as its spec has it, else the image's."""
    return [*(spec.get("command") or [IMAGE_ENTRY]), *(spec.get("args") or [])]


__all__ = [
    "IMAGE_ENTRY",
    "IMAGE_ENVIRONMENT",
    "IMAGE_USER",
    "Container",
    "Mount",
    "container_command",
    "termination_message",
]
