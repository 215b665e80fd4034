"""A typed driver of a real kopia executable, for tests that hold pykopia against it."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

Flag: TypeAlias = str | int | bool | Path | Sequence[str]
"""Value of a flag: True and False give --name and --no-name, a sequence gives the flag once for each item."""

JSONObject: TypeAlias = dict[str, Any]
JSONValue: TypeAlias = Any

DEFAULT_PASSWORD = "test-password"
TIMEOUT_SECONDS = 240


class KopiaFailedError(Exception):
    """A kopia command ended with an exit code other than zero."""

    def __init__(self, arguments: Sequence[str], result: subprocess.CompletedProcess[bytes]) -> None:
        self.arguments, self.returncode = tuple(arguments), result.returncode
        self.stdout = result.stdout.decode(errors="replace")
        self.stderr = result.stderr.decode(errors="replace")
        super().__init__(
            f"kopia {' '.join(self.arguments)} ended with exit code {self.returncode}; "
            f"it printed:\n{self.stderr[-4000:]}{self.stdout[-1000:]}"
        )


def find_kopia() -> Path | None:
    """Return the kopia executable that KOPIA_EXE names or PATH has, or None."""
    named = os.environ.get("KOPIA_EXE")
    if named:
        path = Path(named)
        if not os.access(path, os.X_OK):
            raise FileNotFoundError(f"KOPIA_EXE is {named}, which is no executable; correct or unset it")
        return path
    found = shutil.which("kopia")
    return Path(found) if found else None


@dataclass(frozen=True, kw_only=True)
class KopiaCLI:
    """One client of a repository: a kopia with connection file, cache and logs of its own.

    Every method runs one command and raises `KopiaFailedError` if kopia fails. Keyword arguments become flags:
    ``format_version=1`` is ``--format-version=1``, ``flat=True`` is ``--flat``, ``progress=False`` is ``--no-progress``.
    """

    executable: Path
    folder: Path
    """Holds the connection file, the cache and the logs."""
    password: str = DEFAULT_PASSWORD
    username: str = "tester"
    hostname: str = "testhost"
    extra_environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def config_file(self) -> Path:
        """The connection file, which exists after `connect` and `create_repository`."""
        return self.folder / "repository.config"

    @property
    def cache_directory(self) -> Path:
        """Where contents, metadata and indexes are cached."""
        return self.folder / "cache"

    def client(
        self, name: str, *, username: str | None = None, hostname: str | None = None, password: str | None = None
    ) -> "KopiaCLI":
        """Return another client beside this one, with a folder of its own and the given fields changed."""
        return replace(
            self,
            folder=self.folder.parent / name,
            username=self.username if username is None else username,
            hostname=self.hostname if hostname is None else hostname,
            password=self.password if password is None else password,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment of a command: nothing of the caller's kopia, no look at the network for updates."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KOPIA_", "XDG_"))}
        return {
            **kept,
            "HOME": str(self.folder),
            "TZ": "UTC",
            "KOPIA_PASSWORD": self.password,
            "KOPIA_CHECK_FOR_UPDATES": "false",
            "KOPIA_USE_KEYRING": "false",
            "KOPIA_DANGEROUS_COMMANDS": "enabled",
            **self.extra_environment,
        }

    def command(self, arguments: Sequence[str | Path], flags: Mapping[str, Flag]) -> list[str]:
        """Return the whole command line."""
        return [
            str(self.executable),
            f"--config-file={self.config_file}",
            f"--log-dir={self.folder / 'logs'}",
            "--no-progress",
            *map(str, arguments),
            *spell_flags(flags),
        ]

    def run_bytes(
        self, *arguments: str | Path, check: bool = True, stdin: bytes = b"", **flags: Flag
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command and return what it printed, as bytes; unless `check`, a failure is returned like a success."""
        return self._run_bytes(arguments, flags, check=check, stdin=stdin)

    def run(
        self, *arguments: str | Path, check: bool = True, stdin: bytes = b"", **flags: Flag
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return what it printed; bytes that are not UTF-8 come as surrogates."""
        return self._run(arguments, flags, check=check, stdin=stdin)

    def json(self, *arguments: str | Path, **flags: Flag) -> JSONValue:
        """Run a command with --json and return the value it printed."""
        return json.loads(self._run(arguments, {"json": True, **flags}).stdout)

    def _run(
        self, arguments: Sequence[str | Path], flags: Mapping[str, Flag], *, check: bool = True, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        result = self._run_bytes(arguments, flags, check=check, stdin=stdin)
        return subprocess.CompletedProcess(
            result.args,
            result.returncode,
            result.stdout.decode(errors="surrogateescape"),
            result.stderr.decode(errors="surrogateescape"),
        )

    def _run_bytes(
        self, arguments: Sequence[str | Path], flags: Mapping[str, Flag], *, check: bool = True, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        result = subprocess.run(
            self.command(arguments, flags),
            input=stdin,
            capture_output=True,
            env=self.environment(),
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if check and result.returncode:
            raise KopiaFailedError([*map(str, arguments), *spell_flags(flags)], result)
        return result

    def _list(self, group: str, flags: Mapping[str, Flag]) -> list[JSONObject]:
        """Return the list of a command which prints nothing at all where there is nothing to list."""
        printed = self._run([group, "list"], {"json": True, **flags}).stdout.strip()
        return json.loads(printed) or [] if printed else []

    # Repository

    def create_repository(self, path: Path, **flags: Flag) -> None:
        """Create a repository in a folder and connect to it."""
        self._run(["repository", "create", "filesystem"], self._connection_flags(path, flags))

    def connect(self, path: Path, **flags: Flag) -> None:
        """Connect to a repository in a folder."""
        self._run(["repository", "connect", "filesystem"], self._connection_flags(path, flags))

    def _connection_flags(self, path: Path, flags: Mapping[str, Flag]) -> dict[str, Flag]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return {
            "path": path,
            "cache_directory": self.cache_directory,
            "override_username": self.username,
            "override_hostname": self.hostname,
            "check_for_updates": False,
            "persist_credentials": False,
            **flags,
        }

    def disconnect(self) -> None:
        """Forget the repository."""
        self.run("repository", "disconnect")

    def repository_status(self) -> JSONObject:
        """Return what `repository status` says."""
        status: JSONObject = self.json("repository", "status")
        return status

    # Snapshots

    def snapshot_create(self, path: Path, **flags: Flag) -> JSONObject:
        """Take a snapshot of a folder or file and return its manifest."""
        manifest: JSONObject = self.json("snapshot", "create", path, **flags)
        return manifest

    def snapshot_list(self, **flags: Flag) -> list[JSONObject]:
        """Return the manifests of the snapshots of all sources, incomplete and identical ones too."""
        return self._list("snapshot", {"all": True, "incomplete": True, "show_identical": True, **flags})

    def snapshot_delete(self, snapshot_id: str) -> None:
        """Delete a snapshot."""
        self.run("snapshot", "delete", snapshot_id, delete=True)

    def restore(self, reference: str, target: Path, **flags: Flag) -> None:
        """Restore a snapshot, an object or a path inside one (``ID/sub/path``) to a folder."""
        self._run(["snapshot", "restore", reference, target], flags)

    def verify_all(self) -> None:
        """Check the whole repository: all snapshots with all bytes of their files, and all contents."""
        self.run("snapshot", "verify", verify_files_percent=100)
        self.run("content", "verify", full=True, include_deleted=True)

    # What lies below

    def show(self, object_id: str) -> bytes:
        """Return the bytes of an object."""
        return self.run_bytes("show", object_id).stdout

    def content_list(self, **flags: Flag) -> list[JSONObject]:
        """Return all contents, deleted ones too."""
        return self._list("content", {"deleted": True, **flags})

    def content_show(self, content_id: str) -> bytes:
        """Return the bytes of a content."""
        return self.run_bytes("content", "show", content_id).stdout

    def manifest_list(self, **flags: Flag) -> list[JSONObject]:
        """Return identifiers, labels, times and lengths of all manifests."""
        return self._list("manifest", flags)

    def manifest_show(self, manifest_id: str) -> JSONObject:
        """Return the JSON of a manifest."""
        printed = self.run("manifest", "show", manifest_id).stdout
        body: JSONObject = json.loads("".join(line for line in printed.splitlines() if not line.startswith("// ")))
        return body

    def blob_list(self, **flags: Flag) -> list[JSONObject]:
        """Return identifiers, lengths and times of all blobs."""
        return self._list("blob", flags)

    def index_list(self, **flags: Flag) -> list[JSONObject]:
        """Return the index blobs that are in use."""
        return self._list("index", flags)

    # Policies and maintenance

    def policy_set(self, target: str | Path | None = None, **flags: Flag) -> None:
        """Change the policy of a target, or the global one."""
        self._run(["policy", "set", *_policy_target(target)], flags)

    def policy_show(self, target: str | Path | None = None) -> JSONObject:
        """Return the effective policy of a target, or the global one."""
        policy: JSONObject = self.json("policy", "show", *_policy_target(target))
        return policy

    def maintenance_run(self, *, full: bool = True, safety: str = "full") -> None:
        """Run maintenance; without safety (``none``) nothing may write to the repository meanwhile."""
        self.run("maintenance", "set", owner="me")
        self.run("maintenance", "run", full=full, safety=safety)


def _policy_target(target: str | Path | None) -> list[str]:
    return ["--global"] if target is None else [str(target)]


def spell_flags(flags: Mapping[str, Flag]) -> list[str]:
    """Return keyword arguments as flags of a command line.

    >>> spell_flags({"format_version": 1, "flat": True, "progress": False, "tags": ["a:1", "b:2"]})
    ['--format-version=1', '--flat', '--no-progress', '--tags=a:1', '--tags=b:2']
    """
    words: list[str] = []
    for name, value in flags.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, str | int | Path):
            words.append(f"--{flag}={value}")
        else:
            words += [f"--{flag}={item}" for item in value]
    return words


__all__ = [
    "DEFAULT_PASSWORD",
    "Flag",
    "JSONObject",
    "JSONValue",
    "KopiaCLI",
    "KopiaFailedError",
    "find_kopia",
    "spell_flags",
]
