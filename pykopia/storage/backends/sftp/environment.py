"""A folder on an SSH server: the variables of the environment that name it."""

import re

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.sftp.options import DEFAULT_SFTP_PORT, SFTPOptions
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables, check_folder, folder_of

DEFAULT_CACHE_FOLDER = "/tmp/kopia-cache"  # noqa: S108 -- of the container that runs a mover
KNOWN_HOSTS = "ssh_known_hosts"
"""File in the cache folder that remembers the host keys that were accepted on first use."""


def _options(variables: Variables, url: URLConfig) -> SFTPOptions:
    host = variables.over(url.get("host", ""), "SFTP_HOST").removeprefix("[").removesuffix("]")
    if not host:
        raise InvalidEnvironmentError("SFTP_HOST", "must be defined, or a URL sftp://HOST/PATH in KOPIA_REPOSITORY")
    path = folder_of(variables.text("SFTP_PATH")) or url.get("path", "")  # the documentation has both, and they differ
    if not path:
        raise InvalidEnvironmentError("SFTP_PATH", "must be defined, or a URL sftp://HOST/PATH in KOPIA_REPOSITORY")
    check_folder("SFTP_PATH", path)
    username = variables.over(url.get("username", ""), "SFTP_USERNAME")
    if not username:
        raise InvalidEnvironmentError(
            "SFTP_USERNAME", "must be defined, or a URL sftp://USER@HOST/PATH in KOPIA_REPOSITORY"
        )
    key = variables.content("SFTP_KEY_FILE")
    password = variables.text("SFTP_PASSWORD")
    if not key and not password:
        raise InvalidEnvironmentError(
            "SFTP_KEY_FILE", "must be defined, or SFTP_PASSWORD: it is the private key, a key of the repository Secret"
        )
    known_hosts = variables.text("SFTP_KNOWN_HOSTS_DATA") or variables.content("SFTP_KNOWN_HOSTS")
    accept = _accepts_new_host_keys(variables, known_hosts)
    folder = (variables.text("KOPIA_CACHE_DIR") or DEFAULT_CACHE_FOLDER).rstrip("/")
    return SFTPOptions(
        path=path,
        host=host,
        port=_port(variables, url),
        username=username,
        password=password,
        key_data=key,
        known_hosts_data=known_hosts,
        known_hosts_file=f"{folder}/{KNOWN_HOSTS}" if accept else "",
        host_key_policy="accept-new" if accept else "",
    )


def _with_path(variables: Variables, url: str) -> str:
    """Add the folder to ``sftp://host``: the variable is enough."""
    host, slash, path = url.removeprefix("sftp://").partition("/")
    given = variables.text("SFTP_PATH").strip()
    return f"sftp://{host}{slash or '/'}{path or given.lstrip('/')}"


def _accepts_new_host_keys(variables: Variables, known_hosts: str) -> bool:
    policy = variables.text("SFTP_HOST_KEY_POLICY").strip().lower() or ("strict" if known_hosts else "accept-new")
    if policy not in {"strict", "accept-new"}:
        raise InvalidEnvironmentError("SFTP_HOST_KEY_POLICY", "must be strict or accept-new")
    if policy == "strict" and not known_hosts:
        raise InvalidEnvironmentError(
            "SFTP_KNOWN_HOSTS_DATA", "must be defined: SFTP_HOST_KEY_POLICY is strict, so the host's key must be known"
        )
    return policy == "accept-new" and not known_hosts


def _port(variables: Variables, url: URLConfig) -> int:
    text = variables.text("SFTP_PORT").strip()
    of_url = url.get("port", DEFAULT_SFTP_PORT)
    if not text:
        return int(of_url)
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise InvalidEnvironmentError("SFTP_PORT", "must be a number from 1 to 65535")
    if of_url not in {DEFAULT_SFTP_PORT, int(text)}:
        variables.warn(f"SFTP_PORT ({text}) is taken instead of what KOPIA_REPOSITORY says ({of_url})")
    return int(text)


ENVIRONMENT = EnvironmentBackend(
    rank=6,
    variables=(
        "SFTP_HOST", "SFTP_PORT", "SFTP_USERNAME", "SFTP_PATH", "SFTP_KEY_FILE", "SFTP_PASSWORD",
        "SFTP_KNOWN_HOSTS_DATA", "SFTP_KNOWN_HOSTS", "SFTP_HOST_KEY_POLICY",
    ),
    needs=(("SFTP_HOST",), ("SFTP_PATH",)),
    make=_options,
    completed=_with_path,
)  # fmt: skip

__all__ = ["DEFAULT_CACHE_FOLDER", "ENVIRONMENT", "KNOWN_HOSTS"]
