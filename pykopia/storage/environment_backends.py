"""The variables of each backend, and how they become its options."""

import configparser
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.environment_variables import Variables
from pykopia.storage.options import FilesystemOptions, StorageOptions
from pykopia.storage.remote_options import (
    AzureBlobOptions,
    B2Options,
    GCSOptions,
    GoogleDriveOptions,
    RcloneOptions,
    S3Options,
    SFTPOptions,
    WebDAVOptions,
)
from pykopia.storage.url import DEFAULT_S3_ENDPOINT, DEFAULT_SFTP_PORT

DEFAULT_CACHE_FOLDER = "/tmp/kopia-cache"  # noqa: S108 -- of the container that runs a mover
KNOWN_HOSTS = "ssh_known_hosts"
"""File in the cache folder that remembers the host keys that were accepted on first use."""

_AMAZON = ".amazonaws.com"
_STRICT_BUCKET = re.compile(r"(?=.{3,63}$)[a-z0-9](?:[a-z0-9-]|\.(?!\.))*[a-z0-9]")
_LOOSE_BUCKET = re.compile(r"(?=.{3,63}$)[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.))*[A-Za-z0-9]")
_PLACEHOLDER_FOLDER = "folder-id"
_FOLDER_ID = re.compile(r"[A-Za-z0-9_-]{10,}")
_ENCRYPTED_RCLONE_CONFIG = "RCLONE_ENCRYPT_"
_DRIVE_CREDENTIALS = ("service_account", "authorized_user")

_Config = Mapping[str, Any]
"""What the URL says, by Kopia's JSON names; empty where it says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentBackend:
    """How variables become the options of one backend."""

    schemes: tuple[str, ...]
    """Schemes of its URLs, the first the usual one."""
    variables: tuple[str, ...]
    """All variables that it reads."""
    needs: tuple[tuple[str, ...], ...]
    """Without a URL, one variable of each group says where the repository is."""
    make: Callable[[Variables, _Config], StorageOptions]
    ambient: frozenset[str] = frozenset()
    """Variables that clusters set for whatever runs in them: no sign that this backend is meant."""
    completed: Callable[[Variables, str], str] = lambda _, url: url
    """Adds to a URL what variables say and it can't be parsed without."""
    placeholder: str = ""
    """Stands in a URL that says nothing but which backend."""

    def enough(self, variables: Variables) -> bool:
        """Tell whether the variables say where the repository is, without a URL."""
        return all(variables.text(*names) for names in self.needs)

    def options(self, variables: Variables, of_url: ConnectionInfo | None) -> StorageOptions:
        """Return the options of variables over those of the URL."""
        return self.make(variables, {} if of_url is None else of_url.config)


def _prefix(text: str) -> str:
    """Return a folder in a bucket as object names start: one slash after each part, none before."""
    return "".join(f"{part}/" for part in text.strip().split("/") if part)


# ---------------------------------------------------------------------- S3


def _s3(variables: Variables, url: _Config) -> StorageOptions:
    endpoint, plain = _s3_endpoint(variables)
    bucket = variables.over(url.get("bucket", ""), "KOPIA_S3_BUCKET")
    if not bucket:
        raise InvalidEnvironmentError("KOPIA_S3_BUCKET", "must be defined, or a URL s3://BUCKET in KOPIA_REPOSITORY")
    if not _STRICT_BUCKET.fullmatch(bucket):
        name = variables.set_name("KOPIA_S3_BUCKET", "KOPIA_REPOSITORY")
        reason = f"names the bucket {bucket!r}; a name has 3 to 63 lower-case letters, digits, dots and hyphens"
        if endpoint.partition(":")[0].endswith(_AMAZON) or not _LOOSE_BUCKET.fullmatch(bucket):
            raise InvalidEnvironmentError(name, reason)
        variables.warn(f"{name} {reason}: not every server takes it")
    key_id, key, token, region = _aws_keys(variables)
    return S3Options(
        bucket=bucket,
        prefix=variables.over(url.get("prefix", ""), "KOPIA_S3_PREFIX", normal=_prefix),
        endpoint=endpoint,
        do_not_use_tls=plain,
        access_key_id=key_id,
        secret_access_key=key,
        session_token=token,
        role_arn="" if key_id else variables.text("AWS_ROLE_ARN"),
        session_name="" if key_id else variables.text("AWS_ROLE_SESSION_NAME"),
        web_identity_token_file="" if key_id else variables.text("AWS_WEB_IDENTITY_TOKEN_FILE"),
        addressing_style=variables.text("KOPIA_S3_ADDRESSING_STYLE").lower(),
        region=variables.text("KOPIA_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION") or region,
    )


def _s3_endpoint(variables: Variables) -> tuple[str, bool]:
    """Return host and port, and whether to speak plain HTTP."""
    names = ("KOPIA_S3_ENDPOINT", "AWS_S3_ENDPOINT")
    text, name = variables.text(*names).strip(), variables.set_name(*names)
    plain_flags = [flag for flag in ("KOPIA_S3_DISABLE_TLS", "AWS_S3_DISABLE_TLS") if variables.flag(flag)]
    if not text:
        return DEFAULT_S3_ENDPOINT, bool(plain_flags)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    elif scheme.lower() not in {"http", "https"}:
        raise InvalidEnvironmentError(name, "must be a host, a host with a port, or a URL of http or https")
    host = rest.removesuffix("/")
    if "@" in host:
        raise InvalidEnvironmentError(
            name, "can't hold a user or password: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not host or "/" in host or any(mark in host for mark in "?# "):
        raise InvalidEnvironmentError(name, "must be a host, a host with a port, or their URL, without a path")
    if plain_flags and scheme.lower() == "https":
        variables.warn(f"{plain_flags[0]} is set: the storage is reached without TLS although {name} says https")
    return host, bool(plain_flags) or scheme.lower() == "http"


def _aws_keys(variables: Variables) -> tuple[str, str, str, str]:
    """Return key ID, secret key, session token and region: of variables, else of the named profile."""
    key_id, key = variables.text("AWS_ACCESS_KEY_ID"), variables.text("AWS_SECRET_ACCESS_KEY")
    if bool(key_id) != bool(key):
        missing = "AWS_SECRET_ACCESS_KEY" if key_id else "AWS_ACCESS_KEY_ID"
        raise InvalidEnvironmentError(missing, "must be defined: a static key has an ID and a secret, and one is set")
    profile = variables.text("AWS_PROFILE")
    if key_id or not profile:
        return key_id, key, variables.text("AWS_SESSION_TOKEN") if key_id else "", ""
    home = variables.text("HOME") or "~"
    files = {
        variables.text("AWS_SHARED_CREDENTIALS_FILE") or f"{home}/.aws/credentials": profile,
        variables.text("AWS_CONFIG_FILE") or f"{home}/.aws/config": profile
        if profile == "default"
        else f"profile {profile}",
    }
    values: dict[str, str] = {}
    for path, section in files.items():
        values = {**_section(variables.file(path), section), **values}
    looked = " and ".join(files)
    if not values:
        raise InvalidEnvironmentError("AWS_PROFILE", f"names the profile {profile}, which is in none of {looked}")
    if not (values.get("aws_access_key_id") and values.get("aws_secret_access_key")):
        raise InvalidEnvironmentError(
            "AWS_PROFILE", f"names the profile {profile}, which has no static key in {looked}; others are not supported"
        )
    return (
        values["aws_access_key_id"],
        values["aws_secret_access_key"],
        values.get("aws_session_token", ""),
        values.get("region", ""),
    )


def _section(text: str | None, name: str) -> dict[str, str]:
    """Return one section of an INI file; an empty one if it is not there."""
    parser = _ini(text or "")
    return dict(parser[name]) if parser is not None and parser.has_section(name) else {}


def _ini(text: str) -> configparser.ConfigParser | None:
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), default_section="\0")
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    return parser


# ---------------------------------------------------------------------- the other object stores


def _azure(variables: Variables, url: _Config) -> StorageOptions:
    container = variables.over(url.get("container", ""), "KOPIA_AZURE_CONTAINER")
    if not container:
        raise InvalidEnvironmentError(
            "KOPIA_AZURE_CONTAINER", "must be defined, or a URL azure://CONTAINER in KOPIA_REPOSITORY"
        )
    account = variables.required(
        "KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT", "AZURE_ACCOUNT_NAME", what="the storage account"
    )
    sas = variables.text("AZURE_STORAGE_SAS_TOKEN", "AZURE_ACCOUNT_SAS").strip().removeprefix("?")
    key = variables.text("KOPIA_AZURE_STORAGE_KEY", "AZURE_STORAGE_KEY", "AZURE_ACCOUNT_KEY").strip()
    ambient = not (sas or key)
    domain, plain = _azure_domain(variables, account.strip())
    return AzureBlobOptions(
        container=container,
        prefix=url.get("prefix", ""),
        storage_account=account.strip(),
        storage_key="" if sas else key,
        sas_token=sas,
        tenant_id=variables.text("AZURE_TENANT_ID") if ambient else "",
        client_id=variables.text("AZURE_CLIENT_ID") if ambient else "",
        client_secret=variables.text("AZURE_CLIENT_SECRET") if ambient else "",
        client_certificate=variables.content("AZURE_CLIENT_CERTIFICATE") if ambient else "",
        azure_federated_token_file=variables.text("AZURE_FEDERATED_TOKEN_FILE") if ambient else "",
        storage_domain=domain,
        do_not_use_tls=plain,
    )


def _azure_domain(variables: Variables, account: str) -> tuple[str, bool]:
    """Return what follows the account's name in the host, or where an emulator has the account; and whether it is plain HTTP."""
    names = ("AZURE_ENDPOINT_SUFFIX", "AZURE_STORAGE_DOMAIN")
    name, text = variables.set_name(*names), variables.text(*names).strip()
    if "://" in text:
        split = urlsplit(text)
        if split.scheme not in {"http", "https"} or not split.hostname or split.username:
            raise InvalidEnvironmentError(name, "must be a domain such as core.windows.net, or a URL of http or https")
        place = text.partition("://")[2].strip("/")
        if "/" not in place and not place.startswith(f"{account}."):
            place = f"{place}/{account}"
        return place, split.scheme == "http"
    if not text:
        return "", False
    if "/" in text or "@" in text:
        raise InvalidEnvironmentError(name, "must be a domain such as core.windows.net")
    text = text.strip(".")
    return text if text.startswith("blob.") else f"blob.{text}", False


def _gcs(variables: Variables, url: _Config) -> StorageOptions:
    bucket = variables.over(url.get("bucket", ""), "KOPIA_GCS_BUCKET", "GCS_BUCKET")
    if not bucket:
        raise InvalidEnvironmentError("KOPIA_GCS_BUCKET", "must be defined, or a URL gcs://BUCKET in KOPIA_REPOSITORY")
    name = "GOOGLE_APPLICATION_CREDENTIALS"
    return GCSOptions(
        bucket=bucket,
        prefix=url.get("prefix", ""),
        credentials=_json_object(variables, name) if variables.text(name) else None,
        project_id=variables.text("GOOGLE_PROJECT_ID"),
    )


def _b2(variables: Variables, url: _Config) -> StorageOptions:
    bucket = variables.over(url.get("bucket", ""), "KOPIA_B2_BUCKET")
    if not bucket:
        raise InvalidEnvironmentError("KOPIA_B2_BUCKET", "must be defined, or a URL b2://BUCKET in KOPIA_REPOSITORY")
    return B2Options(
        bucket=bucket,
        prefix=url.get("prefix", ""),
        key_id=variables.required("B2_ACCOUNT_ID", "B2_KEY_ID", what="the key ID").strip(),
        key=variables.required("B2_APPLICATION_KEY", "B2_KEY", what="the application key").strip(),
    )


def _json_object(variables: Variables, name: str) -> dict[str, Any]:
    """Return the JSON object of a variable, or of the file it names; no part of it is ever told."""
    content = variables.content(name)
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidEnvironmentError(
            name, "is malformed: it must be the JSON object of credentials, or a file with it"
        )
    return found


# ---------------------------------------------------------------------- folders


def _filesystem(variables: Variables, url: _Config) -> StorageOptions:
    path = variables.over(url.get("path", ""), "KOPIA_FS_PATH", normal=_folder)
    if not path:
        raise InvalidEnvironmentError(
            "KOPIA_FS_PATH", "must be defined, or a URL filesystem:///PATH in KOPIA_REPOSITORY"
        )
    _check_folder(variables.set_name("KOPIA_FS_PATH"), path)
    return FilesystemOptions(
        path=path, file_mode=_mode(variables, "KOPIA_FS_FILE_MODE"), dir_mode=_mode(variables, "KOPIA_FS_DIR_MODE")
    )


def _folder(path: str) -> str:
    path = path.strip()
    return path.rstrip("/") or path[:1]


def _check_folder(name: str, path: str) -> None:
    if not path.startswith("/") or ".." in path.split("/"):
        raise InvalidEnvironmentError(name, f"is {path!r} and must be an absolute path, without '..'")


def _mode(variables: Variables, name: str) -> int:
    text = variables.text(name).strip()
    if not text:
        return 0
    if not re.fullmatch("[0-7]{1,4}", text):
        raise InvalidEnvironmentError(name, "must be permission bits in octal, such as 0640")
    return int(text, 8)


def _webdav(variables: Variables, url: _Config) -> StorageOptions:
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


def _with_sftp_path(variables: Variables, url: str) -> str:
    """Add the folder to ``sftp://host``: the variable is enough."""
    host, slash, path = url.removeprefix("sftp://").partition("/")
    given = variables.text("SFTP_PATH").strip()
    return f"sftp://{host}{slash or '/'}{path or given.lstrip('/')}"


def _sftp(variables: Variables, url: _Config) -> StorageOptions:
    host = variables.over(url.get("host", ""), "SFTP_HOST").removeprefix("[").removesuffix("]")
    if not host:
        raise InvalidEnvironmentError("SFTP_HOST", "must be defined, or a URL sftp://HOST/PATH in KOPIA_REPOSITORY")
    path = _folder(variables.text("SFTP_PATH")) or url.get("path", "")  # the documentation has both, and they differ
    if not path:
        raise InvalidEnvironmentError("SFTP_PATH", "must be defined, or a URL sftp://HOST/PATH in KOPIA_REPOSITORY")
    _check_folder("SFTP_PATH", path)
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


def _accepts_new_host_keys(variables: Variables, known_hosts: str) -> bool:
    policy = variables.text("SFTP_HOST_KEY_POLICY").strip().lower() or ("strict" if known_hosts else "accept-new")
    if policy not in {"strict", "accept-new"}:
        raise InvalidEnvironmentError("SFTP_HOST_KEY_POLICY", "must be strict or accept-new")
    if policy == "strict" and not known_hosts:
        raise InvalidEnvironmentError(
            "SFTP_KNOWN_HOSTS_DATA", "must be defined: SFTP_HOST_KEY_POLICY is strict, so the host's key must be known"
        )
    return policy == "accept-new" and not known_hosts


def _port(variables: Variables, url: _Config) -> int:
    text = variables.text("SFTP_PORT").strip()
    of_url = url.get("port", DEFAULT_SFTP_PORT)
    if not text:
        return int(of_url)
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise InvalidEnvironmentError("SFTP_PORT", "must be a number from 1 to 65535")
    if of_url not in {DEFAULT_SFTP_PORT, int(text)}:
        variables.warn(f"SFTP_PORT ({text}) is taken instead of what KOPIA_REPOSITORY says ({of_url})")
    return int(text)


# ---------------------------------------------------------------------- through others


def _rclone(variables: Variables, url: _Config) -> StorageOptions:
    remote_path = variables.over(url.get("remotePath", ""), "RCLONE_REMOTE_PATH")
    remote, colon, _ = remote_path.partition(":")
    if not remote or not colon:
        raise InvalidEnvironmentError("RCLONE_REMOTE_PATH", "must be defined as remote-name:/path")
    if not variables.text("RCLONE_CONFIG"):
        variables.required("RCLONE_CONFIG", what="rclone's configuration file")
    config = variables.content("RCLONE_CONFIG")
    if _ENCRYPTED_RCLONE_CONFIG not in config:
        parser = _ini(config)
        if parser is None:
            raise InvalidEnvironmentError("RCLONE_CONFIG", "is malformed: it must be rclone's configuration file")
        if remote.partition(",")[0] not in parser.sections():
            sections = ", ".join(parser.sections()) or "none"
            raise InvalidEnvironmentError(
                "RCLONE_CONFIG", f"has no remote {remote.partition(',')[0]}; its sections are: {sections}"
            )
    return RcloneOptions(
        remote_path=remote_path,
        rclone_exe=variables.text("RCLONE_EXE").strip(),
        embedded_config=config,
        startup_timeout="15s",
        atomic_writes=True,
    )


def _gdrive(variables: Variables, url: _Config) -> StorageOptions:
    folder = variables.over(url.get("folderID", ""), "GOOGLE_DRIVE_FOLDER_ID")
    if not folder or folder == _PLACEHOLDER_FOLDER:
        raise InvalidEnvironmentError(
            "GOOGLE_DRIVE_FOLDER_ID", "must be defined: it is the ID in the folder's address in a browser"
        )
    if not _FOLDER_ID.fullmatch(folder):
        raise InvalidEnvironmentError(
            "GOOGLE_DRIVE_FOLDER_ID", "must be the ID in the folder's address: 10 or more letters, digits, '-' or '_'"
        )
    name = "GOOGLE_DRIVE_CREDENTIALS"
    variables.required(name, what="the JSON of a service account or an authorized user")
    credentials = _json_object(variables, name)
    if credentials.get("type") not in _DRIVE_CREDENTIALS:
        raise InvalidEnvironmentError(name, f"must have a type of {' or '.join(_DRIVE_CREDENTIALS)}")
    return GoogleDriveOptions(folder_id=folder, credentials=credentials)


BACKENDS: Mapping[str, EnvironmentBackend] = {
    "s3": EnvironmentBackend(
        schemes=("s3",),
        variables=(
            "KOPIA_S3_BUCKET", "KOPIA_S3_PREFIX", "KOPIA_S3_ADDRESSING_STYLE",
            "KOPIA_S3_ENDPOINT", "AWS_S3_ENDPOINT", "KOPIA_S3_DISABLE_TLS",
            "AWS_S3_DISABLE_TLS", "KOPIA_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_CONFIG_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
        ),
        needs=(("KOPIA_S3_BUCKET",),),
        make=_s3,
        ambient=frozenset(
            {
                "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
                "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE",
            }
        ),
    ),
    "azureBlob": EnvironmentBackend(
        schemes=("azure", "az"),
        variables=(
            "KOPIA_AZURE_CONTAINER", "KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT", "AZURE_ACCOUNT_NAME",
            "KOPIA_AZURE_STORAGE_KEY", "AZURE_STORAGE_KEY", "AZURE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_ACCOUNT_SAS", "AZURE_ENDPOINT_SUFFIX", "AZURE_STORAGE_DOMAIN", "AZURE_TENANT_ID", "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE", "AZURE_FEDERATED_TOKEN_FILE",
        ),
        needs=(
            ("KOPIA_AZURE_CONTAINER",),
            ("KOPIA_AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT", "AZURE_ACCOUNT_NAME"),
        ),
        make=_azure,
        ambient=frozenset(
            {
                "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE",
                "AZURE_FEDERATED_TOKEN_FILE",
            }
        ),
    ),
    "gcs": EnvironmentBackend(
        schemes=("gcs", "gs"),
        variables=(
            "KOPIA_GCS_BUCKET", "GCS_BUCKET", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_PROJECT_ID",
            "STORAGE_EMULATOR_HOST",
        ),
        needs=(("KOPIA_GCS_BUCKET", "GCS_BUCKET"),),
        make=_gcs,
        ambient=frozenset({"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_PROJECT_ID", "STORAGE_EMULATOR_HOST"}),
    ),
    "filesystem": EnvironmentBackend(
        schemes=("filesystem", "file"),
        variables=("KOPIA_FS_PATH", "KOPIA_FS_FILE_MODE", "KOPIA_FS_DIR_MODE"),
        needs=(("KOPIA_FS_PATH",),),
        make=_filesystem,
    ),
    "b2": EnvironmentBackend(
        schemes=("b2",),
        variables=("KOPIA_B2_BUCKET", "B2_ACCOUNT_ID", "B2_KEY_ID", "B2_APPLICATION_KEY", "B2_KEY"),
        needs=(("KOPIA_B2_BUCKET",),),
        make=_b2,
    ),
    "webdav": EnvironmentBackend(
        schemes=("webdav", "webdavs", "dav", "davs", "webdav+http"),
        variables=(
            "WEBDAV_URL", "WEBDAV_USERNAME", "KOPIA_WEBDAV_USERNAME", "WEBDAV_PASSWORD", "KOPIA_WEBDAV_PASSWORD"
        ),
        needs=(("WEBDAV_URL",),),
        make=_webdav,
    ),
    "sftp": EnvironmentBackend(
        schemes=("sftp",),
        variables=(
            "SFTP_HOST", "SFTP_PORT", "SFTP_USERNAME", "SFTP_PATH", "SFTP_KEY_FILE", "SFTP_PASSWORD",
            "SFTP_KNOWN_HOSTS_DATA", "SFTP_KNOWN_HOSTS", "SFTP_HOST_KEY_POLICY",
        ),
        needs=(("SFTP_HOST",), ("SFTP_PATH",)),
        make=_sftp,
        completed=_with_sftp_path,
    ),
    "rclone": EnvironmentBackend(
        schemes=("rclone",),
        variables=("RCLONE_REMOTE_PATH", "RCLONE_CONFIG", "RCLONE_EXE"),
        needs=(("RCLONE_REMOTE_PATH",),),
        make=_rclone,
    ),
    "gdrive": EnvironmentBackend(
        schemes=("gdrive",),
        variables=("GOOGLE_DRIVE_FOLDER_ID", "GOOGLE_DRIVE_CREDENTIALS"),
        needs=(("GOOGLE_DRIVE_FOLDER_ID",),),
        make=_gdrive,
        placeholder=_PLACEHOLDER_FOLDER,
    ),
}  # fmt: skip
"""By Kopia's name of the storage type; without a URL the first with enough variables is taken, in this order."""

__all__ = ["BACKENDS", "DEFAULT_CACHE_FOLDER", "KNOWN_HOSTS", "EnvironmentBackend"]
