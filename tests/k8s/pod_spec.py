"""What a pod asks of the machine it runs on: environment, volumes, user and limits, read from its spec as a kubelet does."""

import base64
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.k8s.api import API, Object, path_of
from tests.k8s.container import IMAGE_ENVIRONMENT, IMAGE_USER, Container, Mount, container_command
from tests.k8s.volumes import Volumes

_REFERENCE: Final = re.compile(r"\$(\$|\([A-Za-z_][A-Za-z0-9_.-]*\))")
_UNITS: Final = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


class CannotStartError(Exception):
    """A container can't be created as its pod asks; a kubelet tries again until it can.

    Attributes:
        reason: As it stands in the pod's status.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(f"{reason}: {message}")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the values of a pod come from."""

    api: API
    volumes: Volumes
    folder: Path
    """Gets the pod's own volumes."""


def quantity(text: str) -> int:
    """Return the number of a quantity such as ``512Mi``."""
    match = re.fullmatch(r"([0-9.]+)(m|[kMGT]i?|)", text)
    assert match, f"not a quantity: {text}"
    number, unit = match.groups()
    return int(float(number) / 1000) if unit == "m" else int(float(number) * _UNITS[unit])


def claims_of(pod: Object) -> list[str]:
    """Return the names of the claims that a pod uses."""
    volumes = pod["spec"].get("volumes", [])
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def container_of(pod: Object, sources: Sources) -> Container:
    """Return how the only container of a pod is started.

    Raises:
        CannotStartError: An object or key that it refers to is missing, or it must not run as root and would.
    """
    spec = pod["spec"]
    (own,) = spec["containers"]
    security: Object = {**spec.get("securityContext", {}), **own.get("securityContext", {})}
    user = security.get("runAsUser", IMAGE_USER)
    if security.get("runAsNonRoot") and user == 0:
        raise CannotStartError("CreateContainerConfigError", "container's runAsUser breaks non-root policy")
    added = security.get("capabilities", {}).get("add", [])
    limit = own.get("resources", {}).get("limits", {}).get("memory")
    groups = {*security.get("supplementalGroups", []), *([security["fsGroup"]] if "fsGroup" in security else [])}
    return Container(
        name=own["name"],
        command=container_command(own),
        environment=_environment(pod, own, sources.api),
        mounts=_mounts(pod, own, sources, security.get("fsGroup")),
        user=user,
        group=security.get("runAsGroup", 0 if user == 0 else IMAGE_USER if user == IMAGE_USER else 0),
        groups=sorted(groups),
        capabilities=[name.lower() for name in added],
        no_new_privileges=security.get("allowPrivilegeEscalation") is False,
        read_only_root=bool(security.get("readOnlyRootFilesystem")),
        memory_limit=quantity(limit) if limit else None,
        working_directory=own.get("workingDir", "/"),
    )


# Environment


def _environment(pod: Object, container: Object, api: API) -> dict[str, str]:
    """Return the variables of a container, with those of its image."""
    found = dict(IMAGE_ENVIRONMENT)
    namespace = pod["metadata"]["namespace"]
    for source in container.get("envFrom", []):
        for key, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if key in source:
                values = _values(api, kind, namespace, source[key]) or {}
                prefix = source.get("prefix", "")
                found |= {prefix + name: value.decode() for name, value in values.items()}
    for variable in container.get("env", []):
        value = (
            _from(pod, container, variable["valueFrom"], api)
            if "valueFrom" in variable
            else _expand(variable.get("value", ""), found)
        )
        if value is not None:
            found[variable["name"]] = value
    return found


def _expand(text: str, known: Mapping[str, str]) -> str:
    """Replace references such as ``$(NAME)`` to variables that come before."""

    def value(match: re.Match[str]) -> str:
        inner = match.group(1)
        return "$" if inner == "$" else known.get(inner[1:-1], match.group(0))

    return _REFERENCE.sub(value, text)


def _from(pod: Object, container: Object, source: Object, api: API) -> str | None:
    namespace = pod["metadata"]["namespace"]
    for key, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if key in source:
            reference = source[key]
            values = _values(api, kind, namespace, reference)
            if values is None or reference["key"] not in values:
                if reference.get("optional"):
                    return None
                message = f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}"
                raise CannotStartError("CreateContainerConfigError", message)
            return values[reference["key"]].decode()
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    resource = source["resourceFieldRef"]["resource"]
    part, _, name = resource.partition(".")
    return str(quantity(container.get("resources", {}).get(part, {}).get(name, "0")))


def _field(pod: Object, path: str) -> str:
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str(pod["metadata"].get(match.group(1), {}).get(match.group(2), ""))
    known: Mapping[str, Callable[[], str]] = {
        "metadata.name": lambda: pod["metadata"]["name"],
        "metadata.namespace": lambda: pod["metadata"]["namespace"],
        "metadata.uid": lambda: pod["metadata"]["uid"],
        "spec.nodeName": lambda: pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": lambda: pod["spec"]["serviceAccountName"],
        "status.podIP": lambda: "127.0.0.1",
    }
    return known[path]()


def _values(api: API, kind: str, namespace: str, reference: Object) -> dict[str, bytes] | None:
    """Return the content of a Secret or ConfigMap; None if it is missing and optional."""
    thing = api.find(kind, reference["name"], namespace)
    if thing is None:
        if reference.get("optional"):
            return None
        raise CannotStartError("CreateContainerConfigError", f'{kind.lower()} "{reference["name"]}" not found')
    binary = thing.get("data", {}) if kind == "Secret" else thing.get("binaryData", {})
    values = {key: base64.b64decode(value) for key, value in binary.items()}
    if kind == "ConfigMap":
        values |= {key: value.encode() for key, value in thing.get("data", {}).items()}
    return values


# Volumes


def _mounts(pod: Object, container: Object, sources: Sources, fs_group: int | None) -> list[Mount]:
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
    mounts = []
    for wish in container.get("volumeMounts", []):
        volume = volumes[wish["name"]]
        place = _place(pod, volume, sources, fs_group)
        memory = volume.get("emptyDir", {}).get("sizeLimit")
        if place and wish.get("subPath"):
            place /= wish["subPath"]
        read_only = wish.get("readOnly", False) or volume.get("persistentVolumeClaim", {}).get("readOnly", False)
        read_only = read_only or any(key in volume for key in ("secret", "configMap", "projected"))
        mounts.append(
            Mount(
                source=place,
                path=wish["mountPath"].rstrip("/"),
                read_only=read_only,
                size=str(quantity(str(memory))) if memory else "",
            )
        )
    return mounts


def _place(pod: Object, volume: Object, sources: Sources, fs_group: int | None) -> Path | None:
    """Return the folder of a volume, made and filled; None for one in memory."""
    namespace = pod["metadata"]["namespace"]
    if "persistentVolumeClaim" in volume:
        folder: Path = sources.volumes.folder_of(volume["persistentVolumeClaim"]["claimName"], namespace)
        _own(folder, fs_group, writable=True)
        return folder
    if "emptyDir" in volume:
        if volume["emptyDir"].get("medium") == "Memory":
            return None
        folder = sources.folder / volume["name"]
        folder.mkdir(exist_ok=True, parents=True)
        folder.chmod(0o777)
        _own(folder, fs_group, writable=True)
        return folder
    folder = sources.folder / volume["name"]
    folder.mkdir(exist_ok=True, parents=True)
    for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if key in volume:
            _fill(folder, volume[key], kind, namespace, sources.api)
    if "projected" in volume:
        for source in volume["projected"]["sources"]:
            _project(folder, pod, source, sources.api)
    if not any(key in volume for key in ("secret", "configMap", "projected")):
        raise CannotStartError("FailedMount", f"a volume of this kind can't be mounted here: {sorted(volume)}")
    _own(folder, fs_group, writable=False)
    return folder


def _fill(folder: Path, source: Object, kind: str, namespace: str, api: API) -> None:
    reference = {"name": source.get("secretName", source.get("name")), "optional": source.get("optional", False)}
    try:
        values = _values(api, kind, namespace, reference) or {}
    except CannotStartError as error:
        raise CannotStartError("FailedMount", error.message) from error
    default = source.get("defaultMode", 0o644)
    items = source.get("items") or [{"key": key, "path": key} for key in values]
    for item in items:
        if item["key"] not in values:
            if source.get("optional"):
                continue
            raise CannotStartError("FailedMount", f"references non-existent key: {item['key']}")
        _write(folder / item["path"], values[item["key"]], item.get("mode", default))


def _project(folder: Path, pod: Object, source: Object, api: API) -> None:
    namespace = pod["metadata"]["namespace"]
    if "serviceAccountToken" in source:
        wish = source["serviceAccountToken"]
        path = f"{path_of('ServiceAccount', namespace, pod['spec']['serviceAccountName'])}/token"
        spec: Object = {"expirationSeconds": wish.get("expirationSeconds", 3600)}
        if "audience" in wish:
            spec["audiences"] = [wish["audience"]]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        _write(folder / wish["path"], api.request("POST", path, body=body)["status"]["token"].encode(), 0o644)
    elif "downwardAPI" in source:
        for item in source["downwardAPI"]["items"]:
            _write(folder / item["path"], _field(pod, item["fieldRef"]["fieldPath"]).encode(), 0o644)
    elif "secret" in source:
        _fill(folder, source["secret"], "Secret", namespace, api)
    else:
        _fill(folder, source["configMap"], "ConfigMap", namespace, api)


def _write(path: Path, value: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(value)
    path.chmod(mode)


def _own(folder: Path, fs_group: int | None, *, writable: bool) -> None:
    """Give a volume to a pod's ``fsGroup``, as a kubelet does."""
    if fs_group is None or os.geteuid() != 0:
        return
    more_folder, more_file = (0o2070, 0o060) if writable else (0o2050, 0o040)
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink():
            continue
        os.chown(path, -1, fs_group)
        path.chmod(path.stat().st_mode & 0o7777 | (more_folder if path.is_dir() else more_file))


def remove(folder: Path) -> None:
    """Remove what a pod left on this machine."""
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["CannotStartError", "Sources", "claims_of", "container_of", "quantity", "remove"]
