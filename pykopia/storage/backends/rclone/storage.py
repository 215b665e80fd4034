"""Blobs in anything that rclone reaches, through a helper process that serves it as WebDAV (format 03 §2.5)."""

import base64
import contextlib
import datetime as dt
import hashlib
import ipaddress
import logging
import queue
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pykopia import clock
from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    InvalidRangeError,
    PykopiaError,
    StorageAccessDeniedError,
    StorageAuthenticationError,
    StorageBusyError,
    StorageClockError,
    StorageError,
    StorageFullError,
    StorageNotFoundError,
    StorageUnavailableError,
    UsageError,
)
from pykopia.format.blob_names import PACK_PREFIXES
from pykopia.format.duration import parse_duration
from pykopia.ids import BlobID
from pykopia.storage.backends.rclone.options import RcloneOptions
from pykopia.storage.backends.webdav.options import WebDAVOptions
from pykopia.storage.backends.webdav.storage import WebDAVStorage
from pykopia.storage.base import BlobStorage, StorageWrapper
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.layout import SHARDS_FILE
from pykopia.storage.service_errors import without_secrets
from pykopia.storage.trust import with_public_authorities

DEFAULT_PROGRAM = "rclone"
DEFAULT_STARTUP_SECONDS = 15.0

_HOST = "127.0.0.1"
_STARTED = re.compile(r"WebDav Server started on \[?(https?://[^\s\]]+)", re.IGNORECASE)
"""Versions up to 1.60 print the URL plain, later ones in brackets."""
_WATCHED = (
    '"$@" </dev/null >/dev/null & child=$!; exec 2>/dev/null; cat >/dev/null; '
    'kill -9 "$child"; wait "$child"; rm -rf -- "$FOLDER"'
)
"""Shell commands that run rclone until standard input ends, which it does when this process is gone, however that came."""
_LAST_LINES = 20
_LATE_SECONDS = 0.05
"""By which what rclone prints may come after its answer."""
_REASONS: tuple[tuple[re.Pattern[str], type[StorageError], str], ...] = (
    (re.compile(r"RequestTimeTooSkewed"), StorageClockError, "set the clock of this machine"),
    (
        re.compile(r"\b429\b|slow ?down|rate ?limit|too ?many ?requests|\b503\b|throttl", re.IGNORECASE),
        StorageBusyError,
        "try again later, with fewer requests at one time",
    ),
    (
        re.compile(r"no space left|quota|insufficient ?storage|\b507\b", re.IGNORECASE),
        StorageFullError,
        "free some space, or raise the quota, and try again",
    ),
    (
        re.compile(
            r"invalid ?access ?key|signature ?does ?not ?match|\b401\b|unauthori[sz]ed|invalid_grant|unable to authenticate"
            r"|login (?:incorrect|failed)",
            re.IGNORECASE,
        ),
        StorageAuthenticationError,
        "check the credentials of the remote in rclone's configuration",
    ),
    (
        re.compile(r"access ?denied|forbidden|permission ?denied|\b403\b", re.IGNORECASE),
        StorageAccessDeniedError,
        "check the credentials of the remote in rclone's configuration, and what they may do there",
    ),
    (
        re.compile(r"no ?such ?bucket|bucket .*not exist|container ?not ?found", re.IGNORECASE),
        StorageNotFoundError,
        "check its name, or create it first",
    ),
    (
        re.compile(r"connection (?:refused|reset)|no such host|i/o timeout|network is unreachable|\bEOF\b|\b50[024]\b"),
        StorageUnavailableError,
        "check the network",
    ),
)
"""Error classes by the text of rclone's messages, which have no codes."""
_IN_PLACE = (*PACK_PREFIXES, "kopia.", SHARDS_FILE)
"""Name prefixes of blobs that are written under their final name at once if the remote is atomic."""
_PUBLIC_KEYS = frozenset(
    {
        "type",
        "remote",
        "provider",
        "region",
        "endpoint",
        "host",
        "port",
        "url",
        "vendor",
        "scope",
        "user",
        "acl",
        "env_auth",
    }
)
"""Keys of rclone's configuration whose values are shown in messages; any other may be a secret."""
_SECRET_FLAG = re.compile(r"--[\w-]*(?:pass|secret|token|key|sas|credential)[\w-]*=(.+)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r'"([^"]{8,})"')

_log = logging.getLogger(__name__)


class RcloneStorage(StorageWrapper):
    """Anything that rclone reaches as a storage, in Kopia's layout of folders.

    rclone runs as a helper that serves the remote as WebDAV on loopback, with TLS by a certificate and credentials made for
    this one process. It ends with the storage, also when this process is killed, and is started again if it died. It writes a
    blob through to the remote before the put returns (``--vfs-write-back=0s``); how atomic and durable that is, the remote
    decides: with ``atomicWrites``, Kopia's default here, it must show a file whole or not at all, as object stores do. But when
    this process dies in the middle of a put, rclone stores what it has got as if that were all: see ``_ThroughRclone``.

    A remote folder that is missing looks empty: rclone makes no difference between the two.

    Args:
        options: The connection; ``rcloneEnv``, where given, is the whole environment of rclone, as with Kopia.
        create: Choose the layout of new repositories, and make the folder.

    Raises:
        UsageError: There is no rclone program, or an option can't be used.
        StorageError: rclone does not start; the message has what it said, without secrets.
    """

    def __init__(self, options: RcloneOptions, *, create: bool = False) -> None:
        self.options = options
        self._starting = threading.Lock()
        self._closed = False
        self._server: _Server | None = None
        self._storage = self._start(create=create)

    @classmethod
    def from_options(cls, options: RcloneOptions, *, create: bool = False) -> Self:
        """Open the remote that a connection names, see the class."""
        return cls(options, create=create)

    @property
    def inner(self) -> BlobStorage:  # type: ignore[override]  # the base keeps one storage for ever
        """The storage of an rclone that is alive."""
        with self._starting:
            if not self._closed and (self._server is None or self._server.ended):
                _log.warning("rclone has ended and is started again")
                self._let_go()
                self._storage = self._start(create=False)
            return self._storage

    def close(self) -> None:
        """Stop rclone."""
        with self._starting:
            self._closed = True
            self._let_go()

    @property
    def process_id(self) -> int:
        """ID of the process that watches over rclone."""
        assert self._server is not None
        return self._server.process_id

    def _let_go(self) -> None:
        self._storage.close()
        if self._server is not None:
            self._server.stop()

    def _start(self, *, create: bool) -> WebDAVStorage:
        options = self.options
        server = _Server(options)
        try:
            storage = _ThroughRclone(
                server,
                WebDAVOptions(
                    url=server.url,
                    username=server.username,
                    password=server.password,
                    trusted_server_certificate_fingerprint=server.fingerprint,
                    atomic_writes=options.atomic_writes,
                    dir_shards=options.dir_shards,
                    list_parallelism=options.list_parallelism,
                ),
                create=create,
                info=ConnectionInfo.from_options(options),
                display_name=f"rclone: {options.remote_path}",
            )
        except BaseException:
            server.stop()
            raise
        self._server = server
        return storage


class _ThroughRclone(WebDAVStorage):
    """The folder that rclone serves.

    Of a put whose sender dies rclone keeps the first part, under the final name and whatever the remote is (1.60, seen with S3).
    A part of a pack does no harm: no index refers to it, and maintenance deletes it. What a reader looks for by its name,
    such as an index blob, is therefore written under a temporary name and moved, where the remote can move files. Packs are
    not: many remotes copy to move, keep the old versions, or bill what is deleted soon. Nor is what gets replaced, for rclone
    deletes the old file before it moves the new one there.
    """

    _no_move = frozenset({403, 405, 501})
    _may_use_proxy = False  # rclone listens on this machine, and uses the proxy by itself to reach the remote

    def __init__(self, server: "_Server", options: WebDAVOptions, **more: Any) -> None:  # noqa: ANN401 -- of the class above
        self._rclone = server
        super().__init__(options, **more)

    @contextlib.contextmanager
    def _failing(self, doing: str, blob_id: BlobID | None = None) -> Iterator[None]:
        """Turn errors into those of a storage; what rclone complains of says more than what it answers.

        To rclone a remote that refuses it is an empty one: it answers that there is no such file.
        """
        try:
            with super()._failing(doing, blob_id):
                yield
        except PykopiaError as error:
            raise explained(error, doing, self._rclone.complaint()) from error
        self._rclone.forget_complaint()

    def _writes_in_place(self, path: str) -> bool:
        return self._atomic_put and (not self._moves or path[len(self.root) + 1 :].startswith(_IN_PLACE))

    def _log_no_move(self) -> None:
        _log.info("rclone can't move files in %s", self.display_name)


def explained(error: PykopiaError, doing: str, complaint: str) -> PykopiaError:
    """Return the error that an answer of rclone and its complaint mean.

    Args:
        error: The answer.
        doing: What was being done to which thing.
        complaint: The error that rclone reported; empty if it reported none.
    """
    if not complaint or isinstance(error, BlobExistsError | InvalidRangeError | StorageFullError):
        return error
    for pattern, kind, hint in _REASONS:
        if pattern.search(complaint):
            return kind(f"can't {doing}: rclone says: {complaint.rstrip('.')}; {hint}")
    if isinstance(error, BlobNotFoundError | StorageNotFoundError):
        return error
    return type(error)(f"{error}; rclone says: {complaint}") if isinstance(error, StorageError) else error


class _Server:
    """One rclone process."""

    def __init__(self, options: RcloneOptions) -> None:
        self.username, self.password = secrets.token_hex(16), secrets.token_hex(16)
        self._secrets = [self.password, *secrets_of(options)]
        self._debug = options.debug
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._complaint: list[str] = []
        self._logged = ""
        self._said_more = threading.Condition()
        self._urls: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        program = shutil.which(options.rclone_exe or DEFAULT_PROGRAM)
        if program is None:
            raise UsageError(
                f"can't find the program {options.rclone_exe or DEFAULT_PROGRAM}: install rclone, or name it by --rclone-exe"
            )
        seconds = startup_seconds(options)
        self._folder = Path(tempfile.mkdtemp(prefix="pykopia-rclone-"))
        try:
            arguments = self._arguments(options)
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHED.replace("$FOLDER", str(self._folder)), "sh", program, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=_environment(options),
                start_new_session=True,  # an interrupt at the terminal must not end it before the last blob is written
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._ended = threading.Event()
        threading.Thread(target=self._listen, name="rclone-log", daemon=True).start()
        self.url = self._wait(options, seconds)

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether rclone has ended."""
        return self._ended.is_set()

    def complaint(self) -> str:
        """Return the last error that rclone reported since a request went well; what it says may come after what it answers."""
        with self._said_more:
            self._said_more.wait_for(lambda: self._complaint, _LATE_SECONDS)
            return " ".join(self._complaint)

    def forget_complaint(self) -> None:
        """Forget what was reported: a request went well since."""
        with self._said_more:
            self._complaint = []

    def stop(self) -> None:
        """End it and what it needed."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._ended.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _arguments(self, options: RcloneOptions) -> list[str]:
        certificate = _make_certificate()
        self.fingerprint = certificate.fingerprint
        hashed = base64.b64encode(hashlib.sha1(self.password.encode()).digest()).decode()
        files = {
            "cert": certificate.pem,
            "key": certificate.key_pem,
            "htpasswd": f"{self.username}:{{SHA}}{hashed}\n".encode(),
        }
        arguments = ["serve", "webdav", options.remote_path, *options.rclone_args]
        if options.embedded_config:
            (self._folder / "rclone.conf").write_text(options.embedded_config, encoding="utf-8")
            arguments += ["--config", str(self._folder / "rclone.conf")]
        if options.root_ca:
            (self._folder / "ca.pem").write_bytes(with_public_authorities(options.root_ca))
            arguments += ["--ca-cert", str(self._folder / "ca.pem")]
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
            arguments += [f"--{name}", str(self._folder / name)]
        # The last of two equal flags counts, so no other flag can undo these.
        # folders are looked at anew for each request; with a time of zero rclone 1.76 spins while it writes
        arguments += ["--addr", f"{_HOST}:0", "--vfs-write-back=0s", "--dir-cache-time=1ms", "--ask-password=false"]
        return ["-v", *arguments] if options.debug else arguments

    def _listen(self) -> None:
        """Take what rclone prints, to the end: it must not wait for a reader."""
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = without_secrets(raw.decode(errors="replace").rstrip(), self._secrets)
            self._said.append(line)
            with self._said_more:
                if " ERROR : " in line:
                    self._complaint = [line.partition(" ERROR : ")[2]]
                    if self._complaint[0] != self._logged:
                        self._logged = self._complaint[0]
                        _log.warning("rclone: %s", self._logged)
                elif line.startswith("\t") and self._complaint:
                    self._complaint.append(line.strip())
                self._said_more.notify_all()
            if self._debug:
                _log.debug("rclone: %s", line)
            if match := _STARTED.search(line):
                self._urls.put(match[1])
        self._ended.set()
        self._urls.put(None)

    def _wait(self, options: RcloneOptions, seconds: float) -> str:
        try:
            url = self._urls.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            raise StorageUnavailableError(
                f"rclone did not start to serve {options.remote_path} within {seconds:g} s; give it more by "
                f"--rclone-startup-timeout; it said: {self._what_it_said()}"
            ) from None
        if url is not None:
            return url.rstrip("/")
        self.stop()
        said = self._what_it_said()
        kind = StorageNotFoundError if "didn't find section in config file" in said else StorageError
        raise kind(f"rclone can't serve {options.remote_path}; it said: {said}")

    def _what_it_said(self) -> str:
        return " / ".join(self._said) or "nothing"


def _environment(options: RcloneOptions) -> dict[str, str] | None:
    """Return the environment of rclone, or nothing for that of this process."""
    if not options.rclone_env:
        return None
    pairs = (item.partition("=") for item in options.rclone_env)
    return {name: value for name, _, value in pairs}


def startup_seconds(options: RcloneOptions) -> float:
    """Return how long rclone may take to start.

    Raises:
        UsageError: The time is no duration.
    """
    try:
        nanoseconds = parse_duration(options.startup_timeout)
    except ValueError:
        raise UsageError(f"{options.startup_timeout!r} is no time for rclone to start, such as 15s") from None
    return nanoseconds / 1e9 or DEFAULT_STARTUP_SECONDS


def secrets_of(options: RcloneOptions) -> list[str]:
    """Return all arguments of rclone that may be secret; what it prints must not show them."""
    found = [match[1] for argument in options.rclone_args if (match := _SECRET_FLAG.fullmatch(argument))]
    found += [value for _, _, value in (item.partition("=") for item in options.rclone_env)]
    for line in options.embedded_config.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip().lower() not in _PUBLIC_KEYS:
            found += [value.strip(), *_QUOTED.findall(value)]
    return sorted(_long_enough(found), key=len, reverse=True)


def _long_enough(texts: Iterable[str]) -> set[str]:
    return {text for text in texts if len(text) >= 6 and text.lower() not in {"true", "false"}}


@dataclass(frozen=True, kw_only=True)
class _Certificate:
    pem: bytes
    key_pem: bytes
    fingerprint: str


def _make_certificate() -> _Certificate:
    """Make a certificate for loopback that only this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pykopia")])
    now = dt.datetime.fromtimestamp(clock.now() // 1_000_000_000, dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Certificate(
        pem=certificate.public_bytes(serialization.Encoding.PEM),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


__all__ = ["DEFAULT_PROGRAM", "DEFAULT_STARTUP_SECONDS", "RcloneStorage", "secrets_of", "startup_seconds"]
