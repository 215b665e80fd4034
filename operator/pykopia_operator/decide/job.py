"""The mover Job: one Pod template from everything that has been decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pykopia_operator.decide.environment import CREDENTIAL_FILES, secret_environment, value
from pykopia_operator.decide.names import CREATED_BY, MANAGED_BY
from pykopia_operator.decide.objects import Obj, labels_of, name_of, spec_of
from pykopia_operator.decide.result import NOT_RETRYABLE
from pykopia_operator.decide.world import Keys
from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.model.common import CustomCA, MoverVolume, PolicyConfig

ENTRY: Final = "/mover-kopia/entry.sh"
CONTAINER: Final = "kopia"
TMP_SIZE: Final = "64Mi"
RESTRICTED_USER: Final = 65532

FORBIDDEN_ARGS: Final = (
    "--password", "--config-file", "--repository", "--cache-directory", "--log-dir", "--username", "--hostname",
    "--override-username", "--override-hostname", "--override-source", "--access-key", "--secret-access-key",
    "--session-token", "--credentials-file", "--key-data", "--keyfile", "--sas-token", "--storage-key",
)  # fmt: skip
"""Flags that would take the repository, the identity or the credentials out of the operator's hands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Security:
    """Under which user and with which rights the mover runs."""

    pod: Obj
    container: Obj
    privileged: bool

    @property
    def reads_secret_files(self) -> bool:
        """Whether the mover can read files of a Secret, which belong to root and to the fsGroup."""
        return self.privileged or "fsGroup" in self.pod or self.pod.get("runAsUser") == 0

    def secret_mode(self, mode: int) -> int:
        """Return the mode of a file of a Secret: the fsGroup gets read access where there is one."""
        return mode | 0o040 if "fsGroup" in self.pod else mode


def security_of(
    given: Obj | None, *, privileged: bool, default_user: str, restricted: bool, openshift: bool
) -> Security:
    """Return the security contexts of a mover.

    Args:
        given: ``moverSecurityContext``.
        privileged: whether the namespace allows privileged movers.
        default_user: ``UID:GID`` without a ``moverSecurityContext``; empty: that of the image.
        restricted: whether the namespace enforces the restricted Pod security standard.
        openshift: whether the cluster chooses users by itself.
    """
    container: Obj = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    pod = dict(given or {})
    if privileged:
        container["capabilities"] = {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER"]}
        container["runAsUser"] = 0
    elif given is None and not openshift:
        if restricted:
            pod = {
                "runAsNonRoot": True,
                "runAsUser": RESTRICTED_USER,
                "runAsGroup": RESTRICTED_USER,
                "fsGroup": RESTRICTED_USER,
                "fsGroupChangePolicy": "OnRootMismatch",
            }
        elif default_user:
            user, _, group = default_user.partition(":")
            pod = {"runAsUser": int(user), "runAsGroup": int(group or user)}
    pod.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    return Security(pod=pod, container=container, privileged=privileged)


@dataclass(kw_only=True, slots=True)
class PodParts:
    """Variables, volumes and mounts of the mover's Pod, as they come together."""

    environment: list[Obj] = field(default_factory=list)
    volumes: list[Obj] = field(default_factory=list)
    mounts: list[Obj] = field(default_factory=list)

    def mount(self, name: str, path: str, volume: Obj, *, read_only: bool = False) -> None:
        """Add a volume and where it is mounted."""
        self.volumes.append({"name": name, **volume})
        self.mounts.append({"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})})

    def set(self, variables: Mapping[str, str]) -> None:
        """Add variables."""
        self.environment += [value(name, text) for name, text in variables.items()]


def mount_data(parts: PodParts, claim: str, *, path: str, read_only: bool = False) -> None:
    """Mount the volume that is backed up or restored."""
    source: Obj = {"claimName": claim}
    if read_only:
        source["readOnly"] = True
    if path == "/restore/data":
        parts.mount("restore", "/restore", {"emptyDir": {}})
    parts.mount("data", path, {"persistentVolumeClaim": source}, read_only=read_only)


def mount_cache(parts: PodParts, claim: str, size: str) -> None:
    """Mount the cache; without a claim it is an emptyDir."""
    if claim:
        parts.mount("cache", "/cache", {"persistentVolumeClaim": {"claimName": claim}})
    else:
        parts.mount("cache", "/cache", {"emptyDir": {"sizeLimit": size}})


def mount_tmp(parts: PodParts) -> None:
    """Mount a folder for temporary files in memory."""
    parts.mount("tmp", "/tmp", {"emptyDir": {"medium": "Memory", "sizeLimit": TMP_SIZE}})  # noqa: S108 -- in the Pod


def mount_ca(parts: PodParts, ca: CustomCA | None) -> None:
    """Mount authority certificates."""
    if ca is None or not (ca.secret_name or ca.config_map_name):
        return
    items = [{"key": ca.key, "path": "ca.crt"}]
    if ca.secret_name:
        parts.mount(
            "custom-ca", "/customCA", {"secret": {"secretName": ca.secret_name, "items": items}}, read_only=True
        )
    else:
        parts.mount(
            "custom-ca", "/customCA", {"configMap": {"name": ca.config_map_name, "items": items}}, read_only=True
        )


def mount_policy(parts: PodParts, policy: PolicyConfig | None) -> None:
    """Mount policy files."""
    if policy is None:
        return
    if policy.secret_name:
        source: Obj = {"secret": {"secretName": policy.secret_name, "defaultMode": 0o644}}
    elif policy.config_map_name:
        source = {"configMap": {"name": policy.config_map_name, "defaultMode": 0o644}}
    else:
        return
    parts.mount("kopia-config", "/kopia-config", source, read_only=True)


def mount_more(parts: PodParts, volumes: Sequence[MoverVolume] | None) -> None:
    """Mount the volumes of ``moverVolumes`` below /mnt."""
    for index, each in enumerate(volumes or []):
        source = {key: part for key, part in each.volume_source.items() if part is not None}
        read_only = "secret" in source
        parts.mount(f"mover-{index}", f"/mnt/{each.mount_path.strip('/')}", source, read_only=read_only)


def check_more(volumes: Sequence[MoverVolume] | None) -> None:
    """Refuse volumes that cannot be mounted.

    Raises:
        InvalidObjectError: a path or a source is not allowed; the message names it.
    """
    seen = set()
    for index, each in enumerate(volumes or []):
        path = each.mount_path.strip("/")
        if not path or ".." in path.split("/"):
            raise InvalidObjectError(f'moverVolumes[{index}].mountPath "{each.mount_path}" must be a path below /mnt/')
        if path in seen:
            raise InvalidObjectError(f'moverVolumes[{index}].mountPath "{path}" is used twice')
        seen.add(path)
        kinds = {key for key, part in each.volume_source.items() if part is not None}
        if len(kinds) != 1 or not kinds <= {"persistentVolumeClaim", "secret", "nfs"}:
            raise InvalidObjectError(
                f"moverVolumes[{index}].volumeSource must hold one of persistentVolumeClaim, secret and nfs"
            )


def check_args(arguments: Sequence[str] | None) -> None:
    """Refuse flags that only the operator may set.

    Raises:
        InvalidObjectError: a flag is forbidden.
    """
    for each in arguments or []:
        if each.partition("=")[0].strip() in FORBIDDEN_ARGS:
            raise InvalidObjectError(
                f"additionalArgs: {each.partition('=')[0]} is set by the operator and not allowed here"
            )


def repository_in_volume(volumes: Sequence[MoverVolume] | None, secret: Keys | None) -> str:
    """Return the URL of a repository in a volume of the mover; empty if the Secret has the URL.

    A persistent volume holds the repository. An NFS share does when the Secret has no URL.
    """
    for each in volumes or []:
        if each.volume_source.get("persistentVolumeClaim"):
            return f"filesystem:///mnt/{each.mount_path.strip('/')}"
    if secret is not None and "KOPIA_REPOSITORY" not in secret.names:
        for each in volumes or []:
            if each.volume_source.get("nfs"):
                return f"filesystem:///mnt/{each.mount_path.strip('/')}"
    return ""


def add_secret(
    parts: PodParts, name: str, secret: Keys | None, *, files: tuple[str, ...], security: Security, repository: str
) -> None:
    """Add the variables and files of the repository Secret."""
    reserved = frozenset(each["name"] for each in parts.environment)
    parts.environment += secret_environment(name, secret, files=files, repository=repository, reserved=reserved)
    if files:
        items = [
            {"key": key, "path": CREDENTIAL_FILES[key][0], "mode": security.secret_mode(CREDENTIAL_FILES[key][1])}
            for key in files
        ]
        parts.mount("credentials", "/credentials", {"secret": {"secretName": name, "items": items}}, read_only=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class PodOptions:
    """Everything about a mover's Pod besides its variables and volumes."""

    image: str
    pull_policy: str
    operations: tuple[str, ...]
    security: Security
    service_account: str
    own_account: bool
    """The ServiceAccount is the user's, whose token the mover needs."""
    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Obj | None = None
    affinity: Obj | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Obj, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    container: str = CONTAINER


def pod_template(parts: PodParts, options: PodOptions) -> Obj:
    """Return the Pod template of a mover."""
    container: Obj = {
        "name": options.container,
        "image": options.image,
        "imagePullPolicy": options.pull_policy,
        "command": [ENTRY],
        "env": parts.environment,
        "volumeMounts": parts.mounts,
        "securityContext": options.security.container,
        "terminationMessagePolicy": "File",
    }
    if options.operations:
        container["args"] = list(options.operations)
    if options.resources:
        container["resources"] = options.resources
    spec: Obj = {
        "containers": [container],
        "restartPolicy": "Never",
        "serviceAccountName": options.service_account,
        "automountServiceAccountToken": options.own_account,
        "securityContext": options.security.pod,
        "terminationGracePeriodSeconds": 30,
        "volumes": parts.volumes,
    }
    if options.affinity:
        spec["affinity"] = options.affinity
    if options.node_selector:
        spec["nodeSelector"] = dict(options.node_selector)
    if options.tolerations:
        spec["tolerations"] = list(options.tolerations)
    if options.pull_secrets:
        spec["imagePullSecrets"] = [{"name": each} for each in options.pull_secrets]
    labels = {**options.labels, CREATED_BY: "volsync", MANAGED_BY: "pykopia"}
    return {"metadata": {"labels": labels}, "spec": spec}


def failure_policy(container: str = CONTAINER) -> Obj:
    """Return the rule that fails a Job at once when another attempt cannot help."""
    return {
        "rules": [
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": container, "operator": "In", "values": list(NOT_RETRYABLE)},
            }
        ]
    }


def mover_job(metadata: Obj, template: Obj, *, backoff_limit: int, deadline: int, paused: bool) -> Obj:
    """Return the Job of a mover."""
    spec: Obj = {
        "backoffLimit": backoff_limit,
        "completions": 1,
        "parallelism": 0 if paused else 1,
        "podFailurePolicy": failure_policy(),
        "template": template,
    }
    if deadline:
        spec["activeDeadlineSeconds"] = deadline
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def placement(volume: Obj | None, users: Sequence[Obj]) -> tuple[dict[str, str], tuple[Obj, ...]]:
    """Return node selector and tolerations that bring a mover to the node where a volume is in use.

    Args:
        volume: that the mover mounts directly.
        users: running Pods that use it.
    """
    modes = set(spec_of(volume or {}).get("accessModes") or [])
    if volume is None or modes & {"ReadWriteMany", "ReadOnlyMany"}:
        return {}, ()
    for pod in sorted(users, key=name_of):
        if node := spec_of(pod).get("nodeName"):
            return {"kubernetes.io/hostname": node}, tuple(spec_of(pod).get("tolerations") or [])
    return {}, ()


def is_same_template(job: Obj, wanted: Obj) -> bool:
    """Return True if a Job's Pod template already is the requested one; what the API server adds does not count."""
    there, here = spec_of(job).get("template") or {}, spec_of(wanted)["template"]
    return _covers(spec_of(there), here["spec"]) and _covers(labels_of(there), here["metadata"]["labels"])


def _covers(there: Any, here: Any) -> bool:  # noqa: ANN401 -- parts of JSON
    if isinstance(here, dict):
        return isinstance(there, dict) and all(key in there and _covers(there[key], part) for key, part in here.items())
    if isinstance(here, list):
        return (
            isinstance(there, list)
            and len(there) == len(here)
            and all(_covers(old, new) for old, new in zip(there, here, strict=True))
        )
    return bool(there == here)
