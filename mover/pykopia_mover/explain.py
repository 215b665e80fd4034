"""Turns an error of the library into the message and exit status of the run.

The library names the thing and the fault. This module adds what a person can change: the variable, the key of the
Secret, the field of the spec.
"""

import errno
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pykopia import errors
from pykopia.dataclass import dataclass
from pykopia.storage import registry
from pykopia.storage.options import StorageOptions
from pykopia_mover.commands import advice
from pykopia_mover.failures import MoverError, config_error

TARGET_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

_COUNTED: Final = re.compile(r"\d (attempts|tries|times)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Facts about the storage, for error messages."""

    type: str = ""
    """Kopia's name of the storage type; empty: not known yet."""
    name: str = ""
    """For messages."""
    url: str = ""
    """``KOPIA_REPOSITORY``, to explain what is wrong with it; never shown."""
    credentials: tuple[str, ...] = ()
    """Names of the variables with the credentials in use."""
    custom_ca: bool = False
    """Whether ``CUSTOM_CA`` gives an authority certificate."""
    issuer: str = ""
    """Issuer of the certificate of the server, where it is not trusted."""
    tried: str = ""
    """Number and duration of the attempts to open the storage, for messages."""


def explained(error: BaseException, place: Place) -> MoverError:
    """Return the message and exit status for an error."""
    if isinstance(error, MoverError):
        return error
    kind = next((kind for kind in type(error).__mro__ if kind in _STORAGE), None)
    if kind is not None:
        return _STORAGE[kind](error, place)
    if isinstance(error, errors.ActionFailedError):
        return _action(error)
    if isinstance(error, errors.PykopiaError):
        return _other(error, place)
    if isinstance(error, OSError):
        told = error.strerror or str(error)
        return MoverError("internal", f"{error.filename}: {told}" if error.filename else told)
    if isinstance(error, MemoryError):
        return MoverError("internal", "out of memory", "Raise the memory limit, or lower parallelism")
    return MoverError("internal", f"unexpected error: {type(error).__name__}: {error}")


def _environment(error: BaseException, place: Place) -> MoverError:
    return config_error(_told(error), _variable_fix(getattr(error, "variable", "")))


def _variable_fix(name: str) -> str:
    return f"The variable comes from the key {name} of the repository Secret" if name else ""


def _url(error: BaseException, place: Place) -> MoverError:
    scheme, _, rest = place.url.strip().partition("://")
    found = registry.find_scheme(scheme.lower())
    options = StorageOptions if found is None else registry.options_class(found[0])
    if "@" in rest and options.credential_variables:
        return config_error(
            "KOPIA_REPOSITORY holds a user or password",
            f"Take them out of the URL: they belong into {options.credential_variables}, keys of the repository Secret",
        )
    grammar = options.url_form or "s3://BUCKET/FOLDER, filesystem:///PATH, sftp://HOST/PATH or the like"
    return config_error(_told(error), f"KOPIA_REPOSITORY is {grammar}")


def _password(error: BaseException, place: Place) -> MoverError:
    return MoverError(
        "auth",
        f"KOPIA_PASSWORD does not open this repository in {place.name}",
        "It must be the password with which the repository was created; nothing was changed",
    )


def _access(error: BaseException, place: Place) -> MoverError:
    if place.type == "filesystem":
        return MoverError(
            "auth",
            f"access denied: {_told(error)}",
            "Let all movers of a repository run as one user, or make it with KOPIA_FS_FILE_MODE=0660 and "
            "KOPIA_FS_DIR_MODE=0770 for those of one group",
        )
    fix = "Check these keys of the repository Secret, and what they may do there"
    if place.type == "sftp":
        fix += "; SFTP_PATH must be writable for SFTP_USERNAME"
    return MoverError("auth", f"access denied: {_told(error)} (credentials used: {_used(place)})", fix)


def _used(place: Place) -> str:
    return ", ".join(place.credentials) or "none: the ambient ones of the process"


def _untrusted(error: BaseException, place: Place) -> MoverError:
    text = _told(error)
    if "host key" in text.lower():
        return MoverError("auth", text, "If the host was set up anew, correct SFTP_KNOWN_HOSTS_DATA")
    return MoverError("unreachable", text, _certificate(place))


def _certificate(place: Place) -> str:
    whose = f"Its certificate, issued by {place.issuer}," if place.issuer else "Its certificate"
    if place.custom_ca:
        return (
            f"{whose} is not trusted, and customCA (CUSTOM_CA) is set: it must hold the certificate of the authority "
            "that signed that of this server, or the server's own"
        )
    return f"{whose} is not trusted: give that of its authority by customCA (CUSTOM_CA)" + _plain(place)


def _plain(place: Place) -> str:
    return '; for a plain HTTP server set KOPIA_S3_DISABLE_TLS: "true"' if place.type == "s3" else ""


def _plain_http(place: Place) -> str:
    if place.type == "s3":
        return 'The server speaks plain HTTP: set KOPIA_S3_DISABLE_TLS: "true", or write http:// before the endpoint'
    if place.type == "webdav":
        return "The server speaks plain HTTP: let WEBDAV_URL begin with http://"
    return "The server speaks plain HTTP, and TLS was expected: check the address and the port"


def _missing_storage(error: BaseException, place: Place) -> MoverError:
    holder = registry.options_class(place.type).holder if place.type in registry.known() else ""
    if "folder" in holder or not holder:
        fix = "The folder must exist and be writable; a backup makes its last part"
        if place.type == "gdrive":
            fix = "Check GOOGLE_DRIVE_FOLDER_ID, and share the folder with the address of the service account"
        elif place.type == "sftp":
            fix = "SFTP_PATH must exist and be writable for SFTP_USERNAME"
        return MoverError("no-repository", _told(error), fix)
    fix = f"A {holder} is not created automatically: make it, or correct its name"
    if place.type == "b2":
        fix += "; names are matched exactly and are case-sensitive"
    return MoverError("no-repository", _told(error), fix)


def _unreachable(error: BaseException, place: Place) -> MoverError:
    text = f"{place.name} can't be reached: {_told(error)}" if place.name else _told(error)
    if place.tried and not _COUNTED.search(text):
        text = f"{text.rstrip('.')} ({place.tried})"
    everything = " ".join(_causes(error))
    if _speaks_plain_http(everything):
        return MoverError("unreachable", text, _plain_http(place))
    if _is_certificate(error, everything):
        return MoverError("unreachable", text, _certificate(place))
    if any(mark in everything for mark in ("429", "SlowDown", "rateLimitExceeded", "TooManyRequests")):
        return MoverError("unreachable", text, "The storage limits the rate of requests: lower parallelism")
    return MoverError(
        "unreachable", text, "Check the endpoint, the network and its policies, and whether the server runs"
    )


def _clock(error: BaseException, place: Place) -> MoverError:
    return MoverError(
        "clock", _told(error), "The clock of the node and that of the storage differ; set the node's clock"
    )


def _storage(error: BaseException, place: Place) -> MoverError:
    plain = _speaks_plain_http(" ".join(_causes(error)))
    return MoverError("unreachable", _told(error), _plain_http(place) if plain else "")


def _speaks_plain_http(text: str) -> bool:
    return any(mark in text for mark in ("WRONG_VERSION_NUMBER", "wrong version number", "record layer failure"))


def is_about_certificate(error: BaseException) -> bool:
    """Return True if the certificate of a server was refused."""
    return isinstance(error, errors.UntrustedServerError) or _is_certificate(error, " ".join(_causes(error)))


def _is_certificate(error: BaseException, text: str) -> bool:
    return "certificate" in text.lower() or any(
        isinstance(each, ssl.SSLCertVerificationError) for each in chain_of(error)
    )


def _damaged(error: BaseException, place: Place) -> MoverError:
    return MoverError(
        "damaged", _told(error), "Run `pykopia snapshot verify` against the repository to see what it affects"
    )


def _contradicted(error: BaseException, place: Place) -> MoverError:
    return MoverError(
        "damaged",
        _told(error),
        "Backups go on; nothing expires and maintenance deletes nothing until this is repaired, with `pykopia` or by "
        "putting the missing blobs back from a copy of the repository",
    )


def _no_repository(error: BaseException, place: Place) -> MoverError:
    return MoverError("no-repository", _told(error), "A repository is created by the first backup")


def _blob_missing(error: BaseException, place: Place) -> MoverError:
    return MoverError("damaged", _told(error))


def _full(error: BaseException, place: Place) -> MoverError:
    return MoverError("unreachable", f"no room is left in {place.name}: {_told(error)}", "Give the storage more room")


_STORAGE: Final[Mapping[type, Callable[[BaseException, Place], MoverError]]] = {
    errors.InvalidEnvironmentError: _environment,
    errors.InvalidURLError: _url,
    errors.InvalidPasswordError: _password,
    errors.StorageAccessDeniedError: _access,
    errors.StorageNotFoundError: _missing_storage,
    errors.StorageUnavailableError: _unreachable,
    errors.StorageClockError: _clock,
    errors.StorageFullError: _full,
    errors.UntrustedServerError: _untrusted,
    errors.StorageError: _storage,
    errors.BlobNotFoundError: _blob_missing,
    errors.DamagedFormatBlobError: _damaged,
    errors.UnsupportedFormatError: _damaged,
    errors.DamagedDataError: _damaged,
    errors.ContentNotFoundError: _damaged,
    errors.RepositoryNotFoundError: _no_repository,
    errors.ContradictedViewError: _contradicted,
}

_CODES: Final = (
    (errors.CanceledError, "terminated"),
    (errors.UpgradeInProgressError, "busy"),
    (errors.SnapshotNotFoundError, "no-snapshot"),
    (errors.ReadOnlyRepositoryError, "config"),
    (errors.UsageError, "config"),
    (errors.UnsupportedOptionError, "config"),
    (errors.ConnectionFileError, "config"),
    (errors.SourceError, "source"),
    (errors.RestoreError, "target"),
)


def _action(error: errors.ActionFailedError) -> MoverError:
    """Explain an action of a policy like one of the spec."""
    if error.timed_out:
        return MoverError("action", _told(error))
    tail = "".join(f"\n  {line}" for line in error.output)
    return MoverError("action", f"{_told(error)}{tail}", advice(error.status, error.output))


_SECRET_OF: Final = {
    "sftp": ("key", "SFTP_KEY_FILE"),
    "gcs": ("credential", "GOOGLE_APPLICATION_CREDENTIALS"),
    "gdrive": ("credential", "GOOGLE_DRIVE_CREDENTIALS"),
}
"""By storage type: a word of messages on credentials that can't be used, and the variable that holds them."""


def _other(error: errors.PykopiaError, place: Place) -> MoverError:
    word, variable = _SECRET_OF.get(place.type, ("", ""))
    if isinstance(error, errors.UsageError) and variable and word in _told(error).lower():
        return config_error(_told(error), f"It is the key {variable} of the repository Secret")
    for kind, code in _CODES:
        if isinstance(error, kind):
            return MoverError(code, _told(error))
    return MoverError("internal", _told(error))


_DOCUMENT: Final = "of a connection document (KOPIA_STRUCTURED_REPOSITORY_CONFIG)"
_SETTINGS: Final = {
    "access-key": "AWS_ACCESS_KEY_ID",
    "secret-access-key": "AWS_SECRET_ACCESS_KEY",
    "disable-tls": 'KOPIA_S3_DISABLE_TLS: "true"',
    "root-ca-pem-path": "customCA (CUSTOM_CA)",
    "credentials-file": "GOOGLE_APPLICATION_CREDENTIALS (for Google Drive GOOGLE_DRIVE_CREDENTIALS)",
    "folder-id": "GOOGLE_DRIVE_FOLDER_ID",
    "parallel": "KOPIA_PARALLELISM",
    "rclone-exe": "RCLONE_EXE",
    "rclone-startup-timeout": f"startupTimeout {_DOCUMENT}",
    "atomic-writes": f"atomicWrites {_DOCUMENT}",
}
"""Flags of the command line in messages of storages, and what takes their place in a mover."""
_ACTION_TIMEOUT: Final = (
    "`policy set --action-command-timeout`",
    "the field timeout of the action in the policy file",
)
_FLAG: Final = re.compile(rf"--({'|'.join(sorted(_SETTINGS, key=len, reverse=True))})(?![\w-])")


def _told(error: BaseException) -> str:
    return in_settings(str(error)) or type(error).__name__


def in_settings(text: str) -> str:
    """Return a message of the library with the settings of a mover in the place of flags of the command line.

    >>> in_settings("give it by --rclone-exe")
    'give it by RCLONE_EXE'
    """
    return _FLAG.sub(lambda found: _SETTINGS[found[1]], text.replace(*_ACTION_TIMEOUT))


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _causes(error: BaseException) -> Iterator[str]:
    yield from (str(each) for each in chain_of(error))


def target_error(error: BaseException) -> OSError | None:
    """Return the error of the target's file system behind an error, if that is what it is about."""
    for each in chain_of(error):
        if isinstance(each, OSError) and not isinstance(each, errors.PykopiaError) and each.errno in TARGET_ERRNOS:
            return each
    return None


def is_damage(error: BaseException) -> bool:
    """Return True if an error is caused by damage of the repository."""
    return any(
        isinstance(each, errors.DamagedDataError | errors.BlobNotFoundError | errors.ContentNotFoundError)
        for each in chain_of(error)
    )


__all__ = [
    "TARGET_ERRNOS",
    "Place",
    "chain_of",
    "explained",
    "in_settings",
    "is_about_certificate",
    "is_damage",
    "target_error",
]
