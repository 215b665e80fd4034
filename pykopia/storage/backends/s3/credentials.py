"""Credentials of a role, asked of the token service (STS), and again before they expire.

Without a role, the static key of the connection is used, or what the SDK finds: environment, profile, instance.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    AssumeRoleWithWebIdentityCredentialFetcher,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError
from botocore.httpsession import URLLib3Session
from botocore.session import Session

from pykopia.errors import StorageAccessDeniedError
from pykopia.format.duration import NANOSECONDS, parse_duration
from pykopia.storage.backends.s3.address import DEFAULT_REGION
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.object_store import ANSWER_SECONDS, CONNECT_SECONDS
from pykopia.storage.proxies import proxy_for

_SHORTEST_SECONDS = 900
"""Less is not given."""


def add_role(session: Session, options: S3Options, context: ssl.SSLContext) -> None:
    """Make a session take the role of the options, if they name one.

    Args:
        session: Has the credentials.
        options: Of the connection.
        context: TLS settings for the token service.
    """
    if options.role_arn:
        resolver = session.get_component("credential_provider")
        resolver.providers.insert(0, _RoleProvider(session, options, context))


class _RoleProvider:
    """Provides the credentials of the role before all others that the SDK may find."""

    METHOD = CANONICAL_NAME = "pykopia-role"

    def __init__(self, session: Session, options: S3Options, context: ssl.SSLContext) -> None:
        self._session, self._options, self._context = session, options, context

    def load(self) -> DeferredRefreshableCredentials:
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
            fetcher: Any = AssumeRoleWithWebIdentityCredentialFetcher(
                self._client, _token_loader(options), options.role_arn, extra_args=more
            )
        else:
            source = self._source()
            fetcher = AssumeRoleCredentialFetcher(self._client, source, options.role_arn, extra_args=more)
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    def _source(self) -> Credentials:
        """Return the credentials that may take the role."""
        options = self._options
        if options.access_key_id:
            return Credentials(options.access_key_id, options.secret_access_key, options.session_token or None)
        for provider in self._session.get_component("credential_provider").providers:
            if provider is not self and (found := provider.load()) is not None:
                return found
        raise NoCredentialsError

    def _client(self, service: str, **arguments: Any) -> Any:  # noqa: ANN401 -- the SDK has no types
        options = self._options
        region = options.role_region or options.region or DEFAULT_REGION
        # the SDK's own retries are off: those of the storage count
        given = Config(retries={"total_max_attempts": 1}, connect_timeout=CONNECT_SECONDS, read_timeout=ANSWER_SECONDS)
        config = arguments.pop("config", None)
        client = self._session.create_client(
            service,
            endpoint_url=options.role_endpoint or None,
            region_name=region,
            config=config.merge(given) if config else given,
            **arguments,
        )
        url = client.meta.endpoint_url
        proxy = proxy_for(url)
        client._endpoint.http_session = _Connections(  # noqa: SLF001 -- the SDK takes no TLS settings, and knows no networks in NO_PROXY
            self._context,
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            proxies={urlsplit(url).scheme: proxy} if proxy else {},
        )
        return client


class _Connections(URLLib3Session):  # type: ignore[misc] # as all of the SDK
    """The SDK's connections, with TLS settings of ours."""

    def __init__(self, context: ssl.SSLContext, **more: Any) -> None:  # noqa: ANN401
        self._context = context
        super().__init__(**more)

    def _get_ssl_context(self) -> ssl.SSLContext:
        return self._context

    def _setup_ssl_cert(self, conn: Any, url: str, verify: Any) -> None:  # noqa: ANN401
        """Leave it to the TLS settings."""


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


__all__ = ["add_role"]
