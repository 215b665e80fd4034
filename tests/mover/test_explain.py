"""Every end of a run has a kind, an exit status and words that help."""

import ast
import errno
import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from pykopia_mover.explain import Place, explained, is_damage, target_error
from pykopia_mover.failures import CODES, MoverError
from pykopia_mover.settings import all_variables

import pykopia.errors
from pykopia import errors
from pykopia.storage.retrying import RetrySchedule
from tests.mover.harness import EXAMPLES, PASSWORD, Mover

S3 = Place(
    type="s3",
    name="s3 bucket b at host:9000",
    credentials=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)

DOCUMENTED = {
    "ok": 0, "internal": 1, "usage": 2, "config": 10, "auth": 11, "no-repository": 12, "unreachable": 13, "damaged": 14,
    "no-snapshot": 15, "ambiguous": 16, "action": 17, "source": 18, "target": 19, "cache": 20, "busy": 21, "clock": 22,
    "cache-exhausted": 137, "interrupted": 130, "terminated": 143,
}  # fmt: skip


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def test_the_exit_codes_are_those_of_the_contract() -> None:
    assert {name: code.status for name, code in CODES.items()} == DOCUMENTED


@pytest.mark.parametrize(
    ("error", "place", "code", "told"),
    [
        (errors.InvalidPasswordError("no"), S3, "auth", "KOPIA_PASSWORD does not open this repository"),
        (
            errors.StorageAccessDeniedError("403 Forbidden: bucket b"),
            S3,
            "auth",
            "403.*bucket b.*AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
        ),
        (
            errors.StorageAccessDeniedError("can't read x: Permission denied"),
            Place(type="filesystem", name="filesystem /repository"),
            "auth",
            "can't read x: Permission denied. Let all movers.*KOPIA_FS_FILE_MODE",
        ),
        (errors.StorageNotFoundError("no bucket b"), S3, "no-repository", "bucket is not created automatically"),
        (
            errors.StorageAuthenticationError("401 expired_auth_token"),
            Place(type="b2", credentials=("B2_ACCOUNT_ID", "B2_APPLICATION_KEY")),
            "auth",
            "401 expired_auth_token.*B2_ACCOUNT_ID, B2_APPLICATION_KEY",
        ),
        (errors.StorageNotFoundError("no bucket B"), Place(type="b2"), "no-repository", "case-sensitive"),
        (errors.StorageNotFoundError("no c"), Place(type="azureBlob"), "no-repository", "container is not created"),
        (errors.StorageNotFoundError("no p"), Place(type="sftp"), "no-repository", "SFTP_PATH.*SFTP_USERNAME"),
        (errors.StorageNotFoundError("no f"), Place(type="gdrive"), "no-repository", "GOOGLE_DRIVE_FOLDER_ID.*share"),
        (errors.StorageUnavailableError("refused"), S3, "unreachable", "host:9000.*refused.*endpoint"),
        (
            caused(errors.StorageUnavailableError("tls"), ssl.SSLCertVerificationError("self-signed certificate")),
            S3,
            "unreachable",
            "customCA.*KOPIA_S3_DISABLE_TLS",
        ),
        (
            caused(
                errors.StorageUnavailableError("tls"), ssl.SSLError("[SSL: WRONG_VERSION_NUMBER] wrong version number")
            ),
            S3,
            "unreachable",
            'KOPIA_S3_DISABLE_TLS: "true"',
        ),
        (errors.StorageUnavailableError("429 SlowDown"), S3, "unreachable", "rate of requests.*parallelism"),
        (errors.StorageClockError("RequestTimeTooSkewed"), S3, "clock", "clock"),
        (errors.UntrustedServerError("the host key changed"), Place(type="sftp"), "auth", "SFTP_KNOWN_HOSTS_DATA"),
        (errors.RepositoryNotFoundError("none"), S3, "no-repository", "created by the first backup"),
        (errors.BlobNotFoundError("p123", "there"), S3, "damaged", "p123"),
        (errors.RequiredFeatureError("feature x"), S3, "damaged", "feature x"),
        (errors.DamagedPackError("pack"), S3, "damaged", "snapshot verify"),
        (errors.UpgradeInProgressError("upgrade"), S3, "busy", "upgrade"),
        (errors.SnapshotNotFoundError("s"), S3, "no-snapshot", "s"),
        (errors.ReadOnlyRepositoryError("ro"), S3, "config", "ro"),
        (errors.InvalidURLError("bad"), S3, "config", "s3://BUCKET/FOLDER"),
        (errors.ActionFailedError("a"), S3, "action", "a"),
        (errors.StorageFullError("full"), S3, "unreachable", "room"),
        (MemoryError(), S3, "internal", "memory"),
        (KeyError("x"), S3, "internal", "unexpected error: KeyError"),
        (PermissionError(13, "Permission denied", "/x"), S3, "internal", "/x: Permission denied"),
    ],
)
def test_rows_58_59_96_98_errors_become_messages_that_say_what_to_do(
    error: Exception, place: Place, code: str, told: str
) -> None:
    found = explained(error, place)
    assert found.code.name == code
    assert re.search(told, str(found)), str(found)
    assert "canary" not in str(found)
    assert "\n" not in str(found)


MEANT_FOR_COMMANDS = {
    "point-in-time",  # a flag that KOPIA_ADDITIONAL_ARGS takes
    "path",
    "retry-for",
    "keyfile",
    "known-hosts",
    "sftp-password",
    "key-data",
    "known-hosts-data",
    "root-ca-pem-base64",
    "embed-rclone-config",
    "config",  # of rclone, as all that follow
    "ca-cert",
    "addr",
    "vfs-write-back",
    "dir-cache-time",
    "ask-password",
}
"""Flags in strings of storages that are read or written where the flags of a command line are parsed."""


def test_no_message_of_a_storage_names_a_flag_of_the_command_line_to_a_mover() -> None:
    flags: set[str] = set()
    for path in (Path(pykopia.__file__).parent / "storage").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                flags.update(re.findall(r"--([a-z][a-z0-9-]+)", node.value))
    assert {"rclone-exe", "disable-tls", "root-ca-pem-path"} <= flags
    for flag in flags - MEANT_FOR_COMMANDS:
        found = str(explained(errors.StorageUnavailableError(f"give it by --{flag}"), S3))
        assert f"--{flag}" not in found, found


def test_a_missing_program_is_named_by_its_variable(mover: Mover) -> None:
    mover.write({"a": "b"})
    failed = mover.fails(
        "config",
        "backup",
        KOPIA_REPOSITORY="rclone://disk:/x",
        RCLONE_CONFIG="[disk]\ntype = local",
        RCLONE_EXE="/missing/rclone",
    )
    assert "RCLONE_EXE" in failed.last


def test_every_error_of_the_library_has_an_end_of_its_own_kind() -> None:
    for name in pykopia.errors.__all__:
        kind = getattr(pykopia.errors, name)
        try:
            error = kind("what")
        except TypeError:
            continue
        assert explained(error, S3).code.name in DOCUMENTED


def test_the_cause_of_a_failed_restore_is_found_however_deep() -> None:
    full = caused(errors.RestoreError("a"), OSError(errno.ENOSPC, "No space left on device"))
    assert target_error(full) is not None
    assert target_error(errors.RestoreError("b")) is None
    assert is_damage(caused(errors.RestoreError("c"), errors.DamagedContentError("d")))
    assert not is_damage(full)


# ---------------------------------------------------------------------- whole runs


@pytest.mark.parametrize(
    ("words", "environment", "status", "told"),
    [
        (("explode",), {}, 2, "unknown operation: explode"),
        (("backup", "explode"), {}, 2, "unknown operation: explode"),
        ((), {}, 10, "backup, discover, maintenance, restore"),
        ((), {"DIRECTION": "up"}, 10, "source, destination, maintenance"),
        (("backup",), {"DATA_DIR": "relative"}, 10, "DATA_DIR"),
        (("restore",), {"DATA_DIR": "/does/not/exist"}, 19, "DATA_DIR"),
    ],
)
def test_m_002_m_004_what_is_no_operation_touches_nothing(
    mover: Mover, words: tuple[str, ...], environment: dict[str, str], status: int, told: str
) -> None:
    mover.write({"a": "b"})
    result = mover.run(words, environment)
    assert result.status == status
    assert told in result.last
    assert not mover.repository_folder.exists()
    assert result.termination["code"] in DOCUMENTED


def test_m_003_direction_takes_the_place_of_arguments(mover: Mover) -> None:
    mover.write({"a": "b"})
    result = mover.run(("restore",), {"DIRECTION": "source", "DATA_DIR": str(mover.data)})
    assert result.termination["op"] == "backup"
    assert any("DIRECTION=source" in each for each in result.termination["warnings"])
    assert mover.run((), {"DIRECTION": "destination"}).termination["op"] == "restore"


STRUCTURED = {
    "SFTP_KEY_FILE": "-----BEGIN RSA PRIVATE KEY-----\ncanary-line-of-the-key-1\n-----END RSA PRIVATE KEY-----",
    "GOOGLE_DRIVE_CREDENTIALS": '{"type": "service_account", "private_key": "canary-private-key"}',
    "GOOGLE_APPLICATION_CREDENTIALS": '{"type": "authorized_user", "refresh_token": "canary-refresh-token"}',
    "RCLONE_CONFIG": "[remote]\ntype = s3\nsecret_access_key = canary-rclone-key\n",
    "KOPIA_MANUAL_CONFIG": '{"canary-manual": ',
    "KOPIA_STRUCTURED_REPOSITORY_CONFIG": '{"storage": {"type": "canary-type"}, "password": "canary-structured"',
}
CANARIES = {
    each.name: STRUCTURED.get(each.name, f"canary-{each.name.lower()}-7c1") for each in all_variables() if each.secret
}
"""A canary in every variable that is secret by its name."""

PLACES: dict[str, dict[str, str]] = {
    "filesystem://{folder}/new": {},
    "filesystem://{folder}/that-works": {"KOPIA_MANUAL_CONFIG": "", "KOPIA_STRUCTURED_REPOSITORY_CONFIG": ""},
    "filesystem:///no/such/folder/at/all": {"KOPIA_MANUAL_CONFIG": ""},
    "s3://bucket/x": {"AWS_S3_ENDPOINT": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "AKID"},
    "s3://user:canary-in-url@bucket/x": {},
    "azure://container/x": {"AZURE_ENDPOINT_SUFFIX": "http://127.0.0.1:9/acc", "AZURE_STORAGE_ACCOUNT": "acc"},
    "gcs://bucket/x": {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"},
    "webdav://h/x": {"WEBDAV_URL": "http://127.0.0.1:9/x", "WEBDAV_USERNAME": "me"},
    "webdav://h/x?token=canary-in-query": {"WEBDAV_URL": "http://me:canary-in-webdav-url@127.0.0.1:9/"},
    "sftp://u@127.0.0.1:9/x": {},
    "sftp://u:canary-in-url@h/x": {},
    "rclone://remote:x": {"RCLONE_EXE": "/bin/false"},
    "gdrive://folder-id": {},
    "b2://bucket/x": {},
    "nonsense://x": {},
}
"""Places that do not work, each in another way."""


@pytest.mark.parametrize("place", PLACES)
def test_row_196_m_023_no_secret_is_in_any_output_whatever_goes_wrong(
    mover: Mover, impatient: None, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Set a canary in every variable and look through all that is written, for each backend and each way to fail."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    monkeypatch.setattr("pykopia_mover.connecting.retry_schedule", lambda _: RetrySchedule(attempts=2))
    mover.write({"a": "b"})
    assert len(CANARIES) > 20
    told = " ".join(value for name, value in CANARIES.items() if name not in PLACES[place])
    environment = CANARIES | {
        "KOPIA_LOG_LEVEL": "debug",
        "KOPIA_FILE_LOG_LEVEL": "debug",
        "KOPIA_BEFORE_SNAPSHOT": f"env; echo $KOPIA_PASSWORD; echo '{told}'; exit 7",
        "KOPIA_METRICS_FILE": str(mover.folder / "metrics.prom"),
    }
    seen = []
    for operation in ("backup", "restore", "discover", "maintenance"):
        bad = environment | PLACES[place] | {"KOPIA_REPOSITORY": place.format(folder=mover.folder)}
        if operation != "backup":
            bad["KOPIA_MANUAL_CONFIG"] = ""
        if place.startswith("b2"):
            bad["B2_ACCOUNT_ID"] = ""  # refused before it is asked for: there is no server
        if operation == "restore":
            bad["KOPIA_STRUCTURED_REPOSITORY_CONFIG"] = ""
        result = mover(operation, **bad)
        seen += [result.log, json.dumps(result.termination)]
    for path in mover.folder.rglob("*"):
        if path.is_file() and mover.data not in path.parents:
            seen.append(path.read_bytes().decode("utf-8", "replace"))
    assert ("[REDACTED]" in "".join(seen)) or "that-works" not in place
    for text in seen:
        for line in text.splitlines():
            assert "canary" not in line, line


@pytest.mark.parametrize("name", EXAMPLES["secrets"])
def test_m_023_documented_secrets_stay_secret_in_errors(mover: Mover, name: str) -> None:
    secret = EXAMPLES["secrets"][name] | {"KOPIA_S3_BUCKET": "not a bucket", "DIRECTION": "sideways"}
    result = mover("backup", **secret)
    for key in ("KOPIA_PASSWORD", "AWS_SECRET_ACCESS_KEY", "SFTP_PASSWORD", "WEBDAV_PASSWORD", "B2_APPLICATION_KEY"):
        value = secret.get(key)
        if value and value != "password":
            assert value not in result.log
            assert value not in json.dumps(result.termination)


def test_a_crash_of_the_interpreter_shows_no_secret(mover: Mover, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import pykopia_mover.settings as s\n"
        "def load(environment):\n    raise BaseException('boom ' + environment['KOPIA_PASSWORD'])\n"
        "s.load = load\n"
    )
    environment = {**os.environ, **mover.environment, "PYTHONPATH": str(tmp_path), "DATA_DIR": str(mover.data)}
    done = subprocess.run(
        [sys.executable, "-m", "pykopia_mover", "backup"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "boom" in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_help_and_version_need_no_environment() -> None:
    for flag, told in (("--help", "pykopia-mover OPERATION"), ("--version", "pykopia ")):
        done = subprocess.run(
            [sys.executable, "-m", "pykopia_mover", flag], env={}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, told in done.stdout) == (0, True)


def test_a_mover_error_is_what_and_how_to_fix_it() -> None:
    assert str(MoverError("config", "a is wrong.", "Do b")) == "a is wrong. Do b."
