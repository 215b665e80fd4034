"""Variables of the mover's container: from the Secret, from the specification, from the operator."""

import re
from collections.abc import Mapping
from typing import Final

from pykopia_operator.decide.identity import Identity
from pykopia_operator.decide.objects import Obj
from pykopia_operator.decide.ownership import Destination, Source
from pykopia_operator.decide.world import Keys
from pykopia_operator.model.common import MoverOptions

ARGUMENT_SEPARATOR: Final = "|VOLSYNC_ARG_SEP|"

SECRET_VARIABLES: Final = (
    "KOPIA_REPOSITORY",
    "KOPIA_PASSWORD",
    "KOPIA_MANUAL_CONFIG",
    "KOPIA_S3_BUCKET",
    "KOPIA_S3_ENDPOINT",
    "KOPIA_S3_DISABLE_TLS",
    "KOPIA_S3_PREFIX",
    "KOPIA_S3_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_S3_ENDPOINT",
    "AWS_S3_DISABLE_TLS",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_PROFILE",
    "KOPIA_AZURE_CONTAINER",
    "KOPIA_AZURE_STORAGE_ACCOUNT",
    "KOPIA_AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS",
    "AZURE_ENDPOINT_SUFFIX",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "KOPIA_GCS_BUCKET",
    "GOOGLE_PROJECT_ID",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "KOPIA_FS_PATH",
    "KOPIA_B2_BUCKET",
    "B2_ACCOUNT_ID",
    "B2_APPLICATION_KEY",
    "WEBDAV_URL",
    "WEBDAV_USERNAME",
    "WEBDAV_PASSWORD",
    "SFTP_HOST",
    "SFTP_PORT",
    "SFTP_USERNAME",
    "SFTP_PASSWORD",
    "SFTP_PATH",
    "SFTP_KEY_FILE",
    "SFTP_KNOWN_HOSTS",
    "SFTP_KNOWN_HOSTS_DATA",
    "RCLONE_REMOTE_PATH",
    "RCLONE_EXE",
    "RCLONE_CONFIG",
    "GOOGLE_DRIVE_FOLDER_ID",
    "GOOGLE_DRIVE_CREDENTIALS",
)
"""Keys of the repository Secret that the documentation names; further keys reach the mover too."""

CREDENTIAL_FILES: Final = {
    "GOOGLE_APPLICATION_CREDENTIALS": ("gcs.json", 0o400),
    "GOOGLE_DRIVE_CREDENTIALS": ("gdrive.json", 0o400),
    "SFTP_KEY_FILE": ("sftp_key", 0o600),
}
"""Keys that become files where the mover can read files of a Secret, with the modes for root."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def value(name: str, text: str) -> Obj:
    """Return one variable."""
    return {"name": name, "value": text}


def from_secret(name: str, secret: str, *, optional: bool = True) -> Obj:
    """Return one variable that comes from a key of the same name in a Secret."""
    reference: Obj = {"name": secret, "key": name}
    if optional:
        reference["optional"] = True
    return {"name": name, "valueFrom": {"secretKeyRef": reference}}


def credential_files(secret: Keys | None, *, readable: bool) -> tuple[str, ...]:
    """Return the keys of a Secret that are mounted as files.

    Args:
        secret: the repository Secret.
        readable: whether the mover's user can read files of a Secret: as root, or by an fsGroup.
    """
    if secret is None or not readable:
        return ()
    return tuple(key for key in CREDENTIAL_FILES if key in secret.names and key not in secret.paths)


def secret_environment(
    secret_name: str, secret: Keys | None, *, files: tuple[str, ...], repository: str, reserved: frozenset[str]
) -> list[Obj]:
    """Return the variables that come from the repository Secret.

    Args:
        secret_name: of the Secret.
        secret: its keys; None: not known.
        files: keys that are mounted as files.
        repository: URL of a repository in a volume of the mover; empty: the Secret has the URL.
        reserved: variables that the operator sets itself.
    """
    found = []
    names = list(SECRET_VARIABLES)
    if secret is not None:
        names += sorted(key for key in secret.names if key not in SECRET_VARIABLES and _NAME.fullmatch(key))
    for name in names:
        if name in reserved:
            continue
        if name == "KOPIA_REPOSITORY" and repository:
            found.append(value(name, repository))
        elif name in files:
            found.append(value(name, f"/credentials/{CREDENTIAL_FILES[name][0]}"))
        else:
            found.append(from_secret(name, secret_name, optional=name not in {"KOPIA_REPOSITORY", "KOPIA_PASSWORD"}))
    return found


def identity_environment(identity: Identity) -> dict[str, str]:
    """Return the variables of an identity."""
    found = {"KOPIA_OVERRIDE_USERNAME": identity.user}
    if identity.host:
        found["KOPIA_OVERRIDE_HOSTNAME"] = identity.host
    if identity.owner is not None:
        found["VOLSYNC_OWNER_NAMESPACE"], found["VOLSYNC_OWNER_NAME"] = identity.owner
    if identity.path:
        found["KOPIA_SOURCE_PATH_OVERRIDE"] = identity.path
    if identity.legacy:
        found["KOPIA_LEGACY_IDENTITIES"] = ",".join(identity.legacy)
    return found


def common_environment(kopia: MoverOptions, *, data_dir: str, privileged: bool, debug: bool) -> dict[str, str]:
    """Return the variables that backups and restores share."""
    found = {
        "DATA_DIR": data_dir,
        "KOPIA_CACHE_DIR": "/cache",
        "PRIVILEGED_MOVER": "1" if privileged else "0",
    }
    if debug:
        found["DEBUG_MOVER"] = "1"
    if kopia.custom_ca is not None and (kopia.custom_ca.secret_name or kopia.custom_ca.config_map_name):
        found["CUSTOM_CA"] = "/customCA/ca.crt"
    policy = kopia.policy_config
    if policy is not None:
        if policy.config_map_name or policy.secret_name:
            found["KOPIA_CONFIG_PATH"] = "/kopia-config"
            found["KOPIA_GLOBAL_POLICY_FILE"] = f"/kopia-config/{policy.global_policy_filename}"
            found["KOPIA_REPOSITORY_CONFIG_FILE"] = f"/kopia-config/{policy.repository_config_filename}"
        if policy.repository_config:
            found["KOPIA_STRUCTURED_REPOSITORY_CONFIG"] = policy.repository_config
    if kopia.additional_args:
        found["KOPIA_ADDITIONAL_ARGS"] = ARGUMENT_SEPARATOR.join(kopia.additional_args)
    return found


def backup_environment(source: Source) -> dict[str, str]:
    """Return the variables that only a backup has."""
    kopia = source.kopia
    found = {}
    if kopia.retain is not None:
        for name in ("hourly", "daily", "weekly", "monthly", "yearly", "latest"):
            count = getattr(kopia.retain, name)
            if count is not None:
                found[f"KOPIA_RETAIN_{name.upper()}"] = str(count)
    found["KOPIA_COMPRESSION"] = kopia.compression or "zstd"
    found["KOPIA_PARALLELISM"] = str(kopia.parallelism or 1)
    if kopia.actions is not None:
        if kopia.actions.before_snapshot:
            found["KOPIA_BEFORE_SNAPSHOT"] = kopia.actions.before_snapshot
        if kopia.actions.after_snapshot:
            found["KOPIA_AFTER_SNAPSHOT"] = kopia.actions.after_snapshot
    return found


def restore_environment(destination: Destination, *, on_missing: str) -> dict[str, str]:
    """Return the variables that only a restore has."""
    kopia = destination.kopia
    found = {"KOPIA_ON_MISSING_SNAPSHOT": on_missing, "KOPIA_DISCOVER_SNAPSHOTS": "true"}
    if kopia.restore_as_of:
        found["KOPIA_RESTORE_AS_OF"] = kopia.restore_as_of
    if kopia.shallow is not None:
        found["KOPIA_SHALLOW"] = str(kopia.shallow)
    if kopia.previous:
        found["KOPIA_PREVIOUS"] = str(kopia.previous)
    if kopia.enable_file_deletion:
        found["KOPIA_ENABLE_FILE_DELETION"] = "true"
    return found


def proxy_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the operator's own proxies, in upper and lower case."""
    found = {}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        text = environment.get(name.lower()) or environment.get(name)
        if text:
            found[name] = found[name.lower()] = text
    return found
