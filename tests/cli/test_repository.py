import base64
import json
import shutil
from pathlib import Path

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    folder = tmp_path / "storage"
    folder.mkdir()
    return folder


@pytest.fixture
def connected(cli: Runner, storage: Path) -> Runner:
    cli.ok("repo", "create", "filesystem", "--path", str(storage))
    return cli


def test_a_new_repository_is_connected_and_has_a_policy(cli: Runner, storage: Path) -> None:
    result = cli.ok("repository", "create", "filesystem", "--path", str(storage))
    assert "Latest snapshots:                10   (defined for this target)" in result.stdout
    assert "Connected to repository." in result.stderr
    assert [each["target"] for each in cli.ok("policy", "list", "--json").json] == [
        {"host": "", "userName": "", "path": ""}
    ]
    assert {each["labels"]["type"] for each in cli.ok("manifest", "list", "--json").json} == {"policy", "maintenance"}


def test_create_only_leaves_no_connection(cli: Runner, storage: Path) -> None:
    cli.ok("repository", "create", "--create-only", "filesystem", "--path", str(storage))
    assert not cli.config.exists()
    cli.ok("repository", "connect", "filesystem", "--path", str(storage))


def test_a_folder_that_is_not_empty_is_left_alone(cli: Runner, storage: Path) -> None:
    (storage / "abc.f").write_text("mine")
    result = cli.fails("repository", "create", "filesystem", "--path", str(storage))
    assert "found existing data in storage location" in result.stderr
    assert [path.name for path in storage.iterdir()] == ["abc.f"]


def test_the_path_must_be_absolute(cli: Runner) -> None:
    assert "must be absolute" in cli.fails("repository", "create", "filesystem", "--path", "here").stderr


def test_format_options_are_used(cli: Runner, storage: Path) -> None:
    cli.ok(
        "repository", "create", "filesystem", "--path", str(storage), "--block-hash=HMAC-SHA256", "--format-version=2",
        "--encryption=CHACHA20-POLY1305-HMAC-SHA256", "--object-splitter=FIXED-1M", "--ecc-overhead-percent=3",
        "--description=tests", "--override-hostname=there", "--override-username=somebody",
    )  # fmt: skip
    status = cli.ok("repository", "status", "--json").json
    assert status["contentFormat"]["hash"] == "HMAC-SHA256"
    assert status["contentFormat"]["version"] == 2
    assert status["contentFormat"]["eccOverheadPercent"] == 3
    assert status["objectFormat"] == {"splitter": "FIXED-1M"}
    assert status["clientOptions"]["hostname"] == "there"
    text = cli.ok("repository", "status").stdout
    for line in ("Description:         tests", "Username:            somebody", "Epoch Manager:       enabled"):
        assert line in text


def test_format_version_1_has_its_own_folders(cli: Runner, storage: Path) -> None:
    cli.ok("repository", "create", "filesystem", "--path", str(storage), "--format-version=1")
    assert json.loads((storage / ".shards").read_text())["default"] == [3, 3]
    assert "Epoch Manager:       disabled" in cli.ok("repository", "status").stdout


def test_the_password_is_kept_beside_the_connection_file(connected: Runner) -> None:
    kept = connected.config.with_name("repository.config.kopia-password")
    assert base64.b64decode(kept.read_bytes()).decode() == connected.password
    assert kept.stat().st_mode & 0o077 == 0
    assert connected.config.stat().st_mode & 0o077 == 0
    assert connected.password not in connected.config.read_text()
    connected.ok("snapshot", "list", KOPIA_PASSWORD="")


def test_the_password_is_not_kept_when_that_is_not_wanted(cli: Runner, storage: Path) -> None:
    cli.ok("repository", "create", "filesystem", "--path", str(storage), "--no-persist-credentials")
    assert sorted(path.name for path in cli.folder.iterdir() if path.is_file()) == ["repository.config"]
    assert "no password" in cli.fails("snapshot", "list", KOPIA_PASSWORD="").stderr


def test_a_wrong_password_is_told_in_one_line_and_not_repeated(connected: Runner) -> None:
    result = connected.fails("snapshot", "list", KOPIA_PASSWORD="a-wrong-one")
    assert "password" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "a-wrong-one" not in result.stderr


def test_connecting_with_a_wrong_password_keeps_none(cli: Runner, storage: Path) -> None:
    cli.ok("repository", "create", "--create-only", "filesystem", "--path", str(storage))
    cli.fails("repository", "connect", "filesystem", "--path", str(storage), "--password=wrong")
    assert not cli.config.with_name("repository.config.kopia-password").exists()


def test_a_place_without_a_repository_is_told(cli: Runner, storage: Path, tmp_path: Path) -> None:
    assert "no repository" in cli.fails("repository", "connect", "filesystem", "--path", str(storage)).stderr
    missing = cli.fails("repository", "connect", "filesystem", "--path", str(tmp_path / "missing")).stderr
    assert str(tmp_path / "missing") in missing
    assert missing.count("\n") == 1


def test_disconnecting_leaves_nothing_behind(connected: Runner, storage: Path) -> None:
    connected.ok("repository", "disconnect")
    assert [path for path in connected.folder.iterdir() if path.is_file()] == []
    assert "repository is not connected" in connected.fails("repository", "status").stderr
    connected.ok("repository", "connect", "filesystem", "--path", str(storage))


def test_a_connection_file_that_cant_be_read_is_told(connected: Runner) -> None:
    connected.config.write_text("{not json")
    result = connected.fails("snapshot", "list")
    assert "repository.config" in result.stderr or "connection" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_token_connects_again(connected: Runner, tmp_path: Path) -> None:
    lines = connected.ok("repository", "status", "-t", "-s").lines
    command = next(line for line in lines if line.startswith("$ kopia ")).split()[2:]
    other = Runner(tmp_path / "other", password="")
    other.ok(*command)
    assert (
        other.ok("repository", "status", "--json").json["uniqueIDHex"]
        == (connected.ok("repository", "status", "--json").json["uniqueIDHex"])
    )


def test_a_token_without_password_needs_one(connected: Runner, tmp_path: Path) -> None:
    lines = connected.ok("repository", "status", "--reconnect-token").lines
    token = next(line for line in lines if line.startswith("$ kopia ")).split()[-1]
    assert "no password" in Runner(tmp_path / "other", password="").fails(
        "repository", "connect", "from-config", "--token", token
    ).stderr  # fmt: skip
    Runner(tmp_path / "other").ok("repository", "connect", "from-config", "--token-stdin", stdin=token.encode())
    Runner(tmp_path / "third").ok("repository", "connect", "from-config", "--file", str(connected.config))


def test_status_hides_the_secrets_of_the_storage(connected: Runner) -> None:
    config = json.loads(connected.config.read_text())
    status = connected.ok("repository", "status", "--json").stdout + connected.ok("repository", "status").stdout
    assert connected.password not in status
    assert "secret" not in json.loads(connected.ok("repository", "status", "--json").stdout)["contentFormat"]
    assert config["storage"]["config"]["path"] in status


def test_a_changed_password_replaces_the_old_one(connected: Runner) -> None:
    old = connected.password
    connected.ok("repository", "change-password", "--new-password", "the next one")
    connected.ok("snapshot", "list", KOPIA_PASSWORD="")
    connected.fails("snapshot", "list", KOPIA_PASSWORD=old)
    connected.ok("snapshot", "list", KOPIA_PASSWORD="the next one")


def test_client_options_are_changed_in_the_connection_file(connected: Runner) -> None:
    connected.ok(
        "repository", "set-client", "--read-only", "--description", "new", "--hostname", "h", "--username", "u"
    )
    client = connected.ok("repository", "status", "--json").json["clientOptions"]
    assert (client["readonly"], client["description"], client["hostname"], client["username"]) == (
        True,
        "new",
        "h",
        "u",
    )
    assert "read-only" in connected.fails("policy", "set", "--global", "--keep-latest=1").stderr
    connected.ok("repository", "set-client", "--read-write", "--disable-repository-format-cache")
    connected.ok("policy", "set", "--global", "--keep-latest=1")
    assert "Format blob cache:   disabled" in connected.ok("repository", "status").stdout
    assert "no changes" in connected.fails("repository", "set-client").stderr


def test_parameters_are_changed(connected: Runner) -> None:
    connected.ok("repository", "set-params", "--max-pack-size-mb=33", "--epoch-min-duration=12h")
    text = connected.ok("repository", "status").stdout
    assert "Max pack length:     34.6 MB" in text
    assert "minimum 12h0m0s" in text
    assert "no changes" in connected.ok("repository", "set-parameters").stderr
    assert "10" in connected.fails("repository", "set-parameters", "--max-pack-size-mb=1").stderr


def test_limits_of_the_connection_win_over_those_of_its_storage(connected: Runner) -> None:
    """Kopia writes them so: those of the storage come from `--max-upload-speed` when it was connected."""
    file = json.loads(connected.config.read_text())
    file["storage"]["config"]["maxUploadSpeedBytesPerSecond"] = 1000
    connected.config.write_text(json.dumps(file))
    assert connected.ok("repository", "throttle", "get", "--json").json == {"maxUploadSpeedBytesPerSecond": 1000}
    connected.ok("repository", "throttle", "set", "--upload-bytes-per-second=2000")
    written = json.loads(connected.config.read_text())
    assert written["throttlingLimits"] == {"maxUploadSpeedBytesPerSecond": 2000}
    assert written["storage"] == file["storage"]
    status = connected.ok("repository", "status", "--json").json
    assert status["clientOptions"]["throttlingLimits"] == {"maxUploadSpeedBytesPerSecond": 2000}
    connected.ok("repository", "throttle", "set", "--upload-bytes-per-second=unlimited")
    assert connected.ok("repository", "throttle", "get", "--json").json == {}
    assert json.loads(connected.config.read_text())["throttlingLimits"] == {}


def test_throttling_is_kept_in_the_connection_file(connected: Runner) -> None:
    assert connected.ok("repository", "throttle", "get", "--json").stdout == "{}\n"
    connected.ok(
        "repository", "throttle", "set", "--download-bytes-per-second=1000000000", "--upload-bytes-per-second=500000",
        "--read-requests-per-second=10", "--concurrent-reads=3",
    )  # fmt: skip
    assert connected.ok("repository", "throttle", "get", "--json").json == {
        "readsPerSecond": 10,
        "maxUploadSpeedBytesPerSecond": 500000,
        "maxDownloadSpeedBytesPerSecond": 1000000000,
        "concurrentReads": 3,
    }
    assert "Max Upload Speed:              500 KB/s" in connected.ok("repository", "throttle", "get").stdout
    connected.ok("repository", "throttle", "set", "--upload-bytes-per-second=unlimited", "--concurrent-reads=-")
    assert "Max Concurrent Reads:          (unlimited)" in connected.ok("repository", "throttle", "get").stdout
    assert "No changes" in connected.ok("repository", "throttle", "set").stderr
    assert "can't parse" in connected.fails("repository", "throttle", "set", "--upload-bytes-per-second=fast").stderr


def test_the_storage_can_be_validated(connected: Runner, storage: Path) -> None:
    result = connected.ok("repository", "validate-provider", "--concurrency-test-duration=100ms")
    assert "All good." in result.stderr
    assert [path for path in (storage / "z").rglob("*") if path.is_file()] == []


def test_all_contents_below_an_entry_are_prefetched_and_lost_ones_are_told(
    connected: Runner, storage: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    for name, text in {"file": "text", "copy": "text", "below/other": "more"}.items():
        (source / name).write_text(text)
    connected.ok("snapshot", "create", str(source))
    assert "Prefetched 4 contents." in connected.ok("cache", "prefetch", str(source)).stderr  # two files, two folders
    packs = [*storage.glob("p*/**/*.f")]
    assert packs
    for pack in packs:
        pack.unlink()
    result = connected.fails("cache", "prefetch", str(source))
    assert result.stderr.count("can't be read") == 2
    assert "Prefetched 2 contents." in result.stderr


def test_the_cache_is_shown_changed_and_cleared(connected: Runner) -> None:
    folder = Path(connected.ok("cache", "info", "--path").stdout.strip())
    assert connected.folder in folder.parents
    connected.ok("policy", "list")
    assert "indexes" in connected.ok("cache", "info").stdout
    connected.ok("cache", "set", "--content-cache-size-mb=100", "--metadata-min-sweep-age=2h")
    caching = json.loads(connected.config.read_text())["caching"]
    assert (caching["maxCacheSize"], caching["minMetadataSweepAge"]) == (100_000_000, 7200)
    connected.ok("cache", "clear")
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []
    assert "no changes" in connected.fails("cache", "set").stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["s3", "--bucket=b", "--access-key=a", "--secret-access-key=TOPSECRET"], "s3"),
        (["sftp", "--path=/p", "--host=h", "--username=u", "--sftp-password=TOPSECRET"], "--known-hosts"),
        (["gcs", "--bucket=b", "--point-in-time=yesterday"], "--point-in-time"),
        (["from-config"], "--token"),
        (["webdav", "--url=http://localhost:1", "--webdav-username=u"], "password"),
    ],
)
def test_other_storages_tell_what_is_wrong_without_secrets(words: list[str], told: str, cli: Runner) -> None:
    result = cli.fails("repository", "connect", *words)
    assert told in result.stderr
    assert "TOPSECRET" not in result.stderr


def test_dangerous_commands_must_be_allowed(connected: Runner) -> None:
    blob = connected.ok("blob", "list", "--prefix=q").lines[0].split()[0]
    assert "--dangerous-commands=enabled" in connected.fails("blob", "delete", blob).stderr
    connected.ok("blob", "delete", blob, KOPIA_DANGEROUS_COMMANDS="enabled")
    assert blob not in connected.ok("blob", "list", "--prefix=q").stdout


def test_blobs_are_printed_and_counted(connected: Runner) -> None:
    index = connected.ok("index", "list").lines[0].split()[0]
    assert b"kopia" in connected.ok("blob", "show", "kopia.repository").stdout_bytes
    assert connected.ok("blob", "stats", "--raw").lines[0] == f"Count: {len(connected.ok('blob', 'list').lines)}"
    assert connected.ok("index", "inspect", index).lines == [
        line for line in connected.ok("index", "inspect", "--active").lines if index in line
    ]
    assert "is missing" in connected.fails("blob", "show", "nothing").stderr


def test_contents_are_printed_listed_and_verified(connected: Runner) -> None:
    (content_id, *_) = connected.ok("content", "list", "--prefix=m").lines
    assert b'"entries"' in connected.ok("content", "show", "--unzip", content_id).stdout_bytes
    assert "Total: 1 contents" in connected.ok("content", "list", "--summary", "--prefix=m").stdout
    connected.ok("content", "verify", "--full")
    assert connected.ok("content", "stats").lines[0] == "Count: 1"
    assert "content" in connected.fails("content", "show", "0123456789abcdef0123456789abcdef").stderr
    assert "not a valid" in connected.fails("content", "show", "xyz").stderr


def test_contents_are_listed_in_several_forms(connected: Runner) -> None:
    (line,) = connected.ok("content", "list", "--compression").lines
    assert " length " in line
    assert line.endswith(" packed " + line.split(" packed ")[1])
    (long,) = connected.ok("content", "list", "--long", "--human").lines
    assert " UTC q" in long
    assert connected.ok("content", "list", "--non-prefixed").lines == []
    assert len(connected.ok("content", "list", "--prefixed").lines) == 1
    assert "--prefix must be a letter" in connected.fails("content", "list", "--prefix=abc").stderr
    assert connected.ok("content", "list", "--deleted-only", "--json").json == []


def test_manifests_are_filtered_and_deleted(connected: Runner) -> None:
    (line,) = connected.ok("manifest", "list", "--filter=type:policy").lines
    assert line.endswith("type:policy policyType:global")
    manifest_id = line.split()[0]
    assert "--filter must be KEY:VALUE" in connected.fails("manifest", "list", "--filter=x").stderr
    connected.fails("manifest", "rm", manifest_id)
    connected.ok("manifest", "rm", manifest_id, "--dangerous-commands=enabled")
    assert connected.ok("manifest", "list", "--filter=type:policy").lines == []


def test_sizes_follow_the_environment(connected: Runner) -> None:
    assert (
        "Max pack length:     20 MiB" in connected.ok("repository", "status", KOPIA_BYTES_STRING_BASE_2="true").stdout
    )


def test_copies_of_another_repository_in_the_cache_folder_are_not_believed(cli: Runner, storage: Path) -> None:
    flags = ("filesystem", "--path", str(storage), "--cache-directory", str(storage.parent / "cache"))
    cli.ok("repository", "create", *flags)
    cli.ok("policy", "list")
    shutil.rmtree(storage)
    storage.mkdir()
    cli.ok("repository", "create", *flags)
    cli.ok("policy", "set", "--global", "--keep-latest=3")
    cli.ok("repository", "connect", *flags)
    assert "Latest snapshots:                        3" in cli.ok("policy", "show", "--global").stdout


def test_connections_to_two_repositories_may_share_a_cache_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("text")
    clients = [Runner(tmp_path / name) for name in ("first", "second")]
    for client in clients:
        client.ok(
            *("repository", "create", "filesystem", "--path", str(client.folder / "repository")),
            *("--cache-directory", str(tmp_path / "cache")),
        )
    for _ in range(2):
        for client in clients:
            assert "damaged" not in client.ok("snapshot", "create", str(source)).stderr
    for client in clients:
        assert len(client.ok("snapshot", "list", "--json").json) == 2
