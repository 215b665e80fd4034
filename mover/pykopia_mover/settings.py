"""The settings of the mover: one typed, checked object out of the environment.

Every field names its variable; the table in the README, the status in the log and the reading all come from here. No other
module looks a variable up: what is needed besides the settings, ``Environment`` answers.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec

from pykopia.dataclass import dataclass
from pykopia.storage.environment import (
    EnvironmentStorage,
    custom_authorities,
    storage_from_environment,
    variables_by_backend,
)
from pykopia_mover.failures import config_error
from pykopia_mover.variables import CONTENT_OR_PATH, STORAGE_VARIABLES, UNUSED, Variable, is_secret

CORE: Final = "Core"
BACKUP: Final = "Backup"
RESTORE: Final = "Restore"
MAINTENANCE: Final = "Maintenance"
POLICIES: Final = "Policies and identity"
CACHE: Final = "Cache and log"

GROUPS: Final = (CORE, POLICIES, BACKUP, RESTORE, MAINTENANCE, CACHE)

TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off"})

ADDITIONAL_ARGS_SEPARATOR: Final = "|VOLSYNC_ARG_SEP|"

VERBATIM: Final = frozenset({"KOPIA_OVERRIDE_USERNAME", "KOPIA_OVERRIDE_HOSTNAME"})
"""Besides secrets: variables whose blanks are kept, since snapshots are found by them (rule M-060)."""


def _of(
    name: str, group: str, meaning: str, default: str = "", *, ge: int | None = None, pattern: str | None = None
) -> msgspec.Meta:
    constraint: dict[str, Any] = {} if ge is None else {"ge": ge}
    if pattern is not None:
        constraint["pattern"] = pattern
    variable = Variable(name=name, group=group, meaning=meaning, default=default)
    return msgspec.Meta(**constraint, extra={"variable": variable})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment asks for; an empty text or None is "not set"."""

    # ---- core
    repository: Annotated[str, _of("KOPIA_REPOSITORY", CORE, "URL of the repository; required")] = ""
    password: Annotated[str, _of("KOPIA_PASSWORD", CORE, "password of the repository, taken as it is; required")] = ""
    data_dir: Annotated[str, _of("DATA_DIR", CORE, "folder to back up or to restore into", "`/data`")] = "/data"
    direction: Annotated[
        str, _of("DIRECTION", CORE, "`source`, `destination` or `maintenance`; takes the place of the arguments")
    ] = ""
    debug_hold: Annotated[bool, _of("DEBUG_MOVER", CORE, "do nothing until a file is removed", "0")] = False
    privileged: Annotated[
        bool, _of("PRIVILEGED_MOVER", CORE, "the process runs as root with the rights to read and set owners", "0")
    ] = False
    custom_ca: Annotated[
        str, _of("CUSTOM_CA", CORE, "PEM of more authorities to trust for every TLS connection, or its path")
    ] = ""
    kopia_custom_ca: Annotated[str, _of("KOPIA_CUSTOM_CA", CORE, "as `CUSTOM_CA`, which wins")] = ""
    auto_create: Annotated[
        bool, _of("KOPIA_AUTO_CREATE", CORE, "a backup creates a repository where there is none", "true")
    ] = True
    manual_config: Annotated[
        str,
        _of("KOPIA_MANUAL_CONFIG", CORE, "JSON with the parameters of a new repository; of no effect on an old one"),
    ] = ""
    structured_config: Annotated[
        str,
        _of("KOPIA_STRUCTURED_REPOSITORY_CONFIG", CORE, "a connection file of Kopia; its storage wins over the URL"),
    ] = ""
    additional_args: Annotated[
        str,
        _of("KOPIA_ADDITIONAL_ARGS", CORE, f"flags of Kopia's commands, joined by `{ADDITIONAL_ARGS_SEPARATOR}`"),
    ] = ""
    ignore_unknown_args: Annotated[
        bool, _of("KOPIA_IGNORE_UNKNOWN_ARGS", CORE, "pass over unknown flags instead of stopping", "false")
    ] = False
    legacy_location_probe: Annotated[
        bool, _of("KOPIA_LEGACY_LOCATION_PROBE", CORE, "look where older movers put the repository", "true")
    ] = True
    upload_speed: Annotated[
        str, _of("KOPIA_UPLOAD_SPEED", CORE, "most bytes a second to the storage, such as `10MB`")
    ] = ""
    download_speed: Annotated[
        str, _of("KOPIA_DOWNLOAD_SPEED", CORE, "most bytes a second from the storage, such as `10MB`")
    ] = ""
    termination_log: Annotated[
        str, _of("TERMINATION_LOG", CORE, "file that gets the result as JSON", "`/dev/termination-log`")
    ] = "/dev/termination-log"
    metrics_file: Annotated[
        str, _of("KOPIA_METRICS_FILE", CORE, "file that gets metrics in Prometheus' text format")
    ] = ""
    metrics_push_url: Annotated[
        str, _of("KOPIA_METRICS_PUSH_URL", CORE, "URL of a Prometheus Pushgateway that gets them", pattern="^https?://")
    ] = ""

    # ---- identity and policies
    override_username: Annotated[str, _of("KOPIA_OVERRIDE_USERNAME", POLICIES, "user of the snapshots, verbatim")] = ""
    override_hostname: Annotated[str, _of("KOPIA_OVERRIDE_HOSTNAME", POLICIES, "host of the snapshots, verbatim")] = ""
    source_path_override: Annotated[
        str, _of("KOPIA_SOURCE_PATH_OVERRIDE", POLICIES, "absolute path that is recorded for the snapshots", "`/data`")
    ] = ""
    owner_namespace: Annotated[
        str, _of("VOLSYNC_OWNER_NAMESPACE", POLICIES, "namespace of the owning object: the user, without an override")
    ] = ""
    owner_name: Annotated[
        str, _of("VOLSYNC_OWNER_NAME", POLICIES, "name of the owning object: the host, without an override")
    ] = ""
    legacy_identities: Annotated[
        str, _of("KOPIA_LEGACY_IDENTITIES", POLICIES, "`user@host,…`: where older movers kept the same volume")
    ] = ""
    allow_pod_identity: Annotated[
        bool, _of("KOPIA_ALLOW_POD_IDENTITY", POLICIES, "fill a missing user or host from the process", "false")
    ] = False
    config_path: Annotated[
        str, _of("KOPIA_CONFIG_PATH", POLICIES, "folder of policy files", "`/kopia-config` if it exists")
    ] = ""
    global_policy_file: Annotated[
        str, _of("KOPIA_GLOBAL_POLICY_FILE", POLICIES, "file with the global policy", "`global-policy.json` in there")
    ] = ""
    repository_config_file: Annotated[
        str, _of("KOPIA_REPOSITORY_CONFIG_FILE", POLICIES, "file with settings of the repository",
                 "`repository.config` in there")
    ] = ""  # fmt: skip
    strict_policy: Annotated[
        bool, _of("KOPIA_STRICT_POLICY", POLICIES, "a policy file that can't be used ends the run", "false")
    ] = False
    actions_enabled: Annotated[
        bool | None, _of("KOPIA_ACTIONS_ENABLED", POLICIES, "as `enableActions` in `repository.config`, which wins")
    ] = None

    # ---- backup
    compression: Annotated[str, _of("KOPIA_COMPRESSION", BACKUP, "how file contents are compressed", "`zstd`")] = ""
    parallelism: Annotated[
        int | None,
        _of(
            "KOPIA_PARALLELISM",
            BACKUP,
            "files read, or written by a restore, at one time; with 1 there is one request of the storage at a time too",
            "1, for a restore 8",
            ge=1,
        ),
    ] = None
    retain_latest: Annotated[
        int | None, _of("KOPIA_RETAIN_LATEST", BACKUP, "newest snapshots to keep", "inherited", ge=0)
    ] = None
    retain_hourly: Annotated[
        int | None, _of("KOPIA_RETAIN_HOURLY", BACKUP, "hourly snapshots to keep", "inherited", ge=0)
    ] = None
    retain_daily: Annotated[
        int | None, _of("KOPIA_RETAIN_DAILY", BACKUP, "daily snapshots to keep", "inherited", ge=0)
    ] = None
    retain_weekly: Annotated[
        int | None, _of("KOPIA_RETAIN_WEEKLY", BACKUP, "weekly snapshots to keep", "inherited", ge=0)
    ] = None
    retain_monthly: Annotated[
        int | None, _of("KOPIA_RETAIN_MONTHLY", BACKUP, "monthly snapshots to keep", "inherited", ge=0)
    ] = None
    retain_yearly: Annotated[
        int | None, _of("KOPIA_RETAIN_YEARLY", BACKUP, "yearly snapshots to keep", "inherited", ge=0)
    ] = None
    before_snapshot: Annotated[str, _of("KOPIA_BEFORE_SNAPSHOT", BACKUP, "shell command to run before")] = ""
    after_snapshot: Annotated[str, _of("KOPIA_AFTER_SNAPSHOT", BACKUP, "shell command to run after")] = ""
    action_timeout: Annotated[
        int, _of("KOPIA_ACTION_TIMEOUT", BACKUP, "seconds for each of the two commands", "300", ge=1)
    ] = 300

    # ---- restore
    restore_as_of: Annotated[
        str, _of("KOPIA_RESTORE_AS_OF", RESTORE, "RFC 3339 time; later snapshots are not considered")
    ] = ""
    shallow: Annotated[
        int | None, _of("KOPIA_SHALLOW", RESTORE, "how many of the newest snapshots to consider", "all", ge=0)
    ] = None
    previous: Annotated[int, _of("KOPIA_PREVIOUS", RESTORE, "how many of the newest to skip", "0", ge=0)] = 0
    enable_file_deletion: Annotated[
        bool, _of("KOPIA_ENABLE_FILE_DELETION", RESTORE, "remove what is not in the snapshot", "false")
    ] = False
    discover_snapshots: Annotated[
        bool, _of("KOPIA_DISCOVER_SNAPSHOTS", RESTORE, "list what is there when nothing matches", "true")
    ] = True
    discover_scope: Annotated[
        str, _of("KOPIA_DISCOVER_SCOPE", RESTORE, "`all`, or `namespace`: list only what belongs to it", "`all`",
                 pattern="^(all|namespace)$")
    ] = "all"  # fmt: skip
    on_missing_snapshot: Annotated[
        str, _of("KOPIA_ON_MISSING_SNAPSHOT", RESTORE, "`continue`, `fail` or `auto`: when there is nothing to restore",
                 "`auto`", pattern="^(auto|continue|fail)$")
    ] = "auto"  # fmt: skip

    # ---- maintenance
    maintenance_username: Annotated[
        str, _of("KOPIA_OVERRIDE_MAINTENANCE_USERNAME", MAINTENANCE, "owner: `name` or `user@host`",
                 "`maintenance@volsync`")
    ] = ""  # fmt: skip
    maintenance_hostname: Annotated[
        str, _of("KOPIA_OVERRIDE_MAINTENANCE_HOSTNAME", MAINTENANCE, "host of an owner without one", "`volsync`")
    ] = ""
    maintenance_force: Annotated[
        bool, _of("KOPIA_MAINTENANCE_FORCE", MAINTENANCE, "run the full cycle even if one ran lately", "false")
    ] = False

    # ---- cache and log
    cache_dir: Annotated[str, _of("KOPIA_CACHE_DIR", CACHE, "folder of the cache", "`/tmp/kopia-cache`")] = (
        "/tmp/kopia-cache"  # noqa: S108 -- the path that users know from the log
    )
    cache_capacity_bytes: Annotated[
        int | None, _of("KOPIA_CACHE_CAPACITY_BYTES", CACHE, "bytes the cache may reach",
                        "size of the volume, at most 8 GiB", ge=0)
    ] = None  # fmt: skip
    metadata_cache_mb: Annotated[
        int | None, _of("KOPIA_METADATA_CACHE_SIZE_LIMIT_MB", CACHE, "limit of metadata in it, 0: none of its own",
                        "70 % of the capacity", ge=0)
    ] = None  # fmt: skip
    content_cache_mb: Annotated[
        int | None, _of("KOPIA_CONTENT_CACHE_SIZE_LIMIT_MB", CACHE, "limit of contents in it, 0: none of its own",
                        "20 % of the capacity", ge=0)
    ] = None  # fmt: skip
    skip_cache_config: Annotated[bool, _of("KOPIA_SKIP_CACHE_CONFIG", CACHE, "accepted, without effect")] = False
    force_cache_rebuild: Annotated[
        bool, _of("KOPIA_FORCE_CACHE_REBUILD", CACHE, "drop the cache before connecting", "false")
    ] = False
    log_level: Annotated[
        str, _of("KOPIA_LOG_LEVEL", CACHE, "`debug`, `info`, `warn` or `error`", "`info`",
                 pattern="^(debug|info|warn|warning|error)$")
    ] = "info"  # fmt: skip
    file_log_level: Annotated[
        str, _of("KOPIA_FILE_LOG_LEVEL", CACHE, "the same for the log file in the cache folder", "`info`",
                 pattern="^(debug|info|warn|warning|error)$")
    ] = "info"  # fmt: skip
    log_dir_max_files: Annotated[int, _of("KOPIA_LOG_DIR_MAX_FILES", CACHE, "log files to keep", "3", ge=0)] = 3
    log_dir_max_age: Annotated[
        str, _of("KOPIA_LOG_DIR_MAX_AGE", CACHE, "age up to which they are kept", "`4h`", pattern="^([0-9]+[smhd])+$")
    ] = "4h"
    content_log_dir_max_files: Annotated[
        str, _of("KOPIA_CONTENT_LOG_DIR_MAX_FILES", CACHE, "accepted, without effect")
    ] = ""
    content_log_dir_max_age: Annotated[str, _of("KOPIA_CONTENT_LOG_DIR_MAX_AGE", CACHE, "accepted, without effect")] = (
        ""
    )
    log_format: Annotated[
        str, _of("KOPIA_LOG_FORMAT", CACHE, "`text`, or `json` for one object a line", "`text`",
                 pattern="^(text|json)$")
    ] = "text"  # fmt: skip
    log_times: Annotated[
        bool, _of("KOPIA_LOG_TIMES", CACHE, "lines of text begin with the time, but for the last ones", "false")
    ] = False
    derived_cache_directory: Annotated[
        str, _of("KOPIA_CACHE_DIRECTORY", CACHE, "always the same as `KOPIA_CACHE_DIR`; passed over with a warning")
    ] = ""
    derived_log_dir: Annotated[
        str, _of("KOPIA_LOG_DIR", CACHE, "always `logs` in the cache folder; passed over with a warning")
    ] = ""

    def __repr__(self) -> str:
        return "<Settings>"  # it holds secrets

    @property
    def retention(self) -> dict[str, int]:
        """The retention that the spec asks for, by the names of Kopia's policy fields."""
        asked = {
            "keep_latest": self.retain_latest,
            "keep_hourly": self.retain_hourly,
            "keep_daily": self.retain_daily,
            "keep_weekly": self.retain_weekly,
            "keep_monthly": self.retain_monthly,
            "keep_annual": self.retain_yearly,
        }
        return {name: count for name, count in asked.items() if count is not None}

    @property
    def log_dir(self) -> Path:
        """Folder of the log files."""
        return Path(self.cache_dir) / "logs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Basics:
    """Settings of the log and of the result, which are needed even where other settings are wrong."""

    json_lines: bool
    log_times: bool
    debug_hold: bool
    direction: str
    termination_log: Path
    cache_dir: Path


class Environment:
    """The environment variables of the process; no other module reads them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Take variables by name; an empty one is one that is not set."""
        self._variables = {name: value for name, value in variables.items() if value}

    def __repr__(self) -> str:
        return "<Environment>"  # it holds secrets

    def is_set(self, name: str) -> bool:
        """Return True if a variable has a value."""
        return name in self._variables

    @property
    def home(self) -> str:
        """The home folder, empty without one."""
        return self._variables.get("HOME", "")

    def basics(self) -> Basics:
        """Return what holds also where ``settings`` raises."""
        read = self._variables.get
        return Basics(
            json_lines=read("KOPIA_LOG_FORMAT", "").strip() == "json",
            log_times=read("KOPIA_LOG_TIMES", "").strip().lower() in TRUE,
            debug_hold=read("DEBUG_MOVER", "").strip().lower() in TRUE,
            direction=read("DIRECTION", "").strip(),
            termination_log=Path(read("TERMINATION_LOG") or Settings().termination_log),
            cache_dir=Path(read("KOPIA_CACHE_DIR") or Settings().cache_dir),
        )

    def settings(self) -> tuple[Settings, list[str]]:
        """Return the settings and warnings, see ``load``."""
        return load(self._variables)

    def storage(self) -> EnvironmentStorage:
        """Return the storage that the variables name.

        Raises:
            InvalidEnvironmentError: a variable is missing or can't be used.
            InvalidURLError: ``KOPIA_REPOSITORY`` is no repository URL.
        """
        return storage_from_environment(self._variables)

    def authorities(self) -> bytes:
        """Return the certificates of ``CUSTOM_CA``, which count for all TLS connections.

        Raises:
            InvalidEnvironmentError: they are no certificates.
        """
        return custom_authorities(self._variables)

    def credentials(self, storage_type: str) -> tuple[str, ...]:
        """Return the names of the variables with which a storage of Kopia's type is logged in to."""
        names = variables_by_backend().get(storage_type, ())
        return tuple(name for name in names if self.is_set(name) and (is_secret(name) or name.endswith(_IDS)))

    def for_commands(self, additions: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a command: this one without secrets, and additions."""
        kept = {name: value for name, value in self._variables.items() if not is_secret(name)}
        return {"PATH": os.defpath, **kept, **additions}

    def without_own(self) -> dict[str, str]:
        """Return the environment of another program of pykopia: this one without the settings of the mover."""
        return {name: value for name, value in self._variables.items() if not name.startswith("KOPIA_")}

    def secrets(self) -> Iterator[tuple[str, bool]]:
        """Yield the values of secret variables, and whether each may be the path of a file with the secret."""
        for name, value in self._variables.items():
            if is_secret(name):
                yield value, name in CONTENT_OR_PATH or name.endswith("_FILE")

    def urls(self) -> Iterator[str]:
        """Yield values that are not secret and hold a URL, which may have a password in it."""
        for name, value in self._variables.items():
            if not is_secret(name) and "://" in value:
                yield value


_IDS: Final = ("ACCOUNT", "ACCOUNT_ID", "USERNAME", "KEY_ID", "ACCESS_KEY_ID", "CLIENT_ID", "PROFILE", "ROLE_ARN")
"""Suffixes of the names of variables with credentials."""


def _fields() -> dict[str, tuple[str, Variable, Any]]:
    """Return attribute, variable and the type that a value is read as, by the name of the variable."""
    found = {}
    for attribute, hint in get_type_hints(Settings, include_extras=True).items():
        if get_origin(hint) is Annotated:
            kind, meta = get_args(hint)
            given = next((each for each in get_args(kind) if each is not type(None)), kind)
            variable = meta.extra["variable"]
            found[variable.name] = (attribute, variable, Annotated[given, meta])
    return found


FIELDS: Final = _fields()


def all_variables() -> list[Variable]:
    """Return every variable, those of the mover first, group by group."""
    own = [variable for _, variable, _ in FIELDS.values()]
    return sorted(own, key=lambda each: GROUPS.index(each.group)) + list(STORAGE_VARIABLES)


def load(environment: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read the settings; return them with warnings.

    Raises:
        MoverError: a value makes no sense; the message names all that are wrong.
    """
    values: dict[str, Any] = {}
    warnings: list[str] = []
    wrong: list[str] = []
    for name, (attribute, variable, hint) in FIELDS.items():
        text = environment.get(name, "")
        if not text:
            continue
        if _is_flag(hint):
            values[attribute] = _flag(name, text, warnings)
            continue
        try:
            values[attribute] = msgspec.convert(
                text if variable.secret or name in VERBATIM else text.strip(), hint, strict=False
            )
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            shown = "" if variable.secret else f" {text!r}"
            wrong.append(f"{name}{shown} can't be used ({_reason(str(error))}); it is: {variable.meaning}")
    if wrong:
        raise config_error("; ".join(wrong), "Correct it in the Secret or the spec")
    settings = Settings(**values)
    if settings.derived_cache_directory not in {"", settings.cache_dir}:
        warnings.append("KOPIA_CACHE_DIRECTORY is ignored: it is always KOPIA_CACHE_DIR")
    if settings.derived_log_dir not in {"", str(settings.log_dir)}:
        warnings.append("KOPIA_LOG_DIR is ignored: it is always the folder logs in KOPIA_CACHE_DIR")
    warnings += unknown_variables(environment)
    return settings, warnings


def _is_flag(hint: Any) -> bool:  # noqa: ANN401 -- a type
    return get_args(hint)[0] is bool


def _flag(name: str, text: str, warnings: list[str]) -> bool:
    lowered = text.strip().lower()
    if lowered not in TRUE | FALSE:
        warnings.append(f"{name} is neither true nor false; it is taken as false")
    return lowered in TRUE


def _reason(text: str) -> str:
    """Return the error of msgspec as a message of the mover."""
    match = re.search(r">= (\d+)", text)
    if match:
        return f"it must be a whole number, at least {match[1]}"
    if "matching regex" in text:
        return "it is none of the values that it may have"
    if "int" in text or "codec" in text:  # a number with bytes that are not UTF-8
        return "it must be a whole number"
    return text


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return one warning that lists misspelt variables, or none (rule M-024)."""
    known = {each.name for each in all_variables()}
    unknown = sorted(
        name
        for name, value in environment.items()
        if value and name.startswith("KOPIA_") and name not in known and name not in UNUSED
    )
    if not unknown:
        return []
    told = []
    for name in unknown:
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
        told.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return [f"unknown variables, ignored: {', '.join(told)}"]


def require(settings: Settings, *, password: bool = True) -> None:
    """Refuse an environment without what every operation needs.

    Raises:
        MoverError: the password is missing.
    """
    if password and not settings.password:
        raise config_error(
            "KOPIA_PASSWORD must be defined", "Add the key KOPIA_PASSWORD with the repository's password to the Secret"
        )
    if not os.path.isabs(settings.data_dir):
        raise config_error(f"DATA_DIR {settings.data_dir!r} must be an absolute path", "Leave it out to use /data")


__all__ = [
    "ADDITIONAL_ARGS_SEPARATOR",
    "FIELDS",
    "VERBATIM",
    "Basics",
    "Environment",
    "Settings",
    "all_variables",
    "load",
    "require",
    "unknown_variables",
]
