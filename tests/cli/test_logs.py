import json
import logging
import os
import re
from pathlib import Path

import pytest

from pykopia.cli import logs
from pykopia.cli.global_flags import LogFlags
from tests.cli_runner import Runner

NOW = 1_785_580_200 * 1_000_000_000
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (DEBUG|INFO|WARN|ERROR) [a-z/]+ .*$")


def log_files(cli: Runner) -> list[Path]:
    folder = cli.folder / "logs" / "cli-logs"
    return sorted(path for path in folder.iterdir() if not path.is_symlink()) if folder.exists() else []


def test_a_command_leaves_a_log_file_with_its_name_in_it(cli: Runner) -> None:
    cli.fails("repository", "connect", "filesystem", "--path", "/none")
    (path,) = log_files(cli)
    assert re.fullmatch(r"kopia-\d{8}-\d{6}-\d+-repository-connect-filesystem\.log", path.name)
    assert (path.parent / "latest.log").resolve() == path
    lines = path.read_text().splitlines()
    assert LINE.match(lines[0])
    assert LINE.match(lines[-1])


def test_log_files_are_readable_by_their_owner_alone(cli: Runner) -> None:
    cli.fails("repository", "connect", "filesystem", "--path", "/none")
    assert log_files(cli)[0].parent.stat().st_mode & 0o077 == 0


def test_no_secret_gets_into_the_log(cli: Runner) -> None:
    cli.fails("repository", "connect", "filesystem", "--path", "/none", "--password", "very-secret-indeed")
    assert "very-secret-indeed" not in log_files(cli)[0].read_text()
    assert cli.password not in log_files(cli)[0].read_text()


def test_logging_to_files_can_be_switched_off(cli: Runner) -> None:
    cli.fails("repository", "connect", "filesystem", "--path", "/none", "--disable-file-logging")
    assert log_files(cli) == []


@pytest.mark.parametrize(
    ("words", "environment", "warning"),
    [
        (("--metrics-listen-addr=localhost:1234",), {}, "--metrics-listen-addr has no effect"),
        (("--metrics-store-on-exit",), {}, "--metrics-store-on-exit has no effect"),
        (("--profile-cpu", "--enable-pprof"), {}, "--enable-pprof, --profile-cpu have no effect"),
        ((), {"KOPIA_METRICS_PUSH_ADDR": "http://user:canary@gateway"}, "--metrics-push-addr has no effect"),
        ((), {"KOPIA_ENABLE_OTLP_TRACE": "true"}, "--otlp-trace has no effect"),
        (("--metrics-push-interval=30s", "--metrics-push-password=canary"), {}, ""),
    ],
)
def test_who_asks_for_metrics_or_traces_learns_that_none_will_come(
    cli: Runner, words: tuple[str, ...], environment: dict[str, str], warning: str, tmp_path: Path
) -> None:
    cli.ok("repository", "create", "filesystem", f"--path={tmp_path}/repository")
    cli.environment |= environment
    result = cli.ok("repository", "status", *words)
    assert result.stderr.count("no effect") == bool(warning)
    assert warning in result.stderr
    assert "canary" not in result.stderr


def test_the_log_file_can_be_named(cli: Runner, tmp_path: Path) -> None:
    cli.fails(
        "repository",
        "connect",
        "filesystem",
        "--path",
        "/none",
        "--log-file",
        str(tmp_path / "here.log"),
        "--json-log-file",
    )
    lines = [json.loads(line) for line in (tmp_path / "here.log").read_text().splitlines()]
    assert lines[0]["l"] == "DEBUG"
    assert lines[-1]["m"].startswith("there is no folder")
    assert log_files(cli) == []


def test_the_level_of_the_terminal_can_be_set(cli: Runner) -> None:
    assert (
        "pykopia " in cli.fails("repository", "connect", "filesystem", "--path", "/none", "--log-level", "debug").stderr
    )


def test_a_log_folder_that_cant_be_made_disturbs_nothing(cli: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = cli.fails(
        "repository", "connect", "filesystem", "--path", "/none", "--log-file", str(tmp_path / "file" / "x.log")
    )
    assert "can't write the log file" in result.stderr
    assert "there is no folder /none" in result.stderr


def test_the_logger_is_left_as_it_was(cli: Runner) -> None:
    before = list(logging.getLogger("pykopia").handlers)
    cli.fails("repository", "connect", "filesystem", "--path", "/none")
    assert logging.getLogger("pykopia").handlers == before
    assert logging.getLogger("pykopia").propagate


def sweep(folder: Path, ages: list[int], **flags: float) -> list[int]:
    """Make log files of some ages in days, sweep, and return the ages of those that are left."""
    for age in ages:
        path = folder / f"{age}.log"
        path.write_bytes(bytes(100_000))
        os.utime(path, ns=(NOW - age * 86_400_000_000_000,) * 2)
    logs.sweep(folder, LogFlags(flags), now_ns=NOW)
    return sorted(int(path.stem) for path in folder.iterdir())


def test_old_log_files_are_swept(tmp_path: Path) -> None:
    assert sweep(tmp_path, [1, 29, 31, 40]) == [1, 29]


def test_too_many_log_files_are_swept(tmp_path: Path) -> None:
    assert sweep(tmp_path, [1, 2, 3, 4], **{"log-dir-max-files": 3}) == [1, 2]


def test_too_large_log_files_are_swept(tmp_path: Path) -> None:
    assert sweep(tmp_path, [1, 2, 3, 4], **{"log-dir-max-total-size-mb": 0.25}) == [1, 2]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    os.utime(tmp_path / "notes.txt", ns=(0, 0))
    logs.sweep(tmp_path, LogFlags(), now_ns=NOW)
    assert (tmp_path / "notes.txt").exists()


def test_a_folder_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    logs.sweep(tmp_path / "missing", LogFlags(), now_ns=NOW)


def test_lines_on_the_terminal_name_the_level_only_where_it_matters() -> None:
    formatter = logs.ConsoleFormatter()
    lines = [
        formatter.format(logging.LogRecord("pykopia.cli", level, "", 0, "text", None, None))
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
    ]
    assert lines == ["DEBUG text", "text", "WARN text", "text"]
