"""Sessions: the marker blob that says which packs belong to writing that is not finished (format 01 §7.5, format 02 §10).

It is stored before the first pack of a session and deleted after its index. Packs and index blobs end with the ID of
their session, so that maintenance spares the packs of a session whose marker is still there.
"""

from dataclasses import field
from typing import Final, Self

from pykopia.dataclass import dataclass
from pykopia.errors import UsageError
from pykopia.format import gojson
from pykopia.format.blob_names import SESSION_PREFIX
from pykopia.format.gotime import ZERO_TIME_NS, parse_time
from pykopia.format.json_object import TEXT, TIME, JSONObject, member
from pykopia.ids import Buffer

SESSION_RANDOM_SIZE: Final = 8

_FIRST_MONTH_NS: Final = parse_time("2000-01-01T00:00:00Z")
_MONTH_NS: Final = 30 * 24 * 3600 * 1_000_000_000


def new_session_id(now_ns: int, random: bytes) -> str:
    """Return the ID of a new session.

    Args:
        now_ns: Nanoseconds since 1970.
        random: 8 random bytes; they need to be unique only within 30 days.

    Raises:
        UsageError: There are not 8 random bytes, or the time is before the year 2000: the clock is wrong.

    >>> new_session_id(1_795_382_469_000_000_000, bytes(range(8)))
    's0001020304050607147'
    """
    if len(random) != SESSION_RANDOM_SIZE:
        raise UsageError(f"a session ID takes {SESSION_RANDOM_SIZE} random bytes, not {len(random)}")
    months = (now_ns - _FIRST_MONTH_NS) // _MONTH_NS
    if months < 0:
        raise UsageError("can't start to write: the clock of this machine is set to a year before 2000")
    return f"{SESSION_PREFIX}{random.hex()}{months:x}"


def session_of_blob(blob_id: str) -> str | None:
    """Return the session in the name of a blob, or None when there is none.

    It is the first part behind a dash that begins with ``s``.

    >>> session_of_blob("p102a5fa3c3e3c6216a09ff876ced02ed4-s39b23fe2117ad42f147")
    's39b23fe2117ad42f147'
    """
    for part in blob_id.split("-")[1:]:
        if part.startswith(SESSION_PREFIX):
            return part
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionMarker(JSONObject):
    """Content of a session marker, an encrypted whole blob whose name ends in the session ID."""

    session_id: str = field(default="", metadata=member("id", TEXT, always=True))
    start_time_ns: int = field(default=ZERO_TIME_NS, metadata=member("startTime", TIME, always=True))
    """Nanoseconds since 1970."""
    checkpoint_time_ns: int = field(default=ZERO_TIME_NS, metadata=member("checkpointTime", TIME, always=True))
    """Nanoseconds since 1970 at which the session was last known to be alive."""
    username: str = field(default="", metadata=member("username", TEXT, always=True))
    hostname: str = field(default="", metadata=member("hostname", TEXT, always=True))

    @classmethod
    def from_json(cls, data: Buffer) -> Self:
        """Return the marker that a decrypted blob holds.

        Raises:
            DamagedDataError: It is not the JSON that it must be.
        """
        return cls.parse(data)

    def to_json(self) -> bytes:
        """Return the plaintext of the marker blob, in the bytes that Kopia writes."""
        return gojson.dumps(self.members())


__all__ = ["SESSION_RANDOM_SIZE", "SessionMarker", "new_session_id", "session_of_blob"]
