"""Parameters and schedule of maintenance, against blobs and documents of real Kopia."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import DamagedDataError, UsageError
from pykopia.format import gojson
from pykopia.format.maintenance_schedule import (
    MAX_RUNS,
    CycleParameters,
    LogRetention,
    MaintenanceParameters,
    MaintenanceSchedule,
    TaskRun,
    TaskStatistics,
    open_with_key,
    seal_with_key,
)
from pykopia.format.repository_blob import BlobConfiguration
from tests.format.index_support import load

VECTORS = load("maintenance.json")
HOUR = 3600 * 10**9


@pytest.fixture(params=["repoV1", "repoV3"])
def repository(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = VECTORS[request.param]
    return found


def test_the_schedule_of_kopia_opens_and_seals_to_the_same_bytes(repository: dict[str, Any]) -> None:
    key, stored = bytes.fromhex(repository["scheduleKeyHex"]), bytes.fromhex(repository["scheduleBlobHex"])
    plain = open_with_key(stored, key)
    assert plain.decode() == repository["scheduleJSON"]
    assert seal_with_key(plain, key, stored[:12]) == stored


def test_the_schedule_of_kopia_is_read_and_written_again(repository: dict[str, Any]) -> None:
    schedule = MaintenanceSchedule.from_json(repository["scheduleJSON"].encode())
    newest, older = schedule.runs["cleanup-logs"]
    assert (newest.success, newest.error, older.success) == (False, "boom", True)
    again = gojson.loads(schedule.to_json())
    assert isinstance(again, dict)
    expected = gojson.loads(repository["scheduleJSON"].encode())
    assert isinstance(expected, dict)
    expected["nextQuickMaintenance"] = "2026-01-02T02:04:05Z"  # the same moment without its zone
    assert again == expected


def test_an_empty_schedule_is_what_go_writes() -> None:
    zero = '"0001-01-01T00:00:00Z"'
    expected = f'{{"nextFullMaintenance":{zero},"nextQuickMaintenance":{zero},"runs":null}}'
    assert MaintenanceSchedule().to_json().decode() == expected


def test_a_changed_byte_of_the_schedule_is_found(repository: dict[str, Any]) -> None:
    key, stored = bytes.fromhex(repository["scheduleKeyHex"]), bytearray.fromhex(repository["scheduleBlobHex"])
    stored[20] ^= 1
    with pytest.raises(DamagedDataError, match="starts as in a new repository"):
        open_with_key(stored, key)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_schedule_end_in_an_error_of_their_own(data: bytes) -> None:
    with pytest.raises(DamagedDataError):
        open_with_key(data, bytes(32))
    with pytest.raises(DamagedDataError):
        MaintenanceSchedule.from_json(b'{"runs":' + data)


def test_only_the_newest_runs_are_remembered() -> None:
    schedule = MaintenanceSchedule()
    for number in range(MAX_RUNS + 5):
        schedule = schedule.with_run("snapshot-gc", TaskRun(start_ns=number, end_ns=number, success=True))
    assert [run.start_ns for run in schedule.runs["snapshot-gc"]] == list(range(MAX_RUNS + 4, 4, -1))
    assert schedule.last_end_ns("snapshot-gc") == MAX_RUNS + 4


def test_statistics_are_kept_as_they_are_and_read_where_they_are_understood() -> None:
    text = (
        b'{"nextFullMaintenance":"2026-01-02T03:04:05Z","nextQuickMaintenance":"2026-01-02T03:04:05Z","runs":'
        b'{"a":[{"start":"2026-01-02T03:04:05Z","end":"2026-01-02T03:04:05Z","success":true,"extra":'
        b'[{"kind":"compactSingleEpochStats","data":null},{"kind":"x","data":{"n":18446744073709551615}},7]}],"b":null}}'
    )
    schedule = MaintenanceSchedule.from_json(text)
    assert schedule.runs["a"][0].statistics == (
        TaskStatistics(kind="compactSingleEpochStats", values=None),
        TaskStatistics(kind="x", values={"n": 2**64 - 1}),
    )
    assert schedule.to_json() == text.replace(b'"b":null', b'"b":[]')


def test_statistics_are_written_as_kopia_writes_them() -> None:
    run = TaskRun(success=True, extra=TaskStatistics(kind="cleanupMarkersStats", values={"n": 1}).to_extra())
    assert gojson.dumps(run.members()).endswith(
        b'"success":true,"extra":[{"kind":"cleanupMarkersStats","data":{"n":1}}]}'
    )


def test_the_default_parameters_are_those_of_kopia() -> None:
    assert gojson.loads(MaintenanceParameters().to_json()) == VECTORS["defaultParams"]
    assert MaintenanceParameters.from_json(gojson.dumps(VECTORS["defaultParams"])) == MaintenanceParameters()


def test_what_a_manifest_lacks_is_off_as_in_go() -> None:
    read = MaintenanceParameters.from_json(b'{"owner":"me@here","newer":[1]}')
    assert (read.owner, read.quick, read.full) == ("me@here", CycleParameters(), CycleParameters())
    assert read.log_retention == LogRetention()
    assert read.log_retention.effective.max_count == 10_000
    assert read.to_json().endswith(b'"newer":[1]}')


@pytest.mark.parametrize(("period_hours", "fits"), [(48, True), (47, False), (0, True)])
def test_locks_must_outlast_full_maintenance_by_a_day(period_hours: int, fits: bool) -> None:
    parameters = MaintenanceParameters(extend_object_locks=True)
    configuration = BlobConfiguration(
        retention_mode="GOVERNANCE" if period_hours else "", retention_period_ns=period_hours * HOUR
    )
    if fits:
        assert parameters.check(configuration) == ""
    else:
        with pytest.raises(UsageError, match="margin of 24 hours"):
            parameters.check(configuration)
