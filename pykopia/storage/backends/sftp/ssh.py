"""Connections to SSH servers: keys, host keys, and the ``ssh`` program (format 03 §2.3)."""

import asyncio
import contextlib
import getpass
import logging
import os
import shlex
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import asyncssh
import asyncssh.config
import asyncssh.connection
import asyncssh.sftp

from pykopia.errors import PykopiaError, StorageAuthenticationError, UntrustedServerError, UsageError
from pykopia.storage.backends.sftp.options import DEFAULT_SFTP_PORT, SFTPOptions

DEFAULT_SSH_COMMAND = "ssh"
DEFAULT_KNOWN_HOSTS = "~/.ssh/known_hosts"
ACCEPT_NEW = "accept-new"

_KEEPALIVE_SECONDS = 15
_KEEPALIVE_COUNT = 3
_PRIVATE_KEY = "PRIVATE KEY-----"

_log = logging.getLogger(__name__)
_adding_hosts = threading.Lock()


def private_key(options: SFTPOptions) -> asyncssh.SSHKey | None:
    """Return the private key of a connection, or nothing if it has none.

    Raises:
        UsageError: It can't be read: another format, or it has a passphrase.
    """
    if options.key_data:
        text, where = options.key_data, "the private key of this connection"
    elif options.keyfile:
        where = f"the private key {options.keyfile}"
        try:
            text = Path(options.keyfile).read_text(encoding="latin-1")
        except OSError as error:
            raise UsageError(f"can't read {where}: {error.strerror}; check the path of the key file") from None
    else:
        return None
    try:
        return asyncssh.import_private_key(text.strip().replace("\r\n", "\n") + "\n")
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        if "passphrase" in str(error).lower():  # asyncssh has no class of its own for that
            reason = (
                "it has a passphrase, and those are not supported; take it off by `ssh-keygen -p`, or use another key"
            )
        elif _PRIVATE_KEY in text:
            reason = "it is no private key in OpenSSH or PEM format but looks like one: damaged, or of an unknown kind"
        else:
            reason = "it must be a private key in OpenSSH or PEM format"
    raise UsageError(f"can't use {where}: {reason}") from None


class HostKeys:
    """The host keys that a connection trusts, and what a server has shown.

    Raises:
        UsageError: The known hosts can't be read.
    """

    def __init__(self, options: SFTPOptions) -> None:
        self._host, self._port = options.host, options.port
        self._accepts = options.host_key_policy == ACCEPT_NEW
        self._file = "" if options.known_hosts_data else options.known_hosts_file or DEFAULT_KNOWN_HOSTS
        self._shown: asyncssh.SSHKey | None = None
        self.trusted = self._read(options.known_hosts_data)

    def _read(self, text: str) -> asyncssh.SSHKnownHosts:
        if self._file:
            try:
                text = _expanded(self._file).read_text(encoding="utf-8")
            except FileNotFoundError:
                text = ""  # a host that is not known is told by name later
            except (OSError, UnicodeDecodeError):
                raise UsageError(
                    f"can't read the known hosts in {self._file}: check the path, and who may read it"
                ) from None
        try:
            return asyncssh.import_known_hosts(text)
        except ValueError as error:
            where = self._file or "the known hosts of this connection"
            raise UsageError(
                f"can't read {where}: {error}; each line must be of the form that ssh-keyscan prints"
            ) from None

    def accept(self, addr: str, key: asyncssh.SSHKey) -> bool:
        """Return True if a key that is not among the trusted ones is taken; remember what was shown."""
        self._shown = key
        if not self._accepts or self._known(addr):
            return False
        line = f"{self._name()} {key.export_public_key().decode().split(' ', 2)[0]} "
        line += key.export_public_key().decode().split()[1]
        path = _expanded(self._file)
        with _adding_hosts:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(line + "\n")
        _log.warning(
            "the host key of %s was not known and is now trusted: %s; it is kept in %s; to pin it elsewhere, use the line: %s",
            self._name(), key.get_fingerprint(), path, line,
        )  # fmt: skip
        return True

    def untrusted(self, address: str) -> PykopiaError:
        """Return the error for a server whose key was refused."""
        shown = self._shown.get_fingerprint() if self._shown else "none that it can prove to hold"
        where = self._file or "the known hosts of this connection"
        known = self._known("")
        if known:
            expected = ", ".join(key.get_fingerprint() for key in known)
            return UntrustedServerError(
                f"the host key of {address} has changed: it shows {shown}, and {where} has {expected}; someone may be "
                "listening in; if the server was set up anew, replace its line there"
            )
        return UntrustedServerError(
            f"the host key of {address} is not known: it shows {shown}, and {where} has no key of this host; compare the "
            "fingerprint with the server's, and add its line from `ssh-keyscan`"
        )

    def _known(self, addr: str) -> list[asyncssh.SSHKey]:
        found = self.trusted.match(self._host, addr, self._port)[0]
        return [key for key in found if isinstance(key, asyncssh.SSHKey)]

    def _name(self) -> str:
        return self._host if self._port == DEFAULT_SFTP_PORT else f"[{self._host}]:{self._port}"


def _expanded(path: str) -> Path:
    """Return a path with ``~`` replaced by the home folder, where this user has one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


class _Users:
    """Stands in for ``getpass`` in asyncssh: that asks for the local user's name, even where nothing depends on it.

    A user of a container often has no entry in the password file, and no variable with a name.
    """

    @staticmethod
    def getuser() -> str:
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return "nobody"


class _LenientPath(type(Path())):  # type: ignore[misc] # the class of paths on this system
    """Stands in for ``Path`` in asyncssh: that asks for the home folder, even where nothing in it is read."""

    def expanduser(self) -> Path:
        try:
            return super().expanduser()  # type: ignore[no-any-return]
        except RuntimeError:
            return self


for _module, _name, _replacement in (
    (asyncssh.connection, "getpass", _Users),
    (asyncssh.connection, "Path", _LenientPath),
    (asyncssh.config, "Path", _LenientPath),
):
    setattr(_module, _name, _replacement)  # there are no arguments for them


class _Client(asyncssh.SSHClient):
    def __init__(self, host_keys: HostKeys) -> None:
        self._host_keys = host_keys

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        return self._host_keys.accept(addr, key)


def connect_arguments(options: SFTPOptions, host_keys: HostKeys, *, timeout: float) -> dict[str, Any]:
    """Return the arguments of ``asyncssh.connect``: nothing but the connection's own settings counts.

    ``known_hosts`` stands among them, and not in ``options``, since sshfs would switch the check off otherwise.
    """
    key = private_key(options)
    secrets = asyncssh.SSHClientConnectionOptions(
        config=None,
        client_keys=[key] if key else None,
        password=options.password or None,
        agent_path=None,
        gss_host=None,
        known_hosts=host_keys.trusted,
    )
    return {
        "port": options.port,
        "username": options.username,
        "known_hosts": host_keys.trusted,
        "client_factory": lambda: _Client(host_keys),
        "connect_timeout": timeout,
        "login_timeout": timeout,
        "keepalive_interval": _KEEPALIVE_SECONDS,
        "keepalive_count_max": _KEEPALIVE_COUNT,
        "options": secrets,
    }


def external_command(options: SFTPOptions) -> list[str]:
    """Return the command that speaks SFTP on its standard input and output, with the words that Kopia uses."""
    arguments = options.ssh_arguments.split(" ") if options.ssh_arguments else []
    destination = f"{options.username}@{options.host}"
    return [options.ssh_command or DEFAULT_SSH_COMMAND, *arguments, destination, "-s", "sftp"]


class ExternalSSH:
    """The ``ssh`` program in the place of an asyncssh connection, as far as a pool of SFTP channels needs one."""

    def __init__(self, command: list[str], host: str) -> None:
        self.command, self._host = command, host
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def is_closed(self) -> bool:
        """Return True if the program has ended."""
        return self._closed

    def abort(self) -> None:
        """Stop the pool from using this connection again."""
        self._closed = True

    @contextlib.asynccontextmanager
    async def start_sftp_client(self, **_: object) -> AsyncIterator[asyncssh.SFTPClient]:
        """Run the program and speak SFTP with it for the time of a block.

        Raises:
            UsageError: There is no such program.
            StorageAuthenticationError: It ended before SFTP began.
        """
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*self.command, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise UsageError(
                f"can't run {self.command[0]}: {error.strerror}; name the ssh program by its path"
            ) from None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            loop, reader, writer = asyncio.get_running_loop(), _Reader(process.stdout), _Writer(process.stdin)
            try:
                client = await asyncssh.sftp.start_sftp_client(
                    self, loop, "strict", reader, writer, "utf-8", "strict", 3  # type: ignore[arg-type]
                )  # fmt: skip
            except (asyncssh.Error, OSError, EOFError) as error:
                said = (await _what_it_said(process.stderr)) or type(error).__name__
                raise StorageAuthenticationError(
                    f"can't reach {self._host} by `{shlex.join(self.command)}`: {said}; try the command by hand: it must "
                    "log in without asking anything"
                ) from None
            yield client
        finally:
            self._closed = True
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def create_task(self, work: Coroutine[None, None, None], _logger: object) -> asyncio.Task[None]:
        """Start what reads the answers."""
        task = asyncio.get_running_loop().create_task(self._until_closed(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _until_closed(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        finally:
            self._closed = True


async def _what_it_said(stream: asyncio.StreamReader) -> str:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            return (await stream.read(2000)).decode(errors="replace").strip().replace("\r", "").replace("\n", " / ")
    return ""


class _Reader:
    """A stream of a process as asyncssh wants to read it."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self.logger = asyncssh.logging.logger.get_child("external")

    async def readexactly(self, size: int) -> bytes:
        return await self._stream.readexactly(size)

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default


class _Writer:
    """A stream of a process as asyncssh wants to write to it."""

    def __init__(self, stream: asyncio.StreamWriter) -> None:
        self._stream = stream
        self.channel = self

    def is_closing(self) -> bool:
        return self._stream.is_closing()

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def write_eof(self) -> None:
        self._stream.write_eof()

    def close(self) -> None:
        self._stream.close()

    async def wait_closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._stream.wait_closed()


__all__ = [
    "ACCEPT_NEW",
    "DEFAULT_KNOWN_HOSTS",
    "DEFAULT_SSH_COMMAND",
    "ExternalSSH",
    "HostKeys",
    "connect_arguments",
    "external_command",
    "private_key",
]
