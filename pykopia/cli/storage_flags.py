"""Flags of each kind of storage: the one place where they are declared and turned into a connection.

A new kind of storage gets a class here and a line in `pykopia.cli.tree`.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pykopia.cli import passwords, values
from pykopia.cli.connect_flags import CreateFlags
from pykopia.cli.parsing import CommandLineError, Options, flag, flag_list
from pykopia.cli.session import Session

if TYPE_CHECKING:
    from pykopia.storage.connection import ConnectionInfo
    from pykopia.storage.options import ThrottlingLimits

_SPEED = "BYTES_PER_SEC"
_TIME = "TIME"
DEFAULT_FILE_MODE = 0o600
DEFAULT_FOLDER_MODE = 0o700


class StorageFlags(Options):
    """What tells where a repository is."""

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection that the flags describe.

        Args:
            session: The run of the program.
            create: Whether a repository is to be created there.
        """
        raise NotImplementedError

    def complete_connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection with what all kinds of storage have in common."""
        return self.connection(session, create=create)


class ThrottledFlags(StorageFlags):
    """What the kinds of storage have in common."""

    max_download_speed = flag(0.0, "Limit the speed of reading.", placeholder=_SPEED)
    max_upload_speed = flag(0.0, "Limit the speed of writing.", placeholder=_SPEED)
    retry_for = flag(
        "", "How long a storage is asked again that asks to come back later (15m).", placeholder="DURATION"
    )

    def complete_connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection with what all kinds of storage have in common."""
        from pykopia.format.duration import parse_duration  # noqa: PLC0415

        found = self.connection(session, create=create)
        if not self.retry_for:
            return found
        try:
            parse_duration(self.retry_for)
        except ValueError:
            message = f"--retry-for must be a duration such as 15m or 1h30m; it is {self.retry_for!r}"
            raise CommandLineError(message) from None
        return found.with_fields({"retryFor": self.retry_for})

    @property
    def limits(self) -> "ThrottlingLimits":
        """The speed limits."""
        from pykopia.storage.options import ThrottlingLimits  # noqa: PLC0415 -- not for a help text

        return ThrottlingLimits(
            download_bytes_per_second=self.max_download_speed, upload_bytes_per_second=self.max_upload_speed
        )


class ShardedFlags(ThrottledFlags):
    """What storages made of files in folders have in common."""

    flat = flag(False, "Put all files into one folder.")
    list_parallelism = flag(0, "Folders listed at one time.", hidden=True)

    def shards(self, session: Session, *, create: bool) -> tuple[int, ...] | None:
        """Return the layout of a new storage; None is the default. Format version 1 has one of its own."""
        if self.flat:
            return ()
        return (3, 3) if create and session.options(CreateFlags).format_version == 1 else None


class FilesystemFlags(ShardedFlags):
    """A folder on this machine."""

    path: str = flag("", "The folder.", required=True)
    owner_uid = flag("", "User ID that owns new files.", placeholder="USER")
    owner_gid = flag("", "Group ID that owns new files.", placeholder="GROUP")
    file_mode = flag("", "Mode of new files (0600).", placeholder="MODE")
    dir_mode = flag("", "Mode of new folders (0700).", placeholder="MODE")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the folder."""
        from pykopia.storage.backends.filesystem.options import FilesystemOptions  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        path = session.expand_user(self.path)
        if not os.path.isabs(path):
            message = f"--path must be absolute; it is {path!r}"
            raise CommandLineError(message)
        return ConnectionInfo.from_options(
            FilesystemOptions(
                path=path,
                file_mode=_octal(self.file_mode, DEFAULT_FILE_MODE),
                dir_mode=_octal(self.dir_mode, DEFAULT_FOLDER_MODE),
                uid=_number(self.owner_uid),
                gid=_number(self.owner_gid),
                dir_shards=self.shards(session, create=create),
                list_parallelism=self.list_parallelism,
                throttling=self.limits,
            )
        )


class _PointInTimeFlags(ThrottledFlags):
    point_in_time = flag("", "See the storage as it was at a time.", placeholder=_TIME)

    def checked_time(self, *, create: bool) -> str:
        from pykopia.errors import DamagedDataError  # noqa: PLC0415
        from pykopia.format import gojson  # noqa: PLC0415

        if not self.point_in_time:
            return ""
        if create:
            message = "--point-in-time can't be used to create a repository"
            raise CommandLineError(message)
        try:
            gojson.parse_time(self.point_in_time)
        except DamagedDataError:
            message = f"--point-in-time must be a time such as 2026-01-02T03:04:05Z; it is {self.point_in_time!r}"
            raise CommandLineError(message) from None
        return self.point_in_time


class S3Flags(_PointInTimeFlags):
    """A bucket that speaks S3."""

    bucket = flag("", "Name of the bucket.", required=True)
    endpoint = flag("s3.amazonaws.com", "Server, with its port if need be.")
    region = flag("", "Region.")
    access_key = flag("", "Access key ID.", env="AWS_ACCESS_KEY_ID", required=True)
    secret_access_key = flag("", "Secret access key.", env="AWS_SECRET_ACCESS_KEY", required=True)
    session_token = flag("", "Session token.", env="AWS_SESSION_TOKEN")
    prefix = flag("", "Put before the name of each object; end it with / to use it as a folder.")
    disable_tls = flag(False, "Use HTTP instead of HTTPS.")
    disable_tls_verification = flag(False, "Accept any certificate.")
    root_ca_pem_base64 = flag("", "Certificate authority, PEM in base64.", env="ROOT_CA_PEM_BASE64")
    root_ca_pem_path = flag("", "File with the certificate authority.")
    addressing_style = flag(
        "", "Where the bucket stands in requests: path, or virtual for the host name; by the endpoint if left out."
    )

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the bucket."""
        from pykopia.storage.backends.s3.options import S3Options  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        return ConnectionInfo.from_options(
            S3Options(
                bucket=self.bucket,
                prefix=self.prefix,
                endpoint=self.endpoint,
                region=self.region,
                do_not_use_tls=self.disable_tls,
                do_not_verify_tls=self.disable_tls_verification,
                root_ca=self._root_ca(),
                access_key_id=self.access_key,
                secret_access_key=self.secret_access_key,
                session_token=self.session_token,
                addressing_style=self.addressing_style,
                point_in_time=self.checked_time(create=create),
                throttling=self.limits,
            )
        )

    def _root_ca(self) -> bytes:
        import base64  # noqa: PLC0415

        if self.root_ca_pem_base64 and self.root_ca_pem_path:
            message = "--root-ca-pem-base64 and --root-ca-pem-path exclude each other"
            raise CommandLineError(message)
        if self.root_ca_pem_path:
            return _read_file("--root-ca-pem-path", self.root_ca_pem_path)
        try:
            return base64.b64decode(self.root_ca_pem_base64, validate=True)
        except ValueError:
            message = "--root-ca-pem-base64 is not base64"
            raise CommandLineError(message) from None


class GcsFlags(_PointInTimeFlags):
    """A bucket of Google Cloud Storage."""

    bucket = flag("", "Name of the bucket.", required=True)
    prefix = flag("", "Put before the name of each object.")
    read_only = flag(False, "Ask for reading rights only.")
    credentials_file = flag("", "JSON file with the credentials.", kind=values.existing_file)
    embed_credentials = flag(False, "Copy the credentials into the connection file.")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the bucket."""
        from pykopia.storage.backends.gcs.options import GCSOptions  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        return ConnectionInfo.from_options(
            GCSOptions(
                bucket=self.bucket,
                prefix=self.prefix,
                credentials_file="" if self.embed_credentials else self.credentials_file,
                credentials=_credentials(self.credentials_file) if self.embed_credentials else None,
                read_only=self.read_only,
                point_in_time=self.checked_time(create=create),
                throttling=self.limits,
            )
        )


class AzureFlags(_PointInTimeFlags):
    """A container of Azure Blob Storage."""

    container = flag("", "Name of the container.", required=True)
    storage_account = flag("", "Storage account.", env="AZURE_STORAGE_ACCOUNT", required=True)
    storage_key = flag("", "Key of the storage account.", env="AZURE_STORAGE_KEY")
    storage_domain = flag("", "Domain of the storage.", env="AZURE_STORAGE_DOMAIN")
    sas_token = flag("", "Shared access signature.", env="AZURE_STORAGE_SAS_TOKEN")
    prefix = flag("", "Put before the name of each blob.")
    tenant_id = flag("", "Tenant of the service principal.", env="AZURE_TENANT_ID")
    client_id = flag("", "Client ID of the service principal.", env="AZURE_CLIENT_ID")
    client_secret = flag("", "Secret of the service principal.", env="AZURE_CLIENT_SECRET")
    client_cert = flag("", "Certificate of the service principal.", env="AZURE_CLIENT_CERTIFICATE")
    azure_federated_token_file = flag("", "File with a federated token.", env="AZURE_FEDERATED_TOKEN_FILE")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the container."""
        from pykopia.storage.backends.azureblob.options import AzureBlobOptions  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        return ConnectionInfo.from_options(
            AzureBlobOptions(
                container=self.container,
                prefix=self.prefix,
                storage_account=self.storage_account,
                storage_key=self.storage_key,
                storage_domain=self.storage_domain,
                sas_token=self.sas_token,
                tenant_id=self.tenant_id,
                client_id=self.client_id,
                client_secret=self.client_secret,
                client_certificate=self.client_cert,
                azure_federated_token_file=self.azure_federated_token_file,
                point_in_time=self.checked_time(create=create),
                throttling=self.limits,
            )
        )


class B2Flags(ThrottledFlags):
    """A bucket of Backblaze B2."""

    bucket = flag("", "Name of the bucket.", required=True)
    key_id = flag("", "Key ID.", env="B2_KEY_ID", required=True)
    key = flag("", "Secret key.", env="B2_KEY", required=True)
    prefix = flag("", "Put before the name of each file.")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the bucket."""
        from pykopia.storage.backends.b2.options import B2Options  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        return ConnectionInfo.from_options(
            B2Options(bucket=self.bucket, prefix=self.prefix, key_id=self.key_id, key=self.key, throttling=self.limits)
        )


class GdriveFlags(ThrottledFlags):
    """A folder of Google Drive."""

    folder_id = flag("", "ID of the folder.", required=True)
    read_only = flag(False, "Ask for reading rights only.")
    credentials_file = flag("", "JSON file with the credentials.", kind=values.existing_file)
    embed_credentials = flag(False, "Copy the credentials into the connection file.")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the folder."""
        from pykopia.storage.backends.gdrive.options import GoogleDriveOptions  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        return ConnectionInfo.from_options(
            GoogleDriveOptions(
                folder_id=self.folder_id,
                credentials_file="" if self.embed_credentials else self.credentials_file,
                credentials=_credentials(self.credentials_file) if self.embed_credentials else None,
                read_only=self.read_only,
                throttling=self.limits,
            )
        )


class SftpFlags(ShardedFlags):
    """A folder on an SFTP server."""

    path = flag("", "The folder on the server.", required=True)
    host = flag("", "Name of the server.", required=True)
    port = flag(22, "Port of the server.")
    username = flag("", "User on the server.", required=True)
    sftp_password = flag("", "Password of the user.")
    keyfile = flag("", "File with the private key.")
    key_data = flag("", "The private key itself.")
    known_hosts = flag("", "File with the keys of known hosts.")
    known_hosts_data = flag("", "The keys of known hosts themselves.")
    embed_credentials = flag(False, "Copy key and known hosts into the connection file.")
    external = flag(False, "Use the ssh program, without a password.")
    ssh_command = flag("ssh", "The ssh program.")
    ssh_args = flag("", "Arguments for the ssh program.")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the folder."""
        from pykopia.storage.backends.sftp.options import SFTPOptions  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        keyfile, key = _file_or_text("--keyfile", self.keyfile, self.key_data, embed=self.embed_credentials)
        hosts_file, hosts = _file_or_text(
            "--known-hosts", self.known_hosts, self.known_hosts_data, embed=self.embed_credentials
        )
        if not self.external:
            if not (self.sftp_password or key or keyfile):
                message = "one of --sftp-password, --keyfile and --key-data must be given"
                raise CommandLineError(message)
            if not (hosts or hosts_file):
                message = "one of --known-hosts and --known-hosts-data must be given"
                raise CommandLineError(message)
        return ConnectionInfo.from_options(
            SFTPOptions(
                path=self.path,
                host=self.host,
                port=self.port,
                username=self.username,
                password=self.sftp_password,
                keyfile=keyfile,
                key_data=key,
                known_hosts_file=hosts_file,
                known_hosts_data=hosts,
                external_ssh=self.external,
                ssh_command=self.ssh_command,
                ssh_arguments=self.ssh_args,
                dir_shards=self.shards(session, create=create),
                list_parallelism=self.list_parallelism,
                throttling=self.limits,
            )
        )


class WebdavFlags(ShardedFlags):
    """A folder on a WebDAV server."""

    url = flag("", "URL of the folder.", required=True)
    webdav_username = flag("", "User on the server.", env="KOPIA_WEBDAV_USERNAME")
    webdav_password = flag("", "Password of the user.", env="KOPIA_WEBDAV_PASSWORD")
    atomic_writes = flag(False, "Trust the server to write files whole or not at all.")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the folder; the password is asked for when there is only a name."""
        from pykopia.storage.backends.webdav.options import WebDAVOptions  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        password = self.webdav_password
        if self.webdav_username and not password:
            password = passwords.ask(session, "Enter WebDAV password: ")
        return ConnectionInfo.from_options(
            WebDAVOptions(
                url=self.url,
                username=self.webdav_username,
                password=password,
                atomic_writes=self.atomic_writes,
                dir_shards=self.shards(session, create=create),
                list_parallelism=self.list_parallelism,
                throttling=self.limits,
            )
        )


class RcloneFlags(ShardedFlags):
    """Anything that rclone reaches."""

    remote_path = flag("", "remote:path as rclone names it.", required=True)
    rclone_exe = flag("", "The rclone program.")
    rclone_args = flag_list("Argument for rclone.")
    rclone_env = flag_list("Environment variable for rclone, key=value.")
    embed_rclone_config = flag("", "Copy this configuration into the connection file.", kind=values.existing_file)
    rclone_debug = flag(False, "Log what rclone prints.", hidden=True)
    rclone_nowait_for_transfers = flag(False, "Don't wait for rclone's transfers at the end.", hidden=True)
    atomic_writes = flag(True, "Trust the remote to write files whole or not at all.")
    rclone_startup_timeout = flag("15s", "Time that rclone may take to start.", placeholder="DURATION")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection to the remote."""
        from pykopia.storage.backends.rclone.options import RcloneOptions  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        embedded = ""
        if self.embed_rclone_config:
            embedded = _read_file("--embed-rclone-config", self.embed_rclone_config).decode()
        return ConnectionInfo.from_options(
            RcloneOptions(
                remote_path=self.remote_path,
                rclone_exe=self.rclone_exe,
                rclone_args=tuple(self.rclone_args),
                rclone_env=tuple(self.rclone_env),
                startup_timeout=self.rclone_startup_timeout,
                debug=self.rclone_debug,
                no_wait_for_transfers=self.rclone_nowait_for_transfers,
                embedded_config=embedded,
                atomic_writes=self.atomic_writes,
                dir_shards=self.shards(session, create=create),
                list_parallelism=self.list_parallelism,
                throttling=self.limits,
            )
        )


class FromConfigFlags(StorageFlags):
    """What another connection file or a token says."""

    file = flag("", "Connection file.")
    token = flag("", "Token that `repository status --reconnect-token` printed.")
    token_file = flag("", "File with the token.")
    token_stdin = flag(False, "Read the token from stdin.")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection; a password inside the token serves unless one is given."""
        from pykopia.format.token import ConnectionToken  # noqa: PLC0415
        from pykopia.repository.connection_file import read_config  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415

        if self.file and not create:
            return ConnectionInfo.from_json(read_config(Path(self.file)).storage)
        if self.token:
            text = self.token
        elif self.token_file:
            text = _read_file("--token-file", self.token_file).decode("utf-8", "replace")
        elif self.token_stdin:
            text = session.stdin.read()
        else:
            choices = (
                "--token-file, --token-stdin or --token" if create else "--file, --token-file, --token-stdin or --token"
            )
            message = f"one of {choices} must be given"
            raise CommandLineError(message)
        token = ConnectionToken.decode(text.strip())
        if token.password:
            session.flags.password = token.password
        return ConnectionInfo.from_json(token.storage)


def _octal(text: str, default: int) -> int:
    try:
        return int(text, 8)
    except ValueError:
        return default


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _read_file(written: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"{written}: {path} can't be read: {error.strerror}"
        raise CommandLineError(message) from None


def _file_or_text(written: str, path: str, text: str, *, embed: bool) -> tuple[str, str]:
    """Return path and content, of which one is empty."""
    if path and not text and embed:
        return "", _read_file(written, path).decode()
    return (os.path.abspath(path) if path and not text else ""), text


def _credentials(path: str) -> object:
    import json  # noqa: PLC0415

    try:
        return json.loads(_read_file("--credentials-file", path))
    except ValueError:
        message = f"--credentials-file: {path} is not JSON"
        raise CommandLineError(message) from None


__all__ = [
    "AzureFlags",
    "B2Flags",
    "FilesystemFlags",
    "FromConfigFlags",
    "GcsFlags",
    "GdriveFlags",
    "RcloneFlags",
    "S3Flags",
    "SftpFlags",
    "ShardedFlags",
    "StorageFlags",
    "ThrottledFlags",
    "WebdavFlags",
]
