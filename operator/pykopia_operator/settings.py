"""Settings of the operator: each one is a flag of ``pykopia-operator run`` and a variable of the environment."""

import argparse
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

DEFAULT_MOVER_IMAGE: Final = "ghcr.io/pykopia/pykopia-mover:latest"

TRUE: Final = frozenset({"1", "true", "yes", "on"})


def _flag(text: str, *more_variables: str) -> Meta:
    return Meta(description=text, extra={"variables": more_variables})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one operator process."""

    kubeconfig: Annotated[str, _flag("kubeconfig file; default: the Pod's service account", "KUBECONFIG")] = ""
    namespace: Annotated[
        str, _flag("namespace of the operator, for its Leases", "VOLSYNC_NAMESPACE", "POD_NAMESPACE")
    ] = "default"
    watch_namespace: Annotated[str, _flag("comma-separated namespaces to handle; default: all")] = ""
    coexistence: Annotated[
        Literal["none", "upstream", "fork", "replace"],
        _flag("which other controller of these kinds runs in the cluster: none, upstream, fork, or replace"),
    ] = "none"
    external_provider: Annotated[str, _flag("value of spec.external.provider that selects this operator")] = "pykopia"
    kopia_container_image: Annotated[
        str, _flag("image of the mover", "MOVER_IMAGE", "RELATED_IMAGE_KOPIA_CONTAINER")
    ] = DEFAULT_MOVER_IMAGE
    mover_image_pull_policy: Annotated[str, _flag("imagePullPolicy of the mover")] = "IfNotPresent"
    mover_image_pull_secrets: Annotated[
        str, _flag("comma-separated pull secrets in the operator's namespace, copied to where movers run")
    ] = ""
    mover_layout: Annotated[
        Literal["data", "restore-data"],
        _flag("where a restore is mounted: data (/data) or restore-data (/restore/data)"),
    ] = "data"
    mover_active_deadline: Annotated[int, _flag("seconds after which a mover is stopped; 0: never")] = 0
    mover_backoff_limit: Annotated[int, _flag("retries of a mover inside one Job")] = 8
    mover_user: Annotated[str, _flag("UID:GID of movers without a moverSecurityContext; empty: that of the image")] = (
        "0:0"
    )
    default_cache: Annotated[Literal["pvc", "emptydir"], _flag("kind of cache without a class or modes")] = "pvc"
    strict_identity: Annotated[
        bool, _flag("a restore without an identity only looks for snapshots under its own name")
    ] = False
    timezone: Annotated[str, _flag("time zone of schedules, such as Europe/Paris", "TZ")] = "UTC"
    schedule_jitter: Annotated[int, _flag("seconds over which scheduled runs are spread, stable for each object")] = 0
    delay_first_sync: Annotated[bool, _flag("the first run of a schedule waits for its time")] = False
    max_concurrent_movers: Annotated[int, _flag("movers that run at once in the cluster; 0: no limit")] = 0
    workers: Annotated[int, _flag("objects that are reconciled at once")] = 8
    scc_name: Annotated[str, _flag("SecurityContextConstraints of privileged movers on OpenShift")] = (
        "volsync-privileged-mover"
    )
    volume_populator: Annotated[bool, _flag("serve volumes whose dataSourceRef is a ReplicationDestination")] = True
    kopia_successful_jobs_history_limit: Annotated[int, _flag("successful maintenance Jobs to keep")] = 3
    kopia_failed_jobs_history_limit: Annotated[int, _flag("failed maintenance Jobs to keep")] = 1
    mover_log_max_bytes: Annotated[int, _flag("bytes of the log that go into the status", "MOVER_LOG_MAX_BYTES")] = 1024
    mover_log_tail_lines: Annotated[int, _flag("lines of the log that are read; -1: all", "MOVER_LOG_TAIL_LINES")] = -1
    mover_log_debug: Annotated[bool, _flag("the log goes into the status unfiltered", "MOVER_LOG_DEBUG")] = False
    leader_elect: Annotated[bool, _flag("only the holder of a Lease works")] = False
    leader_election_id: Annotated[str, _flag("name of that Lease; mode replace always takes VolSync's")] = (
        "pykopia-operator"
    )
    leader_election_lease_duration: Annotated[
        float, _flag("seconds after which a Lease that is not renewed is free")
    ] = 137
    leader_election_renew_deadline: Annotated[
        float, _flag("seconds after which a holder that cannot renew gives up")
    ] = 107
    leader_election_retry_period: Annotated[float, _flag("seconds between attempts to take or renew the Lease")] = 26
    metrics_bind_address: Annotated[str, _flag("address of the metrics; 0: none")] = ":8443"
    metrics_secure: Annotated[bool, _flag("serve metrics by TLS")] = True
    metrics_require_rbac: Annotated[bool, _flag("readers of metrics must be authorized by the API server")] = True
    metrics_cert_path: Annotated[str, _flag("folder with the certificate of the metrics; default: self-signed")] = ""
    metrics_cert_name: Annotated[str, _flag("file of the certificate in that folder")] = "tls.crt"
    metrics_cert_key: Annotated[str, _flag("file of its key in that folder")] = "tls.key"
    health_probe_bind_address: Annotated[str, _flag("address of /healthz and /readyz; 0: none")] = ":8081"
    enable_http2: Annotated[bool, _flag("accepted for compatibility, without effect")] = False
    log_format: Annotated[Literal["text", "json"], _flag("format of log lines")] = "text"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _flag("lowest level that is logged")] = "info"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to handle; empty: all."""
        return tuple(filter(None, (each.strip() for each in self.watch_namespace.split(","))))

    @property
    def pull_secrets(self) -> tuple[str, ...]:
        """Names of the pull secrets to copy."""
        return tuple(filter(None, (each.strip() for each in self.mover_image_pull_secrets.split(","))))


ALIASES: Final = {"kopia_container_image": ("--mover-image",)}
"""Second names of flags."""


def _kind(hint: Any) -> tuple[Any, Meta]:  # noqa: ANN401 -- a type hint
    inner, meta = get_args(hint)
    return inner, meta


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting to a parser; absent flags stay None."""
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        inner, meta = _kind(hint)
        flags = [f"--{name.replace('_', '-')}", *ALIASES.get(name, ())]
        options: dict[str, Any] = {"dest": name, "default": None, "help": f"{meta.description} [{_variables(name)[0]}]"}
        if inner is bool:
            parser.add_argument(*flags, **options, nargs="?", const="true", metavar="true|false")
        elif get_origin(inner) is Literal:
            parser.add_argument(*flags, **options, choices=get_args(inner))
        else:
            parser.add_argument(*flags, **options, metavar=inner.__name__.upper())


def _variables(name: str) -> tuple[str, ...]:
    _, meta = _kind(get_type_hints(Settings, include_extras=True)[name])
    more: tuple[str, ...] = (meta.extra or {}).get("variables", ())
    return (f"PYKOPIA_OPERATOR_{name.upper()}", *more)


def settings_from(given: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Return the settings: flags first, then variables of the environment, then defaults.

    Args:
        given: values of flags by setting; None: absent.
        environment: variables.

    Raises:
        msgspec.ValidationError: a value has the wrong type or is not allowed.
    """
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        value = given.get(name)
        if value is None:
            value = next((environment[each] for each in _variables(name) if environment.get(each)), None)
        if value is None:
            continue
        inner, _ = _kind(hint)
        found[name] = str(value).strip().lower() in TRUE if inner is bool else value
    return msgspec.convert(found, Settings, strict=False)


__all__ = ["DEFAULT_MOVER_IMAGE", "Settings", "add_flags", "settings_from"]
