"""One maintenance at a time, across machines: a lease blob in the repository, and a file lock on this machine.

Kopia has the file lock and the name of the owner, and both fail where two containers present themselves as the same
``user@host`` (format 03 §8). The lease is a blob that Kopia neither reads nor deletes: its name begins with none of the
letters of packs, indexes, sessions or logs. It keeps pykopia from pykopia; against Kopia the safety times remain.

``_pykopia_lease_<n>``: the one with the greatest number counts. Taking is to create the next number, which a storage
with put-if-absent lets only one client do. On other storages each client adds a name of its own to the number, looks
again, and gives way when it is not alone: of two that come at the same moment one or none goes on, never both, as long
as listings are not stale. A lease ends with its time, so nothing is ever to be unlocked by hand. The time is short: the
holder renews it by a thread of its own. A holder that could not, because the storage did not answer, takes it again when
no other process has done so meanwhile.
"""

import contextlib
import fcntl
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import field
from pathlib import Path
from typing import Final

from pykopia import clock
from pykopia.crew import both
from pykopia.dataclass import dataclass
from pykopia.errors import (
    BlobExistsError,
    BlobNotFoundError,
    ClockError,
    DamagedDataError,
    MaintenanceBusyError,
    PykopiaError,
    UnsupportedOptionError,
)
from pykopia.format import gojson
from pykopia.format.blob import BlobMetadata
from pykopia.format.blob_names import LEASE_PREFIX
from pykopia.format.gotime import ZERO_TIME_NS
from pykopia.format.json_object import INTEGER, TEXT, TIME, JSONObject, member
from pykopia.format.maintenance_plan import MAX_CLOCK_SKEW_NS, clock_skew_ns
from pykopia.format.maintenance_schedule import NONCE_LENGTH, open_with_key, seal_with_key
from pykopia.ids import BlobID
from pykopia.maintenance.stored import client_name
from pykopia.repository.core import Core
from pykopia.storage.base import PutOptions

log = logging.getLogger(__name__)

LEASE_CONTEXT: Final = b"pykopia maintenance lease"
LEASE_NS: Final = 5 * 60 * 1_000_000_000
"""Nanoseconds for which a lease is valid after it was taken or renewed. A killed holder blocks others for this time."""
RENEW_NS: Final = 60 * 1_000_000_000
"""Nanoseconds after which a holder renews it."""
HEARTBEAT_SECONDS: Final = 20.0
"""How often the renewing thread checks whether a renewal is due, during a long step of maintenance."""

_NAME: Final = re.compile(re.escape(LEASE_PREFIX) + r"([0-9]{1,18})(-[0-9a-f]+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseDocument(JSONObject):
    """Content of a lease blob, sealed with the key of the schedule."""

    lease_id: str = field(default="", metadata=member("id", TEXT, always=True))
    """Random, so that a holder knows its own."""
    owner: str = field(default="", metadata=member("owner", TEXT, always=True))
    """``user@host``."""
    process: int = field(default=0, metadata=member("pid", INTEGER, always=True))
    started_ns: int = field(default=ZERO_TIME_NS, metadata=member("started", TIME, always=True))
    duration_ns: int = field(default=LEASE_NS, metadata=member("duration", INTEGER, always=True))
    """Nanoseconds for which it holds, from the storage's time of the blob."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundLease:
    """A lease in the storage."""

    number: int
    blob: BlobMetadata
    document: LeaseDocument

    def is_live(self, now: int) -> bool:
        """Return True if its holder may still rely on it, also when clocks differ by as much as maintenance allows."""
        return now - self.blob.timestamp_ns <= self.document.duration_ns + MAX_CLOCK_SKEW_NS

    def __str__(self) -> str:
        document = self.document
        return f"{document.owner} (process {document.process}, since {gojson.format_time(document.started_ns)})"


def find_leases(repository: Core, *, but: BlobID | None = None) -> list[FoundLease]:
    """Return the leases in the storage, those that have ended too, by number; not the one in the blob ``but``."""
    found = []
    for blob in repository.storage.list(LEASE_PREFIX):
        name = _NAME.fullmatch(blob.blob_id)
        if name is None or blob.blob_id == but:
            continue
        # a listing may be stale, metadata of one blob is not
        with contextlib.suppress(BlobNotFoundError):
            blob = repository.storage.metadata(blob.blob_id)  # noqa: PLW2901
            document = _read(repository, blob.blob_id)
            found.append(FoundLease(number=int(name[1]), blob=blob, document=document))
    return sorted(found, key=lambda lease: lease.number)


def _read(repository: Core, blob_id: BlobID) -> LeaseDocument:
    stored = repository.storage.get(blob_id)
    try:
        return LeaseDocument.parse(open_with_key(stored, repository.maintenance_key, LEASE_CONTEXT))
    except DamagedDataError:
        return LeaseDocument(owner="somebody whose lease can't be read")  # it ends with its time like any other


class Lease:
    """The exclusive right to maintain the repository, until ``release`` or until it is not renewed in time.

    It also watches the clocks: those of the storage and of this machine must agree, and this machine's must run evenly.
    """

    def __init__(
        self,
        repository: Core,
        *,
        monotonic: Callable[[], float] = clock.monotonic,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """Take the lease.

        Args:
            repository: open for writing.
            monotonic: a clock that is never set.
            meanwhile: called once the lease is stored, while it is looked for others: it may read what the holder needs,
                which nobody else changes from then on.

        Raises:
            MaintenanceBusyError: another process holds it.
            ClockError: the clocks of this machine and of the storage differ too much to judge the age of anything.
        """
        self._repository = repository
        self._monotonic = monotonic
        now = clock.now()
        self._document = LeaseDocument(
            lease_id=secrets.token_hex(16), owner=client_name(repository), process=os.getpid(), started_ns=now
        )
        leases = find_leases(repository)
        self._refuse_if_held(leases, now)
        self._expired = [lease.blob.blob_id for lease in leases]
        self._number = leases[-1].number + 1 if leases else 1
        self._wall, self._steady = now, monotonic()
        self._renewed = now
        self._renewing = threading.Lock()
        self._lost: MaintenanceBusyError | ClockError | None = None
        self.taken_ns: int
        """When it was taken, by the storage's clock; nanoseconds since 1970."""
        self._blob_id, stored = self._create()
        try:
            (self.taken_ns, others), _ = both(
                lambda: both(lambda: self._time_of(stored), self._others),
                meanwhile,
            )
            check_clocks(self.taken_ns, now)
            self._refuse_if_held(others, now)
        except BaseException:
            self._repository.storage.delete(self._blob_id)
            raise

    def _create(self) -> tuple[BlobID, BlobMetadata | None]:
        """Store a lease blob, unless one of this number exists; return its name and its metadata."""
        name = BlobID(f"{LEASE_PREFIX}{self._number}")
        try:
            return name, self._put(name, PutOptions(do_not_recreate=True))
        except BlobExistsError:
            raise MaintenanceBusyError("another process has just begun to maintain this repository") from None
        except UnsupportedOptionError:
            name = BlobID(f"{name}-{self._document.lease_id}")
            return name, self._put(name, PutOptions())

    def _put(self, name: BlobID, options: PutOptions) -> BlobMetadata | None:
        plain = gojson.dumps(self._document.members())
        key, nonce = self._repository.maintenance_key, secrets.token_bytes(NONCE_LENGTH)
        return self._repository.storage.put(name, seal_with_key(plain, key, nonce, LEASE_CONTEXT), options)

    def _time_of(self, stored: BlobMetadata | None) -> int:
        """Return when the lease blob was stored, by the storage's clock."""
        return (stored or self._repository.storage.metadata(self._blob_id)).timestamp_ns

    def _others(self) -> list[FoundLease]:
        mine = self._document.lease_id
        found = find_leases(self._repository, but=self._blob_id)
        return [lease for lease in found if lease.document.lease_id != mine]

    @staticmethod
    def _refuse_if_held(leases: list[FoundLease], now: int) -> None:
        for lease in leases:
            if lease.is_live(now):
                raise MaintenanceBusyError(
                    f"this repository is being maintained by {lease}; if that process is gone, its lease ends by itself at "
                    f"{gojson.format_time(lease.blob.timestamp_ns + lease.document.duration_ns + MAX_CLOCK_SKEW_NS)}"
                )

    # ------------------------------------------------------------------ while it is held

    def check(self) -> None:
        """Verify that this process still holds the lease and that its clock has not jumped.

        Cheap: the storage is asked only every few minutes. To be called before each thing that can't be undone.

        Raises:
            ClockError: the clock was set, or the machine slept: what was judged by age must be judged again.
            MaintenanceBusyError: the lease was lost.
        """
        wall, steady = clock.now() - self._wall, round((self._monotonic() - self._steady) * 1e9)
        if abs(wall - steady) > MAX_CLOCK_SKEW_NS:
            raise ClockError(
                f"the clock of this machine was set, or the machine slept ({(wall - steady) / 1e9:+.0f} s): maintenance "
                "stops here, the next run goes on"
            )
        self._keep()

    def _keep(self) -> None:
        """Renew the lease where that is due; a lease that was lost stays lost."""
        with self._renewing:
            if self._lost is not None:
                raise self._lost
            if clock.now() - self._renewed < RENEW_NS:
                return
            try:
                self._renew()
            except (MaintenanceBusyError, ClockError) as error:
                self._lost = error
                raise

    def _renew(self) -> None:
        renewed = clock.now()
        ended = renewed - self._renewed > LEASE_NS
        self._refuse_if_lost()
        stored_ns = self._time_of(self._put(self._blob_id, PutOptions()))
        if clock.now() - renewed > LEASE_NS:
            raise _lost()  # this process was suspended before its write: another one may have come, and gone again
        if ended:
            self._refuse_if_lost()  # another process may have taken it: each checks after its write
        check_clocks(stored_ns, renewed)
        self._renewed = renewed

    def _refuse_if_lost(self) -> None:
        if not self._is_mine() or any(lease.is_live(clock.now()) for lease in self._others()):
            raise _lost()

    def _is_mine(self) -> bool:
        """Return True if the blob is there and was written by this holder: the number of a lost lease is used again."""
        try:
            return _read(self._repository, self._blob_id).lease_id == self._document.lease_id
        except BlobNotFoundError:
            return False

    def beat(self, wait: Callable[[float], bool]) -> None:
        """Renew the lease until ``wait`` (seconds) returns true: the work of the holder's thread.

        ``check`` raises what goes wrong; a storage that does not answer is asked again.
        """
        while not wait(HEARTBEAT_SECONDS):
            try:
                self._keep()
            except (MaintenanceBusyError, ClockError):
                return
            except PykopiaError as error:
                log.debug("the lease could not be renewed: %s", error)

    def release(self) -> None:
        """Delete the lease blob, so that others can maintain the repository at once; never the blob of another holder."""
        with self._renewing:
            self._lost = self._lost or MaintenanceBusyError("the lease of this maintenance was given back")
        if not self._is_mine():
            return
        for blob_id in (*self._expired, self._blob_id):
            self._repository.storage.delete(blob_id)


def _lost() -> MaintenanceBusyError:
    return MaintenanceBusyError(
        "the lease of this maintenance has ended before it was renewed, and another process may be at it: "
        "maintenance stops here, the next run goes on"
    )


def check_clocks(storage_ns: int, local_ns: int) -> None:
    """Refuse to go on when the clocks of the storage and of this machine differ by more than five minutes.

    Raises:
        ClockError: they do.
    """
    skew = clock_skew_ns(storage_ns, local_ns)
    if skew is not None:
        raise ClockError(
            f"the storage says that it is {gojson.format_time(storage_ns)}, this machine {gojson.format_time(local_ns)}: "
            f"with clocks {abs(skew) // 1_000_000_000} s apart nothing may be deleted for its age; set the clock that is "
            "wrong and run maintenance again"
        )


@contextlib.contextmanager
def local_lock(config_path: Path | None) -> Iterator[None]:
    """Hold the file lock that Kopia takes as well, beside the connection file; nothing without one.

    Raises:
        MaintenanceBusyError: another process on this machine holds it.
    """
    if config_path is None:
        yield
        return
    path = config_path.with_name(config_path.name + ".mlock")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        log.debug("no lock file: %s", error)  # a read-only configuration, as in a container: the lease has to do
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise MaintenanceBusyError(
            f"another process on this machine is maintaining the repository: it holds {path}"
        ) from None
    finally:
        os.close(file)


@contextlib.contextmanager
def maintaining(
    repository: Core,
    *,
    monotonic: Callable[[], float] = clock.monotonic,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[Lease]:
    """Hold the local lock and the lease: whatever maintains the repository, in a cycle or by hand, does it alone.

    Args:
        repository: open for writing.
        monotonic: a clock that is never set.
        meanwhile: see ``Lease``.

    Raises:
        MaintenanceBusyError: another process maintains the repository.
        ClockError: the clocks of this machine and of the storage differ too much to judge the age of anything.
    """
    with local_lock(repository.config_path):
        lease = Lease(repository, monotonic=monotonic, meanwhile=meanwhile)
        done = threading.Event()
        threading.Thread(target=lease.beat, args=(done.wait,), name="maintenance lease", daemon=True).start()
        try:
            yield lease
        finally:
            done.set()
            _release(lease)


def _release(lease: Lease) -> None:
    """Release a lease; a storage that fails now changes neither the result nor the error of the maintenance."""
    try:
        lease.release()
    except PykopiaError as error:
        log.warning(
            "the lease of this maintenance could not be deleted, it ends by itself within ten minutes: %s", error
        )


__all__ = [
    "FoundLease",
    "Lease",
    "LeaseDocument",
    "check_clocks",
    "find_leases",
    "local_lock",
    "maintaining",
]
