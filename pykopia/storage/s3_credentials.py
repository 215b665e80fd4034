"""Credentials of a role, asked of the token service (STS), and again before they expire.

Without a role, the static key of the connection is used, or what the SDK finds: environment, profile, instance.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiobotocore.credentials import (
    AioAssumeRoleCredentialFetcher,
    AioAssumeRoleWithWebIdentityCredentialFetcher,
    AioCredentials,
    AioDeferredRefreshableCredentials,
)
from aiobotocore.session import AioSession
from botocore.exceptions import NoCredentialsError

from pykopia.errors import StorageAccessDeniedError
from pykopia.format.duration import NANOSECONDS, parse_duration
from pykopia.storage.remote_options import S3Options

DEFAULT_REGION = "us-east-1"
_SHORTEST_SECONDS = 900
"""Less is not given."""


def add_role(session: AioSession, options: S3Options, verify: bool | str | None) -> None:
    """Make a session take the role of the options, if they name one.

    Args:
        session: Has the credentials.
        options: Of the connection.
        verify: Whom the token service must be certified by, as the SDK takes it.
    """
    if options.role_arn:
        resolver = session.get_component("credential_provider")
        resolver.providers.insert(0, _RoleProvider(session, options, verify))


class _RoleProvider:
    """Gives the credentials of the role before all others that the SDK may find."""

    METHOD = CANONICAL_NAME = "pykopia-role"

    def __init__(self, session: AioSession, options: S3Options, verify: bool | str | None) -> None:
        self._session, self._options, self._verify = session, options, verify

    async def load(self) -> AioDeferredRefreshableCredentials:
        """Return credentials that ask the token service when they are used first, and whenever they get old."""
        options = self._options
        more: dict[str, Any] = {}
        if options.session_name:
            more["RoleSessionName"] = options.session_name
        plain = options.duration.lstrip("-").isdigit()  # then it is in nanoseconds
        seconds = (int(options.duration) if plain else parse_duration(options.duration)) // NANOSECONDS["s"]
        if seconds:
            more["DurationSeconds"] = max(seconds, _SHORTEST_SECONDS)
        if options.web_identity_token or options.web_identity_token_file:
            fetcher: Any = AioAssumeRoleWithWebIdentityCredentialFetcher(
                self._client, _token_loader(options), options.role_arn, extra_args=more
            )
        else:
            source = await self._source()
            fetcher = AioAssumeRoleCredentialFetcher(self._client, source, options.role_arn, extra_args=more)
        return AioDeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    async def _source(self) -> AioCredentials:
        """Return the credentials that may take the role."""
        options = self._options
        if options.access_key_id:
            return AioCredentials(options.access_key_id, options.secret_access_key, options.session_token or None)
        for provider in self._session.get_component("credential_provider").providers:
            if provider is not self and (found := await provider.load()) is not None:
                return found
        raise NoCredentialsError

    def _client(self, service: str, **arguments: Any) -> Any:  # noqa: ANN401 -- the SDK has no types
        options = self._options
        return self._session.create_client(
            service,
            endpoint_url=options.role_endpoint or None,
            region_name=options.role_region or options.region or DEFAULT_REGION,
            verify=self._verify,
            **arguments,
        )


def _token_loader(options: S3Options) -> Callable[[], str]:
    """Return what gives the web identity; a file is read each time, as it is replaced before it expires."""

    def load() -> str:
        if not options.web_identity_token_file:
            return options.web_identity_token
        try:
            return Path(options.web_identity_token_file).read_text("utf-8").strip()
        except OSError as error:
            raise StorageAccessDeniedError(
                f"can't read the web identity token in {options.web_identity_token_file}: {error.strerror}"
            ) from error

    return load


__all__ = ["DEFAULT_REGION", "add_role"]
