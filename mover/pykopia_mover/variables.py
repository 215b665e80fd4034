"""Describes variables of the environment, and lists those that select and open a storage.

The variables that the mover itself understands are the fields of ``settings.Settings``; those of storages are read by
pykopia and only named here, for the log and the documentation. Which values are secret goes by the name alone (rule M-023),
so that a variable that is not listed is covered too.
"""

import fnmatch
from typing import Final

from pykopia.dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """One variable of the environment."""

    name: str
    group: str
    """Heading under which it is documented."""
    meaning: str
    default: str = ""
    """As the documentation shows it; empty: none."""

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return is_secret(self.name)


SECRET_NAMES: Final = (
    "KOPIA_PASSWORD",
    "*_SECRET_ACCESS_KEY",
    "*_SESSION_TOKEN",
    "*_KEY",
    "*_KEY_FILE",
    "*_SAS*",
    "*_PASSWORD",
    "*_PASS",
    "*_CREDENTIALS",
    "*_SECRET",
    "*_CLIENT_CERTIFICATE",
    "RCLONE_CONFIG",
    "KOPIA_MANUAL_CONFIG",
    "KOPIA_STRUCTURED_REPOSITORY_CONFIG",
)
"""Patterns of names whose values are secret."""


def is_secret(name: str) -> bool:
    """Return True if the value of a variable must never be shown."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in SECRET_NAMES)


CONTENT_OR_PATH: Final = frozenset(
    {
        "CUSTOM_CA",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_DRIVE_CREDENTIALS",
        "KOPIA_CUSTOM_CA",
        "RCLONE_CONFIG",
        "SFTP_KEY_FILE",
        "SFTP_KNOWN_HOSTS",
    }
)
"""Variables that hold either the content itself or the path of a file with it (rule M-022)."""


def _group(group: str, *rows: tuple[str, str] | tuple[str, str, str]) -> tuple[Variable, ...]:
    return tuple(
        Variable(name=row[0], group=group, meaning=row[1], default=row[2] if len(row) > 2 else "") for row in rows
    )


STORAGE_VARIABLES: Final = (
    *_group(
        "S3",
        ("KOPIA_S3_BUCKET", "bucket; wins over that of the URL", "from the URL"),
        ("KOPIA_S3_ENDPOINT", "`host`, `host:port` or a URL", "`s3.amazonaws.com`"),
        ("AWS_ACCESS_KEY_ID", "key ID"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
        ("AWS_S3_ENDPOINT", "as `KOPIA_S3_ENDPOINT`, which wins"),
        ("KOPIA_S3_DISABLE_TLS", "plain HTTP", "false"),
        ("AWS_S3_DISABLE_TLS", "as `KOPIA_S3_DISABLE_TLS`; either one is enough", "false"),
        ("KOPIA_S3_REGION", "region", "asked from the endpoint, else `us-east-1`"),
        ("AWS_REGION", "region, when `KOPIA_S3_REGION` is not set"),
        ("AWS_DEFAULT_REGION", "region, when neither is set"),
        ("AWS_SESSION_TOKEN", "token of temporary credentials"),
        ("AWS_PROFILE", "profile to take credentials from when there is no key"),
        ("AWS_SHARED_CREDENTIALS_FILE", "file with profiles"),
        ("AWS_CONFIG_FILE", "file with profiles"),
        ("AWS_ROLE_ARN", "role to assume"),
        ("AWS_ROLE_SESSION_NAME", "name of the session of that role"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "token for the role"),
        ("KOPIA_S3_PREFIX", "what every object name starts with; wins over the URL", "from the URL"),
        ("KOPIA_S3_ADDRESSING_STYLE", "`path` or `virtual`: where requests name the bucket", "by the endpoint"),
    ),
    *_group(
        "Azure",
        ("KOPIA_AZURE_CONTAINER", "container; wins over that of the URL", "from the URL"),
        ("KOPIA_AZURE_STORAGE_ACCOUNT", "storage account"),
        ("AZURE_STORAGE_ACCOUNT", "the same"),
        ("AZURE_ACCOUNT_NAME", "the same"),
        ("KOPIA_AZURE_STORAGE_KEY", "key of the account"),
        ("AZURE_STORAGE_KEY", "the same"),
        ("AZURE_ACCOUNT_KEY", "the same"),
        ("AZURE_STORAGE_SAS_TOKEN", "SAS token; wins over a key"),
        ("AZURE_ACCOUNT_SAS", "the same"),
        ("AZURE_ENDPOINT_SUFFIX", "suffix of another cloud, or the URL of an emulator", "`core.windows.net`"),
        ("AZURE_STORAGE_DOMAIN", "the same"),
        ("AZURE_TENANT_ID", "tenant of a service principal"),
        ("AZURE_CLIENT_ID", "service principal"),
        ("AZURE_CLIENT_SECRET", "its secret"),
        ("AZURE_CLIENT_CERTIFICATE", "its certificate"),
        ("AZURE_FEDERATED_TOKEN_FILE", "token of a workload identity"),
    ),
    *_group(
        "Google Cloud Storage",
        ("KOPIA_GCS_BUCKET", "bucket; wins over that of the URL", "from the URL"),
        ("GCS_BUCKET", "the same"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "JSON of a service account, or the path of a file with it", "ambient"),
        ("GOOGLE_PROJECT_ID", "project", "from the credentials"),
        ("STORAGE_EMULATOR_HOST", "URL of an emulator, for tests"),
    ),
    *_group(
        "Filesystem",
        ("KOPIA_FS_PATH", "folder of the repository; wins over the URL", "from the URL"),
        ("KOPIA_FS_FILE_MODE", "mode of new files, octal", "`0600`"),
        ("KOPIA_FS_DIR_MODE", "mode of new folders, octal", "`0700`"),
    ),
    *_group(
        "Backblaze B2",
        ("KOPIA_B2_BUCKET", "bucket; wins over that of the URL", "from the URL"),
        ("B2_ACCOUNT_ID", "key ID, master or restricted"),
        ("B2_KEY_ID", "the same"),
        ("B2_APPLICATION_KEY", "key"),
        ("B2_KEY", "the same"),
    ),
    *_group(
        "WebDAV",
        ("WEBDAV_URL", "the whole location, `https://` or `http://`; required"),
        ("WEBDAV_USERNAME", "user"),
        ("WEBDAV_PASSWORD", "its password"),
        ("KOPIA_WEBDAV_USERNAME", "as `WEBDAV_USERNAME`, which wins"),
        ("KOPIA_WEBDAV_PASSWORD", "as `WEBDAV_PASSWORD`, which wins"),
    ),
    *_group(
        "SFTP",
        ("SFTP_HOST", "host", "from the URL"),
        ("SFTP_PORT", "port", "from the URL, else 22"),
        ("SFTP_USERNAME", "user", "from the URL"),
        ("SFTP_PATH", "absolute path of the folder", "from the URL"),
        ("SFTP_KEY_FILE", "private key, or the path of a file with it; wins over a password"),
        ("SFTP_PASSWORD", "password"),
        ("SFTP_KNOWN_HOSTS_DATA", "lines of a known-hosts file"),
        ("SFTP_KNOWN_HOSTS", "the same, or the path of the file"),
        ("SFTP_HOST_KEY_POLICY", "`strict` or `accept-new`", "`strict` with known hosts, else `accept-new`"),
    ),
    *_group(
        "rclone",
        ("RCLONE_REMOTE_PATH", "`remote:path`", "from the URL"),
        ("RCLONE_CONFIG", "content of the configuration file, or its path; required"),
        ("RCLONE_EXE", "executable", "`rclone` on the path"),
    ),
    *_group(
        "Google Drive",
        ("GOOGLE_DRIVE_FOLDER_ID", "folder ID; wins over the URL", "from the URL"),
        ("GOOGLE_DRIVE_CREDENTIALS", "JSON of a service account or an authorized user, or the path of a file with it"),
    ),
)
"""The variables of storages, in the order in which the log shows them."""

UNUSED: Final = frozenset(
    {
        "KOPIA_CA_CERT",
        "KOPIA_CHECK_FOR_UPDATES",
        "KOPIA_HOSTNAME",
        "KOPIA_JSON_CONFIG_FILE",
        "KOPIA_MANUAL_CACHING_CONFIG",
        "KOPIA_MANUAL_COMPRESSION_CONFIG",
        "KOPIA_MANUAL_ENCRYPTION_CONFIG",
        "KOPIA_MANUAL_SPLITTER_CONFIG",
        "KOPIA_USERNAME",
    }
)
"""Variables of older movers that were never part of an interface: ignored without a warning."""


__all__ = ["CONTENT_OR_PATH", "SECRET_NAMES", "STORAGE_VARIABLES", "UNUSED", "Variable", "is_secret"]
