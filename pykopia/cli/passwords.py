"""Sources and storage of passwords.

In Kopia's order: ``--password`` or ``KOPIA_PASSWORD``, then what was stored (keyring, file beside the connection file),
then the terminal. A stored password is never used to create a repository or to connect.
"""

import getpass
import hashlib
import logging
import os
from pathlib import Path
from typing import Protocol, TextIO, cast

from pykopia.cli.global_flags import GlobalFlags
from pykopia.errors import ConnectionFileError, InvalidPasswordError, NotConnectedError
from pykopia.repository.options import default_username

_ATTEMPTS = 5
NO_TERMINAL = "no password: give --password or KOPIA_PASSWORD, as there is no terminal to ask on"


class Session(Protocol):
    """The parts of a run that reading a password needs."""

    flags: GlobalFlags
    stdin: TextIO
    stderr: TextIO

    @property
    def config_path(self) -> Path:
        """The connection file."""

    @property
    def log(self) -> logging.Logger:
        """Messages for people."""

    def tell(self, text: str) -> None:
        """Write to stderr."""


class _Keyring(Protocol):
    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


def for_opening(session: Session) -> str:
    """Return the password of the connected repository: given, stored, or asked for."""
    if session.flags.password:
        return session.flags.password.strip()
    stored = recall(session)
    return stored if stored is not None else ask(session, "Enter password to open repository: ")


def for_connecting(session: Session) -> str:
    """Return the password to connect with: given or asked for."""
    return session.flags.password.strip() or ask(session, "Enter password to open repository: ")


def for_creating(session: Session) -> str:
    """Return the password of a new repository: given, or asked for twice."""
    return session.flags.password.strip() or ask_twice(session, "Enter password to create new repository: ")


def ask(session: Session, prompt: str) -> str:
    """Ask for a password on the terminal.

    Raises:
        InvalidPasswordError: There is no terminal, or nothing was entered.
    """
    if not session.stdin.isatty():
        raise InvalidPasswordError(NO_TERMINAL)
    for _ in range(_ATTEMPTS):
        try:
            entered = getpass.getpass(prompt, cast("TextIO | None", session.stderr))
        except EOFError:
            break
        if entered:
            return entered
    message = "no password was entered"
    raise InvalidPasswordError(message)


def ask_twice(session: Session, prompt: str) -> str:
    """Ask for a new password until it is entered the same way twice."""
    while True:
        first = ask(session, prompt)
        if first == ask(session, "Re-enter password for verification: "):
            return first
        session.tell("Passwords don't match!\n")


# --- keeping ---


def recall(session: Session) -> str | None:
    """Return the stored password of the connection, or None."""
    if not session.flags.persist_credentials:
        return None
    ring = _keyring(session)
    if ring is not None:
        try:
            found = ring.get_password(_ring_item(session), default_username())
        except Exception as error:  # noqa: BLE001 -- any backend may raise anything
            session.log.debug("the keyring can't be read: %s", error)
            found = None
        if found is not None:
            return found
    from pykopia.repository.connection_file import password_file, read_password  # noqa: PLC0415

    try:
        return read_password(session.config_path)
    except NotConnectedError:
        return None
    except ConnectionFileError as error:
        path = password_file(session.config_path)
        message = f"the stored password {path} is damaged; delete it and give --password"
        raise ConnectionFileError(message) from error


def remember(session: Session, password: str) -> None:
    """Store the password of the connection, unless the user does not want that."""
    if not session.flags.persist_credentials:
        return
    ring = _keyring(session)
    if ring is not None:
        try:
            ring.set_password(_ring_item(session), default_username(), password)
        except Exception as error:  # noqa: BLE001 -- any backend may raise anything
            session.log.debug("the keyring can't be written: %s", error)
        else:
            return
    from pykopia.repository.connection_file import keep_password  # noqa: PLC0415

    keep_password(session.config_path, password)


def forget(session: Session) -> None:
    """Remove the stored password of the connection."""
    if not session.flags.persist_credentials:
        return
    ring = _keyring(session)
    if ring is not None:
        try:
            ring.delete_password(_ring_item(session), default_username())
        except Exception as error:  # noqa: BLE001 -- any backend may raise anything
            session.log.debug("the keyring can't be written: %s", error)
    from pykopia.repository.connection_file import forget_password  # noqa: PLC0415

    forget_password(session.config_path)


def _keyring(session: Session) -> _Keyring | None:
    if not session.flags.use_keyring:
        return None
    try:
        from importlib import import_module  # noqa: PLC0415

        keyring = import_module("keyring")  # an optional package, and slow to import
    except ImportError:
        session.log.warning("--use-keyring needs `pip install 'pykopia[keyring]'`; the password file is used")
        return None
    return cast("_Keyring", keyring)


def _ring_item(session: Session) -> str:
    name = str(session.config_path)
    return f"{session.config_path.name}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


__all__ = [
    "NO_TERMINAL",
    "Session",
    "ask",
    "ask_twice",
    "for_connecting",
    "for_creating",
    "for_opening",
    "forget",
    "recall",
    "remember",
]
