"""Runs an image of the mover against a real server of each backend: part of ``mover/image-test``.

Each combination of backend and user backs up, maintains and restores in containers with a read-only root, no capabilities and,
as in a pod of containerd, no entry in the password file. The servers are those of the tests; a missing one is reported, and
is a failure. There is no server of Backblaze B2 to run: its SDK's simulator takes its place, inside the container.

    python -m tests.mover.image_backends FOLDER IMAGE@USER...
"""

import contextlib
import filecmp
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers import azure, gcs, s3, ssh, webdav

ROOT = Path(__file__).parents[2]
PASSWORD = "of-the-image-test"
B2 = """
import b2
import pykopia.storage.backends.b2.storage

service = b2.Service("bucket")
pykopia.storage.backends.b2.storage._configuration = lambda *_: service.config
"""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way to reach a repository."""

    name: str
    environment: dict[str, str]
    volumes: tuple[str, ...] = ()
    one_process: bool = False
    """Whether the repository is gone when the process ends."""


@dataclass(kw_only=True)
class Check:
    """One image, run as one user."""

    image: str
    user: str
    folder: Path
    failures: list[str] = field(default_factory=list)

    def mover(self, backend: Backend, *operations: str, data: str = "/data") -> subprocess.CompletedProcess[str]:
        """Run operations in a container of its own."""
        command = ["podman", "--runtime", "runc", "run", "--rm", "--network=host", "--read-only", "--passwd=false"]
        command += ["--cap-drop=ALL", "--security-opt=no-new-privileges", f"--user={self.user}"]
        command += ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096", "--tmpfs=/tmp:rw,size=16m,mode=1777"]
        volumes = ("data:/data:ro", "target:/restore/data", "cache:/cache", "repository:/repository")
        for volume in (*(f"{self.folder}/{each}" for each in volumes), *backend.volumes):
            command.append(f"--volume={volume}")
        environment = {
            "KOPIA_PASSWORD": PASSWORD,
            "KOPIA_CACHE_DIR": "/cache",
            "VOLSYNC_OWNER_NAMESPACE": "ns",
            "VOLSYNC_OWNER_NAME": f"app-{self.user.partition(':')[0]}",
            "HOME": "",
            "DATA_DIR": data,
            **backend.environment,
        }
        command += [f"--env={name}={value}" for name, value in environment.items()]
        return subprocess.run([*command, self.image, *operations], capture_output=True, text=True, check=False)

    def run(self, backend: Backend) -> None:
        """Back up, maintain and restore; note what fails."""
        for name in ("target", "cache", "data"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o777)
        (self.folder / "data" / "folder").mkdir()
        (self.folder / "data" / "folder" / "file").write_bytes(os.urandom(300_000))
        (self.folder / "data" / "small").write_text(backend.name)
        began = time.monotonic()
        steps = [("/data", ["backup", "maintenance"]), ("/restore/data", ["restore"])]
        if backend.one_process:
            steps = [("/data", ["backup", "maintenance", "discover"])]
        for data, operations in steps:
            done = self.mover(backend, *operations, data=data)
            if done.returncode:
                end = "\n".join((done.stdout + done.stderr).splitlines()[-6:])
                self.failures.append(
                    f"{self._name(backend)}: {' '.join(operations)} ends with {done.returncode}\n{end}"
                )
                return
        if not backend.one_process and _differences(filecmp.dircmp(self.folder / "data", self.folder / "target")):
            self.failures.append(f"{self._name(backend)}: what was restored is not what was backed up")
            return
        print(
            f"   {self._name(backend)}: backed up, maintained, restored in {time.monotonic() - began:.0f} s", flush=True
        )

    def _name(self, backend: Backend) -> str:
        return f"{backend.name} as {self.user} of {self.image.rpartition('/')[2]}"


def _differences(compared: filecmp.dircmp[str]) -> bool:
    return bool(
        compared.left_only
        or compared.right_only
        or compared.diff_files
        or any(_differences(each) for each in compared.subdirs.values())
    )


@contextlib.contextmanager
def filesystem(folder: Path) -> Iterator[Backend]:
    """A folder, each user's own."""
    yield Backend(name="filesystem", environment={"KOPIA_REPOSITORY": "filesystem:///repository/USER"})


@contextlib.contextmanager
def of_s3(folder: Path) -> Iterator[Backend]:
    """Versitygw."""
    with s3.versitygw(folder) as server:
        s3.admin(server).call_s3("create_bucket", Bucket="bucket")
        yield Backend(
            name="s3",
            environment={
                "KOPIA_REPOSITORY": "s3://bucket/folder",
                "AWS_S3_ENDPOINT": server.url,
                "AWS_ACCESS_KEY_ID": server.access_key,
                "AWS_SECRET_ACCESS_KEY": server.secret_key,
            },
        )


@contextlib.contextmanager
def of_azure(folder: Path) -> Iterator[Backend]:
    """Azurite."""
    with azure.azurite(folder) as server:
        with server.container("container") as container:
            container.create_container()
        yield Backend(
            name="azure",
            environment={
                "KOPIA_REPOSITORY": "azure://container/folder",
                "AZURE_STORAGE_ACCOUNT": server.account,
                "AZURE_STORAGE_KEY": server.key,
                "AZURE_ENDPOINT_SUFFIX": f"http://{server.domain}/{server.account}",
            },
        )


@contextlib.contextmanager
def of_gcs(folder: Path) -> Iterator[Backend]:
    """fake-gcs-server."""
    with gcs.fake_gcs(folder) as server:
        bucket = server.new_bucket().bucket
        yield Backend(
            name="gcs",
            environment={"KOPIA_REPOSITORY": f"gcs://{bucket}/folder", "STORAGE_EMULATOR_HOST": server.url},
        )


@contextlib.contextmanager
def of_b2(folder: Path) -> Iterator[Backend]:
    """The simulator of B2's SDK, in the process of the mover."""
    shutil.copy(ROOT / "tests" / "servers" / "b2.py", folder / "b2.py")
    (folder / "sitecustomize.py").write_text(B2)
    folder.chmod(0o755)
    yield Backend(
        name="b2",
        environment={
            "KOPIA_REPOSITORY": "b2://bucket/folder",
            "B2_ACCOUNT_ID": "account-0",
            "B2_APPLICATION_KEY": "masterKey-0",
            "PYTHONPATH": "/simulator",
        },
        volumes=(f"{folder}:/simulator:ro",),
        one_process=True,
    )


@contextlib.contextmanager
def of_sftp(folder: Path) -> Iterator[Backend]:
    """OpenSSH, by key."""
    with ssh.openssh(folder) as server:
        yield Backend(
            name="sftp",
            environment={
                "KOPIA_REPOSITORY": f"sftp://{server.host}{server.path}",
                "SFTP_HOST": server.host,
                "SFTP_PORT": str(server.port),
                "SFTP_USERNAME": server.user,
                "SFTP_PATH": f"{server.path}/kopia",
                "SFTP_KEY_FILE": server.keys["ed25519"].read_text(),
            },
        )


@contextlib.contextmanager
def of_webdav(folder: Path) -> Iterator[Backend]:
    """WsgiDAV."""
    with webdav.wsgidav(folder) as server:
        yield Backend(
            name="webdav",
            environment={
                "KOPIA_REPOSITORY": f"webdav://{server.host}/kopia",
                "WEBDAV_URL": f"{server.url}/kopia/",
                "WEBDAV_USERNAME": server.user,
                "WEBDAV_PASSWORD": server.password,
            },
        )


@contextlib.contextmanager
def of_rclone(folder: Path) -> Iterator[Backend]:
    """The image's rclone with a remote on S3, started as in VolSync's documentation."""
    with s3.versitygw(folder) as server:
        s3.admin(server).call_s3("create_bucket", Bucket="bucket")
        section = {
            "type": "s3",
            "provider": "Other",
            "endpoint": server.url,
            "access_key_id": server.access_key,
            "secret_access_key": server.secret_key,
        }
        config = "".join(["[remote-name]\n", *(f"{name} = {value}\n" for name, value in section.items())])
        yield Backend(
            name="rclone",
            environment={
                "KOPIA_REPOSITORY": "rclone://remote-name:/bucket/folder",
                "RCLONE_REMOTE_PATH": "remote-name:/bucket/folder",
                "RCLONE_EXE": "/usr/local/bin/rclone",
                "RCLONE_CONFIG": config,
            },
        )


BACKENDS: tuple[Callable[[Path], contextlib.AbstractContextManager[Backend]], ...] = (
    filesystem,
    of_s3,
    of_azure,
    of_gcs,
    of_b2,
    of_sftp,
    of_webdav,
    of_rclone,
)


def main(folder: Path, images: list[str]) -> int:
    """Run every backend with every image and user; return the exit status."""
    failures: list[str] = []
    (folder / "repository").mkdir()
    (folder / "repository").chmod(0o777)
    checks = []
    for each in images:
        image, _, user = each.rpartition("@")
        checks.append(Check(image=image, user=user, folder=folder, failures=failures))
    for number, opened in enumerate(BACKENDS):
        server_folder = folder / f"server-{number}"
        server_folder.mkdir()
        try:
            with opened(server_folder) as backend:
                for check in checks:
                    name = check.user.partition(":")[0]
                    environment = {key: value.replace("USER", name) for key, value in backend.environment.items()}
                    check.run(Backend(**{**vars(backend), "environment": environment}))
        except (Exception, pytest.skip.Exception) as error:  # noqa: BLE001 -- a missing server skips tests, and counts here
            failures.append(f"{opened.__name__}: {error}")
    for failure in failures:
        print(f"FAILED: {failure}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
