"""The container of a pod, as the tests run it: what it sees, whom it runs as, and what it can't do."""

import os
from pathlib import Path

import pytest

from tests.k8s.container import Container, Mount, termination_message

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="users of containers need root")


def run(folder: Path, script: str, **options: object) -> tuple[int, str, str]:
    """Run a script in a container and return its status, its output and its termination message."""
    environment = {"PATH": "/usr/bin:/bin", "GREETING": "hello"}
    container = Container(name="test", command=["/bin/sh", "-c", script], environment=environment, **options)  # type: ignore[arg-type]
    running = container.start(folder / "pod" / "root", folder / "log")
    status = running.wait(60)
    return status, (folder / "log").read_text(), termination_message(folder / "pod" / "root")


def test_volumes_are_at_their_paths_and_the_rest_of_the_machine_is_not_there(tmp_path: Path) -> None:
    data = tmp_path / "volume"
    data.mkdir()
    (data / "file").write_text("content")
    mounts = [Mount(source=data, path="/data", read_only=True), Mount(source=None, path="/tmp", size="1048576")]
    status, output, _ = run(tmp_path, "cat /data/file; ls /; touch /data/new || touch /tmp/new", mounts=mounts)
    assert status == 0, output
    assert "content" in output
    assert {"data", "tmp", "usr"} <= set(output.split())
    assert not {"home", "var", "boot"} & set(output.split())
    assert "/data/new" in output
    assert list(data.iterdir()) == [data / "file"]
    assert not Path("/tmp/new").exists()


def test_the_user_has_no_capabilities_and_the_root_is_read_only(tmp_path: Path) -> None:
    script = "id; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; touch /usr/x; touch /x; cat /proc/$$/environ"
    _, output, _ = run(tmp_path, script, mounts=[], user=1234, group=99, groups=[99, 77])
    assert "uid=1234" in output
    assert "77" in output.splitlines()[0]
    assert output.count("0000000000000000") == 2
    assert "NoNewPrivs:\t1" in output
    assert "cannot touch '/x'" in output
    assert "GREETING=hello" in output
    assert "PWD" not in output


def test_root_has_the_added_capabilities_alone(tmp_path: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    (folder / "private").write_text("secret")
    os.chown(folder / "private", 5, 5)
    (folder / "private").chmod(0o600)
    mounts = [Mount(source=folder, path="/data")]
    status, output, _ = run(tmp_path, "cat /data/private", mounts=mounts, user=0, group=0)
    assert status == 1
    assert "Permission denied" in output
    status, output, _ = run(
        tmp_path / "again", "cat /data/private", mounts=mounts, user=0, group=0, capabilities=["dac_override"]
    )
    assert (status, output) == (0, "secret")


def test_the_termination_message_and_the_status_come_back(tmp_path: Path) -> None:
    status, _, message = run(tmp_path, "printf 'the end' > /dev/termination-log; exit 7", mounts=[], user=1234)
    assert (status, message) == (7, "the end")
