"""Where repositories lie: a folder, or a server that the comparison starts itself behind a proxy with latency."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.servers import azure, gcs, process, programs, s3, ssh, tls, webdav
from tests.servers.tunnel import tunnel

from .latency import LatencyProxy


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one repository lies."""

    kopia: Sequence[str]
    """What follows ``repository create`` and ``repository connect``."""
    restic: str = ""
    """Value of RESTIC_REPOSITORY; empty: this comparison does not run restic there."""
    environment: Mapping[str, str] = field(default_factory=dict)


NewPlace: TypeAlias = Callable[[], Place]
"""Makes the place of a new repository on a running server."""


def folder(path: Path) -> Place:
    """Return the place of a repository in a folder of this machine."""
    return Place(kopia=["filesystem", f"--path={path}"], restic=str(path))


@contextlib.contextmanager
def _s3(path: Path, proxy: LatencyProxy) -> Iterator[NewPlace]:
    by_go = programs.find("versitygw") is not None
    running = s3.versitygw(path, flags=["--keep-alive", "--quiet"]) if by_go else s3.seaweedfs(path)
    with running as server:
        proxy.target_port = int(server.endpoint.rpartition(":")[2])
        endpoint = f"{process.HOST}:{proxy.port}"
        numbers = itertools.count()

        def new() -> Place:
            bucket = f"benchmark-{next(numbers)}"
            s3.admin(server).call_s3("create_bucket", Bucket=bucket)
            words = [f"--bucket={bucket}", f"--endpoint={endpoint}", "--disable-tls"]
            words += [f"--access-key={server.access_key}", f"--secret-access-key={server.secret_key}"]
            return Place(
                kopia=["s3", *words],
                restic=f"s3:http://{endpoint}/{bucket}",
                environment={"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key},
            )

        yield new


@contextlib.contextmanager
def _gcs(path: Path, proxy: LatencyProxy) -> Iterator[NewPlace]:
    # the emulator answers downloads for the one name alone that it was told, so that of the proxy
    with gcs.fake_gcs(path, public_host=f"{process.HOST}:{proxy.port}") as server:
        proxy.target_port = int(server.url.rpartition(":")[2])
        found_by = {"STORAGE_EMULATOR_HOST": f"http://{process.HOST}:{proxy.port}"}
        yield lambda: Place(kopia=["gcs", f"--bucket={server.new_bucket().bucket}"], environment=found_by)


@contextlib.contextmanager
def _azure(path: Path, proxy: LatencyProxy) -> Iterator[NewPlace]:
    """Run Azurite with TLS behind a tunnel, since kopia knows accounts by names below a domain alone."""
    (path / "tls").mkdir()
    certificates = tls.make_certificates(path / "tls")
    with azure.azurite(path, certificates) as server, tunnel(proxy.port) as by_tunnel:
        proxy.target_port = int(server.domain.rpartition(":")[2])

        def new() -> Place:
            words = [f"--container={server.new_container().container}", f"--storage-account={server.account}"]
            words += [f"--storage-key={server.key}", f"--storage-domain={tls.DOMAIN}"]
            trust = {"HTTPS_PROXY": by_tunnel, "SSL_CERT_FILE": str(certificates.authority)}
            return Place(kopia=["azure", *words], environment=trust)

        yield new


@contextlib.contextmanager
def _sftp(path: Path, proxy: LatencyProxy) -> Iterator[NewPlace]:
    with ssh.openssh(path) as server:
        proxy.target_port = server.port
        known = server.known_hosts.replace(f":{server.port} ", f":{proxy.port} ")
        numbers = itertools.count()

        def new() -> Place:
            words = [f"--path={server.path}/benchmark-{next(numbers)}", f"--host={server.host}", f"--port={proxy.port}"]
            words += [f"--username={server.user}", f"--keyfile={server.keys['ed25519']}", f"--known-hosts-data={known}"]
            return Place(kopia=["sftp", *words])

        yield new


@contextlib.contextmanager
def _webdav(path: Path, proxy: LatencyProxy) -> Iterator[NewPlace]:
    with webdav.apache(path) as server:
        proxy.target_port = server.port
        numbers = itertools.count()

        def new() -> Place:
            name = f"benchmark-{next(numbers)}"
            (server.data / name).mkdir()
            (server.data / name).chmod(0o777)
            words = [f"--url=http://{process.HOST}:{proxy.port}{server.prefix}/{name}"]
            words += [f"--webdav-username={server.user}", f"--webdav-password={server.password}"]
            return Place(kopia=["webdav", *words])

        yield new


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A kind of server that repositories may lie on."""

    program: Sequence[str]
    """Names of its program; one is enough."""
    start: Callable[[Path, LatencyProxy], contextlib.AbstractContextManager[NewPlace]]

    @property
    def is_here(self) -> bool:
        """Whether its program is on this machine."""
        return any(programs.find(name) is not None for name in self.program)


SERVERS: Mapping[str, Server] = {
    "s3": Server(program=["versitygw", "weed"], start=_s3),
    "gcs": Server(program=["fake-gcs-server"], start=_gcs),
    "azure": Server(program=["azurite-blob"], start=_azure),
    "sftp": Server(program=["sshd"], start=_sftp),
    "webdav": Server(program=["apache2", "httpd"], start=_webdav),
}

__all__ = ["SERVERS", "NewPlace", "Place", "Server", "folder"]
