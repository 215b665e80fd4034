"""The log: sections word for word, lines that readers' filters let through, JSON lines, files."""

import io
import itertools
import json
import logging
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from pykopia_mover import connecting
from pykopia_mover.failures import CODES
from pykopia_mover.metrics import metrics_text
from pykopia_mover.output import LONGEST_LINE, LibraryLog, Output, prune_logs
from pykopia_mover.redaction import Redactor
from pykopia_mover.report import LONGEST, LONGEST_DIGEST, Report
from pykopia_mover.settings import all_variables

from pykopia.errors import StorageAccessDeniedError
from pykopia.testing import FakeClock
from tests.mover.harness import EXAMPLES, Mover

SIX = (
    "KOPIA_REPOSITORY",
    "KOPIA_PASSWORD",
    "KOPIA_S3_BUCKET",
    "KOPIA_S3_ENDPOINT",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)

FILES_METRIC = re.compile(
    r'^pykopia_snapshot_files\{namespace="ns",name="app",repository="[0-9a-f]{8}",'
    r'identity="ns@app:/data",operation="backup"\} 1$',
    re.MULTILINE,
)


def output(**options: bool) -> tuple[Output, io.StringIO]:
    stream = io.StringIO()
    made = Output(stream, Redactor(["canary"]))
    for name, value in options.items():
        setattr(made, name, value)
    return made, stream


# ---------------------------------------------------------------------- sections


def test_rows_186_187_188_189_the_status_shows_what_is_set_within_ten_lines(mover: Mover) -> None:
    result = mover("discover", AWS_ACCESS_KEY_ID="AKIDEXAMPLE", KOPIA_REPOSITORY="s3://", KOPIA_S3_ENDPOINT="h:9")
    at = result.lines.index("=== ENVIRONMENT VARIABLES STATUS ===")
    shown = result.lines[at + 1 : at + 11]
    assert shown[:6] == [
        "KOPIA_REPOSITORY: [SET]",
        "KOPIA_PASSWORD: [SET]",
        "KOPIA_S3_BUCKET: [NOT SET]",
        "KOPIA_S3_ENDPOINT: [SET]",
        "AWS_ACCESS_KEY_ID: [SET]",
        "AWS_SECRET_ACCESS_KEY: [NOT SET]",
    ]
    assert all(re.fullmatch(r"[A-Z0-9_]+: \[(?:NOT )?SET\]", line) for line in shown)


def test_row_104_every_variable_is_in_the_status_as_set_or_not_set(mover: Mover) -> None:
    given = {name: text for secret in EXAMPLES["secrets"].values() for name, text in secret.items()}
    given |= mover.environment
    lines = mover("discover", **given).lines
    begin, end = lines.index("=== ENVIRONMENT VARIABLES STATUS ==="), lines.index("=== END DEBUG ===")
    status = lines[begin:end]
    assert len(given) > 40
    for variable in all_variables():
        is_set = variable.name in given or variable.name == "DATA_DIR"
        assert status.count(f"{variable.name}: {'[SET]' if is_set else '[NOT SET]'}") == 1, variable.name


def test_rows_190_191_192_193_293_the_working_folders_are_shown_on_every_run(mover: Mover) -> None:
    cache = mover.environment["KOPIA_CACHE_DIR"]
    mover.write({"a": "b"})
    for operation in ("backup", "restore", "maintenance", "discover"):
        lines = mover.ok(operation).lines
        at = lines.index("=== DEBUG: Environment Setup ===")
        assert lines[at + 1 : at + 6] == [
            f"KOPIA_CACHE_DIR: {cache}",
            f"KOPIA_CACHE_DIRECTORY: {cache}",
            f"KOPIA_LOG_DIR: {cache}/logs",
            "Cache directory writable: Yes",
            "Log directory exists: Yes",
        ]
        assert "=== ENVIRONMENT VARIABLES STATUS ===" in lines
        assert any(line.startswith("Connected to repository ") for line in lines)


def test_a_cache_that_cannot_be_is_shown_so(mover: Mover) -> None:
    (mover.folder / "file").write_text("")
    result = mover("discover", KOPIA_CACHE_DIR=f"{mover.folder}/file/cache")
    assert "Cache directory writable: No" in result.lines
    assert "Log directory exists: No" in result.lines


def test_the_sections_are_shown_even_if_a_setting_is_malformed(mover: Mover) -> None:
    result = mover.fails("config", "backup", KOPIA_PARALLELISM="many")
    assert "=== ENVIRONMENT VARIABLES STATUS ===" in result.lines
    assert "KOPIA_PARALLELISM" in result.last


# ---------------------------------------------------------------------- lines


def test_lines_have_no_control_characters_and_a_limit() -> None:
    log, stream = output()
    log.line("a\x1b[31mred\x1b[0m\rb\x00c\td")
    log.line("é" * LONGEST_LINE)
    *first, second = stream.getvalue().split("\n")[:-1]
    assert first == ["ared", "bc    d"]
    assert len(second.encode()) <= LONGEST_LINE


def test_json_lines_hold_the_same_text(time: FakeClock) -> None:
    log, stream = output(json_lines=True)
    log.warning('a "canary"')
    assert json.loads(stream.getvalue()) == {
        "ts": "2026-01-01T00:00:00Z",
        "level": "warn",
        "msg": 'WARNING: a "[REDACTED]"',
    }


def test_a_run_with_json_lines_has_nothing_else(mover: Mover) -> None:
    mover.write({"a": "b"})
    result = mover.ok("backup", KOPIA_LOG_FORMAT="json")
    messages = [json.loads(line)["msg"] for line in result.lines]
    assert "=== ENVIRONMENT VARIABLES STATUS ===" in messages
    assert messages[-1].startswith("Kopia completed in")


def test_warnings_of_the_library_are_warnings_of_the_run() -> None:
    log, stream = output()
    handler = LibraryLog(log)
    handler.emit(logging.LogRecord("pykopia.x", logging.ERROR, "f", 1, "bad %s", ("canary",), None))
    handler.emit(logging.LogRecord("pykopia.x", logging.DEBUG, "f", 1, "detail", (), None))
    assert stream.getvalue() == "WARNING: bad [REDACTED]\n"
    assert [*log.warnings] == ["bad canary"]


def test_the_log_file_has_the_lines_too_and_old_ones_go(mover: Mover, tmp_path: Path) -> None:
    for _ in range(5):
        mover("discover")
    files = list((mover.folder / "cache" / "logs").glob("*.log"))
    assert 1 <= len(files) <= 3
    assert "ENVIRONMENT VARIABLES STATUS" in files[0].read_text()
    assert files[0].stat().st_mode & 0o777 == 0o600
    prune_logs(mover.folder / "cache" / "logs", max_files=0, max_age_seconds=0, now_ns=0)
    assert list((mover.folder / "cache" / "logs").glob("*.log")) == []


# ---------------------------------------------------------------------- the end


def report(**fields: object) -> Report:
    return Report(op="backup", **fields)  # type: ignore[arg-type]


FILTER = re.compile(
    r"^(?:Snapshot.*created|Uploaded.*bytes|Restored.*files|Successfully|Connected to repository|Maintenance|Compression"
    r"|No changes|Skipping|FATAL|ERROR|Kopia completed in)|Snapshot created successfully|Snapshot restore completed"
    r"|No eligible snapshots"
)
"""What the filters of older operators let through."""


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            report(seconds=12.7, identity="u@h:/p", snapshot={"id": "a1", "files": 3, "bytes": 9, "newBytes": 4}),
            "Kopia completed in 12s: Snapshot created successfully: snapshot a1 created for u@h:/p; "  # noqa: ISC004
            "processed 3 files, 9 bytes, uploaded 4 bytes",
        ),
        (
            Report(op="restore", seconds=5, snapshot={"id": "a1"}, restore={"files": 3, "bytes": 9}),
            "Kopia completed in 5s: Snapshot restore completed: restoring snapshot a1 wrote 3 files, 9 bytes",
        ),
        (
            Report(op="restore", seconds=1, result="no-data"),
            "Kopia completed in 1s: No eligible snapshots found; === No data will be restored ===",
        ),
        (Report(op="maintenance", seconds=60, message="done"), "Kopia completed in 60s: Maintenance done"),
    ],
)
def test_m_080e_the_last_line_is_a_digest_that_every_filter_lets_through(made: Report, told: str) -> None:
    assert made.digest() == told
    assert FILTER.search(made.digest())
    longer = replace(made, overrides=["Using username override: " + "x" * 900])
    assert len(longer.digest().encode()) <= LONGEST_DIGEST


def test_digest_and_summary_fit_into_a_kibibyte() -> None:
    made = Report(op="maintenance", result="failure", code=CODES["unreachable"], message="x" * 3000)
    summary = "\n".join(made.summary())
    assert len(summary) <= 300
    assert "INFO: MAINTENANCE_FAILURE_REASON: unreachable" in summary
    assert len(summary) + len(made.digest()) < 1024


def test_m_150_the_termination_message_is_whole_json_of_at_most_4096_bytes() -> None:
    made = report(
        message="m" * 9000 + "canary",
        warnings=["w\n" + "x" * 2000] * 9,
        identities=[{"identity": "i" * 500, "path": "/p", "count": 1, "latest": "t"}] * 40,
        identity="ü" * 3000,
    )
    data = made.to_json(Redactor(["canary"]))
    assert len(data) <= LONGEST
    parsed = json.loads(data)
    assert parsed["op"] == "backup"
    assert "canary" not in data.decode()


def test_a_small_result_is_told_in_full() -> None:
    made = report(identities=[{"identity": "a@b"}] * 3, warnings=["one"], snapshot={"id": "x"}, adopted=True)
    parsed = json.loads(made.to_json(Redactor()))
    assert len(parsed["identities"]) == 3
    assert parsed["warnings"] == ["one"]
    assert parsed["adopted"] is True
    assert parsed["v"] == 1


def test_metrics_are_in_the_text_format_of_prometheus(mover: Mover) -> None:
    text = metrics_text(report(snapshot={"bytes": 9}), labels={"namespace": 'a"b\\'}, now_ns=5_500_000_000)
    assert 'pykopia_mover_success{namespace="a\\"b\\\\",operation="backup"} 1\n' in text
    assert 'pykopia_last_success_timestamp_seconds{namespace="a\\"b\\\\",operation="backup"} 5.5\n' in text
    assert "pykopia_last_failure_timestamp_seconds" not in text
    assert all(re.fullmatch(r"# (?:HELP|TYPE) \S+ .+|\S+\{.*\} \S+", line) for line in text.splitlines())
    mover.write({"a": "b"})
    mover.ok("backup", KOPIA_METRICS_FILE=str(mover.folder / "out.prom"))
    written = (mover.folder / "out.prom").read_text()
    assert FILES_METRIC.search(written)


def test_the_time_of_the_last_success_outlives_a_failure_in_the_file_of_metrics(mover: Mover) -> None:
    mover.write({"a": "b"})
    out = mover.folder / "out.prom"
    mover.ok("backup", KOPIA_METRICS_FILE=str(out))
    [succeeded] = [line for line in out.read_text().splitlines() if line.startswith("pykopia_last_success")]
    mover.fails("auth", "backup", KOPIA_METRICS_FILE=str(out), KOPIA_PASSWORD="wrong")
    failed = out.read_text()
    assert succeeded in failed.splitlines()
    assert re.search(r"^pykopia_mover_success\{.*\} 0$", failed, re.MULTILINE)
    assert re.search(r"^pykopia_mover_exit_code\{.*\} 11$", failed, re.MULTILINE)
    mover.ok("backup", KOPIA_METRICS_FILE=str(out))
    names = [line.split("{")[0] for line in out.read_text().splitlines() if not line.startswith("#")]
    assert {"pykopia_last_success_timestamp_seconds", "pykopia_last_failure_timestamp_seconds"} <= {*names}
    assert len(names) == len(set(names))


def test_the_file_of_metrics_has_those_of_each_operation(mover: Mover) -> None:
    mover.write({"a": "b"})
    out = mover.folder / "out.prom"
    out.write_text("#\n# note\n\n{}\n")
    mover.ok("backup", "maintenance", KOPIA_METRICS_FILE=str(out))
    mover.fails("auth", "maintenance", KOPIA_METRICS_FILE=str(out), KOPIA_PASSWORD="wrong")
    text = out.read_text()
    for operation in ("backup", "maintenance"):
        assert re.search(rf'^pykopia_last_success_timestamp_seconds{{.*operation="{operation}"}}', text, re.MULTILINE)
    assert re.search(r'^pykopia_mover_success\{.*operation="backup"\} 1$', text, re.MULTILINE)
    assert re.search(r'^pykopia_mover_success\{.*operation="maintenance"\} 0$', text, re.MULTILINE)
    lines = text.splitlines()
    assert len(lines) == len(set(lines))
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    order = [re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")]
    assert [name for name, _ in itertools.groupby(order)] == names


class Gateway(BaseHTTPRequestHandler):
    """Takes what is pushed, as Prometheus' Pushgateway does."""

    pushed: ClassVar[list[tuple[str, str, str]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.pushed.append((self.path, self.headers["Content-Type"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_metrics_are_pushed_under_the_labels_of_the_object(mover: Mover) -> None:
    mover.write({"a": "b"})
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/"
            mover.ok("backup", "maintenance", KOPIA_METRICS_PUSH_URL=url)
            mover.fails("auth", "restore", KOPIA_METRICS_PUSH_URL=url, KOPIA_PASSWORD="canary-wrong")
        finally:
            server.shutdown()
            thread.join()
    assert [path for path, _, _ in Gateway.pushed] == [
        f"/metrics/job/pykopia-mover/operation/{each}/namespace/ns/name/app"
        for each in ("backup", "maintenance", "restore")
    ]
    assert all(kind.startswith("text/plain") for _, kind, _ in Gateway.pushed)
    assert FILES_METRIC.search(Gateway.pushed[0][2])
    assert 'pykopia_mover_exit_code{namespace="ns",name="app",operation="restore"} 11\n' in Gateway.pushed[2][2]
    assert "canary" not in "".join(body for _, _, body in Gateway.pushed)


def test_metrics_that_cannot_be_delivered_do_not_fail_the_run(mover: Mover) -> None:
    mover.write({"a": "b"})
    result = mover.ok("backup", KOPIA_METRICS_PUSH_URL="http://127.0.0.1:9/x")
    assert any("metrics could not be delivered" in line for line in result.lines)


@pytest.mark.parametrize("name", EXAMPLES["secrets"])
def test_rows_194_195_the_section_on_s3_is_there_for_s3_alone(
    mover: Mover, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise StorageAccessDeniedError("no")

    monkeypatch.setattr(connecting, "open_ahead", refused)
    secret = {key: value for key, value in EXAMPLES["secrets"][name].items() if key != "KOPIA_PASSWORD"}
    lines = mover.fails("auth", "discover", **secret).lines
    assert "=== Connecting to existing repository ===" in lines
    is_s3 = secret["KOPIA_REPOSITORY"].startswith("s3")
    assert [line for line in lines if "S3 Connection Debug" in line] == (
        ["=== S3 Connection Debug ===", "=== End S3 Connection Debug ==="] if is_s3 else []
    )
    if is_s3:
        at = lines.index("=== S3 Connection Debug ===")
        assert lines[at + 1 : at + 4] == [
            f"{each}: {'[SET]' if each in secret else '[NOT SET]'}"
            for each in ("KOPIA_S3_BUCKET", "KOPIA_S3_ENDPOINT", "KOPIA_S3_DISABLE_TLS")
        ]
        assert any(line.startswith("Using S3 prefix: ") for line in lines)


@pytest.mark.parametrize("name", ["info", "debug"])
def test_no_line_of_a_success_has_a_word_that_older_operators_take_for_a_failure(mover: Mover, name: str) -> None:
    mover.write({"a": "b"})
    mover.policy_files({"global-policy.json": '{"errorHandling": {"ignoreFileErrors": true}}'})
    result = mover.ok("backup", "maintenance", "restore", "discover", KOPIA_LOG_LEVEL=name, DATA_DIR=str(mover.data))
    assert [line for line in result.lines if re.search("error|failed|unable to", line, re.IGNORECASE)] == []


def test_m_150_the_termination_message_says_what_was_done(mover: Mover) -> None:
    mover.write({"a": "one", "d/b": "two"})
    backup = mover.ok("backup").termination
    assert {name: backup[name] for name in ("v", "op", "result", "code", "retryable", "identity")} == {
        "v": 1, "op": "backup", "result": "success", "code": "ok", "retryable": False, "identity": "ns@app:/data",
    }  # fmt: skip
    assert {*backup["snapshot"]} == {
        "id", "start", "end", "files", "dirs", "bytes", "newBytes", "cachedFiles", "errors",
    }  # fmt: skip
    assert (backup["snapshot"]["files"], backup["snapshot"]["bytes"], backup["snapshot"]["errors"]) == (2, 6, 0)
    assert backup["retention"] == {"kept": 1, "deleted": 0}
    assert backup["repository"]["type"] == "filesystem"
    assert {*backup["cache"]} == {"bytes", "limit"}
    restore = mover.ok("restore").termination
    assert restore["restore"] == {"files": 2, "bytes": 6}
    assert restore["snapshot"]["id"] == backup["snapshot"]["id"]
    assert restore["snapshot"]["count"] == 1
    maintenance = mover.ok("maintenance").termination["maintenance"]
    assert maintenance["ran"] == ["quick", "full"]
    assert {"owner", "took", "freedBytes"} <= {*maintenance}
    skipped = mover.ok("backup", DATA_DIR=str(mover.folder / "credentials")).termination
    assert (skipped["op"], skipped["result"], skipped["code"]) == ("backup", "skipped", "ok")
    failed = mover("backup", KOPIA_REPOSITORY="nonsense://").termination
    assert (failed["result"], failed["code"], failed["retryable"]) == ("failure", "config", False)


def test_m_150_a_termination_message_that_cannot_be_written_is_no_failure(mover: Mover) -> None:
    mover.write({"a": "b"})
    mover.ok("backup", TERMINATION_LOG=f"{mover.folder}/no/such/folder/message")
