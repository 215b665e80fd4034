"""What most tests of the operator need: a bucket with a repository, the Secret for it, and objects that use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import yaml

import pykopia
from pykopia import Repository
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.connection import ConnectionInfo
from tests.k8s.api import Object
from tests.k8s.machine import Namespace
from tests.servers.s3 import S3Server, admin

PASSWORD: Final = "canary-of-the-repository-8c1f"
SECRET: Final = "kopia-config"
"""Name of the Secret in the document's examples."""
API_VERSION: Final = "volsync.backube/v1alpha1"

_DOCUMENTED: Final = Path(__file__).parent / "data" / "documented"
_buckets = count(1)


def documented(name: str) -> list[Object]:
    """Return the objects of one example of VolSync's documentation, as they are printed there."""
    return [thing for thing in yaml.safe_load_all((_DOCUMENTED / f"{name}.yaml").read_text()) if thing]


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket with a repository below a prefix."""

    server: S3Server
    name: str
    prefix: str = "my-backups/"

    @property
    def secret(self) -> dict[str, str]:
        """The values of a Secret for it, with the keys of the document's first example."""
        return {
            "KOPIA_REPOSITORY": f"s3://{self.name}/{self.prefix.rstrip('/')}",
            "KOPIA_PASSWORD": PASSWORD,
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_S3_ENDPOINT": self.server.url,
        }

    def open(self) -> Repository:
        """Open the repository by the library."""
        options = S3Options(
            bucket=self.name,
            prefix=self.prefix,
            endpoint=self.server.endpoint,
            do_not_use_tls=self.server.certificates is None,
            access_key_id=self.server.access_key,
            secret_access_key=self.server.secret_key,
            region="us-east-1",
        )
        return pykopia.connect(ConnectionInfo.from_options(options), PASSWORD)

    def sources(self) -> list[str]:
        """Return the sources of all snapshots, oldest first."""
        with self.open() as repository:
            return [str(snapshot.source) for snapshot in repository.snapshots.list()]

    def restored(self, folder: Path, number: int = -1) -> dict[str, bytes]:
        """Restore a snapshot by the library, by default the newest one, and return its files."""
        with self.open() as repository:
            repository.snapshots.restore(repository.snapshots.list()[number].id, folder)
        return files(folder)


def make_bucket(server: S3Server) -> Bucket:
    """Return a new bucket."""
    name = f"bucket-{next(_buckets)}"
    admin(server).call_s3("create_bucket", Bucket=name)
    return Bucket(server=server, name=name)


def files(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by their relative paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def source(name: str = "app", claim: str = "data", *, manual: str = "first", **kopia: Any) -> Object:  # noqa: ANN401
    """Return a ReplicationSource that runs once for a manual value."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ReplicationSource",
        "metadata": {"name": name},
        "spec": {
            "sourcePVC": claim,
            "trigger": {"manual": manual},
            "kopia": {"repository": SECRET, "copyMethod": "Direct", **kopia},
        },
    }


def destination(name: str = "app", *, manual: str = "restore-once", **kopia: Any) -> Object:  # noqa: ANN401
    """Return a ReplicationDestination that runs once for a manual value."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ReplicationDestination",
        "metadata": {"name": name},
        "spec": {"trigger": {"manual": manual}, "kopia": {"repository": SECRET, "copyMethod": "Direct", **kopia}},
    }


def condition(thing: Object, kind: str) -> Object:
    """Return a condition of an object; empty if it has none."""
    conditions = thing.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {})


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A namespace with a Secret for a bucket of its own."""

    namespace: Namespace
    bucket: Bucket
    more: Mapping[str, str] = field(default_factory=dict)

    def back_up(self, thing: Object | None = None, *, seconds: float = 90) -> Object:
        """Apply a ReplicationSource and wait until the run of its manual value has ended well."""
        thing = thing or source()
        self.namespace.apply(thing)
        return self.synced("ReplicationSource", thing["metadata"]["name"], seconds=seconds)

    def restore(self, thing: Object, *, seconds: float = 90) -> Object:
        """Apply a ReplicationDestination and wait until the run of its manual value has ended well."""
        self.namespace.apply(thing)
        return self.synced("ReplicationDestination", thing["metadata"]["name"], seconds=seconds)

    def synced(self, kind: str, name: str, *, seconds: float = 90) -> Object:
        """Wait until the run of an object's manual value has ended well; without one, until any run has."""

        def done(thing: Object) -> bool:
            wish = thing["spec"].get("trigger", {}).get("manual")
            status = thing.get("status", {})
            return status.get("lastManualSync") == wish if wish else bool(status.get("lastSyncTime"))

        return self.namespace.wait(f"{kind} {name} is synchronized", kind, name, done, seconds=seconds)


__all__ = [
    "API_VERSION",
    "PASSWORD",
    "SECRET",
    "Bucket",
    "Scenario",
    "condition",
    "destination",
    "documented",
    "files",
    "make_bucket",
    "source",
]
