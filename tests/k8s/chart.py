"""The operator's Helm chart, rendered by helm."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from tests.k8s.api import Object
from tests.k8s.cluster import INSTALL
from tests.servers import programs

CHART: Final = Path(__file__).parents[2] / "operator" / "chart"
NAMESPACE: Final = "pykopia-system"
"""Where the tests install the operator."""
RELEASE: Final = "pykopia"
KUBERNETES: Final = "--kube-version=1.37.2"
"""For helm where it asks no server: what `go install` builds takes itself for one of Kubernetes 1.20."""

_INSTALLED: Final = frozenset(
    {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap", "VolumePopulator"}
)
"""What of the chart is installed. The Deployment is run by the tests, not by a controller."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The objects that the chart makes with some values."""

    objects: Sequence[Object]

    @property
    def definitions(self) -> list[Object]:
        """The CustomResourceDefinitions."""
        return [thing for thing in self.objects if thing["kind"] == "CustomResourceDefinition"]

    @property
    def prerequisites(self) -> list[Object]:
        """What the operator needs besides its Deployment."""
        return [thing for thing in self.objects if thing["kind"] in _INSTALLED]

    @property
    def deployment(self) -> Object:
        """The operator."""
        (found,) = (thing for thing in self.objects if thing["kind"] == "Deployment")
        return found

    @property
    def account(self) -> str:
        """Name of the operator's ServiceAccount."""
        return str(self.deployment["spec"]["template"]["spec"]["serviceAccountName"])


def render(values: Mapping[str, object] | None = None) -> str:
    """Return the YAML that the chart makes."""
    helm = programs.require("helm", install=INSTALL)
    settings = [f"--set={key}={value}" for key, value in (values or {}).items()]
    command = [helm, "template", RELEASE, CHART, f"--namespace={NAMESPACE}", KUBERNETES, *settings]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load_chart(values: Mapping[str, object] | None = None) -> Chart:
    """Return the chart's objects."""
    return Chart(objects=[thing for thing in yaml.safe_load_all(render(values)) if thing])


__all__ = ["CHART", "KUBERNETES", "NAMESPACE", "RELEASE", "Chart", "load_chart", "render"]
