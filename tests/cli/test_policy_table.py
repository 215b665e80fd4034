from pykopia.cli import formatting
from pykopia.cli.policy_table import Row, aligned, policy_lines
from pykopia.format.policy import (
    DEFAULT_POLICY,
    ActionCommand,
    ActionsPolicy,
    CompressionPolicy,
    FilesPolicy,
    Policy,
    SchedulingPolicy,
    TimeOfDay,
)


def lines(policy: Policy) -> list[str]:
    return policy_lines(policy, lambda name: f"from {name}", formatting.size)


def test_values_end_in_one_column() -> None:
    assert aligned([Row("A:", "1", "x"), Row("Longer:", "22", "y"), Row(), Row("Title:")]) == [
        "A:         1   x",
        "Longer:   22   y",
        "",
        "Title:",
    ]


def test_every_section_is_there_even_when_nothing_is_set() -> None:
    shown = lines(Policy())
    for title in (
        "Retention:",
        "Files policy:",
        "Uploads:",
        "Splitter:",
        "No actions defined.",
        "Compression disabled.",
    ):
        assert title in shown
    assert any(line.startswith("  Latest snapshots:") and " - " in line for line in shown)


def test_the_defaults_look_as_kopia_shows_them() -> None:
    shown = "\n".join(" ".join(line.split()) for line in lines(DEFAULT_POLICY))
    for text in (
        "Latest snapshots: 10 from retention.keep_latest",
        "Read ignore rules from files: from files.dot_ignore_files\n.kopiaignore",
        "Parallel upload above size: 2.1 GB from upload.parallel_upload_above_size",
        "Volume Shadow Copy: never from os_snapshots.volume_shadow_copy.enable",
        "Entry ignored: 5 from logging.entries.ignored",
        "Scheduled snapshots:\nNone.",
    ):
        assert text in shown


def test_what_is_set_is_shown() -> None:
    shown = "\n".join(
        " ".join(line.split())
        for line in lines(
            Policy(
                files=FilesPolicy(ignore=("*.tmp",), max_file_size=1_500_000),
                scheduling=SchedulingPolicy(
                    interval_seconds=5400, times_of_day=(TimeOfDay(hour=8, minute=5),), cron=("0 1 * * *",)
                ),
                compression=CompressionPolicy(
                    compressor_name="zstd", never_compress=(".zip",), min_size=10, max_size=9000
                ),
                actions=ActionsPolicy(
                    before_folder=ActionCommand(
                        command="/bin/x", arguments=("a", "b"), timeout_seconds=300, mode="async"
                    ),
                    after_snapshot_root=ActionCommand(script="#!/bin/sh\necho hi\n", timeout_seconds=60),
                ),
            )
        )
    )
    for text in (
        "Ignore rules: from files.ignore\n*.tmp",
        "Ignore files above: 1.5 MB from files.max_file_size",
        "Snapshot interval: 1h30m0s from scheduling.interval_seconds",
        "Snapshot times: from scheduling.times_of_day\n8:05",
        "Crontab expressions: from scheduling.cron\n0 1 * * *",
        "Compressor: zstd from compression.compressor_name",
        "Compress all files except the following extensions: from compression.never_compress\n.zip",
        "Only compress files between 10 B and 9 KB.",
        "Run command before this folder: (non-inheritable)\nCommand:\n/bin/x a b\nMode: async\nTimeout: 5m0s",
        "Embedded script (stored in repository):\n#!/bin/sh\necho hi\nMode: sync\nTimeout: 1m0s",
    ):
        assert text in shown


def test_only_compress_wins_over_never_compress() -> None:
    shown = lines(Policy(compression=CompressionPolicy(compressor_name="zstd", only_compress=(".txt",), min_size=1000)))
    assert "     - .txt" in shown
    assert "  Only compress files bigger than 1 KB." in shown
