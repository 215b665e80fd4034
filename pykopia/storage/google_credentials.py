"""Credentials for Google's services: a service account, an authorized user, or what this machine has."""

import json
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import requests
from google.auth import default as default_credentials
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from pykopia.errors import UsageError
from pykopia.storage.http_adapter import OwnSettings


def load_credentials(found: object, file: str, *, scopes: Sequence[str], service: str) -> Credentials:
    """Return credentials.

    Args:
        found: JSON of the credentials; None: what the file holds.
        file: with such JSON; empty: what this machine has.
        scopes: what they are to be used for.
        service: for messages.

    Raises:
        UsageError: They can't be used; the message holds no part of them.
    """
    where = "the credentials of this connection"
    if found is None and file:
        where = f"the credentials in {file}"
        try:
            found = json.loads(Path(file).read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"can't read {where}: {error.strerror}; check the path") from None
        except ValueError:
            raise UsageError(f"can't use {where}: the file is malformed, it must be JSON") from None
    if found is None:
        try:
            credentials, _ = default_credentials(scopes=scopes)
        except DefaultCredentialsError:
            raise UsageError(
                f"can't reach {service} without credentials: name their file by --credentials-file, or log in by "
                "`gcloud auth application-default login`"
            ) from None
        return credentials
    kind = found.get("type") if isinstance(found, dict) else None
    try:
        if kind == "service_account":
            account = service_account.Credentials.from_service_account_info(found, scopes=scopes)
            return cast("Credentials", account)
        if kind == "authorized_user":
            user = user_credentials.Credentials.from_authorized_user_info(found)
            return cast("Credentials", user)
    except (ValueError, TypeError, GoogleAuthError):
        raise UsageError(f"can't use {where}: a part of them is missing or malformed; download them again") from None
    raise UsageError(f"can't use {where}: their type must be service_account or authorized_user")


def refresh(credentials: Credentials) -> None:
    """Get another token.

    Raises:
        GoogleAuthError: There is none.
    """
    with requests.Session() as session:
        credentials.refresh(Request(session))


def trust_for_tokens(credentials: Credentials, context: ssl.SSLContext) -> None:
    """Let credentials get their tokens by connections with TLS settings of ours, whoever asks them to.

    Args:
        credentials: Changed in place.
        context: TLS settings.
    """
    refresh = credentials.refresh

    def refresh_by(_: object) -> None:
        with requests.Session() as session:
            session.mount("https://", OwnSettings(context))
            refresh(Request(session))  # type: ignore[no-untyped-call] # google-auth has no types

    credentials.refresh = refresh_by  # type: ignore[method-assign]


__all__ = ["load_credentials", "refresh", "trust_for_tokens"]
