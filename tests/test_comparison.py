"""The comparison of commands: its data is the same each time and put back after a change, its report says what was."""

import json
import shutil
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.comparison import bench, datasets, report, rounds
from benchmarks.comparison.command_line import main, parse
from benchmarks.comparison.measure import Command, CommandFailedError, run
from benchmarks.comparison.tools import Tool
from tests.trees import assert_trees_equal, scan, tree_differences

SCALE = 0.002


@pytest.mark.parametrize("name", ["big", "small"])
def test_the_same_seed_gives_the_same_data(tmp_path: Path, name: str) -> None:
    made = [datasets.build(name, tmp_path / folder, seed="7", scale=SCALE) for folder in ("a", "b")]
    assert_trees_equal(tmp_path / "a", tmp_path / "b", times=False)
    assert made[0].bytes == pytest.approx(datasets.FULL_BYTES[name] * SCALE, rel=0.02)
    datasets.build(name, tmp_path / "c", seed="8", scale=SCALE)
    assert tree_differences(tmp_path / "a", tmp_path / "c", times=False)


def test_the_tree_is_a_copy_within_its_limits(tmp_path: Path) -> None:
    data = datasets.build("tree", tmp_path / "tree", seed="7", scale=SCALE)
    assert 10 < data.files <= datasets.TREE_FILES * SCALE
    assert 0 < data.bytes <= datasets.TREE_BYTES * SCALE


def test_text_compresses_like_source_text() -> None:
    data = datasets.TextSource("7").read(1 << 20)
    assert 2.0 < len(data) / len(zlib.compress(data)) < 3.0


@pytest.mark.parametrize("name", ["big", "small"])
def test_a_change_touches_one_per_cent_and_is_put_back(tmp_path: Path, name: str) -> None:
    data = datasets.build(name, tmp_path / "data", seed="7", scale=0.01)
    before = scan(data.folder)
    shutil.copytree(data.folder, tmp_path / "copy", symlinks=True)
    change = datasets.change(data, tmp_path / "attic", seed="7")
    touched = tree_differences(tmp_path / "copy", data.folder, times=False)
    if name == "small":
        assert len({line.split("':")[0] for line in touched}) == data.files // 100
    else:
        assert len(touched) == 1
    change.undo()
    assert scan(data.folder) == before


def python(script: str, folder: Path) -> Command:
    return Command(words=[sys.executable, "-c", script], environment={}, folder=folder)


def test_the_cost_of_a_command_is_its_own(tmp_path: Path) -> None:
    outcome = run(python("print('out'); x = bytearray(50_000_000)", tmp_path), timeout_seconds=60)
    assert outcome.stdout == "out\n"
    assert outcome.peak_rss_bytes > 50_000_000
    assert outcome.cpu_seconds > 0
    small = run(python("pass", tmp_path), timeout_seconds=60)
    assert small.peak_rss_bytes < 40_000_000


@pytest.mark.parametrize(
    ("script", "timeout", "reason"),
    [
        ("import sys; print('why', file=sys.stderr); sys.exit(3)", 60, "exit code 3(.|\n)*why"),
        ("import time; time.sleep(100)", 0.2, "took longer"),
    ],
)
def test_a_command_that_fails_is_an_error_with_what_it_printed(
    tmp_path: Path, script: str, timeout: float, reason: str
) -> None:
    with pytest.raises(CommandFailedError, match=reason):
        run(python(script, tmp_path), timeout_seconds=timeout)


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    missing = Command(words=["no-such-program"], environment={}, folder=tmp_path)
    with pytest.raises(CommandFailedError, match="could not be started"):
        run(missing, timeout_seconds=60)


class Copier(Tool):
    """A tool of the least kind: a snapshot is a copy."""

    name = "copier"
    spoil = False

    @classmethod
    def program(cls) -> Sequence[str] | None:
        return ["cp"]

    def settings(self) -> Mapping[str, str]:
        return {}

    def create(self) -> list[Command]:
        return [Command(words=["mkdir", str(self.repository)], environment=self.environment(), folder=self.workspace)]

    def snapshot(self, source: Path) -> Command:
        return self.command("-a", source, self.repository / str(self.snapshots + 1))

    def restore(self, source: Path, target: Path) -> Command:
        return self.command("-aT", self.repository / ("1" if self.spoil else str(self.snapshots)), target)

    def restored(self, source: Path, target: Path) -> Path:
        return target

    def verify(self) -> Command:
        return self.command("no", "such")

    def list(self) -> Command:
        return self.command("--version")


class Spoiler(Copier):
    """Restores another snapshot than the last."""

    name = "spoiler"
    spoil = True


class Broken(Copier):
    """Cannot take a snapshot."""

    name = "broken"

    def snapshot(self, source: Path) -> Command:
        return self.command("no", "such")


def compare(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, details: bool = False, other_rounds: int | None = None
) -> bench.Results:
    tools = {tool.name: tool for tool in (Copier, Spoiler, Broken)}
    monkeypatch.setattr(bench, "TOOLS", tools)
    options = bench.Options(
        rounds=2,
        sets=["small"],
        tools=[*tools],
        commands=[*rounds.COMMANDS],
        folder=folder,
        seed="7",
        scale=0.001,
        timeout_seconds=60,
        other_rounds=other_rounds,
        details=details,
    )
    comparison = rounds.Comparison(options, lambda _: None)
    comparison.run()
    return comparison.results


def test_a_comparison_goes_on_after_failures_and_finds_wrong_restores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = compare(tmp_path, monkeypatch)
    good = {(sample.tool, sample.command) for sample in results.samples if not sample.error}
    bad = {(sample.tool, sample.command) for sample in results.samples if sample.error}
    assert bad == {("copier", "verify"), ("spoiler", "verify"), ("broken", "first")}
    assert good == {(tool, name) for tool in ("copier", "spoiler") for name in rounds.COMMANDS if name != "verify"}
    assert results.restores["small", "copier"] == ""
    assert results.restores["small", "spoiler"]
    first_tools = [next(each.tool for each in results.samples if each.round == number) for number in range(2)]
    assert first_tools == ["copier", "spoiler"]
    text = report.to_markdown(results, {"machine": "any"})
    assert "## Failures" in text
    assert "spoiler: the restored tree DIFFERS" in text
    assert json.loads(json.dumps(report.to_json(results, {})))["data"][0]["name"] == "small"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in {"copier", "spoiler", "broken"}) == [
        "attic"
    ]


def test_other_tools_can_take_part_in_fewer_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = compare(tmp_path, monkeypatch, other_rounds=1)
    assert {sample.round for sample in results.samples} == {0}
    monkeypatch.setattr(bench, "MAIN_TOOLS", ("copier",))
    results = compare(tmp_path, monkeypatch, other_rounds=1)
    assert {(each.tool, each.round) for each in results.samples if each.command == "list"} == {
        ("copier", 0),
        ("spoiler", 0),
        ("copier", 1),
    }


def test_the_ceilings_are_those_of_the_data_and_bound_a_command_from_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = compare(tmp_path, monkeypatch, details=True)
    found = results.ceilings["small"]
    assert 0.2 < found.ratio < 0.9
    assert found.copy > found.compress
    (data,) = results.data
    floors = found.floors(data)
    assert [*floors] == [*rounds.COMMANDS]
    assert sum(floors["changed"].values()) < sum(floors["first"].values()) / 50
    for sample in [*results.samples]:
        if sample.tool == "copier":  # as if it were ours
            results.samples.append(replace(sample, tool="pykopia"))
    results.scaling.append((3.0, 1.5))
    text = report.to_markdown(results, {})
    assert "## What the hardware does" in text
    assert "with one processor and with two: 2.00 times" in text
    assert "pykopia's processor time" in text
    assert json.loads(json.dumps(report.to_json(results, {})))["scaling"] == [[3.0, 1.5]]


def test_ratios_are_taken_round_by_round() -> None:
    results = bench.Results()
    for tool, times in {"kopia": [1.0, 2.0, 4.0], "other": [2.0, 2.0, 1.0]}.items():
        results.samples += [
            bench.Sample(data="big", tool=tool, command="first", round=number, wall_seconds=seconds)
            for number, seconds in enumerate(times)
        ]
    assert report.ratios(results, "big", "other", "first") == [2.0, 1.0, 0.25]


def test_a_set_without_room_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "free_bytes", lambda _: 1000)
    results = compare(tmp_path, monkeypatch)
    assert "needs" in results.skipped["small"]
    assert results.samples == []


def test_an_unknown_tool_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--tools", "kopia,tar"])
    assert "unknown: tar; known are pykopia, kopia, restic, borg" in capsys.readouterr().err


def test_an_interrupted_comparison_cleans_up_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: rounds.Comparison) -> None:
        (self.options.folder / "something").write_bytes(b"left")
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds.Comparison, "run", interrupt)
    monkeypatch.setattr(bench, "TOOLS", {"kopia": Copier})
    assert main(["--tools", "kopia", "--dir", str(tmp_path)]) == 130
    assert list(tmp_path.iterdir()) == []
    assert "# Commands side by side" in capsys.readouterr().out
