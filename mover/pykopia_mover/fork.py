"""The interface between the operator of VolSync's Kopia fork and a mover: the table in the README.

The same rows drive the tests, which run each of them: ``tests/mover/test_fork.py``.
"""

from typing import Final, Literal

from pykopia.dataclass import dataclass

Kind = Literal["argument", "variable", "volume", "exit status", "log pattern"]
Scenario = Literal["", "backup", "restore", "no-data", "maintenance", "failure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One part of the interface."""

    kind: Kind
    name: str
    """Argument, variable, path, number, or regular expression."""
    of: str
    """Jobs of the operator that set or read it."""
    here: str
    """What this mover does with it."""
    example: str = ""
    """A value of a variable that the operator gives."""
    scenario: Scenario = ""
    """The run whose log must match, for log patterns."""


def _variables(of: str, here: str, *rows: tuple[str, str]) -> tuple[Row, ...]:
    return tuple(Row(kind="variable", name=name, of=of, here=here, example=example) for name, example in rows)


_SECRET: Final = "all; a key of the repository Secret"  # noqa: S105 -- no secret

ROWS: Final = (
    Row(kind="argument", name="backup", of="ReplicationSource", here="takes a snapshot of `DATA_DIR`"),
    Row(kind="argument", name="restore", of="ReplicationDestination", here="restores into `DATA_DIR`"),
    Row(kind="argument", name="DIRECTION=source", of="Jobs without arguments", here="as `backup`"),
    Row(kind="argument", name="DIRECTION=destination", of="Jobs without arguments", here="as `restore`"),
    Row(kind="argument", name="DIRECTION=maintenance", of="KopiaMaintenance", here="maintains, as the owner"),
    *_variables(
        "all",
        "as documented below",
        ("DATA_DIR", "/data"),
        ("KOPIA_CACHE_DIR", "/cache"),
        ("PRIVILEGED_MOVER", "0"),
        ("DEBUG_MOVER", ""),
        ("KOPIA_REPOSITORY", "filesystem:///repository"),
        ("KOPIA_PASSWORD", "a password"),
        ("KOPIA_CACHE_CAPACITY_BYTES", "1073741824"),
        ("KOPIA_METADATA_CACHE_SIZE_LIMIT_MB", "700"),
        ("KOPIA_CONTENT_CACHE_SIZE_LIMIT_MB", "200"),
        ("CUSTOM_CA", ""),
        ("KOPIA_CONFIG_PATH", ""),
        ("KOPIA_GLOBAL_POLICY_FILE", ""),
        ("KOPIA_REPOSITORY_CONFIG_FILE", ""),
        ("KOPIA_STRUCTURED_REPOSITORY_CONFIG", ""),
        ("KOPIA_ADDITIONAL_ARGS", ""),
    ),
    *_variables(
        "all", "accepted, without effect: limits of the cache always hold", ("KOPIA_SKIP_CACHE_CONFIG", "true")
    ),
    *_variables(
        "backup and restore",
        "as documented below",
        ("KOPIA_OVERRIDE_USERNAME", "app"),
        ("KOPIA_OVERRIDE_HOSTNAME", "ns"),
        ("KOPIA_SOURCE_PATH_OVERRIDE", "/data"),
    ),
    *_variables(
        "ReplicationSource",
        "as documented below",
        ("KOPIA_COMPRESSION", "zstd"),
        ("KOPIA_PARALLELISM", "2"),
        ("KOPIA_RETAIN_HOURLY", "2"),
        ("KOPIA_RETAIN_DAILY", "7"),
        ("KOPIA_RETAIN_WEEKLY", "4"),
        ("KOPIA_RETAIN_MONTHLY", "6"),
        ("KOPIA_RETAIN_YEARLY", "1"),
        ("KOPIA_RETAIN_LATEST", "5"),
        ("KOPIA_BEFORE_SNAPSHOT", "true"),
        ("KOPIA_AFTER_SNAPSHOT", "true"),
        ("KOPIA_MANUAL_CONFIG", '{"splitter": {"algorithm": "DYNAMIC-4M-BUZHASH"}}'),
    ),
    *_variables(
        "ReplicationDestination",
        "as documented below",
        ("KOPIA_RESTORE_AS_OF", "2100-01-01T00:00:00Z"),
        ("KOPIA_SHALLOW", "3"),
        ("KOPIA_PREVIOUS", "0"),
        ("KOPIA_ENABLE_FILE_DELETION", "true"),
        ("KOPIA_DISCOVER_SNAPSHOTS", "true"),
    ),
    *_variables(
        "KopiaMaintenance",
        "as documented below",
        ("KOPIA_OVERRIDE_MAINTENANCE_USERNAME", "maintenance@ns"),
        ("KOPIA_OVERRIDE_MAINTENANCE_HOSTNAME", "ns"),
        ("KOPIA_CUSTOM_CA", ""),
    ),
    *_variables(
        _SECRET,
        "chooses and opens the storage, as documented below",
        *(
            (name, "")
            for name in (
                "KOPIA_S3_BUCKET",
                "KOPIA_S3_ENDPOINT",
                "KOPIA_S3_DISABLE_TLS",
                "AWS_S3_ENDPOINT",
                "AWS_S3_DISABLE_TLS",
                "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_SESSION_TOKEN",
                "AWS_REGION",
                "AWS_DEFAULT_REGION",
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
                "KOPIA_GCS_BUCKET",
                "GCS_BUCKET",
                "GOOGLE_APPLICATION_CREDENTIALS",
                "GOOGLE_PROJECT_ID",
                "GOOGLE_DRIVE_FOLDER_ID",
                "GOOGLE_DRIVE_CREDENTIALS",
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
                "RCLONE_CONFIG",
                "RCLONE_EXE",
            )
        ),
    ),
    Row(kind="volume", name="/data", of="ReplicationSource", here="what is backed up"),
    Row(
        kind="volume",
        name="/restore/data",
        of="ReplicationDestination",
        here="what is restored into; recorded as `/data`",
    ),
    Row(kind="volume", name="/cache", of="all", here="cache, log files, work files of maintenance"),
    Row(kind="volume", name="/tmp", of="all but manual maintenance Jobs", here="used when there; never needed"),  # noqa: S108
    Row(
        kind="volume",
        name="/kopia-config",
        of="those with policyConfig",
        here="`global-policy.json` and `repository.config`",
    ),
    Row(
        kind="volume",
        name="/credentials",
        of="those with key files",
        here="key files that variables name; `repository.config`",
    ),
    Row(kind="volume", name="/customCA/ca.crt", of="those with customCA", here="named by `CUSTOM_CA`; trusted"),
    Row(kind="exit status", name="0", of="all", here="the run went well, or there was nothing to do"),
    Row(
        kind="exit status",
        name="not 0",
        of="all",
        here="the run failed; [the status](#what-it-does-and-does-not-do) says how",
    ),
    Row(kind="log pattern", name="processed.*files", of="ReplicationSource", here="last line", scenario="backup"),
    Row(kind="log pattern", name="snapshot.*created", of="ReplicationSource", here="last line", scenario="backup"),
    Row(kind="log pattern", name="Kopia completed in.*", of="ReplicationSource", here="last line", scenario="backup"),
    Row(
        kind="log pattern",
        name="Using username override: ",
        of="ReplicationSource",
        here="last line",
        scenario="backup",
    ),
    Row(
        kind="log pattern",
        name="Using hostname override: ",
        of="ReplicationSource",
        here="last line",
        scenario="backup",
    ),
    Row(kind="log pattern", name="restoring.*", of="ReplicationDestination", here="last line", scenario="restore"),
    Row(
        kind="log pattern",
        name="Kopia completed in.*",
        of="ReplicationDestination",
        here="last line",
        scenario="restore",
    ),
    Row(
        kind="log pattern",
        name="Snapshot restore completed",
        of="ReplicationDestination",
        here="last line",
        scenario="restore",
    ),
    Row(
        kind="log pattern",
        name="No eligible snapshots found|=== No data will be restored ===",
        of="ReplicationDestination",
        here="last line of a restore without a snapshot",
        scenario="no-data",
    ),
    Row(
        kind="log pattern",
        name="No snapshots found for ([^@]+)@([^:]+):(.+)",
        of="ReplicationDestination",
        here="the identity that was asked for",
        scenario="no-data",
    ),
    Row(
        kind="log pattern",
        name="=== Discovery Mode: Available Snapshots ===",
        of="ReplicationDestination",
        here="begins the list of what there is",
        scenario="no-data",
    ),
    Row(
        kind="log pattern",
        name=r'^\{.*"id".*"userName".*"hostName".*\}',
        of="ReplicationDestination",
        here="the newest snapshot of each identity; counted",
        scenario="no-data",
    ),
    Row(
        kind="log pattern",
        name=r"^([^@]+)@([^:]+):(.+)\s+(\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2}:\d{2})",
        of="ReplicationDestination",
        here="each earlier snapshot, as far as there is room; counted",
        scenario="no-data",
    ),
    Row(
        kind="log pattern",
        name=r"MAINTENANCE_STATUS: (\w+)",
        of="KopiaMaintenance",
        here="`SUCCESS` or `FAILURE`",
        scenario="maintenance",
    ),
    Row(
        kind="log pattern",
        name=r"MAINTENANCE_DURATION: (\d+)",
        of="KopiaMaintenance",
        here="seconds",
        scenario="maintenance",
    ),
    Row(
        kind="log pattern",
        name=r"^\s*(ERROR)",
        of="all",
        here="last line of a failure, and only there",
        scenario="failure",
    ),
)
"""The interface, in the order of the table."""


__all__ = ["ROWS", "Kind", "Row", "Scenario"]
