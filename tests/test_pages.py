"""Every example of the documentation is run by a test: this file has those of the pages that no other file types."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import fsspec
import pytest
import yaml
from pykopia_mover.settings import all_variables

from pykopia.storage.backends.gdrive.storage import GoogleDriveStorage
from tests.cli_runner import Runner
from tests.servers import programs, tls
from tests.servers.azure import AzureServer
from tests.servers.b2 import Service
from tests.servers.drive import DriveServer
from tests.servers.gcs import GCSServer
from tests.servers.s3 import S3Server, admin
from tests.servers.ssh import SSHServer
from tests.servers.webdav import WebDAVServer
from tests.trees import small_tree

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "mover/README.md", "operator/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
THIS = "tests/test_pages.py"
TYPED_BY = {
    "CONTRIBUTING.md": "scripts/newcomer.sh",
    "README.md": "tests/test_readme.py",
    "docs/cluster.md": "tests/test_cluster_page.py",
    "docs/command-line.md": THIS,
    "docs/extended-attributes.md": THIS,
    "docs/filesystem.md": "tests/test_filesystem_page.py",
    "docs/format/03-storage-and-maintenance.md": THIS,
    "docs/from-restic.md": "tests/test_tutorial.py",
    "docs/index.md": THIS,
    "docs/library.md": "tests/test_library_page.py",
    "docs/maintenance.md": THIS,
    "docs/other-filesystems.md": THIS,
    "docs/password.md": "tests/test_tutorial.py",
    "docs/policies.md": THIS,
    "docs/ransomware.md": "tests/test_tutorial.py",
    "docs/repair.md": "tests/cli/test_repair_page.py",
    "docs/restore-without-cluster.md": "tests/test_tutorial.py",
    "docs/storage-folders.md": THIS,
    "docs/storage.md": THIS,
    "docs/tutorial.md": "tests/test_tutorial.py",
    "docs/ui.md": THIS,
    "mover/README.md": "tests/mover/test_readme.py",
    "operator/README.md": THIS,
}
"""The test or script that runs the examples of a page."""


def blocks(page: str, language: str = "sh") -> list[str]:
    """Return the examples of a page in one language."""
    return [text for found, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")) if found == language]


def command_lines(*examples: str) -> list[list[str]]:
    """Return the words of each line that calls pykopia, as the shell would pass them."""
    lines = [line for text in examples for line in text.replace("\\\n", " ").splitlines()]
    calls = (line.removeprefix("$ ") for line in lines)
    return [shlex.split(line, comments=True)[1:] for line in calls if line.startswith("pykopia ")]


@pytest.fixture
def pykopia(tmp_path: Path) -> Runner:
    """A client whose home has a folder of documents."""
    small_tree(tmp_path / "client" / "home" / "documents")
    (tmp_path / "client" / "home" / "documents" / "letter.txt").write_text("Dear reader")
    return Runner(tmp_path / "client")


def run(pykopia: Runner, words: list[str], replace: Mapping[str, str], **environment: str) -> None:
    """Run one command line, with other text for what only the reader has."""
    line = "\0".join(words)
    for text, other in replace.items():
        line = line.replace(text, other)
    home = str(pykopia.folder / "home")
    pykopia.environment |= environment
    pykopia.ok(*(re.sub(r"^~|(?<==)~", home, word) for word in line.split("\0")))


def test_each_page_with_examples_has_a_test_that_types_them() -> None:
    languages = {"sh", "console", "python", "toml", "json"}
    with_examples = {
        page.relative_to(ROOT).as_posix()
        for page in PAGES
        for language, text in BLOCK.findall(page.read_text(encoding="utf-8"))
        if language in languages or re.search(r"^(pykopia|make) ", text, re.MULTILINE)
    }
    assert with_examples == set(TYPED_BY)
    for page, test in TYPED_BY.items():
        text = (ROOT / test).read_text(encoding="utf-8")
        assert Path(page).name in text or "README" in text


def test_the_first_commands_of_the_site_make_a_snapshot(pykopia: Runner, tmp_path: Path) -> None:
    for words in command_lines(*blocks("docs/index.md")):
        run(pykopia, words, {"/backups": f"{tmp_path}/backups"})
    assert len(pykopia.ok("snapshot", "list", "--json").json) == 1


def test_the_commands_of_the_page_on_policies(pykopia: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pykopia.ok("repository", "create", "filesystem", f"--path={tmp_path}/backups")
    documents = pykopia.folder / "home" / "documents"
    pykopia.ok("snapshot", "create", str(documents))
    snapshot_id = pykopia.ok("snapshot", "list", "--json").json[0]["id"]
    for words in command_lines(*blocks("docs/policies.md")):
        run(pykopia, words, {"\0ID\0": f"\0{snapshot_id}\0"}, EDITOR="true")
    policy = pykopia.ok("policy", "show", str(documents), "--json").json
    assert policy["files"]["ignore"] == ["*.tmp"]
    assert policy["actions"]["beforeSnapshotRoot"]["path"] == "/usr/local/bin/dump-db"
    assert (tmp_path / "target" / "letter.txt").read_text() == "Dear reader"


def test_the_commands_of_the_page_on_extended_attributes(pykopia: Runner, tmp_path: Path) -> None:
    pykopia.ok("repository", "create", "filesystem", f"--path={tmp_path}/backups")
    letter = pykopia.folder / "home" / "documents" / "letter.txt"
    os.setxattr(letter, "user.comment", b"for Ann")
    (letter.parent / "second name").hardlink_to(letter)
    for words in command_lines(*blocks("docs/extended-attributes.md")):
        run(pykopia, words, {"/srv/files": str(letter.parent), "/srv/restored": f"{tmp_path}/restored"})
    restored = tmp_path / "restored" / "letter.txt"
    assert os.getxattr(restored, "user.comment") == b"for Ann"
    assert restored.samefile(tmp_path / "restored" / "second name")


def test_the_commands_of_the_page_on_maintenance(pykopia: Runner, tmp_path: Path) -> None:
    pykopia.ok("repository", "create", "filesystem", f"--path={tmp_path}/backups")
    for words in command_lines(*blocks("docs/maintenance.md")):
        run(pykopia, words, {})
    schedule = pykopia.ok("maintenance", "info", "--json").json
    assert schedule["full"]["interval"] == 12 * 3600 * 10**9


def test_the_first_look_of_the_page_on_repair(pykopia: Runner, tmp_path: Path) -> None:
    pykopia.ok("repository", "create", "filesystem", f"--path={tmp_path}/backups")
    pykopia.ok("snapshot", "create", str(pykopia.folder / "home" / "documents"))
    lines = command_lines(blocks("docs/repair.md")[0])
    assert len(lines) == 4
    for words in lines:
        run(pykopia, words, {})


def test_the_profile_of_the_page_on_the_command_line_is_taken(pykopia: Runner, tmp_path: Path) -> None:
    (text,) = blocks("docs/command-line.md", "toml")
    (tmp_path / "profiles.toml").write_text(text.replace("/root/.config/kopia/offsite.config", f"{tmp_path}/offsite"))
    variables = {"HOME": str(tmp_path), "KOPIA_PASSWORD": "secret", "PYKOPIA_PROFILES": f"{tmp_path}/profiles.toml"}

    def typed(*words: str) -> str:
        command = [sys.executable, "-m", "pykopia", "-P", "offsite", *words]
        return subprocess.run(command, cwd=ROOT, env=variables, check=True, capture_output=True, text=True).stdout

    typed("repository", "create", "filesystem", f"--path={tmp_path}/backups")
    assert (tmp_path / "offsite").exists()
    typed("snapshot", "create", str(pykopia.folder / "home" / "documents"))
    (snapshot,) = json.loads(typed("snapshot", "list", "--all", "--json"))
    assert snapshot["tags"] == {"tag:where": "offsite"}


def test_the_json_of_the_page_on_storage_is_json() -> None:
    examples = blocks("docs/format/03-storage-and-maintenance.md", "json")
    assert len(examples) == 3
    for text in examples:
        json.loads(re.sub(r"\s*//.*", "", text))


def test_the_page_of_the_browser_is_started_as_it_says(pykopia: Runner, tmp_path: Path) -> None:
    pykopia.ok("repository", "create", "filesystem", f"--path={tmp_path}/backups")
    (text,) = blocks("docs/ui.md", "console")
    shown = text.partition("$ pykopia ui\n")[2]
    assert shown
    command = [sys.executable, "-m", "pykopia", "--config-file", str(pykopia.config), "ui"]
    environment = {"HOME": str(tmp_path), "KOPIA_PASSWORD": pykopia.password, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in shown.splitlines()]
        process.terminate()
    expected = re.escape(shown).replace("41873", r"\d+").replace("…", ".+")
    assert re.fullmatch(expected, "".join(lines))


# ---------------------------------------------------------------------- storages: each command reaches a server of its kind


def storage_command(page: str, kind: str) -> list[list[str]]:
    """Return the commands of a page that create or connect one kind of storage."""
    found = [words for words in command_lines(*blocks(page), *blocks(page, "")) if words[2:3] == [kind]]
    assert found
    return found


def is_usable(pykopia: Runner) -> None:
    """The repository that was created takes a snapshot, which verifies."""
    pykopia.ok("snapshot", "create", str(pykopia.folder / "home" / "documents"))
    pykopia.ok("snapshot", "verify", "--verify-files-percent=100")


def test_the_commands_of_the_page_on_limits(pykopia: Runner, tmp_path: Path) -> None:
    pykopia.ok("repository", "create", "filesystem", f"--path={tmp_path}/backups")
    for words in storage_command("docs/storage.md", "set") + storage_command("docs/storage.md", "get"):
        run(pykopia, words, {})
    limits = pykopia.ok("repository", "throttle", "get", "--json").json
    assert limits["maxUploadSpeedBytesPerSecond"] == 2_000_000


def test_the_commands_of_the_page_on_s3(pykopia: Runner, versitygw: S3Server) -> None:
    admin(versitygw).call_s3("create_bucket", Bucket="pages-backups")
    create, connect = storage_command("docs/storage.md", "s3")
    keys = {
        "bucket=backups": "bucket=pages-backups",
        "--access-key=...": f"--access-key={versitygw.access_key}",
        "--secret-access-key=...": f"--secret-access-key={versitygw.secret_key}",
    }
    run(
        pykopia,
        create,
        keys | {"endpoint=s3.eu-central-1.amazonaws.com": f"endpoint={versitygw.endpoint}\0--disable-tls"},
    )
    is_usable(pykopia)
    run(pykopia, [*connect, "--prefix=host1/"], keys | {"minio:9000": versitygw.endpoint})
    assert len(pykopia.ok("snapshot", "list", "--json").json) == 1


def test_the_command_of_the_page_on_azure(
    pykopia: Runner, azurite_tls: AzureServer, azurite_tunnel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert azurite_tls.certificates is not None
    monkeypatch.setenv("HTTPS_PROXY", azurite_tunnel)
    monkeypatch.setenv("SSL_CERT_FILE", str(azurite_tls.certificates.authority))
    (create,) = storage_command("docs/storage.md", "azure")
    replace = {
        "container=backups": f"container={azurite_tls.new_container().container}",
        "storage-account=mine": f"storage-account={azurite_tls.account}\0--storage-domain={tls.DOMAIN}",
        "storage-key=...": f"storage-key={azurite_tls.key}",
    }
    run(pykopia, create, replace)
    is_usable(pykopia)


def test_the_command_of_the_page_on_google_cloud_storage(
    pykopia: Runner, fake_gcs: GCSServer, fake_drive: DriveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "account.json").write_text(json.dumps(fake_drive.service_account))
    (create,) = storage_command("docs/storage.md", "gcs")
    run(pykopia, create, {"bucket=backups": f"bucket={fake_gcs.new_bucket().bucket}"})
    is_usable(pykopia)


def test_the_command_of_the_page_on_backblaze(pykopia: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("backups")
    monkeypatch.setattr("pykopia.storage.backends.b2.storage._configuration", lambda *_: service.config)
    (create,) = storage_command("docs/storage.md", "b2")
    run(pykopia, create, {"key-id=...": f"key-id={service.key_id}", "--key=...": f"--key={service.key}"})
    is_usable(pykopia)


def test_the_command_of_the_page_on_sftp(pykopia: Runner, openssh: SSHServer) -> None:
    home = pykopia.folder / "home"
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_bytes(openssh.keys["ed25519"].read_bytes())
    (home / ".ssh" / "known_hosts").write_text(openssh.known_hosts)
    (create,) = storage_command("docs/storage-folders.md", "sftp")
    replace = {
        "backup.example.com": f"{openssh.host}\0--port\0{openssh.port}",
        "\0me\0": f"\0{openssh.user}\0",
        "/backups": f"{openssh.path}/pages-backups",
    }
    run(pykopia, create, replace)
    is_usable(pykopia)


def test_the_command_of_the_page_on_webdav(pykopia: Runner, apache: WebDAVServer) -> None:
    (apache.data / "pages").mkdir()
    (apache.data / "pages").chmod(0o777)
    (create,) = storage_command("docs/storage-folders.md", "webdav")
    replace = {
        "https://cloud.example.com/remote.php/dav/files/me/backups": f"{apache.url}/pages",
        "webdav-username\0me": f"webdav-username\0{apache.user}",
    }
    run(pykopia, create, replace, KOPIA_WEBDAV_PASSWORD=apache.password)
    is_usable(pykopia)


def test_the_command_of_the_page_on_rclone(pykopia: Runner, tmp_path: Path) -> None:
    program = programs.require("rclone", install="sh scripts/test-servers.sh --all")
    config = pykopia.folder / "home" / ".config" / "rclone" / "rclone.conf"
    config.parent.mkdir(parents=True)
    config.write_text(f"[remote]\ntype = alias\nremote = {tmp_path}/far\n")
    (create,) = storage_command("docs/storage-folders.md", "rclone")
    run(pykopia, [*create, f"--rclone-exe={program}"], {})
    is_usable(pykopia)
    assert list((tmp_path / "far" / "backups").rglob("kopia.repository.f"))


def test_the_command_of_the_page_on_google_drive(
    pykopia: Runner, fake_drive: DriveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GoogleDriveStorage.__init__.__kwdefaults__ or {}, "api_root", fake_drive.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service-account.json").write_text(json.dumps(fake_drive.service_account))
    (create,) = storage_command("docs/storage-folders.md", "gdrive")
    run(pykopia, create, {"1A2b3C4d5E6f": fake_drive.new_folder()})
    is_usable(pykopia)


@pytest.mark.filterwarnings("default::ResourceWarning")  # aiohttp's, of large bodies
def test_the_commands_of_the_page_on_other_filesystems(
    pykopia: Runner, versitygw: S3Server, openssh: SSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = {"key": versitygw.access_key, "secret": versitygw.secret_key, "endpoint_url": versitygw.url}
    monkeypatch.setitem(fsspec.config.conf, "s3", s3 | {"client_kwargs": {"region_name": "us-east-1"}})
    keys = {"client_keys": [str(openssh.keys["ed25519"])], "known_hosts": None}
    monkeypatch.setitem(fsspec.config.conf, "sftp", keys | {"port": openssh.port})
    for name in ("pages-bucket", "pages-other-bucket"):
        admin(versitygw).call_s3("create_bucket", Bucket=name)
    fsspec.filesystem("s3").pipe_file("pages-bucket/prefix/deep/file", b"of the bucket")
    folder = openssh.data / "pages-home"
    folder.mkdir()
    (folder / "file").write_text("of the server")
    replace = {
        "s3://bucket": "s3://pages-bucket",
        "s3://other-bucket": "s3://pages-other-bucket",
        "sftp://ann@server/home/ann": f"sftp://{openssh.user}@{openssh.host}{openssh.path}/pages-home",
    }
    pykopia.ok("repository", "create", "filesystem", f"--path={tmp_path}/backups")
    for words in command_lines(*blocks("docs/other-filesystems.md", "console")):
        run(pykopia, words, replace)
    assert len(pykopia.ok("snapshot", "list", "--json", "--all").json) == 2
    bucket = fsspec.filesystem("s3")
    bucket.invalidate_cache()
    assert bucket.cat_file("pages-other-bucket/restored/deep/file") == b"of the bucket"


# ---------------------------------------------------------------------- the operator


def operator_objects() -> list[dict[str, object]]:
    """Return what the README of the operator applies by kubectl."""
    texts = [re.findall(r"<<'EOF'\n(.*?)^EOF", text, re.DOTALL | re.MULTILINE) for text in blocks("operator/README.md")]
    return [thing for found in texts for text in found for thing in yaml.safe_load_all(text)]


def test_the_objects_of_the_operators_readme_become_jobs(tmp_path: Path) -> None:
    objects = operator_objects()
    assert [each["kind"] for each in objects] == ["ReplicationSource", "ReplicationDestination"]
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all(objects))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pykopia_operator.main import main; main()",
            "render",
            str(tmp_path / "objects.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"},
    )
    assert done.returncode == 0, done.stderr
    jobs = [each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] == "Job"]
    assert len(jobs) == 2


def test_the_commands_of_the_operators_readme_name_files_values_and_variables_that_exist() -> None:
    text = "\n".join(blocks("operator/README.md")).replace("\\\n", " ")
    files = re.findall(r"--file (\S+)", text) + re.findall(r"helm install \S+ (\S+)", text)
    assert len(files) == 3
    assert [name for name in files if not (ROOT / name).exists()] == []
    values = yaml.safe_load((ROOT / "operator" / "chart" / "values.yaml").read_text(encoding="utf-8"))
    for path in re.findall(r"--set (\S+?)=", text):
        value = values
        for name in path.split("."):
            value = value[name]
    known = {variable.name for variable in all_variables()}
    assert set(re.findall(r"--from-literal=(\w+)=", text)) - known == set()
