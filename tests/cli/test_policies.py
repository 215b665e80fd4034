from pathlib import Path
from typing import Any

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "storage"), "--override-hostname=h",
           "--override-username=u")  # fmt: skip
    return cli


def changed(client: Runner, *flags: str, target: str = "/data") -> dict[str, Any]:
    """Set a policy and return what is then defined for its target alone."""
    client.ok("policy", "set", target, *flags)
    path = target if target.startswith("/") else target.rpartition(":")[2]
    (found,) = [each for each in client.ok("policy", "list", "--json").json if each["target"]["path"] == path]
    return {key: value for key, value in found.items() if value and key not in {"id", "target"}}


@pytest.mark.parametrize(
    ("flags", "section", "values"),
    [
        (["--keep-latest=3", "--keep-annual=0"], "retention", {"keepLatest": 3, "keepAnnual": 0}),
        (["--ignore-identical-snapshots=true"], "retention", {"ignoreIdenticalSnapshots": True}),
        (["--add-ignore=b", "--add-ignore=a"], "files", {"ignore": ["a", "b"]}),
        (["--add-dot-ignore=.ig", "--max-file-size=99"], "files", {"ignoreDotFiles": [".ig"], "maxFileSize": 99}),
        (
            ["--one-file-system=true", "--ignore-cache-dirs=false"],
            "files",
            {"oneFileSystem": True, "ignoreCacheDirs": False},
        ),
        (["--ignore-file-errors=true"], "errorHandling", {"ignoreFileErrors": True}),
        (["--ignore-dir-errors=false"], "errorHandling", {"ignoreDirectoryErrors": False}),
        (["--ignore-unknown-types=false"], "errorHandling", {"ignoreUnknownTypes": False}),
        (
            ["--compression=zstd", "--compression-min-size=7", "--compression-max-size=77"],
            "compression",
            {"compressorName": "zstd", "minSize": 7, "maxSize": 77},
        ),
        (["--add-never-compress=.zip"], "compression", {"neverCompress": [".zip"]}),
        (["--add-only-compress=.txt"], "compression", {"onlyCompress": [".txt"]}),
        (["--metadata-compression=none"], "metadataCompression", {"compressorName": "none"}),
        (["--splitter=FIXED-1M"], "splitter", {"algorithm": "FIXED-1M"}),
        (["--snapshot-interval=90m"], "scheduling", {"intervalSeconds": 5400}),
        (
            ["--snapshot-time=20:15,8:00", "--snapshot-time=20:15"],
            "scheduling",
            {"timeOfDay": [{"hour": 8, "min": 0}, {"hour": 20, "min": 15}]},
        ),
        (
            ["--snapshot-time-crontab=0 3 * * *; 0 4 * * *", "--run-missed=true"],
            "scheduling",
            {"cron": ["0 3 * * *", "0 4 * * *"], "runMissed": True},
        ),
        (["--manual"], "scheduling", {"manual": True}),
        (
            ['--before-folder-action=/bin/run "an argument" b', "--action-command-timeout=9s"],
            "actions",
            {"beforeFolder": {"path": "/bin/run", "args": ["an argument", "b"], "timeout": 9, "mode": "essential"}},
        ),
        (["--enable-volume-shadow-copy=when-available"], "osSnapshots", {"volumeShadowCopy": {"enable": 2}}),
        (["--max-parallel-file-reads=5"], "upload", {"maxParallelFileReads": 5}),
        (["--parallel-upload-above-size-mib=3"], "upload", {"parallelUploadAboveSize": 3 << 20}),
    ],
)
def test_each_flag_sets_its_field(flags: list[str], section: str, values: object, client: Runner) -> None:
    assert changed(client, *flags)[section] == values


def test_detail_of_logging_is_set(client: Runner) -> None:
    logging = changed(client, "--log-dir-snapshotted=1", "--log-entry-cache-miss=10")["logging"]
    assert logging == {"directories": {"snapshotted": 1}, "entries": {"cacheMiss": 10}}


def test_a_path_that_is_not_there_is_told(client: Runner, tmp_path: Path) -> None:
    flags = ("--keep-daily=1",)
    assert "/no/such does not exist" in client.ok("policy", "set", "/no/such", *flags).stderr
    for target in (str(tmp_path), "other@h:/no/such", "@h", "(global)"):
        assert "does not exist" not in client.ok("policy", "set", target, *flags).stderr


def test_inherit_unsets_a_field(client: Runner) -> None:
    changed(client, "--keep-latest=3", "--compression=zstd", "--one-file-system=true", "--snapshot-time=8:00")
    found = changed(
        client, "--keep-latest=inherit", "--compression=inherit", "--one-file-system=inherit", "--snapshot-time=inherit"
    )
    assert not any(found.get(section) for section in ("retention", "compression", "files", "scheduling"))


def test_lists_are_extended_shortened_and_cleared(client: Runner) -> None:
    assert changed(client, "--add-ignore=a", "--add-ignore=b")["files"]["ignore"] == ["a", "b"]
    assert changed(client, "--add-ignore=c", "--remove-ignore=a")["files"]["ignore"] == ["b", "c"]
    assert "ignore" not in changed(client, "--clear-ignore").get("files", {})


def test_inheriting_can_be_stopped_and_resumed(client: Runner) -> None:
    assert changed(client, "--inherit=false")["noParent"] is True
    assert "noParent" not in changed(client, "--inherit=true")


def test_actions_are_removed(client: Runner) -> None:
    changed(client, "--after-folder-action=/bin/x")
    assert "actions" not in changed(client, "--after-folder-action=none")


def test_scripts_are_stored(client: Runner, tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\necho hi\n")
    flags = (f"--before-snapshot-root-action={script}", "--persist-action-script", "--action-command-mode=async")
    action = changed(client, *flags)["actions"]["beforeSnapshotRoot"]
    assert (action["script"], action["mode"]) == ("#!/bin/sh\necho hi\n", "async")
    script.write_bytes(bytes(40_000))
    assert "too long" in client.fails("policy", "set", "/data", *flags).stderr


def test_several_targets_and_levels_are_set(client: Runner) -> None:
    client.ok("policy", "set", "u@h:/x", "@h", "someone@h", "--keep-daily=4")
    assert [line.split()[1] for line in client.ok("policy", "list").lines] == ["(global)", "@h", "someone@h", "u@h:/x"]


def test_the_table_names_where_a_value_comes_from(client: Runner) -> None:
    client.ok("policy", "set", "@h", "--keep-daily=4")
    client.ok("policy", "set", "/data", "--keep-latest=2", "--add-ignore=*.tmp")
    lines = client.ok("policy", "show", "/data").lines
    assert lines[0] == "Policy for u@h:/data:"
    table = {line.split(":")[0].strip(): line for line in lines}
    assert table["Latest snapshots"].endswith("2   (defined for this target)")
    assert table["Daily snapshots"].endswith("4   inherited from @h")
    assert table["Annual snapshots"].endswith("3   inherited from (global)")
    assert "    *.tmp" in lines


def test_policies_are_deleted(client: Runner) -> None:
    client.ok("policy", "set", "/data", "--keep-latest=2")
    client.ok("policy", "delete", "--dry-run", "/data")
    assert len(client.ok("policy", "list").lines) == 2
    client.ok("policy", "rm", "/data")
    assert len(client.ok("policy", "list").lines) == 1


def test_a_policy_is_named_by_its_id(client: Runner) -> None:
    client.ok("policy", "set", "/data", "--keep-latest=2")
    policy_id = client.ok("policy", "list").lines[1].split()[0]
    assert client.ok("policy", "show", policy_id).lines[0] == "Policy for u@h:/data:"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], "no changes specified"),
        (["--keep-latest=many"], "the number of latest backups to keep must be a whole number"),
        (["--log-dir-ignored=11"], "the directory ignored detail must be a whole number from 0 to 10"),
        (["--snapshot-time=25:00"], "--snapshot-time must be times"),
        (["--manual", "--snapshot-interval=1h"], "exclude each other"),
        (["--before-folder-action=/nowhere/script", "--persist-action-script"], "can't be read"),
    ],
)
def test_senseless_changes_are_refused_and_change_nothing(flags: list[str], told: str, client: Runner) -> None:
    assert told in client.fails("policy", "set", "/data", *flags).stderr
    assert len(client.ok("policy", "list").lines) == 1


@pytest.mark.parametrize("words", [["policy", "show"], ["policy", "show", "--global", "/x"], ["policy", "set"]])
def test_either_targets_or_the_global_policy_must_be_named(words: list[str], client: Runner) -> None:
    assert "either --global or targets" in client.fails(*words).stderr
