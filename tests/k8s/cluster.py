"""etcd, kube-apiserver and the controllers of Kubernetes on loopback, with RBAC, tokens of service accounts and an audit log.

``scripts/test-servers.sh --cluster`` builds the program and installs etcd.
"""

import contextlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.k8s.api import API, APIError, Object, path_of, wait_for
from tests.servers import process, programs
from tests.servers.tls import Certificates, make_certificates

ADMIN: Final = "admin"
INSTALL: Final = "sh scripts/test-servers.sh --cluster"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running API server with its controllers."""

    folder: Path
    program: Path
    port: int
    etcd: str
    """URL of its store."""
    certificates: Certificates
    admin_token: str
    admin: API
    """A client that may do everything."""
    running: contextlib.ExitStack
    """Ends the API server."""
    expected: list[range] = field(default_factory=list)
    """Lines of the audit log with refusals that are not the chart's: a server refuses all until it has read the roles."""

    @contextlib.contextmanager
    def without_api_server(self) -> Iterator[None]:
        """Have no API server for the time of a block; afterwards a new process serves at the same address."""
        self.running.close()
        try:
            yield
        finally:
            with self.refusing():
                self.running.enter_context(
                    _api_server(self.program, self.folder, self.certificates, self.etcd, self.port)
                )

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Let refusals for the time of a block not count as the chart's."""
        before = len(self.audit())
        yield
        self.expected.append(range(before, len(self.audit())))

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{process.HOST}:{self.port}"

    def kubeconfig(self, path: Path, token: str, *, server: str | None = None) -> Path:
        """Write a kubeconfig for a token; ``server`` is the URL of a proxy without TLS in front of the API server."""
        cluster: Object = {"server": server or self.server}
        if not server:
            cluster["certificate-authority"] = str(self.certificates.authority)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(document))
        path.chmod(0o600)
        return path

    def account_token(self, namespace: str, account: str) -> str:
        """Return a token of a service account, which the API server issues."""
        path = f"{path_of('ServiceAccount', namespace, account)}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
        return str(self.admin.request("POST", path, body=body)["status"]["token"])

    def as_account(self, namespace: str, account: str) -> API:
        """Return a client with the identity of a service account."""
        token = self.account_token(namespace, account)
        return API(self.server, token=token, authority=str(self.certificates.authority))

    def refused(self) -> set[str]:
        """Return the verbs and paths that the roles of the operator's service account did not allow."""
        return {
            f"{entry['verb']} {entry['requestURI']}"
            for number, entry in enumerate(self.audit())
            if entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
            and not any(number in lines for lines in self.expected)
        }

    def audit(self) -> list[Object]:
        """Return what service accounts of the operator's namespace asked of the API server, in order."""
        path = self.folder / "audit.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def start_cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster for the time of a block."""
    etcd = programs.require("etcd", install=INSTALL)
    program = programs.require("kubernetes-cluster", install=INSTALL)
    with contextlib.ExitStack() as stack:
        certificates = make_certificates(folder)
        token = secrets.token_hex(16)
        (folder / "tokens.csv").write_text(f'{token},{ADMIN},{ADMIN},"system:masters"\n')
        _write_account_keys(folder)
        (folder / "audit.json").write_text(json.dumps(_AUDIT_POLICY))
        store = stack.enter_context(_etcd(etcd, folder))
        port = process.free_port()
        running = stack.enter_context(contextlib.ExitStack())
        running.enter_context(_api_server(program, folder, certificates, store, port))
        admin = API(f"https://{process.HOST}:{port}", token=token, authority=str(certificates.authority), patience=60)
        stack.callback(admin.close)
        cluster = Cluster(
            folder=folder,
            program=program,
            port=port,
            etcd=store,
            certificates=certificates,
            admin_token=token,
            admin=admin,
            running=running,
        )
        stack.enter_context(_controllers(program, cluster))
        wait_for("the default namespace has its service account", lambda: _has_account(admin))
        yield cluster


def _write_account_keys(folder: Path) -> None:
    """Write the keys by which tokens of service accounts are signed and checked."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "accounts.key").write_bytes(private)
    (folder / "accounts.pub").write_bytes(public)


_AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:pykopia-system"]},
        {"level": "None"},
    ],
}


def _has_account(admin: API) -> bool:
    with contextlib.suppress(APIError):
        return admin.find("ServiceAccount", "default", "default") is not None
    return False


@contextlib.contextmanager
def _etcd(program: Path, folder: Path) -> Iterator[str]:
    client, peer = (f"http://{process.HOST}:{process.free_port()}" for _ in range(2))
    command: Sequence[str | Path] = [
        program,
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]
    port = int(client.rpartition(":")[2])
    with process.running(
        command, ready=lambda: process.answers_http(port, "/health", below=300), log=folder / "etcd.log"
    ):
        yield client


@contextlib.contextmanager
def _api_server(program: Path, folder: Path, certificates: Certificates, store: str, port: int) -> Iterator[None]:
    command: list[str | Path] = [
        program,
        "kube-apiserver",
        f"--etcd-servers={store}",
        f"--bind-address={process.HOST}",
        f"--advertise-address={process.HOST}",
        f"--secure-port={port}",
        f"--tls-cert-file={certificates.certificate}",
        f"--tls-private-key-file={certificates.key}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'accounts.pub'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        "--profiling=false",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={folder / 'audit.json'}",
        f"--audit-log-path={folder / 'audit.log'}",
    ]
    ready = lambda: process.answers_http(port, "/readyz", tls=True, below=300)  # noqa: E731
    with process.running(command, ready=ready, log=folder / "kube-apiserver.log"):
        yield


@contextlib.contextmanager
def _controllers(program: Path, cluster: Cluster) -> Iterator[None]:
    port = process.free_port()
    command: list[str | Path] = [
        program,
        "controllers",
        f"--kubeconfig={cluster.kubeconfig(cluster.folder / 'admin.kubeconfig', cluster.admin_token)}",
        f"--root-ca-file={cluster.certificates.authority}",
        f"--health-address={process.HOST}:{port}",
    ]
    ready = lambda: process.answers_http(port, "/healthz", below=300)  # noqa: E731
    with process.running(command, ready=ready, log=cluster.folder / "controllers.log"):
        yield


__all__ = ["ADMIN", "Cluster", "start_cluster"]
