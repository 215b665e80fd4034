"""The operator as a process: started as its Deployment says, with the token of its own ServiceAccount."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.k8s.api import Object, wait_for
from tests.k8s.chart import NAMESPACE, Chart
from tests.k8s.kubelet import IMAGE
from tests.k8s.machine import Machine
from tests.k8s.proxy import Proxy
from tests.servers import process

PROGRAM: Final = Path(sys.executable).parent / "pykopia-operator"
_numbers = itertools.count(1)


@dataclass(kw_only=True)
class Operator:
    """One operator process, which can be killed and started again."""

    machine: Machine
    chart: Chart
    folder: Path
    flags: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    server: str | None = None
    """URL of a proxy in front of the API server."""
    name: str = field(default_factory=lambda: f"operator-{next(_numbers)}")
    process: subprocess.Popen[bytes] | None = None
    probe_port: int = 0
    metrics_port: int = 0

    @property
    def log(self) -> Path:
        """What all processes so far have printed."""
        return self.folder / f"{self.name}.log"

    def start(self, *, wait: bool = True) -> None:
        """Start a process, and wait until it says that it is alive."""
        assert self.process is None
        self.probe_port, self.metrics_port = process.free_port(), process.free_port()
        token = self.machine.cluster.account_token(NAMESPACE, self.chart.account)
        config = self.machine.cluster.kubeconfig(self.folder / f"{self.name}.kubeconfig", token, server=self.server)
        overrides = [
            f"--kubeconfig={config}",
            f"--namespace={NAMESPACE}",
            f"--kopia-container-image={IMAGE}",
            f"--health-probe-bind-address={process.HOST}:{self.probe_port}",
            f"--metrics-bind-address={process.HOST}:{self.metrics_port}",
            "--leader-elect=false",  # a killed process would hold the Lease for two minutes
        ]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [PROGRAM, *_arguments(self.chart.deployment), *overrides, *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        if wait:
            wait_for("the operator is alive", self._alive, describe=lambda: self.log.read_text()[-3000:])

    def _environment(self) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "POD_NAMESPACE": NAMESPACE}
        return {**own, "POD_NAME": self.name, **self.environment}

    def _alive(self) -> bool:
        if self.process and self.process.poll() is not None:
            raise AssertionError(
                f"the operator ended with status {self.process.returncode}:\n{self.log.read_text()[-3000:]}"
            )
        return process.answers_http(self.probe_port, "/healthz", below=300)

    def ready(self) -> bool:
        """Return True if the process says that it is ready."""
        return process.answers_http(self.probe_port, "/readyz", below=300)

    def kill(self) -> None:
        """End the process at once, as when its node fails."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """End the process as a kubelet does, and return its status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        running, self.process = self.process, None
        if running is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(number)
        try:
            return running.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def _arguments(deployment: Object) -> list[str]:
    """Return the arguments of the operator's container."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return [str(argument) for argument in container.get("args", [])]


@contextlib.contextmanager
def running_operator(
    machine: Machine,
    chart: Chart,
    folder: Path,
    *,
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    proxy: Proxy | None = None,
) -> Iterator[Operator]:
    """Run an operator for the time of a block."""
    operator = Operator(
        machine=machine,
        chart=chart,
        folder=folder,
        flags=flags,
        environment=environment or {},
        server=proxy.url if proxy else None,
    )
    operator.start()
    try:
        yield operator
    finally:
        operator.kill()


__all__ = ["PROGRAM", "Operator", "running_operator"]
