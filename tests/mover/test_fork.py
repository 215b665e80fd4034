"""The interface of the operator of VolSync's Kopia fork: each row of the table in the README is run."""

import re
from pathlib import Path

import pytest
from pykopia_mover.fork import ROWS, Row
from pykopia_mover.settings import all_variables, load
from pykopia_mover.table import fork_table

from tests.mover.harness import Mover, tree

LAST_BYTES = 1024
"""Bytes of the filtered log that the operator keeps."""

VOLUMES = {
    "/data": "DATA_DIR",
    "/restore/data": "DATA_DIR",
    "/cache": "KOPIA_CACHE_DIR",
    "/tmp": "",
    "/kopia-config": "KOPIA_CONFIG_PATH",
    "/credentials": "SFTP_KEY_FILE",
    "/customCA/ca.crt": "CUSTOM_CA",
}
"""The variable that names each volume; ``/tmp`` has none, and test_pod runs without it."""


def rows(kind: str) -> list[Row]:
    return [each for each in ROWS if each.kind == kind]


def given(*of: str) -> dict[str, str]:
    """Return the example values of the variables that some Jobs get."""
    return {each.name: each.example for each in rows("variable") if each.example and each.of in of}


OF_ALL = ("all", "backup and restore")
OURS = {"KOPIA_REPOSITORY", "KOPIA_PASSWORD", "KOPIA_CACHE_DIR", "DATA_DIR"}
"""Variables that the test gives itself: folders of its own."""


def without(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in OURS}


@pytest.mark.parametrize("row", rows("variable"), ids=lambda row: row.name)
def test_every_variable_is_known(row: Row) -> None:
    assert row.name in {each.name for each in all_variables()}
    _, warnings = load({row.name: row.example or "x"} if row.example else {})
    assert not any("unknown" in each for each in warnings)


@pytest.mark.parametrize("row", rows("volume"), ids=lambda row: row.name)
def test_every_volume_is_named_by_a_variable(row: Row) -> None:
    name = VOLUMES[row.name]
    assert not name or name in {each.name for each in all_variables()}


def test_jobs_with_all_variables_of_their_kind_run(mover: Mover) -> None:
    mover.write({"a": "one"})
    source = mover.ok("backup", **without(given(*OF_ALL, "ReplicationSource")))
    assert not [each for each in source.termination.get("warnings", ()) if "unknown" in each or "ignored" in each]
    destination = mover.ok("restore", **without(given(*OF_ALL, "ReplicationDestination")))
    assert tree(mover.target) == {"a": b"one"}
    assert destination.termination["restore"]["files"] == 1
    maintained = mover.ok(DIRECTION="maintenance", **without(given("all", "KopiaMaintenance")))
    assert maintained.termination["maintenance"]["owner"] == "maintenance@ns"


@pytest.mark.parametrize("row", rows("argument"), ids=lambda row: row.name)
def test_every_argument_runs_its_operation(mover: Mover, row: Row) -> None:
    mover.write({"a": "one"})
    mover.ok("backup")
    name, _, value = row.name.partition("=")
    result = mover.ok(**{name: value}) if value else mover.ok(name)
    operation = {"source": "backup", "destination": "restore"}.get(value, value) or name
    assert result.termination["op"] == operation


def log_of(mover: Mover, scenario: str) -> str:
    names = {"KOPIA_OVERRIDE_USERNAME": "app", "KOPIA_OVERRIDE_HOSTNAME": "ns"}
    mover.write({"a": "one"})
    if scenario == "backup":
        return mover.ok("backup", **names).log
    mover.ok("backup", **names)
    if scenario == "restore":
        return mover.ok("restore", **names).log
    if scenario == "no-data":
        (mover.data / "a").write_text("two")
        mover.ok("backup", **names)
        return mover.ok("restore", KOPIA_OVERRIDE_USERNAME="other", KOPIA_OVERRIDE_HOSTNAME="ns").log
    if scenario == "maintenance":
        return mover.ok(DIRECTION="maintenance").log
    return mover.fails("auth", "backup", KOPIA_PASSWORD="wrong", **names).log


@pytest.mark.parametrize("scenario", sorted({each.scenario for each in ROWS if each.scenario}))
def test_every_pattern_is_found_in_what_the_operator_keeps(mover: Mover, scenario: str) -> None:
    log = log_of(mover, scenario)
    kept = log.encode()[-LAST_BYTES:].decode("utf-8", "ignore") if scenario != "no-data" else log
    for row in ROWS:
        if row.scenario == scenario:
            assert re.search(row.name, kept, re.MULTILINE), row.name


@pytest.mark.parametrize("scenario", sorted({each.scenario for each in ROWS if each.scenario}))
def test_every_pattern_is_found_where_its_words_are_secrets(mover: Mover, scenario: str) -> None:
    patterns = [each.name for each in ROWS if each.scenario == scenario]
    words = sorted({word for pattern in patterns for word in re.findall("[A-Za-z_]{3,}", pattern)})
    assert words
    secrets = {f"WORD_{number}_PASSWORD": word for number, word in enumerate(words)}
    log = log_of(mover.with_environment(**secrets, KOPIA_PASSWORD=words[0]), scenario)
    for pattern in patterns:
        assert re.search(pattern, log, re.MULTILINE), pattern


def test_the_operator_counts_the_snapshots_of_each_identity(mover: Mover) -> None:
    names = {"KOPIA_OVERRIDE_USERNAME": "app", "KOPIA_OVERRIDE_HOSTNAME": "ns"}
    for number in range(5):
        mover.write({"a": str(number)})
        mover.ok("backup", **names)
    lines = mover.ok("restore", KOPIA_OVERRIDE_USERNAME="other", KOPIA_OVERRIDE_HOSTNAME="ns").lines
    counted = [
        line
        for line in lines
        if line.startswith('{"id"')
        or re.match(r"^([^@]+)@([^:]+):(.+)\s+(\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2}:\d{2})", line)
    ]
    assert len(counted) == 5


def test_the_table_of_the_readme_is_made_from_these_rows() -> None:
    readme = (Path(__file__).parents[2] / "mover" / "README.md").read_text()
    assert fork_table(ROWS) in readme
