"""A collection on a WebDAV server: the variables of the environment that name it."""

from urllib.parse import urlsplit

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.webdav.options import WebDAVOptions
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables


def _options(variables: Variables, url: URLConfig) -> WebDAVOptions:
    location = variables.text("WEBDAV_URL").strip()
    if not location:
        proposal = f", most likely {url['url']}" if url.get("url") else ""
        raise InvalidEnvironmentError("WEBDAV_URL", f"must be defined: it is the URL of the folder{proposal}")
    try:
        split = urlsplit(location)
        usable = split.scheme in {"http", "https"} and bool(split.hostname) and not (split.query or split.fragment)
        user = split.username is not None
        _ = split.port
    except ValueError:
        usable = user = False
    if user:
        raise InvalidEnvironmentError(
            "WEBDAV_URL", "can't hold a user or password: set WEBDAV_USERNAME and WEBDAV_PASSWORD"
        )
    if not usable:
        raise InvalidEnvironmentError("WEBDAV_URL", "must be a URL such as https://host/folder, without a query")
    return WebDAVOptions(
        url=location.rstrip("/"),
        username=variables.text("WEBDAV_USERNAME", "KOPIA_WEBDAV_USERNAME"),
        password=variables.text("WEBDAV_PASSWORD", "KOPIA_WEBDAV_PASSWORD"),
    )


ENVIRONMENT = EnvironmentBackend(
    rank=5,
    variables=(
        "WEBDAV_URL", "WEBDAV_USERNAME", "KOPIA_WEBDAV_USERNAME", "WEBDAV_PASSWORD", "KOPIA_WEBDAV_PASSWORD"
    ),
    needs=(("WEBDAV_URL",),),
    make=_options,
)  # fmt: skip

__all__ = ["ENVIRONMENT"]
