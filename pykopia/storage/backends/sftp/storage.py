"""Blobs as files on an SFTP server, in Kopia's layout (format 03 §2.1 and §2.3)."""

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

import asyncssh
from asyncssh.sftp import SFTPVFSAttrs
from fsspec.asyn import sync, sync_wrapper
from sshfs import SSHFileSystem
from sshfs.pools import SFTPSoftChannelPool

from pykopia.errors import (
    BlobExistsError,
    InvalidRangeError,
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    UnsupportedOptionError,
)
from pykopia.ids import BlobID, Buffer
from pykopia.storage.backends.sftp.options import SFTPOptions
from pykopia.storage.backends.sftp.ssh import ExternalSSH, HostKeys, connect_arguments, external_command
from pykopia.storage.base import DEFAULT_PUT_OPTIONS, Capacity, PutOption, PutOptions
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.fsspec_storage import FsspecStorage

DEFAULT_LIST_PARALLELISM = 8
"""Folders that a listing reads at one time, unless the connection says otherwise."""

TIMEOUT_SECONDS = 60.0
"""A connection on which a request gets no answer for so long is given up."""

SLOWEST_BYTES_PER_SECOND = 10_000
"""A transfer may take as much longer as its bytes need at this speed."""

_FILE_MODE = 0o600
_DIR_MODE = 0o700
_MAX_CHANNELS = 10
"""Two of them sshfs keeps for commands; OpenSSH allows ten."""
_SECOND_NS = 1_000_000_000

_MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
_FULL = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)
_DENIED = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect)
_LOST = (
    asyncssh.ConnectionLost,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
    asyncssh.ServiceNotAvailable,
    asyncssh.DisconnectError,
    asyncssh.ChannelOpenError,
)

_T = TypeVar("_T")
_Work = Callable[[asyncssh.SFTPClient], Awaitable[_T]]


class _TakenError(Exception):
    """The final name of a file is taken."""


class SFTPStorage(FsspecStorage):
    """A folder on an SFTP server as a storage, by sshfs.

    A put writes a temporary file next to the final one, flushes it to the server's disk (``fsync@openssh.com``) and renames
    it over the final one (``posix-rename@openssh.com``), so a reader sees the whole blob or none, and it survives a power cut
    once it returned where the server has the first extension. A server without the second can create blobs but not replace
    them. Temporary files that a lost connection left are never taken for blobs.

    Where the server has ``hardlink@openssh.com``, a put can be refused when the blob is there. Times are whole seconds.
    A lost connection is made anew by the next call.

    Args:
        options: The connection.
        create: Make the folder, with those above it, and choose the layout of new repositories.
        timeout: Seconds without an answer after which a connection is given up.

    Raises:
        StorageNotFoundError: There is no such folder.
        StorageAuthenticationError: The server does not let this user in.
        UntrustedServerError: The server's host key is not known, or another.
        StorageUnavailableError: The server can't be reached.
    """

    failures = (OSError, asyncssh.Error)

    def __init__(self, options: SFTPOptions, *, create: bool = False, timeout: float = TIMEOUT_SECONDS) -> None:
        self.options = options
        self._timeout = timeout
        self._connecting = threading.Lock()
        self._address = f"{options.host}:{options.port}"
        self._display_name = f"SFTP: {options.username}@{self._address}{options.path}"
        super().__init__(
            self._connect(),
            options.path,
            create=create,
            dir_shards=options.dir_shards,
            atomic_put=False,
            info=ConnectionInfo.from_options(options),
            display_name=self._display_name,
            list_parallelism=options.list_parallelism or DEFAULT_LIST_PARALLELISM,
        )

    @property
    def put_options(self) -> frozenset[PutOption]:
        """Options that a put supports, see ``BlobStorage.put_options``."""
        return frozenset({"do_not_recreate", "set_mtime"})

    @classmethod
    def from_options(cls, options: SFTPOptions, *, create: bool = False) -> "SFTPStorage":
        """Open the folder that a connection names, see the class."""
        return cls(options, create=create)

    @property
    def fs(self) -> SSHFileSystem:
        """The filesystem over a connection that is alive."""
        with self._connecting:
            if self._fs.client.is_closed():
                _let_go(self._fs)
                self._fs = self._connect()
            return self._fs

    def close(self) -> None:
        """Close the connection."""
        with self._connecting:
            _let_go(self._fs)

    def capacity(self) -> Capacity | None:
        """Return the room on the volume that holds the folder, or nothing where the server can't report it."""
        with self._failing(f"ask for the free space of {self.display_name}"):
            try:
                found = self._run(lambda channel: channel.statvfs(self.root))
            except asyncssh.SFTPOpUnsupported:
                return None
        return _capacity(found)

    def _connect(self) -> SSHFileSystem:
        options = self.options
        host_keys = HostKeys(options)
        settings: dict[str, Any] = {
            "pool_type": functools.partial(_TimedPool, seconds=self._timeout),
            "max_sessions": _MAX_CHANNELS,
            "skip_instance_cache": True,
        }
        try:
            if options.external_ssh:
                return _ExternalFileSystem(options.host, external=external_command(options), **settings)
            return SSHFileSystem(
                options.host, **settings, **connect_arguments(options, host_keys, timeout=self._timeout)
            )
        except PykopiaError:
            raise
        except (OSError, asyncssh.Error) as error:
            raise self._connection_error(error, host_keys) from error

    def _connection_error(self, error: Exception, host_keys: HostKeys) -> PykopiaError:
        doing = f"connect to {self._address}"
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return host_keys.untrusted(self._address)
        if isinstance(error, PermissionError) and isinstance(error.__cause__, asyncssh.PermissionDenied):
            offered = " and ".join(
                what for what, given in (("key", self._has_key), ("password", self.options.password)) if given
            )
            return StorageAuthenticationError(
                f"can't {doing}: the server does not let user {self.options.username} in with this {offered or 'connection'}; "
                "check the user name, and that the key or password is the right one"
            )
        if isinstance(error, asyncssh.KeyExchangeFailed | asyncssh.ProtocolNotSupported | asyncssh.ProtocolError):
            return StorageError(f"can't {doing}: {error.reason}; check that this is the port of an SSH server")
        if isinstance(error, socket.gaierror):
            reason = f"the host name can't be resolved ({error.strerror})"
        elif isinstance(error, ConnectionRefusedError):
            reason = "connection refused: no SSH server listens there"
        elif isinstance(error, TimeoutError):
            reason = f"no answer within {self._timeout:g} s"
        elif isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
        else:
            reason = str(getattr(error, "reason", "")) or type(error).__name__
        return StorageUnavailableError(f"can't {doing}: {reason}; check host and port, and the network")

    @property
    def _has_key(self) -> bool:
        return bool(self.options.key_data or self.options.keyfile)

    def _run(self, work: "_Work[_T]", size: int = 0) -> _T:
        """Do something on a channel; ``size`` bytes may take longer than the usual time.

        Raises:
            FileNotFoundError: There is no such file or folder.
        """
        fs = self.fs

        async def within() -> _T:
            pool = cast("_TimedPool", fs._pool)  # noqa: SLF001 -- sshfs has no public way to a channel
            async with pool.get(size / SLOWEST_BYTES_PER_SECOND) as channel:
                return await work(channel)

        try:
            return cast("_T", sync(fs.loop, within))
        except _MISSING as error:
            raise FileNotFoundError from error

    def _read(self, path: str, offset: int, length: int) -> bytes:
        async def read(channel: asyncssh.SFTPClient) -> bytes:
            async with channel.open(path, "rb") as file:
                size = length if length >= 0 else max(((await file.stat()).size or 0) - offset, 0)
                return cast("bytes", await file.read(size, offset)) if size else b""

        return self._run(read, max(length, 0) or 64 << 20)

    def _check_options(self, blob_id: BlobID, options: PutOptions) -> None:
        if options.has_retention:
            raise UnsupportedOptionError(f"can't lock blob {blob_id}: a folder has no object lock; switch it off")

    def put(self, blob_id: BlobID, data: Buffer, options: PutOptions = DEFAULT_PUT_OPTIONS) -> None:
        """Create or replace a blob durably, see the class."""
        try:
            super().put(blob_id, data, options)
        except _TakenError as error:
            raise BlobExistsError(blob_id, self.display_name) from error

    def _put_file(self, path: str, data: Buffer, options: PutOptions) -> None:
        content = bytes(data)
        temporary = self._temporary_path(path)

        async def write(channel: asyncssh.SFTPClient) -> None:
            async with channel.open(temporary, "xb", asyncssh.SFTPAttrs(permissions=_FILE_MODE)) as file:
                await file.write(content)
                if options.set_mtime_ns is not None:
                    seconds = options.set_mtime_ns // _SECOND_NS
                    await file.utime((seconds, seconds))
                with contextlib.suppress(asyncssh.SFTPOpUnsupported):
                    await file.fsync()

        async def finish(channel: asyncssh.SFTPClient) -> None:
            if not options.do_not_recreate:
                await _replace(channel, temporary, path)
                return
            await _link(channel, temporary, path)
            await channel.unlink(temporary)

        try:
            self._in_folder(temporary, lambda: self._run(write, len(content)))
            self._run(finish)
        except asyncssh.SFTPFailure as error:
            self._remove_quietly(temporary)
            raise self._failure_of_put(error, len(content)) from error
        except BaseException:
            self._remove_quietly(temporary)
            raise

    def _failure_of_put(self, error: asyncssh.SFTPFailure, size: int) -> Exception:
        """Ask for the free space: to OpenSSH a full disk is a failure like any other."""
        try:
            found = self.capacity()
        except PykopiaError:
            return error
        if found is not None and found.free < max(size, 1 << 20):
            return StorageFullError(
                f"can't write to {self.display_name}: {found.free} bytes are free there; free some space, or raise the "
                "quota, and try again"
            )
        return error

    def _remove_quietly(self, path: str) -> None:
        with contextlib.suppress(PykopiaError, OSError, asyncssh.Error):
            self._run(lambda channel: channel.unlink(path))

    def _make_folders(self, path: str) -> None:
        parts = path.strip("/").split("/")

        async def make(channel: asyncssh.SFTPClient) -> None:
            for end in range(len(parts), 0, -1):  # from the deepest that is there on
                if await channel.isdir("/" + "/".join(parts[:end])):
                    break
            else:
                end = 0
            for number in range(end, len(parts)):
                folder = "/" + "/".join(parts[: number + 1])
                try:
                    await channel.mkdir(folder, asyncssh.SFTPAttrs(permissions=_DIR_MODE))
                except asyncssh.SFTPError:
                    if not await channel.isdir(folder):  # another thread or client was first
                        raise

        self._run(make)

    def _error(self, error: Exception, doing: str, blob_id: BlobID | None = None) -> PykopiaError:
        who = f"user {self.options.username} on {self.options.host}"
        if isinstance(error, _MISSING):
            return super()._error(FileNotFoundError(), doing, blob_id)
        if isinstance(error, _DENIED):
            return StorageAccessDeniedError(
                f"can't {doing}: permission denied for {who}; give that user access to the folder"
            )
        if isinstance(error, _FULL):
            return StorageFullError(
                f"can't {doing}: {error.reason}; free some space, or raise the quota, and try again"
            )
        if isinstance(error, TimeoutError):
            self._give_up()
            return StorageUnavailableError(f"can't {doing}: {self._address} did not answer in time; check the network")
        if isinstance(error, _LOST) or (isinstance(error, OSError) and not isinstance(error, FileNotFoundError)):
            reason = (
                str(getattr(error, "reason", "")) or str(getattr(error, "strerror", "") or "") or type(error).__name__
            )
            return StorageUnavailableError(
                f"can't {doing}: the connection to {self._address} was lost: {reason}; try again"
            )
        if isinstance(error, asyncssh.SFTPEOFError) and blob_id is not None:
            return InvalidRangeError(blob_id, 0, 0)
        if isinstance(error, asyncssh.SFTPError):
            return StorageError(f"can't {doing}: the server answered {error.reason or type(error).__name__}, to {who}")
        return super()._error(error, doing, blob_id)

    def _give_up(self) -> None:
        """Close a connection that does not answer; the next call opens another."""
        with self._connecting:
            fs = self._fs

        async def abort() -> None:
            fs.client.abort()

        sync(fs.loop, abort)


async def _replace(channel: asyncssh.SFTPClient, temporary: str, path: str) -> None:
    try:
        await channel.posix_rename(temporary, path)
    except asyncssh.SFTPOpUnsupported:
        await channel.rename(temporary, path)  # fails where the target exists: never half a blob


async def _link(channel: asyncssh.SFTPClient, temporary: str, path: str) -> None:
    """Give a file its final name unless that is taken."""
    try:
        await channel.link(temporary, path)
    except asyncssh.SFTPOpUnsupported as error:
        raise UnsupportedOptionError(
            f"can't create {path} only if it does not exist: this server does not know hardlink@openssh.com"
        ) from error
    except asyncssh.SFTPFailure:
        if await channel.exists(path):
            raise _TakenError from None
        raise


def _capacity(found: SFTPVFSAttrs) -> Capacity:
    return Capacity(size=found.blocks * found.frsize, free=found.bavail * found.frsize)


def _let_go(fs: SSHFileSystem) -> None:
    fs._finalize(fs.loop, fs._pool, fs._stack)  # noqa: SLF001 -- what sshfs does itself when it is collected


class _TimedPool(SFTPSoftChannelPool):  # type: ignore[misc]
    """Provides channels with a time limit, so that no request waits for ever."""

    def __init__(self, *arguments: object, seconds: float, **more: object) -> None:
        super().__init__(*arguments, **more)
        self._seconds = seconds

    @contextlib.asynccontextmanager
    async def get(self, more_seconds: float = 0.0) -> AsyncIterator[asyncssh.SFTPClient]:
        async with asyncio.timeout(self._seconds + more_seconds), super().get() as channel:
            yield channel


class _ExternalFileSystem(SSHFileSystem):  # type: ignore[misc]
    """sshfs over the ``ssh`` program."""

    async def _connect(
        self,
        host: str,
        pool_type: Callable[..., Any],
        max_sftp_channels: int,
        connect_args: dict[str, Any],
        **_: object,
    ) -> tuple[ExternalSSH, Any]:
        client = ExternalSSH(connect_args["external"], host)
        pool = pool_type(client, max_channels=1)
        async with pool.get():  # a connection that can't be made raises at once
            return client, pool

    connect = sync_wrapper(_connect)


__all__ = ["DEFAULT_LIST_PARALLELISM", "TIMEOUT_SECONDS", "SFTPStorage"]
